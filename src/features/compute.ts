// Features over a table: per symbol, each after those it reads, from a snapshot or from the beginning.
import { usageError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { findColumn, numbers, rowsBySymbol, type Table } from '../base/table.ts'
import type { Feature } from './feature.ts'

/** All that a symbol's features remember at the end of a table: what a live server or an incremental build goes on from. */
export interface Snapshot {
  symbol: string
  /** One per feature, in their order. */
  states: Float64Array[]
}

export interface Computed {
  /** One per feature, in their order, as long as the table; NaN where undefined. */
  columns: Float64Array[]
  /** Of every symbol, those of `from` that have no row in the table too. */
  snapshots: Map<string, Snapshot>
}

/** Computes features for every row. `from`, the snapshots at the row before the first, is left as it was. */
export function computeFeatures(table: Table, features: Feature[], from?: Map<string, Snapshot>): Computed {
  const order = evaluationOrder(features, new Set(table.columns.map(({ name }) => name)))
  const read = new Set(features.flatMap(({ reads }) => reads.filter(name => findColumn(table, name))))
  const symbols = rowsBySymbol(table)
  const snapshots = new Map(from)
  const columns = features.map(() => new Float64Array(table.rows))
  for (const [symbol, rows] of symbols) {
    const alone = symbols.size === 1
    const states = from?.get(symbol)?.states.map(state => state.slice()) ?? features.map(f => new Float64Array(f.size))
    const out = alone ? columns : columns.map(() => new Float64Array(rows.length))
    const gather = (x: Float64Array) => (alone ? x : Float64Array.from(rows, row => x[row]))
    const inputs = new Map<string, Float64Array>(features.map(({ name }, i) => [name, out[i]]))
    for (const name of read) inputs.set(name, gather(numbers(table, name)))
    for (const i of order) {
      const { reads } = features[i]
      features[i].advance(
        states[i],
        reads.map(name => inputs.get(name)!),
        out[i],
        0,
        rows.length,
      )
    }
    if (!alone) for (const [i, values] of out.entries()) scatter(values, rows, columns[i])
    snapshots.set(symbol, { symbol, states })
  }
  return { columns, snapshots }
}

function scatter(values: Float64Array, rows: Int32Array, out: Float64Array): void {
  for (let i = 0; i < rows.length; i++) out[rows[i]] = values[i]
}

/**
 * Positions of the features such that each comes after those it reads. A name is a column first, a feature second.
 * Errors (usage): UNKNOWN_COLUMN for a name that is neither, CYCLE where features read each other in a circle.
 */
export function evaluationOrder(features: Feature[], columns: Set<string>): number[] {
  const position = new Map(features.map(({ name }, i) => [name, i]))
  const order: number[] = []
  const done = new Set<number>()
  const visit = (i: number, path: string[]): void => {
    if (done.has(i)) return
    const { name, reads } = features[i]
    if (path.includes(name))
      throw usageError(
        'CYCLE',
        `features read each other in a circle: ${[...path.slice(path.indexOf(name)), name].join(' -> ')}`,
      )
    for (const read of reads) {
      if (columns.has(read)) continue
      const other = position.get(read)
      if (other === undefined || other === i) throw unknownName(name, read, [...columns, ...position.keys()])
      visit(other, [...path, name])
    }
    done.add(i)
    order.push(i)
  }
  for (const i of features.keys()) visit(i, [])
  return order
}

function unknownName(feature: string, name: string, all: string[]) {
  const known = all.filter(other => other !== feature)
  const close = nearest(name, known)
  const hint = close ? `; did you mean ${close}?` : ''
  return usageError('UNKNOWN_COLUMN', `${feature} reads ${name}, which is neither a column nor a feature${hint}`, {
    next: `add ${name} to features, or one of ${known.join(', ')}`,
  })
}
