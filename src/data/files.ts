// Tables in files that a user names: CSV and Parquet, read with their types and written whole or not at all.
import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { gzipSync } from 'node:zlib'
import { place, temporaryName, writeAtomic } from '../base/blobs.ts'
import { usageError } from '../base/errors.ts'
import type { Column, Table } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import type { DataSchema } from './columns.ts'
import { csvCell } from './csv.ts'
import { formatOf } from './format.ts'
import { readWhole } from './gather.ts'
import type { AsIs, ReadType } from './layout.ts'
import { writeParquet } from './parquet.ts'
import { type FileReading, fileSource } from './schema.ts'
import { readFileSource } from './source/file.ts'

interface ReadOptions {
  /** How the file is written; default: with commas and points, under our names or common ones. */
  reading?: FileReading
  signal?: AbortSignal
  now?: () => number
}

/**
 * Candles of a file that a command takes directly, by the contract of `ingest` but without a quarantine: a bad row is an error.
 * Errors: BAD_ROW, EMPTY_INPUT and those of the file source.
 */
export const readCandles = (path: string, options: ReadOptions = {}): Promise<Table> =>
  readFile(path, 'candles', options)

/** A table from any file: a column is what `types` says, else `number` or `time` if all its values are, else `string`; an empty value is missing. */
export const readColumns = (
  path: string,
  { types = new Map(), ...options }: { types?: ReadonlyMap<string, ReadType> } & Omit<ReadOptions, 'now'> = {},
): Promise<Table> => readFile(path, { types }, { ...options, now: () => Number.POSITIVE_INFINITY }) // times of any year

function readFile(
  path: string,
  schema: DataSchema | AsIs,
  { reading = {}, signal = new AbortController().signal, now = Date.now }: ReadOptions,
): Promise<Table> {
  const config = fileSource.parse({ kind: 'file', path, ...reading })
  // Nothing is put on disk on the way.
  return readWhole(readFileSource(config, schema, { signal, now }), { scratch: '', signal })
}

/** Writes `.csv` or `.parquet`, by the name: times as ISO in CSV and ms timestamps in Parquet, numbers in their shortest exact form, missing values empty. */
export async function writeTable(table: Table, path: string, signal?: AbortSignal): Promise<void> {
  const format = formatOf(path, {}, usageError)
  if (format === 'csv') return writeAtomic(path, /\.gz$/i.test(path) ? gzipSync(csvBytes(table)) : csvBytes(table))
  if (format !== 'parquet')
    throw usageError('FORMAT', `${path}: tables are written as CSV and Parquet, not as ${format}`)
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
