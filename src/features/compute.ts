// Features over a table: per symbol, each after those it reads, from a snapshot or from the beginning.
import { usageError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { findColumn, numbers, rowsBySymbol, type Table } from '../base/table.ts'
import { type Feature, split, total } from './feature.ts'

/** All that a symbol's features remember at the end of a table: what a live server or an incremental build goes on from. */
export interface Snapshot {
  symbol: string
  /** One per feature and part, in the order of evaluation. */
  states: Float64Array[]
}

export interface Computed {
  /** One per feature, in their order, as long as the table; NaN where undefined. */
  columns: Float64Array[]
  /** Of every symbol, those of `from` that have no row in the table too. */
  snapshots: Map<string, Snapshot>
}

/** Rows worked off at a time, by all features: what one writes is in the processor's cache when the next one reads it. */
const BLOCK = 4096

/** Computes features for every row. `from`, the snapshots at the row before the first, is left as it was. */
export function computeFeatures(table: Table, features: Feature[], from?: Map<string, Snapshot>): Computed {
  const columns = features.map(() => new Float64Array(table.rows))
  const work = { ...readBy(table, features), rows: table.rows, out: columns }
  const made = computeSymbols(work, [...seriesOf(table)], features, from)
  return { columns, snapshots: new Map([...(from ?? []), ...made.map(one => [one.symbol, one] as const)]) }
}

/** What the features of a table read and write, whoever computes them. */
export interface Work {
  rows: number
  /** Names of all columns of the table. */
  names: string[]
  /** Those that are read. */
  inputs: Map<string, Float64Array>
  /** One for each feature, as long as the table. */
  out: Float64Array[]
}

export function readBy(table: Table, features: Feature[]): Pick<Work, 'names' | 'inputs'> {
  const names = table.columns.map(({ name }) => name)
  const read = evaluationOrder(features, new Set(names)).flatMap(({ reads }) => reads)
  return {
    names,
    inputs: new Map(read.flatMap(name => (findColumn(table, name) ? [[name, numbers(table, name)]] : []))),
  }
}

/** Rows of a table that are worked off before the next ones, by all its symbols: what they write lies side by side. */
const STRETCH = 8192

/** The features of some symbols (rows null: of the only one, which has all). Gives what they remember of each. */
export function computeSymbols(
  work: Work,
  series: [symbol: string, rows: Int32Array | null][],
  features: Feature[],
  from?: Map<string, Snapshot>,
): Snapshot[] {
  const order = evaluationOrder(features, new Set(work.names))
  const symbols = series.map(([symbol, rows]) => ({
    symbol,
    rows,
    at: 0,
    states: from?.get(symbol)?.states.map(state => state.slice()) ?? order.map(f => new Float64Array(f.size)),
  }))
  for (const { rows, states } of symbols) if (!rows) advanceAll(order, states, ...passed(work, features), work.rows)
  const scattered = symbols.flatMap(({ rows, ...rest }) => (rows ? [{ rows, ...rest }] : []))
  const room = roomFor(work, scattered.length ? STRETCH : 0)
  for (let end = STRETCH; scattered.length && end < work.rows + STRETCH; end += STRETCH)
    for (const one of scattered) {
      let to = one.at
      while (to < one.rows.length && one.rows[to] < end) to++
      if (to > one.at) computeStretch(work, room, one.rows.subarray(one.at, to), features, order, one.states)
      one.at = to
    }
  return symbols.map(({ symbol, states }) => ({ symbol, states }))
}

/** Columns that are read, by name, and written, by feature. */
function passed({ inputs, out }: Pick<Work, 'inputs' | 'out'>, features: Feature[]) {
  const read = new Map(features.map(({ name }, i) => [name, out[i]]))
  for (const [name, values] of inputs) read.set(name, values)
  return [read, new Map(features.map((feature, i) => [feature, out[i]]))] as const
}

type Room = Pick<Work, 'inputs' | 'out'>

/** Where the rows of one symbol lie side by side: the same memory for every stretch. */
const roomFor = ({ inputs, out }: Room, rows: number): Room => ({
  inputs: new Map([...inputs.keys()].map(name => [name, new Float64Array(rows)])),
  out: out.map(() => new Float64Array(rows)),
})

function computeStretch(
  { inputs, out }: Room,
  room: Room,
  rows: Int32Array,
  features: Feature[],
  order: Feature[],
  states: Float64Array[],
): void {
  const own = {
    inputs: new Map([...room.inputs].map(([name, values]) => [name, values.subarray(0, rows.length)])),
    out: room.out.map(values => values.subarray(0, rows.length)),
  }
  for (const [name, values] of own.inputs) gather(inputs.get(name)!, rows, values)
  advanceAll(order, states, ...passed(own, features), rows.length)
  for (const [i, values] of own.out.entries()) scatter(values, rows, out[i])
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

/** Rows of each symbol; null for all rows in order, which need no copy. */
export function seriesOf(table: Table): Map<string, Int32Array | null> {
  if (!findColumn(table, 'symbol')) return new Map([['', null]])
  const symbols = rowsBySymbol(table)
  return symbols.size === 1 ? new Map([[[...symbols.keys()][0], null]]) : symbols
}

function gather(values: Float64Array, rows: Int32Array, into: Float64Array): void {
  for (let i = 0; i < rows.length; i++) into[i] = values[rows[i]]
}

function scatter(values: Float64Array, rows: Int32Array, out: Float64Array): void {
  for (let i = 0; i < rows.length; i++) out[rows[i]] = values[i]
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
