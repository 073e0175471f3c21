// New rows into old ones: of equal keys the new one stands, and the old one is kept as a revision.
import { type Column, findColumn, isSame, type Table, takeRows } from '../base/table.ts'
import type { Layout } from './layout.ts'

export interface Merger {
  /** Both sorted by time, then symbol, each key once; so is what comes of them. */
  merge(old: Table, fresh: Table): Table
  /** Rows without a time: those of a known key take the old one's place, others follow. */
  append(old: Table, fresh: Table): Table
  /** Old rows that were replaced by others. */
  replaced: Table[]
}

export function merger(layout: Pick<Layout, 'columns' | 'time' | 'symbol' | 'key'>): Merger {
  const replaced: Table[] = []

  function merge(old: Table, fresh: Table): Table {
    const compare = comparing(layout, old, fresh)
    const from: number[] = [] // rows of `old`, then of `fresh`
    const lost: number[] = []
    let [a, b] = [0, 0]
    while (a < old.rows || b < fresh.rows) {
      const order = a === old.rows ? 1 : b === fresh.rows ? -1 : compare(a, b)
      if (order < 0) from.push(a++)
      else {
        from.push(old.rows + b)
        if (order === 0 && !areSame(old, a, fresh, b)) lost.push(a)
        if (order === 0) a++
        b++
      }
    }
    if (lost.length) replaced.push(takeRows(old, lost))
    return picked(old, fresh, from)
  }

  function append(old: Table, fresh: Table): Table {
    const from = Array.from({ length: old.rows }, (_, row) => row)
    const known = layout.key.length ? new Map(from.map(row => [keyOf(layout, old, row), row])) : undefined
    const lost: number[] = []
    for (let row = 0; row < fresh.rows; row++) {
      const place = known?.get(keyOf(layout, fresh, row))
      if (place === undefined) from.push(old.rows + row)
      else if (!areSame(old, place, fresh, row)) {
        from[place] = old.rows + row
        lost.push(place)
      }
    }
    if (lost.length) replaced.push(takeRows(old, lost))
    return picked(old, fresh, from)
  }

  return { merge, append, replaced }
}

const keyOf = ({ columns, key }: Pick<Layout, 'columns' | 'key'>, table: Table, row: number): string =>
  JSON.stringify(key.map(i => findColumn(table, columns[i].name)!.values[row]))

/** By time, symbol and the further columns of the key. */
function comparing(
  { columns, time, symbol, key }: Pick<Layout, 'columns' | 'time' | 'symbol' | 'key'>,
  old: Table,
  fresh: Table,
) {
  const order = [time, symbol, ...key.filter(column => column !== time && column !== symbol)].filter(i => i >= 0)
  const pairs = order.map(i => [findColumn(old, columns[i].name)!.values, findColumn(fresh, columns[i].name)!.values])
  return (a: number, b: number): number => {
    for (const [x, y] of pairs) {
      const [left, right] = [x[a] ?? '', y[b] ?? '']
      if (left !== right) return left < right ? -1 : 1
    }
    return 0
  }
}

const areSame = (old: Table, a: number, fresh: Table, b: number): boolean =>
  old.columns.every(({ values }, i) => isSame(values[a], fresh.columns[i].values[b]))

function picked(old: Table, fresh: Table, from: number[]): Table {
  const columns = old.columns.map(({ name, type, values }, i): Column => {
    const others = fresh.columns[i].values
    const at = (row: number) => (row < old.rows ? values[row] : others[row - old.rows])
    if (values instanceof Float64Array) {
      const picked = new Float64Array(from.length)
      for (let i = 0; i < from.length; i++) picked[i] = at(from[i]) as number
      return { name, type, values: picked }
    }
    return { name, type, values: from.map(row => at(row) as string | null) }
  })
  return { rows: from.length, columns }
}
