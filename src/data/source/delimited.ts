// Rows from a CSV file: which cell is which, and what is wrong with a record.
import { dataError } from '../../base/errors.ts'
import type { CellReader } from '../cells.ts'
import { type CsvFormat, type CsvRecord, fieldText, scanCsv } from '../csv.ts'
import type { FileFormat, FileReader } from '../format.ts'
import { typeFinder } from '../infer.ts'
import type { Placed } from '../layout.ts'
import { addRow, BLOCK_ROWS, emptyRows, type Rows, refuse } from '../rows.ts'
import { CANDLE_COLUMNS, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import { cutText } from '../text.ts'

/** Errors: EMPTY_INPUT, DELIMITER, ENCODING, and those of text.ts and header.ts. */
const readDelimited: FileReader = async function* (path, file, { config, placer, cells, capacity, signal }) {
  const format = await csvFormat(path, config)
  const types = placer.open ? await columnTypes(path, config, format, signal) : undefined
  const names = headerNames(config)
  let width = config.header === false ? 0 : (names?.length ?? 0)
  let rows: Rows | undefined
  let add: ((rows: Rows, record: CsvRecord, width: number) => void) | undefined
  let placed: Placed | undefined
  const begin = (header: string[]) => {
    placed = placer.place(header, path, types)
    rows = emptyRows(placed.layout, capacity)
    add = rowReader(placed, cells, file)
  }
  if (names) begin(names)
  const visit = (record: CsvRecord) => {
    if (add) return add(rows!, record, (width ||= record.fields))
    const header = headerOf(record, format, path)
    width = header.length
    begin(header)
  }
  for await (const _ of scanCsv(path, format, visit, signal)) {
    if (!rows || rows.count < BLOCK_ROWS) continue
    yield rows
    rows = emptyRows(placed!.layout, capacity)
  }
  if (!add) throw dataError('EMPTY_INPUT', `${path} is empty`)
  if (rows!.count) yield rows!
}

export const delimited: FileFormat = {
  read: readDelimited,
  text: (path, places, { config }) => cutText(path, places, config.encoding),
}

/** Column names of a file that has no header line; undefined where the first record has them. */
function headerNames({ header }: FileSource): string[] | undefined {
  if (header === true) return undefined
  return header === false ? CANDLE_COLUMNS.slice(0, 1 + VALUE_COLUMNS.length) : header
}

function headerOf(record: CsvRecord, { delimiter }: CsvFormat, path: string): string[] {
  const header = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
  if (header.some(name => name.includes('\uFFFD')))
    throw dataError('ENCODING', `the header of ${path} is no UTF-8`, {
      next: 'encoding: windows-1252 (or another), or save the file as UTF-8',
    })
  const other = SIGNS.find(sign => sign !== delimiter && header[0].includes(sign))
  if (header.length === 1 && other)
    throw dataError(
      'DELIMITER',
      `the header of ${path} has no ${JSON.stringify(delimiter)} but ${JSON.stringify(other)}`,
      {
        next: `delimiter: ${JSON.stringify(other)}${other === ';' ? ', and decimal: "," if its numbers are like 1,5' : ''}`,
      },
    )
  return header
}

/** A function that appends a record to rows: cells into columns, and a fault where they cannot be. */
function rowReader({ layout, places, parts }: Placed, cells: CellReader, file: number) {
  const last = Math.max(...places, ...parts)
  const readers = layout.columns.map(cells.textOf)
  const joined = parts.length ? layout.columns.findIndex(({ name }) => name === 'time') : -1

  function readCells(rows: Rows, record: CsvRecord, row: number): void {
    const { bytes, starts, ends } = record
    for (let i = 0; i < readers.length; i++) {
      const place = places[i]
      if (place < 0) cells.absent(rows, row, i)
      else if (i === joined) {
        const whole = Buffer.from(parts.map(part => fieldText(record, part)).join(' '))
        cells.text(rows, row, i, whole, 0, whole.length)
      } else if (layout.columns[i].type === 'string' && record.quoted) {
        const unquoted = Buffer.from(fieldText(record, place))
        cells.text(rows, row, i, unquoted, 0, unquoted.length)
      } else readers[i](rows, row, i, bytes, starts[place], ends[place])
    }
  }

  return (rows: Rows, record: CsvRecord, width: number): void => {
    const row = addRow(rows)
    rows.line[row] = record.line
    rows.position[row] = record.position
    rows.size[row] = record.to - record.from
    rows.file[row] = file
    if (record.broken) refuse(rows, row, 'QUOTE')
    else if (record.fields !== width || last >= width) refuse(rows, row, 'COLUMN_COUNT')
    else readCells(rows, record, row)
  }
}

/** A first reading of the file, for the types of its columns. */
async function columnTypes(path: string, config: FileSource, format: CsvFormat, signal: AbortSignal) {
  const finder = typeFinder(config)
  let waiting = config.header === true
  let columns = 0
  const visit = ({ broken, fields, bytes, starts, ends }: CsvRecord) => {
    if (waiting) waiting = false
    else if (!broken) {
      columns = Math.max(columns, fields)
      for (let i = 0; i < fields; i++) finder.text(i, bytes, starts[i], ends[i])
    }
  }
  for await (const _ of scanCsv(path, format, visit, signal)) signal.throwIfAborted()
  return finder.types(columns)
}

const SIGNS = [',', ';', '\t', '|']

/** As the config says; of `auto` the sign that the first record has most of. */
async function csvFormat(path: string, { delimiter, ...config }: FileSource): Promise<CsvFormat> {
  if (delimiter !== 'auto') return { ...config, delimiter }
  let [best, most] = [',', 1]
  for (const sign of SIGNS) {
    const fields = await firstFields(path, { ...config, delimiter: sign })
    if (fields > most) [best, most] = [sign, fields]
  }
  return { ...config, delimiter: best }
}

async function firstFields(path: string, format: CsvFormat): Promise<number> {
  let fields = 0
  const visit = (record: CsvRecord) => {
    fields ||= record.fields
  }
  for await (const _ of scanCsv(path, format, visit)) if (fields) break
  return fields
}
