// Features over a table: per symbol, each after those it reads, from a snapshot or from the beginning.
import { usageError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { findColumn, numbers, rowsBySymbol, sliceRows, strings, type Table } from '../base/table.ts'
import { type Feature, split, total } from './feature.ts'

/** What the features remember of each symbol, in the order of evaluation: what a live server or an incremental build goes on from. */
export type Snapshots = Map<string, Float64Array>

export interface Computed {
  /** One per feature, in their order, as long as the table; NaN where undefined. */
  columns: Float64Array[]
  /** Of every symbol, those of `from` that have no row in the table too. */
  snapshots: Snapshots
}

/** Rows worked off at a time, by all features: what one writes is in the processor's cache when the next one reads it. */
const BLOCK = 4096
/** Rows of several symbols worked off at a time: what all of them write is in the cache when it is put in its place. */
const STRETCH = 16384

/** Computes features for every row. `from`, the snapshots at the row before the first, is left as it was. */
export function computeFeatures(table: Table, features: Feature[], from?: Snapshots): Computed {
  const work = workOf(table, features)
  const out = features.map(() => new Float64Array(table.rows))
  const snapshots = new Map([...(from ?? [])].map(([symbol, state]) => [symbol, state.slice()]))
  const alone = onlySymbol(table)
  if (alone !== undefined) {
    advance(work, { inputs: work.inputs, out }, stateOf(snapshots, alone, work))
    return { columns: out, snapshots }
  }
  const room = roomFor(work, STRETCH)
  for (let at = 0; at < table.rows; at += STRETCH) {
    const { rows, series } = arrange(sliceRows(table, at, at + STRETCH), room)
    for (const { symbol, from, to } of series) advance(work, within(room, from, to), stateOf(snapshots, symbol, work))
    for (const [i, column] of out.entries()) place(room.out[i], rows, column.subarray(at))
  }
  return { columns: out, snapshots }
}

/** What the features of a table are, and what they read. */
export interface Work {
  features: Feature[]
  /** They and their parts, each after those it reads. */
  order: Feature[]
  inputs: Map<string, Float64Array>
}

export function workOf(table: Table, features: Feature[]): Work {
  const order = evaluationOrder(features, new Set(table.columns.map(({ name }) => name)))
  const read = order.flatMap(({ reads }) => reads)
  return {
    features,
    order,
    inputs: new Map(read.flatMap(name => (findColumn(table, name) ? [[name, numbers(table, name)]] : []))),
  }
}

/** Numbers of a state of a symbol. */
export const stateSize = ({ order }: Pick<Work, 'order'>): number => total(order.map(({ size }) => size))

function stateOf(snapshots: Snapshots, symbol: string, work: Work): Float64Array {
  const state = snapshots.get(symbol) ?? new Float64Array(stateSize(work))
  snapshots.set(symbol, state)
  return state
}

/** Columns that are read, by name, and written, by feature: those of a table, or of some rows that are put side by side. */
export interface Room {
  inputs: Map<string, Float64Array>
  out: Float64Array[]
}

export const roomFor = (
  { features, inputs }: Work,
  rows: number,
  numbers: (length: number) => Float64Array = length => new Float64Array(length),
): Room => ({
  inputs: new Map([...inputs.keys()].map(name => [name, numbers(rows)])),
  out: features.map(() => numbers(rows)),
})

/** Some rows of a room, as a room. */
export const within = ({ inputs, out }: Room, from: number, to: number): Room => ({
  inputs: new Map([...inputs].map(([name, values]) => [name, values.subarray(from, to)])),
  out: out.map(values => values.subarray(from, to)),
})

/** Rows of a table, symbol by symbol, and which of them are those of each. */
export interface Arranged {
  rows: Int32Array
  series: { symbol: string; from: number; to: number }[]
}

/** Puts what is read of the rows of several symbols side by side in a room, symbol by symbol; `rows` is as long as the table. */
export function arrange(table: Table, { inputs }: Room, rows: Int32Array = new Int32Array(table.rows)): Arranged {
  const series: Arranged['series'] = []
  let end = 0
  for (const [symbol, { length }] of rowsBySymbol(table, rows)) series.push({ symbol, from: end, to: (end += length) })
  for (const [name, into] of inputs) gather(numbers(table, name), rows, into)
  return { rows, series }
}

/** The features of the rows of one symbol. */
export function advance(
  { features, order }: Pick<Work, 'features' | 'order'>,
  { inputs, out }: Room,
  state: Float64Array,
) {
  const columns = new Map(features.map(({ name }, i) => [name, out[i]]))
  for (const [name, values] of inputs) columns.set(name, values)
  const sizes = order.map(({ size }) => size)
  advanceAll(
    order,
    split(state, sizes),
    columns,
    new Map(features.map((feature, i) => [feature, out[i]])),
    out[0]?.length ?? 0,
  )
}

function gather(values: Float64Array, rows: Int32Array, into: Float64Array): void {
  for (let i = 0; i < rows.length; i++) into[i] = values[rows[i]]
}

/** Values of rows that lie side by side, back to where the rows are in the table. */
export function place(values: Float64Array, rows: Int32Array, out: Float64Array): void {
  for (let i = 0; i < rows.length; i++) out[rows[i]] = values[i]
}

/** A feature and its parts as one without parts. */
export function enclose(feature: Feature): Feature {
  if (!feature.parts.length) return feature
  const order = withParts(feature)
  const own = new Set(order.map(({ name }) => name))
  const reads = [...new Set(order.flatMap(part => part.reads))].filter(name => !own.has(name))
  const sizes = order.map(({ size }) => size)
  return {
    ...feature,
    reads,
    parts: [],
    warmup: warmups(order).get(feature.name)!,
    size: total(sizes),
    advance(state, columns, out, from, to) {
      const inputs = new Map(reads.map((name, i) => [name, columns[i].subarray(from, to)]))
      advanceAll(order, split(state, sizes), inputs, new Map([[feature, out.subarray(from, to)]]), to - from)
    },
  }
}

/** Rows before the first value of each feature, given in the order of evaluation; `exact` where one knows better than its own after those of the slowest it reads. */
export function warmups(
  order: Feature[],
  exact: (feature: Feature, of: (name: string) => number) => number | undefined = () => undefined,
): Map<string, number> {
  const known = new Map<string, number>()
  const of = (name: string) => known.get(name) ?? 0
  for (const feature of order)
    known.set(feature.name, exact(feature, of) ?? feature.warmup + Math.max(...feature.reads.map(of)))
  return known
}

/** Runs features in order, a block of rows at a time; those without an output are parts, whose values live as long as the block. */
function advanceAll(
  order: Feature[],
  states: Float64Array[],
  inputs: Map<string, Float64Array>,
  outputs: Map<Feature, Float64Array>,
  rows: number,
): void {
  const parts = order.filter(feature => !outputs.has(feature))
  const passing = new Map(parts.map(({ name }) => [name, new Float64Array(Math.min(rows, BLOCK))]))
  for (let from = 0; from < rows; from += BLOCK) {
    const to = Math.min(rows, from + BLOCK)
    const block = (name: string) => passing.get(name)?.subarray(0, to - from) ?? inputs.get(name)!.subarray(from, to)
    for (const [i, feature] of order.entries()) {
      const out = outputs.get(feature)?.subarray(from, to) ?? block(feature.name)
      feature.advance(states[i], feature.reads.map(block), out, 0, to - from)
    }
  }
}

/** The symbol of all rows ('' without such a column), which need not be put side by side; undefined where there are several. */
export function onlySymbol(table: Table): string | undefined {
  if (!findColumn(table, 'symbol')) return ''
  const symbols = strings(table, 'symbol')
  const first = symbols[0] ?? ''
  for (let i = 1; i < table.rows; i++) if ((symbols[i] ?? '') !== first) return undefined
  return table.rows ? first : undefined
}

/**
 * The features and their parts, each once and after those it reads. A name is a part first, then a column, then a feature.
 * Errors (usage): UNKNOWN_COLUMN for a name that is none, CYCLE where features read each other in a circle.
 */
export function evaluationOrder(features: Feature[], columns: Set<string>): Feature[] {
  const listed = new Map(features.map(feature => [feature.name, feature]))
  const done = new Map<string, Feature>()
  const visit = (feature: Feature, path: string[]): void => {
    const { name, reads, parts } = feature
    if (done.has(name)) return
    if (path.includes(name)) throw circle([...path.slice(path.indexOf(name)), name])
    for (const read of reads) {
      const part = parts.find(({ name }) => name === read)
      if (!part && columns.has(read)) continue
      const other = part ?? listed.get(read)
      if (!other || other === feature) throw unknownName(name, read, [...columns, ...listed.keys()])
      visit(other, [...path, name])
    }
    done.set(name, feature)
  }
  for (const feature of features) visit(feature, [])
  return [...done.values()]
}

/** A feature after its parts, each once. */
function withParts(feature: Feature): Feature[] {
  const all = [...feature.parts.flatMap(withParts), feature]
  return [...new Map(all.map(part => [part.name, part])).values()]
}

function circle(names: string[]) {
  const readable = names.filter(name => !name.startsWith('#'))
  return usageError('CYCLE', `features read each other in a circle: ${readable.join(' -> ')}`)
}

function unknownName(feature: string, name: string, all: string[]) {
  const known = all.filter(other => other !== feature && !other.startsWith('#'))
  const close = nearest(name, known)
  const hint = close ? `; did you mean ${close}?` : ''
  return usageError('UNKNOWN_COLUMN', `${feature} reads ${name}, which is neither a column nor a feature${hint}`, {
    next: `add ${name} to features, or one of ${known.join(', ')}`,
  })
}
