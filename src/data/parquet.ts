// Parquet files through DuckDB: the only file that imports it. Knows columns, no candles.
import { accessSync, constants } from 'node:fs'
import {
  DOUBLE,
  type DuckDBConnection,
  type DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTableFunction,
  type DuckDBVector,
  VARCHAR,
  version,
} from '@duckdb/node-api'
import { dataError, fileUnreadable, messageOf, SluiceError } from '../base/errors.ts'
import { type Column, type ColumnType, joinNumbers, type Table } from '../base/table.ts'

/** Kinds of stored columns that Sluice can read: as ms, as float64, or as text. */
export type StoredType = 'timestamp' | 'date' | 'number' | 'string' | 'other'

export interface StoredColumn {
  name: string
  type: StoredType
  /** DuckDB's name of the type, for messages. */
  stored: string
}

/** Values of one chunk of at most 2,048 rows: a float64 with NaN for null, or text with null. */
export type ChunkColumn = Float64Array | (string | null)[]

const ROWS_PER_CHUNK = 2048

/** What is to be read of a file, and who gets it: the chosen columns of every chunk, in file order. */
export interface ParquetPlan {
  columns: StoredColumn[]
  visit(values: ChunkColumn[], rows: number): void
}

/**
 * Reads a Parquet file as `plan` says once it has seen the columns: timestamps and dates as epoch ms, numbers as float64.
 * `rows` keeps only these row numbers (from 0). Errors: FILE_UNREADABLE, CORRUPT_FILE and what the plan throws.
 */
export async function* scanParquet(
  path: string,
  plan: (stored: StoredColumn[]) => ParquetPlan,
  { signal, rows }: { signal?: AbortSignal; rows?: number[] } = {},
): AsyncGenerator<void> {
  checkReadable(path)
  const { connection, close } = await connect(signal)
  try {
    const { columns, visit } = plan(await storedColumns(connection, path))
    const expected = rows ? undefined : await rowCount(connection, path)
    let count = 0
    const where = rows ? ` where file_row_number in (${rows.join(', ')})` : ''
    const result = await connection.stream(
      `select ${columns.map(expression).join(', ')} from ${source(path, rows && 'file_row_number = true')}${where}`,
    )
    for (let chunk = await result.fetchChunk(); chunk?.rowCount; chunk = await result.fetchChunk()) {
      const got = chunk
      visit(
        columns.map(({ type }, i) => chunkColumn(got, i, type)),
        got.rowCount,
      )
      count += got.rowCount
      yield
    }
    if (expected !== undefined && count !== expected) throw new Error(`${count} of its ${expected} rows can be read`)
  } catch (cause) {
    throw unreadable(path, cause, signal)
  } finally {
    close()
  }
}

/** What a stored column is in memory. */
export const COLUMN_TYPES: Record<StoredType, ColumnType> = {
  timestamp: 'time',
  date: 'time',
  number: 'number',
  string: 'string',
  other: 'string',
}

/** A whole file that we wrote, as it was written; of `names` only, where they are given. Errors as scanParquet. */
export async function readParquet(path: string, signal?: AbortSignal, names?: string[]): Promise<Table> {
  let stored: StoredColumn[] = []
  const chunks: ChunkColumn[][] = []
  let rows = 0
  const plan = (columns: StoredColumn[]) => {
    stored = names ? columns.filter(({ name }) => names.includes(name)) : columns
    const visit = (values: ChunkColumn[], count: number) => {
      chunks.push(values)
      rows += count
    }
    return { columns: stored, visit }
  }
  for await (const _ of scanParquet(path, plan, { signal })) signal?.throwIfAborted()
  const columns = stored.map(({ name, type }, i): Column => {
    const pieces = chunks.map(chunk => chunk[i])
    if (COLUMN_TYPES[type] === 'string') return { name, type: 'string', values: (pieces as (string | null)[][]).flat() }
    return { name, type: COLUMN_TYPES[type], values: joinNumbers(pieces as Float64Array[], rows) }
  })
  return { rows, columns }
}

async function storedColumns(connection: DuckDBConnection, path: string): Promise<StoredColumn[]> {
  const result = await connection.runAndReadAll(`describe select * from ${source(path)}`)
  return result.getRows().map(([name, stored]) => ({
    name: String(name),
    stored: String(stored),
    type: storedType(String(stored)),
  }))
}

/** Rows by the footer, which says it for the file, each row group and each column; a damaged one contradicts itself. */
async function rowCount(connection: DuckDBConnection, path: string): Promise<number> {
  const ask = async (sql: string) => (await connection.runAndReadAll(sql)).getRows().map(row => row.map(Number))
  const [[rows, groups]] = await ask(`select num_rows, num_row_groups from parquet_file_metadata(${name(path)})`)
  const found = await ask(
    `select any_value(row_group_num_rows), min(num_values), min(row_group_num_rows), max(row_group_num_rows)
     from parquet_metadata(${name(path)}) group by row_group_id`,
  )
  const sum = found.reduce((total, [group]) => total + group, 0)
  // A column of lists has more values than rows.
  const agree = found.every(([group, fewest, least, most]) => fewest >= group && least === most)
  if (sum !== rows || found.length !== groups || !agree)
    throw new Error(`its footer speaks of ${rows} rows, and its ${found.length} parts hold ${sum}`)
  return rows
}

/** Level 1 packs prices as well as 3 does, and looking for a dictionary of more words than these takes longer than packing without it. */
const PACKED = 'compression zstd, compression_level 1, dictionary_size_limit 1000'

