// The rows of a source in its own order, each with its place in the file and, if it cannot be taken, why.
import { type FileDigests, fileDigests } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import type { Layout } from './layout.ts'
import { FAULTS, type Fault, faultNumber } from './schema.ts'

/** A block of rows; `capacity` of the arrays may exceed `count`. */
export interface Rows {
  layout: Layout
  count: number
  /** An array for each column of the layout: numbers with NaN for missing (times as written until they are settled, then UTC ms), text with null. */
  values: (Float64Array | (string | null)[])[]
  /** Which of them are text. */
  texts: number[]
  /** For each time column how its values were written (KIND). */
  kinds: (Uint8Array | undefined)[]
  /** A number of FAULTS; 0 is a row that can be taken. */
  fault: Uint8Array
  /** Of a faulty row the column, or the rule, that it broke, from 1; 0: the row as a whole. */
  culprit: Uint16Array
  /** What a refused cell said where it gave no value, of the first ones. */
  said: Map<number, string>
  /** Line of a text file (a CSV header is 1) or number of the row, from 1. */
  line: Uint32Array
  /** Where a row's text begins in its file, and its bytes; 0 where rows are no text. */
  position: Float64Array
  size: Uint32Array
  /** Which of the source's files. */
  file: Uint16Array
}

/** Where a row stands in its source. */
export interface Place {
  file: number
  line: number
  position: number
  size: number
}

/** A remark of the report: nothing was refused for it. */
export interface Warning {
  code: string
  message: string
  count: number
}

export interface SourceFile extends FileDigests {
  path: string
}

export const sourceFiles = (paths: string[]): Promise<SourceFile[]> =>
  Promise.all(paths.map(async path => ({ path, ...(await fileDigests(path)) })))

/** What a source gives. */
export interface Source {
  /** In the source's order, each a block of its own; all of one layout. */
  blocks: AsyncIterable<Rows>
  /** Remarks, once the last block was read. */
  warnings(): Warning[]
  /** Paths of the files that `Rows.file` counts; none for a source without files. */
  paths: string[]
  /** Their digests: a reading of their own, so that it can run while the table is written. */
  files(): Promise<SourceFile[]>
  /** The text of rows as the source wrote them, for the quarantine; places ascend. */
  text(places: Place[]): Promise<string[]>
  /** Called when the rows are saved: what an interrupted ingest would have gone on from is of no use any more. */
  done?(): void
  /** Lets go of what it holds, such as a connection; called once, whatever happened. */
  close?(): Promise<void>
}

export interface SourceContext extends Pick<Context, 'signal' | 'now'> {
  /** Of the config, where it says one. */
  timeframe?: string
  /** Where the home keeps what is being downloaded. */
  downloads?: string
  log?: Context['log']
  /** Variables of the environment. */
  env?: Context['env']
  /** Newest time of each symbol ('' without symbols) that the table has, for a source that can go on from there; none for a full load. */
  watermark?: Record<string, number>
  /** SHA-256 of the files that the table was made from, for an incremental load of files. */
  known?: ReadonlySet<string>
  /** Ms; default: a timer. */
  sleep?: (ms: number) => Promise<unknown>
}

/** Rows of one block: large enough for its costs not to show, small enough for many to fit. */
export const BLOCK_ROWS = 1 << 20

export function emptyRows(layout: Layout, capacity = 1024): Rows {
  return {
    layout,
    count: 0,
    values: layout.columns.map(({ type }) => (type === 'string' ? [] : new Float64Array(capacity))),
    texts: layout.columns.flatMap(({ type }, i) => (type === 'string' ? [i] : [])),
    kinds: layout.columns.map(({ type }) => (type === 'time' ? new Uint8Array(capacity) : undefined)),
    fault: new Uint8Array(capacity),
    culprit: new Uint16Array(capacity),
    said: new Map(),
    line: new Uint32Array(capacity),
    position: new Float64Array(capacity),
    size: new Uint32Array(capacity),
    file: new Uint16Array(capacity),
  }
}

/** Makes room for one more row, whose texts are missing, and returns its number. */
export function addRow(rows: Rows): number {
  if (rows.count === rows.line.length) {
    rows.values = rows.values.map(values => (values instanceof Float64Array ? doubled(values) : values))
    rows.kinds = rows.kinds.map(kind => kind && doubled(kind))
    rows.fault = doubled(rows.fault)
    rows.culprit = doubled(rows.culprit)
    rows.line = doubled(rows.line)
    rows.position = doubled(rows.position)
    rows.size = doubled(rows.size)
    rows.file = doubled(rows.file)
  }
  for (const i of rows.texts) (rows.values[i] as (string | null)[]).push(null)
  return rows.count++
}

function doubled<T extends Float64Array | Uint8Array | Uint32Array | Uint16Array>(from: T): T {
  const to = new (from.constructor as new (length: number) => T)(2 * from.length)
  to.set(from)
  return to
}

/** Texts of cells kept of a block: enough for an example of each fault. */
const MOST_SAID = 1000

/** Only the first fault of a row is kept; `column` is the one to blame, or from the number of columns on a rule, `said` the cell. */
export function refuse(rows: Rows, row: number, fault: Fault, column = -1, said?: string): void {
  if (rows.fault[row] !== 0) return
  rows.fault[row] = faultNumber(fault)
  rows.culprit[row] = column + 1
  if (said !== undefined && rows.said.size < MOST_SAID) rows.said.set(row, said)
}

export const faultOf = (rows: Rows, row: number): Fault => FAULTS[rows.fault[row]]

export const placeOf = (rows: Rows, row: number): Place => ({
  file: rows.file[row],
  line: rows.line[row],
  position: rows.position[row],
  size: rows.size[row],
})

/** Rows that were put together from several blocks, in their order. */
export function joinRows(blocks: Rows[]): Rows {
  if (blocks.length === 1) return blocks[0]
  const count = blocks.reduce((total, block) => total + block.count, 0)
  const whole = emptyRows(blocks[0].layout, count)
  for (const block of blocks) appendRows(whole, block)
  return whole
}

/** `whole` has room for all of them. */
function appendRows(whole: Rows, block: Rows): void {
  const [at, count] = [whole.count, block.count]
  whole.values = whole.values.map((values, i) => {
    const more = block.values[i]
    if (!(values instanceof Float64Array)) return values.concat((more as (string | null)[]).slice(0, count))
    values.set((more as Float64Array).subarray(0, count), at)
    return values
  })
  for (const name of ['fault', 'culprit', 'line', 'position', 'size', 'file'] as const)
    whole[name].set(block[name].subarray(0, count), at)
  for (const [row, said] of block.said) whole.said.set(at + row, said)
  for (const [i, kind] of block.kinds.entries()) if (kind) whole.kinds[i]!.set(kind.subarray(0, count), at)
  whole.count += count
}

/** Numbers of the rows without fault, ascending. */
export function goodRows({ count, fault }: Rows): Int32Array {
  const good = new Int32Array(count)
  let size = 0
  for (let row = 0; row < count; row++) if (fault[row] === 0) good[size++] = row
  return good.subarray(0, size)
}
