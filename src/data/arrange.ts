// Rows in the order of their table, each key once: sorted by time, then symbol; without a time as the source has them.
import { type Column, isSame, type Table, takeValues, type Values } from '../base/table.ts'
import { goodRows, type Rows, refuse } from './rows.ts'

export interface Arranged {
  /** Numbers of the rows that are kept, in the table's order. */
  order: Int32Array
  /** Rows dropped because a later one says exactly the same. */
  duplicates: number
  /** Of a row that lost to a later one with the same key: the row that won. */
  winners: Map<number, number>
  /** Kept rows that do not stand where their symbol's order in time puts them. */
  outOfOrder: number
}

/** Leaves one of the faultless rows for each key: the last in file order. Others become conflicts unless equal to it. */
export function arrange(rows: Rows): Arranged {
  const { layout } = rows
  const good = goodRows(rows)
  const dropped: Dropped = { duplicates: 0, winners: new Map() }
  if (layout.time < 0)
    return { order: layout.key.length ? uniqueByKey(rows, good, dropped) : good, ...dropped, outOfOrder: 0 }
  const compare = byTime(rows)
  // Strictly: nothing is there twice.
  if (isAscending(good, (a, b) => compare(a, b) || 1)) return { order: good, ...dropped, outOfOrder: 0 }
  const inOrder = isAscending(good, compare)
  // Array's sort, unlike the typed one, is stable and uses ascending runs: nearly sorted input costs next to nothing.
  const sorted = inOrder ? good : Int32Array.from(Array.from(good).sort(compare))
  const order = uniqueInGroups(rows, sorted, compare, dropped)
  return { order, ...dropped, outOfOrder: inOrder ? 0 : misplaced(rows, order) }
}

interface Dropped {
  duplicates: number
  winners: Map<number, number>
}

/** Rows of equal time (and symbol) stand together; where the key has more columns, one of them for each of its values. */
function uniqueInGroups(
  rows: Rows,
  sorted: Int32Array,
  compare: (a: number, b: number) => number,
  dropped: Dropped,
): Int32Array {
  const { layout } = rows
  const further = layout.key.some(column => column !== layout.time && column !== layout.symbol)
  const kept = new Int32Array(sorted.length)
  let size = 0
  for (let i = 0, end = 0; i < sorted.length; i = end) {
    for (end = i + 1; end < sorted.length && compare(sorted[i], sorted[end]) === 0; ) end++
    if (further && end - i > 1)
      for (const row of uniqueByKey(rows, sorted.subarray(i, end), dropped)) kept[size++] = row
    else {
      kept[size++] = sorted[end - 1]
      for (let k = i; k < end - 1; k++) drop(rows, sorted[k], sorted[end - 1], dropped)
    }
  }
  return kept.subarray(0, size)
}

/** In their order; of equal keys the last, where it stands. */
function uniqueByKey(rows: Rows, list: Int32Array, dropped: Dropped): Int32Array {
  const last = new Map<string, number>()
  const keyOf = (row: number) => JSON.stringify(rows.layout.key.map(column => rows.values[column][row]))
  for (const row of list) {
    const key = keyOf(row)
    const earlier = last.get(key)
    if (earlier !== undefined) drop(rows, earlier, row, dropped)
    last.set(key, row)
  }
  return Int32Array.from(last.values()).sort()
}

function drop(rows: Rows, row: number, winner: number, dropped: Dropped): void {
  if (rows.values.every(values => isSame(values[row], values[winner]))) {
    dropped.duplicates++
    return
  }
  refuse(rows, row, rows.layout.time < 0 ? 'DUPLICATE_KEY_CONFLICT' : 'DUPLICATE_TIMESTAMP_CONFLICT')
  dropped.winners.set(row, winner)
}

function isAscending(rows: Int32Array, compare: (a: number, b: number) => number): boolean {
  for (let i = 1; i < rows.length; i++) if (compare(rows[i - 1], rows[i]) > 0) return false
  return true
}

function byTime({ values, layout }: Rows): (a: number, b: number) => number {
  const time = values[layout.time] as Float64Array
  if (layout.symbol < 0) return (a, b) => time[a] - time[b]
  const symbol = values[layout.symbol] as string[]
  return (a, b) => time[a] - time[b] || (symbol[a] < symbol[b] ? -1 : symbol[a] > symbol[b] ? 1 : 0)
}

/** A file that goes symbol by symbol is in order: each symbol's rows are compared with themselves only. */
function misplaced({ values, layout }: Rows, kept: Int32Array): number {
  const series = new Map<string | null, number[]>()
  for (const row of kept) {
    const name = layout.symbol < 0 ? null : (values[layout.symbol][row] as string)
    const list = series.get(name)
    if (list) list.push(row)
    else series.set(name, [row])
  }
  let count = 0
  for (const inTime of series.values()) {
    const inFile = inTime.toSorted((a, b) => a - b)
    count += inTime.filter((row, i) => row !== inFile[i]).length
  }
  return count
}

/** Some rows as a table; views of the rows' arrays where nothing was dropped or moved. */
export function tableOf({ layout, count, values }: Rows, order: Int32Array): Table {
  const inPlace = order.length === count && isAscending(order, (a, b) => a - b) // all of them, each once
  const columns = layout.columns.map(
    ({ name, type }, i): Column => ({
      name,
      type,
      values: inPlace ? cut(values[i], count) : takeValues(values[i], order),
    }),
  )
  return { rows: order.length, columns }
}

const cut = (values: Values, count: number): Values =>
  values instanceof Float64Array ? values.subarray(0, count) : values.slice(0, count)
