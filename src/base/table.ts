// A table in memory: named columns of equal length. Knows no trading: candles are a table with a certain schema.
import { createHash } from 'node:crypto'
import { dataError } from './errors.ts'

export type ColumnType = 'time' | 'number' | 'string'

/** `time` is epoch milliseconds (UTC) and `number` a float64, both in a Float64Array with NaN for missing; `string` has null for missing. */
export type Values = Float64Array | (string | null)[]

export interface Column {
  name: string
  type: ColumnType
  values: Values
}

export interface Table {
  rows: number
  columns: Column[]
}

export function findColumn(table: Table, name: string): Column | undefined {
  return table.columns.find(column => column.name === name)
}

/** The float64 values of a `time` or `number` column; a missing or textual column is a data error. */
export function numbers(table: Table, name: string): Float64Array {
  const { values } = requireColumn(table, name)
  if (!(values instanceof Float64Array)) throw dataError('TYPE_MISMATCH', `column ${name} holds text, not numbers`)
  return values
}

/** The values of a `string` column. */
export function strings(table: Table, name: string): (string | null)[] {
  const { values } = requireColumn(table, name)
  if (values instanceof Float64Array) throw dataError('TYPE_MISMATCH', `column ${name} holds numbers, not text`)
  return values
}

function requireColumn(table: Table, name: string): Column {
  const column = findColumn(table, name)
  if (column) return column
  throw dataError('MISSING_COLUMN', `no column ${name}; there are ${table.columns.map(c => c.name).join(', ')}`)
}

/** Epoch ms of every row; undefined where the table has no column `time` of that type. */
export function timesOf(table: Table): Float64Array | undefined {
  const time = findColumn(table, 'time')
  return time?.type === 'time' ? (time.values as Float64Array).subarray(0, table.rows) : undefined
}

/** Whether two cells are the same: NaN is NaN, and -0 is 0, as in the digest. */
export const isSame = (a: unknown, b: unknown): boolean => a === b || Object.is(a, b)

/** Row numbers of each symbol, in row order, end to end in `into`; a table without `symbol` is one series named ''. */
export function rowsBySymbol(table: Table, into: Int32Array = new Int32Array(table.rows)): Map<string, Int32Array> {
  if (!findColumn(table, 'symbol')) return new Map([['', into.map((_, i) => i)]])
  const { names, codes, counts } = numbered(strings(table, 'symbol'))
  let end = 0
  const ends = Int32Array.from(counts, count => (end += count))
  const next = ends.map((end, code) => end - counts[code])
  for (let i = 0; i < codes.length; i++) into[next[codes[i]]++] = i
  return new Map(names.map((name, code) => [name, into.subarray(ends[code] - counts[code], ends[code])]))
}

/** Each name as a number, by first appearance. Names of a sorted table come round in one order, so the one after the last is tried first. */
function numbered(values: (string | null)[]): { names: string[]; codes: Int32Array; counts: number[] } {
  const known = new Map<string, number>()
  const names: string[] = []
  const counts: number[] = []
  const after: number[] = []
  const codes = new Int32Array(values.length)
  let last = 0
  for (let i = 0; i < values.length; i++) {
    const name = values[i] ?? ''
    let code: number | undefined = after[last]
    if (names[code] !== name) {
      code = known.get(name)
      if (code === undefined) {
        code = names.push(name) - 1
        counts.push(0)
        known.set(name, code)
      }
      after[last] = code
    }
    codes[i] = code
    counts[code]++
    last = code
  }
  return { names, codes, counts }
}

/** Rows `from` (inclusive) to `to` (exclusive); number columns are views, not copies. */
export function sliceRows(table: Table, from: number, to: number): Table {
  const columns = table.columns.map(column => ({
    ...column,
    values: column.values instanceof Float64Array ? column.values.subarray(from, to) : column.values.slice(from, to),
  }))
  return { rows: Math.max(0, Math.min(to, table.rows) - from), columns }
}

/** Arrays one after the other. */
export const endToEnd = (parts: Float32Array[]): Float32Array =>
  filled(new Float32Array(parts.reduce((total, part) => total + part.length, 0)), parts)

/** Pieces end to end; `length` is that of all of them. */
export const joinNumbers = (pieces: Float64Array[], length: number): Float64Array =>
  filled(new Float64Array(length), pieces)

function filled<T extends Float32Array | Float64Array>(whole: T, parts: T[]): T {
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Tables of the same columns end to end. */
export function joinTables(parts: Table[]): Table {
  if (parts.length === 1) return parts[0]
  const rows = parts.reduce((total, part) => total + part.rows, 0)
  const columns = parts[0].columns.map(({ name, type }, i): Column => {
    const pieces = parts.map(part => part.columns[i].values)
    if (type === 'string') return { name, type, values: (pieces as (string | null)[][]).flat() }
    return { name, type, values: joinNumbers(pieces as Float64Array[], rows) }
  })
  return { rows, columns }
}

/** The rows of `index`, in that order. */
export function takeRows(table: Table, index: ArrayLike<number>): Table {
  const columns = table.columns.map(({ name, type, values }) => ({ name, type, values: takeValues(values, index) }))
  return { rows: index.length, columns }
}

/** The values of these rows, in that order. */
export function takeValues<T extends Values>(values: T, index: ArrayLike<number>): T {
  if (!(values instanceof Float64Array)) return Array.from(index, row => values[row]) as T
  const taken = new Float64Array(index.length)
  for (let i = 0; i < index.length; i++) taken[i] = values[index[i]]
  return taken as T
}

/**
 * SHA-256 over the logical content: the schema as JSON, then each column as little-endian bytes
 * (float64; text as a uint32 byte length, 0xffffffff for null, then UTF-8). Equal rows have equal digests whatever file they came from.
 */
export function tableDigest(table: Table): string {
  const hash = createHash('sha256')
  hash.update(JSON.stringify({ rows: table.rows, columns: table.columns.map(({ name, type }) => [name, type]) }))
  for (const { values } of table.columns) {
    if (values instanceof Float64Array) hash.update(canonicalBytes(values))
    else for (const value of values) hash.update(textBytes(value))
  }
  return hash.digest('hex')
}

/** What a column of ours is called beside others: its name, with as many `_` as it takes to differ from theirs in more than case. */
export const besideOthers = (name: string, others: string[]): string =>
  others.some(other => other.toLowerCase() === name) ? besideOthers(`${name}_`, others) : name

/** SHA-256 of canonical JSON (keys sorted, so that equal data has equal digests). */
export function jsonDigest(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex')
}

export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}

/** -0 and the many NaN bit patterns are one value each. */
function canonicalBytes(values: Float64Array): Uint8Array {
  const copy = values.slice()
  for (let i = 0; i < copy.length; i++) {
    if (copy[i] === 0) copy[i] = 0
    else if (Number.isNaN(copy[i])) copy[i] = Number.NaN
  }
  return new Uint8Array(copy.buffer)
}

function textBytes(value: string | null): Buffer {
  if (value === null) return Buffer.from([0xff, 0xff, 0xff, 0xff])
  const text = Buffer.from(value, 'utf8')
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text])
}
