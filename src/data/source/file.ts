// Candles from CSV and Parquet files. Reads cells; the contract's rules are candles.ts.
import { fileDigests } from '../../base/blobs.ts'
import { dataError, usageError } from '../../base/errors.ts'
import { type CsvRecord, fieldText, scanCsv } from '../csv.ts'
import { type ColumnPlaces, placeColumns } from '../header.ts'
import { isNull, type NumberReader, numberReader, parseNumber } from '../number.ts'
import { type ChunkColumn, parquetColumns, type StoredColumn, scanParquet } from '../parquet.ts'
import { addRow, emptyRows, type Rows, refuse, type SourceContext, type Sourced, settleTimes } from '../rows.ts'
import { CANDLE_COLUMNS, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import { KIND, readTime, type TimeCell } from '../timestamp.ts'

/** Reads every file of the source, in order. Errors name the file: FORMAT, EMPTY_INPUT, CORRUPT_FILE, ENCODING, DELIMITER, and header.ts's. */
export async function readFileSource(config: FileSource, { signal, now }: SourceContext): Promise<Sourced> {
  const paths = config.paths ?? [config.path as string]
  const rows = emptyRows()
  for (const [file, path] of paths.entries()) {
    const before = rows.count
    if (formatOf(path, config) === 'csv') await readCsv(path, file, config, rows, signal)
    else await readParquet(path, file, config, rows, signal)
    if (rows.count === before) throw dataError('EMPTY_INPUT', `${path} has no rows`)
  }
  const warnings = settleTimes(rows, { unit: config.unit, zone: config.zone, now: now() })
  if (config.columns.volume === null)
    warnings.push({ code: 'NO_VOLUME', message: 'there is no volume; it is 0', count: rows.count })
  return {
    rows,
    warnings,
    paths,
    files: () => Promise.all(paths.map(async path => ({ path, ...(await fileDigests(path)) }))),
    text: list => rowTexts(paths, config, rows, list),
  }
}

export type Format = 'csv' | 'parquet'

/** The format of a file by its name, unless the config says it. */
export function formatOf(path: string, { format }: { format?: Format } = {}): Format {
  if (format) return format
  if (/\.(csv|txt|tsv)(\.gz)?$/i.test(path)) return 'csv'
  if (/\.(parquet|pq)$/i.test(path)) return 'parquet'
  throw usageError('FORMAT', `${path} is neither .csv (.csv.gz) nor .parquet`, {
    next: 'convert it, or say what it is: format: csv or parquet',
  })
}

async function readCsv(
  path: string,
  file: number,
  config: FileSource,
  rows: Rows,
  signal?: AbortSignal,
): Promise<void> {
  const readNumber = numberReader({ decimal: config.decimal, thousands: config.thousands ?? null })
  const names = headerNames(config)
  let width = config.header === false ? 0 : (names?.length ?? 0)
  let add = names && rowReader(placeColumns(names, config.columns, path), readNumber, file, rows)
  await scanCsv(
    path,
    config.delimiter,
    record => {
      if (add) return add(record, (width ||= record.fields))
      const header = headerOf(record, config, path)
      width = header.length
      add = rowReader(placeColumns(header, config.columns, path), readNumber, file, rows)
    },
    signal,
  )
  if (!add) throw dataError('EMPTY_INPUT', `${path} is empty`)
}

/** Column names of a file that has no header line; undefined where the first record has them. */
function headerNames({ header }: FileSource): string[] | undefined {
  if (header === true) return undefined
  return header === false ? CANDLE_COLUMNS.slice(0, 1 + VALUE_COLUMNS.length) : header
}

function headerOf(record: CsvRecord, { delimiter }: FileSource, path: string): string[] {
  const header = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
  if (header.some(name => name.includes('\uFFFD')))
    throw dataError('ENCODING', `the header of ${path} is no UTF-8`, { next: 'save the file as UTF-8' })
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

/** A function that appends a record to `rows`: cells into columns, and a fault where they cannot be. */
function rowReader(places: ColumnPlaces, readNumber: NumberReader, file: number, rows: Rows) {
  const values = VALUE_COLUMNS.map(name => places[name])
  const last = Math.max(...Object.values(places))
  const cell: TimeCell = { value: NaN, kind: KIND.invalid }
  const symbols = useSymbols(rows, places.symbol >= 0, file)
  const known = new Map<string, string>()

  function readCells(record: CsvRecord, row: number): void {
    const { bytes, starts, ends } = record
    readTime(bytes, starts[places.time], ends[places.time], readNumber, cell)
    rows.time[row] = cell.value
    rows.kind[row] = cell.kind
    if (cell.kind === KIND.invalid)
      refuse(rows, row, isNull(fieldText(record, places.time)) ? 'NULL_VALUE' : 'TIMESTAMP_INVALID')
    for (let i = 0; i < values.length; i++) {
      const place = values[i]
      const value = place < 0 ? 0 : readNumber(bytes, starts[place], ends[place])
      rows.values[i][row] = value
      if (!Number.isFinite(value)) refuse(rows, row, numberFault(value, fieldText(record, place)))
    }
    if (symbols) symbols[row] = readSymbol(fieldText(record, places.symbol).trim(), row)
  }

  /** The same text is one string in memory, however many rows have it. */
  function readSymbol(text: string, row: number): string {
    if (text === '') refuse(rows, row, 'NULL_VALUE')
    else if (text.includes('\uFFFD')) refuse(rows, row, 'ENCODING')
    const symbol = known.get(text) ?? text
    known.set(symbol, symbol)
    return symbol
  }

  return (record: CsvRecord, width: number): void => {
    const row = addRow(rows)
    rows.line[row] = record.line
    rows.file[row] = file
    symbols?.push('')
    if (record.broken) refuse(rows, row, 'QUOTE')
    else if (record.fields !== width || last >= width) refuse(rows, row, 'COLUMN_COUNT')
    else readCells(record, row)
  }
}

const numberFault = (value: number, text: string) =>
  !Number.isNaN(value) ? 'OUT_OF_RANGE' : isNull(text) ? 'NULL_VALUE' : 'NOT_A_NUMBER'

/** All files of a source have symbols, or none has. */
function useSymbols(rows: Rows, has: boolean, file: number): string[] | null {
  if (file === 0) rows.symbol = has ? [] : null
  else if (has !== (rows.symbol !== null))
    throw dataError('MISSING_COLUMN', `only some of the files have a symbol column`, {
      next: 'columns: {symbol: null} reads all of them without it',
    })
  return rows.symbol
}

async function readParquet(
  path: string,
  file: number,
  config: FileSource,
  rows: Rows,
  signal?: AbortSignal,
): Promise<void> {
  const stored = await parquetColumns(path)
  const places = placeColumns(
    stored.map(column => column.name),
    config.columns,
    path,
  )
  const ours = CANDLE_COLUMNS.filter(name => places[name] >= 0)
  const columns = ours.map(name => typed(stored[places[name]], name, path))
  const symbols = useSymbols(rows, places.symbol >= 0, file)
  const readNumber = numberReader({ decimal: config.decimal, thousands: config.thousands ?? null })
  const cell: TimeCell = { value: NaN, kind: KIND.invalid }
  const values = VALUE_COLUMNS.map(name => ours.indexOf(name))
  let line = 0

  function readCells(chunk: ChunkColumn[], i: number, row: number): void {
    storedTime(chunk[0][i], columns[0], readNumber, cell)
    rows.time[row] = cell.value
    rows.kind[row] = cell.kind
    if (cell.kind === KIND.invalid) refuse(rows, row, isMissing(chunk[0][i]) ? 'NULL_VALUE' : 'TIMESTAMP_INVALID')
    for (const [v, place] of values.entries()) {
      const stored = place < 0 ? 0 : chunk[place][i]
      const value = typeof stored === 'string' ? parseNumber(stored) : (stored ?? NaN)
      rows.values[v][row] = value
      if (!Number.isFinite(value)) refuse(rows, row, numberFault(value, isMissing(stored) ? '' : String(stored)))
    }
    const symbol = symbols && String(chunk[ours.length - 1][i] ?? '').trim()
    if (symbol === '') refuse(rows, row, 'NULL_VALUE')
    if (symbol !== null) symbols?.push(symbol)
  }

  const visit = (chunk: ChunkColumn[], count: number): void => {
    for (let i = 0; i < count; i++) {
      const row = addRow(rows)
      rows.line[row] = ++line
      rows.file[row] = file
      readCells(chunk, i, row)
    }
  }
  await scanParquet(path, columns, visit, { signal })
}

const isMissing = (stored: string | number | null): boolean => stored === null || Number.isNaN(stored)

/** A stored column as the type that ours needs. */
function typed(column: StoredColumn, ours: string, path: string): StoredColumn {
  if (ours === 'symbol') return { ...column, type: 'string' }
  const fits = column.type === 'number' || column.type === 'string' || (ours === 'time' && column.type !== 'other')
  if (!fits) throw dataError('TYPE_MISMATCH', `${path}: ${ours} (${column.name}) is a ${column.stored}`)
  return column
}

function storedTime(
  value: string | number | null,
  { type, stored }: StoredColumn,
  readNumber: NumberReader,
  cell: TimeCell,
): void {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value)
    readTime(bytes, 0, bytes.length, readNumber, cell)
    return
  }
  cell.value = value ?? NaN
  if (isMissing(value)) cell.kind = KIND.invalid
  else if (type === 'number') cell.kind = KIND.epoch
  else if (type === 'date') cell.kind = KIND.date
  else cell.kind = stored.endsWith('TIME ZONE') ? KIND.instant : KIND.naive
}

/** Goes through the files once more for the text of a few rows: the first reading keeps none. */
async function rowTexts(paths: string[], config: FileSource, rows: Rows, wanted: number[]): Promise<string[]> {
  const texts = new Map<number, string>()
  for (const [file, path] of paths.entries()) {
    const byLine = new Map(wanted.filter(row => rows.file[row] === file).map(row => [rows.line[row], row]))
    if (!byLine.size) continue
    if (formatOf(path, config) === 'csv')
      await scanCsv(path, config.delimiter, ({ line, bytes, from, to }) => {
        const row = byLine.get(line)
        if (row !== undefined) texts.set(row, bytes.toString('utf8', from, to))
      })
    else {
      const lines = [...byLine.keys()].sort((a, b) => a - b)
      const columns = (await parquetColumns(path)).map(column => ({ ...column, type: 'string' as const }))
      let at = 0
      await scanParquet(
        path,
        columns,
        (chunk, count) => {
          for (let i = 0; i < count; i++, at++)
            texts.set(byLine.get(lines[at]) as number, chunk.map(values => values[i] ?? '').join(','))
        },
        { rows: lines.map(line => line - 1) },
      )
    }
  }
  return wanted.map(row => texts.get(row) ?? '')
}
