// Rows from a CSV file: which cell is which, and what is wrong with a record.
import { dataError } from '../../base/errors.ts'
import type { ColumnType } from '../../base/table.ts'
import type { CellReader } from '../cells.ts'
import { type CsvRecord, cutCsv, fieldText, scanCsv } from '../csv.ts'
import type { FileReader } from '../format.ts'
import type { Placed } from '../layout.ts'
import { isNull, numberReader } from '../number.ts'
import { addRow, BLOCK_ROWS, emptyRows, type Place, type Rows, refuse } from '../rows.ts'
import { CANDLE_COLUMNS, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import { KIND, readTime, type TimeCell } from '../timestamp.ts'

/** Errors: EMPTY_INPUT, DELIMITER, ENCODING, and those of csv.ts and header.ts. */
export const readDelimited: FileReader = async function* (path, file, { config, placer, cells, capacity, signal }) {
  const types = placer.open ? await columnTypes(path, config, signal) : undefined
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
    const header = headerOf(record, config, path)
    width = header.length
    begin(header)
  }
  for await (const _ of scanCsv(path, config.delimiter, visit, signal)) {
    if (!rows || rows.count < BLOCK_ROWS) continue
    yield rows
    rows = emptyRows(placed!.layout, capacity)
  }
  if (!add) throw dataError('EMPTY_INPUT', `${path} is empty`)
  if (rows!.count) yield rows!
}

export const delimitedText = (path: string, places: Place[]): Promise<string[]> => cutCsv(path, places)

/** Column names of a file that has no header line; undefined where the first record has them. */
function headerNames({ header }: FileSource): string[] | undefined {
  if (header === true) return undefined
  return header === false ? CANDLE_COLUMNS.slice(0, 1 + VALUE_COLUMNS.length) : header
}

function headerOf(record: CsvRecord, { delimiter }: FileSource, path: string): string[] {
  const header = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
  if (header.some(name => name.includes('\uFFFD')))
    throw dataError('ENCODING', `the header of ${path} is no UTF-8`, {
      next: 'encoding: windows-1252 (or another), or save the file as UTF-8',
    })
  const other = [',', ';', '\t', '|'].find(sign => sign !== delimiter && header[0].includes(sign))
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
function rowReader({ layout, places }: Placed, cells: CellReader, file: number) {
  const last = Math.max(...places)
  const columns = layout.columns.length
  const texts = layout.columns.flatMap(({ type }, i) => (type === 'string' ? [i] : []))

  function readCells(rows: Rows, record: CsvRecord, row: number): void {
    const { bytes, starts, ends } = record
    for (let i = 0; i < columns; i++) {
      const place = places[i]
      if (place < 0) cells.absent(rows, row, i)
      else if (layout.columns[i].type === 'string' && record.quoted) {
        const unquoted = Buffer.from(fieldText(record, place))
        cells.text(rows, row, i, unquoted, 0, unquoted.length)
      } else cells.text(rows, row, i, bytes, starts[place], ends[place])
    }
  }

  return (rows: Rows, record: CsvRecord, width: number): void => {
    const row = addRow(rows)
    rows.line[row] = record.line
    rows.position[row] = record.position
    rows.size[row] = record.to - record.from
    rows.file[row] = file
    for (const i of texts) (rows.values[i] as (string | null)[]).push(null)
    if (record.broken) refuse(rows, row, 'QUOTE')
    else if (record.fields !== width || last >= width) refuse(rows, row, 'COLUMN_COUNT')
    else readCells(rows, record, row)
  }
}

/** The type that every value of a column has; a column without values holds numbers. A first reading of the file. */
async function columnTypes(path: string, config: FileSource, signal?: AbortSignal): Promise<ColumnType[]> {
  const readNumber = numberReader({ decimal: config.decimal, thousands: config.thousands ?? null })
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  const types: (ColumnType | undefined)[] = []
  let waiting = config.header === true

  function typeOf({ bytes, starts, ends }: CsvRecord, i: number): ColumnType | undefined {
    if (!Number.isNaN(readNumber(bytes, starts[i], ends[i]))) return 'number'
    if (isNull(bytes.toString('utf8', starts[i], ends[i]))) return undefined
    readTime(bytes, starts[i], ends[i], readNumber, cell)
    return cell.kind === KIND.invalid ? 'string' : 'time'
  }

  const visit = (record: CsvRecord) => {
    if (waiting) waiting = false
    else if (!record.broken) {
      types.length = Math.max(types.length, record.fields)
      for (let i = 0; i < record.fields; i++) {
        const type = types[i] === 'string' ? 'string' : typeOf(record, i)
        if (type) types[i] = types[i] === undefined || types[i] === type ? type : 'string'
      }
    }
  }
  for await (const _ of scanCsv(path, config.delimiter, visit, signal)) signal?.throwIfAborted()
  return Array.from(types, type => type ?? 'number')
}
