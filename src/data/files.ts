// Tables in files that a user names: CSV and Parquet, read with their types and written whole or not at all.
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { place, temporaryName, writeAtomic } from '../base/blobs.ts'
import { dataError, usageError } from '../base/errors.ts'
import type { Column, ColumnType, Table } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { arrange, candleTable, checkValues } from './candles.ts'
import { type CsvRecord, csvCell, fieldText, scanCsv } from './csv.ts'
import { isNull, numberReader } from './number.ts'
import { type ChunkColumn, type StoredColumn, type StoredType, scanParquet, writeParquet } from './parquet.ts'
import { badRows } from './quarantine.ts'
import { type ColumnNames, dataConfig, type FileSource } from './schema.ts'
import { formatOf, readFileSource } from './source/file.ts'
import { KIND, readTime, type TimeCell } from './timestamp.ts'

/**
 * Candles of a file that a command takes directly, by the contract of `ingest` but without a quarantine: a bad row is an error.
 * Errors: BAD_ROW, EMPTY_INPUT and those of the file source.
 */
export async function readCandles(
  path: string,
  {
    columns = {},
    keep = [],
    signal = new AbortController().signal,
    now = Date.now,
  }: { columns?: ColumnNames; keep?: string[]; signal?: AbortSignal; now?: () => number } = {},
): Promise<Table> {
  const config = dataConfig.parse({ source: { kind: 'file', path, columns, keep } }).source as FileSource
  const { rows } = await readFileSource(config, { signal, now })
  checkValues(rows)
  const { order, winners } = arrange(rows)
  const bad = badRows(rows, winners, [path])
  if (bad) throw bad
  return candleTable(rows, order)
}

/** A table from any CSV or Parquet file. In CSV a column is `number` or `time` if all its values are, else `string`; an empty value is missing. */
export async function readColumns(path: string, signal?: AbortSignal): Promise<Table> {
  return formatOf(path) === 'csv' ? readCsvColumns(path, signal) : readParquetColumns(path, signal)
}

const COLUMN_TYPES: Record<StoredType, ColumnType> = {
  timestamp: 'time',
  date: 'time',
  number: 'number',
  string: 'string',
  other: 'string',
}

async function readParquetColumns(path: string, signal?: AbortSignal): Promise<Table> {
  let stored: StoredColumn[] = []
  const chunks: ChunkColumn[][] = []
  let rows = 0
  await scanParquet(
    path,
    columns => {
      stored = columns
      const visit = (values: ChunkColumn[], count: number) => {
        chunks.push(values)
        rows += count
      }
      return { columns, visit }
    },
    { signal },
  )
  const columns = stored.map(({ name, type }, i): Column => {
    const pieces = chunks.map(chunk => chunk[i])
    if (COLUMN_TYPES[type] === 'string') return { name, type: 'string', values: (pieces as (string | null)[][]).flat() }
    return { name, type: COLUMN_TYPES[type], values: joinNumbers(pieces as Float64Array[], rows) }
  })
  return { rows, columns }
}

/** Pieces end to end. */
export function joinNumbers(pieces: Float64Array[], rows: number): Float64Array {
  const values = new Float64Array(rows)
  let at = 0
  for (const piece of pieces) {
    values.set(piece, at)
    at += piece.length
  }
  return values
}

const readNumber = numberReader({ decimal: '.', thousands: null })

/** Two passes: one to learn the types and the number of rows, one to read. */
async function readCsvColumns(path: string, signal?: AbortSignal): Promise<Table> {
  const { rows, columns } = await csvColumns(path, signal)
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  let row = -2
  await scanCsv(
    path,
    ',',
    record => {
      if (++row < 0) return
      const { bytes, starts, ends } = record
      for (const [i, { type, values }] of columns.entries()) {
        if (!(values instanceof Float64Array)) values.push(fieldText(record, i) || null)
        else if (type === 'number') values[row] = readNumber(bytes, starts[i], ends[i])
        else {
          readTime(bytes, starts[i], ends[i], readNumber, cell)
          values[row] = cell.kind === KIND.invalid ? Number.NaN : cell.value
        }
      }
    },
    signal,
  )
  return { rows, columns }
}

/** The columns of a CSV file, typed and still without values. */
async function csvColumns(path: string, signal?: AbortSignal): Promise<Table> {
  const names: string[] = []
  const types: (ColumnType | undefined)[] = []
  let rows = -1
  await scanCsv(
    path,
    ',',
    record => {
      if (++rows === 0) {
        for (let i = 0; i < record.fields; i++) names.push(fieldText(record, i).trim())
        return
      }
      if (record.broken || record.fields !== names.length)
        throw dataError('BAD_ROW', `${path}:${record.line} has ${record.fields} fields, the header ${names.length}`)
      for (let i = 0; i < names.length; i++) {
        const type = types[i] === 'string' ? 'string' : cellType(record, i)
        if (type !== undefined) types[i] = types[i] === undefined || types[i] === type ? type : 'string'
      }
    },
    signal,
  )
  if (rows < 1) throw dataError('EMPTY_INPUT', `${path} has no rows`)
  const columns = names.map((name, i): Column => {
    const type = types[i] ?? 'number'
    return { name, type, values: type === 'string' ? [] : new Float64Array(rows) }
  })
  return { rows, columns }
}

/** The type that a cell would do for; undefined for a missing value, which does for any. */
function cellType(record: CsvRecord, i: number): ColumnType | undefined {
  const { bytes, starts, ends } = record
  if (!Number.isNaN(readNumber(bytes, starts[i], ends[i]))) return 'number'
  if (isNull(fieldText(record, i))) return undefined
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  readTime(bytes, starts[i], ends[i], readNumber, cell)
  return cell.kind === KIND.invalid ? 'string' : 'time'
}

/** Writes `.csv` or `.parquet`, by the name: times as ISO in CSV and ms timestamps in Parquet, numbers in their shortest exact form, missing values empty. */
export async function writeTable(table: Table, path: string, signal?: AbortSignal): Promise<void> {
  if (formatOf(path, {}, usageError) === 'csv') return writeAtomic(path, csvBytes(table))
  mkdirSync(dirname(path), { recursive: true })
  const temporary = temporaryName(path)
  try {
    await writeParquet(table, temporary, signal)
    place(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

const ROWS_AT_ONCE = 10_000

function csvBytes({ rows, columns }: Table): Buffer {
  const pieces = [Buffer.from(`${columns.map(({ name }) => csvCell(name)).join(',')}\n`)]
  for (let from = 0; from < rows; from += ROWS_AT_ONCE) {
    let text = ''
    for (let row = from; row < Math.min(rows, from + ROWS_AT_ONCE); row++)
      text += `${columns.map(column => cellText(column, row)).join(',')}\n`
    pieces.push(Buffer.from(text))
  }
  return Buffer.concat(pieces)
}

function cellText({ type, values }: Column, row: number): string {
  const value = values[row]
  if (value === null || Number.isNaN(value)) return ''
  return typeof value === 'string' ? csvCell(value) : type === 'time' ? isoTime(value) : String(value)
}