/** Writes one table after another: a database for each would take longer than a small table. */
export interface ParquetWriter {
  /** A `time` column becomes a millisecond timestamp (UTC), NaN becomes null. */
  write(table: Table, path: string): Promise<void>
  close(): void
}

export async function openParquetWriter(signal?: AbortSignal): Promise<ParquetWriter> {
  // One thread: rows keep their order, equal tables give equal files, and it is no slower than two.
  const { connection, close } = await connect(signal, { threads: '1' })
  let given: Table | undefined
  connection.registerTableFunction(tableFunction(() => given!))
  return {
    async write(table, path) {
      signal?.throwIfAborted()
      given = table
      const select = table.columns.map(({ name, type }, i) => {
        const value = type === 'string' ? `c${i}` : `nullif(c${i}, 'nan'::double)`
        const typed = type === 'time' ? `make_timestamp_ms(${value}::bigint)::timestamp_ms` : value
        return `${typed} as ${identifier(name)}`
      })
      try {
        await connection.run(
          `copy (select ${select.join(', ')} from sluice_table()) to ${literal(path)} (format parquet, parquet_version v2, ${PACKED})`,
        )
      } catch (cause) {
        signal?.throwIfAborted()
        throw cause
      } finally {
        given = undefined
      }
    },
    close,
  }
}

/** Writes a table as a file. */
export async function writeParquet(table: Table, path: string, signal?: AbortSignal): Promise<void> {
  const writer = await openParquetWriter(signal)
  try {
    await writer.write(table, path)
  } finally {
    writer.close()
  }
}

/** A table in memory as something that SQL can read from: twice as fast as appending it to a table of DuckDB's. */
function tableFunction(given: () => Table): DuckDBTableFunction {
  let from = 0
  return DuckDBTableFunction.create({
    name: 'sluice_table',
    bindFunction(bind) {
      const { rows, columns } = given()
      for (const [i, { type }] of columns.entries()) bind.addResultColumn(`c${i}`, type === 'string' ? VARCHAR : DOUBLE)
      bind.setCardinality(rows, true)
    },
    initFunction(init) {
      init.setMaxThreads(1)
      from = 0
    },
    mainFunction(_, chunk) {
      const table = given()
      const rows = Math.min(ROWS_PER_CHUNK, table.rows - from)
      chunk.rowCount = rows
      if (rows > 0) for (const [i, column] of table.columns.entries()) fillColumn(chunk, i, column, from)
      from += rows
    },
  })
}

function fillColumn(chunk: DuckDBDataChunk, i: number, { values }: Column, from: number): void {
  const vector = chunk.getColumnVector(i)
  const rows = vector.itemCount
  if (values instanceof Float64Array) doubles(vector).set(values.subarray(from, from + rows))
  else for (let row = 0; row < rows; row++) vector.setItem(row, values[from + row])
  vector.flush()
}

function chunkColumn(chunk: DuckDBDataChunk, i: number, type: StoredType): ChunkColumn {
  const vector = chunk.getColumnVector(i)
  if (type !== 'string' && type !== 'other') return doubles(vector).slice()
  return Array.from({ length: vector.itemCount }, (_, row) => vector.getItem(row) as string | null)
}

/** The memory of a DOUBLE vector: a call for each value takes three times as long. Its nulls are left to SQL, which knows NaN. */
const doubles = (vector: DuckDBVector): Float64Array => (vector as unknown as { items: Float64Array }).items

function storedType(type: string): StoredType {
  if (type.endsWith(']')) return 'other' // a list of what stands before it
  if (type.startsWith('TIMESTAMP')) return 'timestamp'
  if (type === 'DATE') return 'date'
  if (type === 'VARCHAR' || type.startsWith('ENUM')) return 'string'
  return /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL)/.test(type) ? 'number' : 'other'
}

/** A column as SQL for `chunkColumn`: numbers without nulls. */
function expression({ name, type, stored }: StoredColumn): string {
  const column = identifier(name)
  if (type === 'string' || type === 'other') return `${column}::varchar`
  const instant = stored === 'TIMESTAMP WITH TIME ZONE' ? column : `${column}::timestamp`
  return `coalesce(${type === 'number' ? column : `epoch_ms(${instant})`}::double, 'nan'::double)`
}

function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK)
  } catch (cause) {
    throw fileUnreadable(path, cause)
  }
}

function unreadable(path: string, cause: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason
  if (cause instanceof SluiceError) return cause
  const [first] = messageOf(cause).split('\n')
  const why = first
    .replace(/^[\w ]*Error: /, '')
    .replace(`'${path}'`, '')
    .trim()
  return dataError('CORRUPT_FILE', `${path} is not a whole Parquet file: ${why}`, {
    cause,
    next: 'get the file again; if it is of another format, say which, such as format: csv',
  })
}

/** A database in memory whose queries end with the signal. */
async function connect(signal: AbortSignal | undefined, options: Record<string, string> = {}) {
  signal?.throwIfAborted()
  const instance = await DuckDBInstance.create(':memory:', { autoinstall_known_extensions: 'false', ...options })
  const connection = await instance.connect()
  const interrupt = () => connection.interrupt()
  signal?.addEventListener('abort', interrupt)
  const close = () => {
    signal?.removeEventListener('abort', interrupt)
    connection.closeSync()
    instance.closeSync()
  }
  return { connection, close }
}

/** A pattern character stands for itself in a set of one. */
const name = (path: string): string => literal(path.replace(/[*?[]/g, '[$&]'))
const source = (path: string, option = ''): string => `read_parquet(${name(path)}${option && `, ${option}`})`

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
const identifier = (text: string): string => `"${text.replaceAll('"', '""')}"`

/** Of DuckDB. */
export const duckdbVersion = (): string => version()
