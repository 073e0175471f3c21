// The candle contract: which rows are taken, in which order, and what is remarkable about them. Plain data in and out.
import { findColumn, numbers, rowsBySymbol, type Table } from '../base/table.ts'
import { parseTimeframe, timeframeLength } from '../base/time.ts'
import { commonTimeframe, findGaps, type Gap } from './gaps.ts'
import { type Rows, refuse, type Warning } from './rows.ts'
import { VALUE_COLUMNS } from './schema.ts'

/** Holds the value rules to every row: positive prices, volume not negative, low <= open, close <= high. */
export function checkValues(rows: Rows): void {
  const [open, high, low, close, volume] = rows.values
  for (let i = 0; i < rows.count; i++) {
    if (rows.fault[i]) continue
    if (!(open[i] > 0 && high[i] > 0 && low[i] > 0 && close[i] > 0)) refuse(rows, i, 'NON_POSITIVE_PRICE')
    else if (!(volume[i] >= 0)) refuse(rows, i, 'NEGATIVE_VOLUME')
    else if (open[i] > high[i] || close[i] > high[i] || open[i] < low[i] || close[i] < low[i])
      refuse(rows, i, 'OHLC_INVALID')
  }
}

export interface Arranged {
  /** Numbers of the rows that are kept, by time, then symbol. */
  order: Int32Array
  /** Rows dropped because a later one says exactly the same. */
  duplicates: number
  /** Of a row that lost to a later one with the same key: the row that won. */
  winners: Map<number, number>
  /** Kept rows that do not stand where their symbol's order in time puts them. */
  outOfOrder: number
}

/** Sorts the rows without fault by (time, symbol) and leaves one for each key: the last in file order. Others become conflicts unless equal to it. */
export function arrange(rows: Rows): Arranged {
  const compare = byKey(rows)
  const good = goodRows(rows)
  const inOrder = isAscending(good, compare)
  // Array's sort, unlike the typed one, is stable and uses ascending runs: nearly sorted input costs next to nothing.
  const sorted = inOrder ? good : Int32Array.from(Array.from(good).sort(compare))
  const kept = new Int32Array(sorted.length)
  const winners = new Map<number, number>()
  let size = 0
  let duplicates = 0
  for (let i = 0, end = 0; i < sorted.length; i = end) {
    for (end = i + 1; end < sorted.length && compare(sorted[i], sorted[end]) === 0; ) end++
    const winner = sorted[end - 1]
    for (let k = i; k < end - 1; k++) {
      const row = sorted[k]
      if (rows.values.every(values => isSame(values[row], values[winner]))) duplicates++
      else {
        refuse(rows, row, 'DUPLICATE_TIMESTAMP_CONFLICT')
        winners.set(row, winner)
      }
    }
    kept[size++] = winner
  }
  const order = kept.subarray(0, size)
  return { order, duplicates, winners, outOfOrder: inOrder ? 0 : misplaced(rows, order) }
}

const isSame = (a: number, b: number): boolean => a === b || (Number.isNaN(a) && Number.isNaN(b))

function goodRows({ count, fault }: Rows): Int32Array {
  const good = new Int32Array(count)
  let size = 0
  for (let row = 0; row < count; row++) if (fault[row] === 0) good[size++] = row
  return good.subarray(0, size)
}

function isAscending(rows: Int32Array, compare: (a: number, b: number) => number): boolean {
  for (let i = 1; i < rows.length; i++) if (compare(rows[i - 1], rows[i]) > 0) return false
  return true
}

function byKey({ time, symbol }: Rows): (a: number, b: number) => number {
  if (!symbol) return (a, b) => time[a] - time[b]
  return (a, b) => time[a] - time[b] || (symbol[a] < symbol[b] ? -1 : symbol[a] > symbol[b] ? 1 : 0)
}

/** A file that goes symbol by symbol is in order: each symbol's rows are compared with themselves only. */
function misplaced(rows: Rows, kept: Int32Array): number {
  const series = new Map<string, number[]>()
  for (const row of kept) {
    const name = rows.symbol?.[row] ?? ''
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

/** The kept rows as a table of candles; views of the rows' arrays where nothing was dropped or moved. */
export function candleTable(rows: Rows, order: Int32Array): Table {
  const { symbol, count } = rows
  const inPlace = order.length === count && isAscending(order, byNumber) // all of them, each once
  const names = ['time', ...VALUE_COLUMNS, ...rows.kept]
  const numbers = [rows.time, ...rows.values].map((from, i) => ({
    name: names[i],
    type: i === 0 ? ('time' as const) : ('number' as const),
    values: inPlace ? from.subarray(0, count) : taken(from, order),
  }))
  const columns = symbol
    ? [...numbers, { name: 'symbol', type: 'string' as const, values: Array.from(order, row => symbol[row]) }]
    : numbers
  return { rows: order.length, columns }
}

function taken(from: Float64Array, order: Int32Array): Float64Array {
  const values = new Float64Array(order.length)
  for (let i = 0; i < order.length; i++) values[i] = from[order[i]]
  return values
}

const byNumber = (a: number, b: number): number => a - b

export interface SeriesReport {
  /** As given, or the most frequent step; null where there is none. */
  timeframe: string | null
  gaps: Gap[]
  warnings: Warning[]
}

/** What is remarkable about accepted candles: gaps, bars closer than the bar length, closes that jump and come back. */
export function inspectSeries(table: Table, timeframe?: string): SeriesReport {
  const series = splitSeries(table)
  const common = commonTimeframe(series.map(({ time }) => time))
  const frame = timeframe ?? common
  const warnings: Warning[] = []
  if (timeframe && common && common !== timeframe)
    warnings.push({
      code: 'TIMEFRAME',
      message: `the timeframe is ${timeframe}, but most bars are ${common} apart`,
      count: 1,
    })
  if (!frame) return { timeframe: null, gaps: [], warnings }
  const gaps = series.flatMap(({ symbol, time }) =>
    findGaps(time, frame).map(gap => (symbol === undefined ? gap : { symbol, ...gap })),
  )
  if (gaps.length) {
    const bars = gaps.reduce((sum, gap) => sum + gap.bars, 0)
    warnings.push({
      code: 'GAP',
      message: `gaps: ${gaps.length}, bars missing: ${bars}; none is filled`,
      count: gaps.length,
    })
  }
  const close = timeframeLength(parseTimeframe(frame)) * 0.75
  const crowded = total(series, ({ time }) => countSteps(time, step => step < close))
  if (crowded)
    warnings.push({ code: 'OFF_GRID', message: `${crowded} bars open before the one before has ended`, count: crowded })
  const outliers = total(series, ({ close }) => countSpikes(close))
  if (outliers)
    warnings.push({
      code: 'OUTLIER',
      message: `${outliers} closes jump and come back at once; they are kept`,
      count: outliers,
    })
  return { timeframe: frame, gaps, warnings }
}

interface Series {
  symbol?: string
  time: Float64Array
  close: Float64Array
}

function splitSeries(table: Table): Series[] {
  const time = numbers(table, 'time')
  const close = numbers(table, 'close')
  if (!findColumn(table, 'symbol')) return [{ time, close }]
  return [...rowsBySymbol(table)].map(([symbol, rows]) => ({
    symbol,
    time: taken(time, rows),
    close: taken(close, rows),
  }))
}

const total = <T>(list: T[], count: (item: T) => number): number => list.reduce((sum, item) => sum + count(item), 0)

function countSteps(times: Float64Array, is: (step: number) => boolean): number {
  let count = 0
  for (let i = 1; i < times.length; i++) if (is(times[i] - times[i - 1])) count++
  return count
}

const SPIKE_MOVE = 0.05
const SPIKE_MEDIANS = 20

/** Closes whose log move is over 5 % and 20 median moves, and at least half undone by the next: a typing error, not news. */
function countSpikes(close: Float64Array): number {
  const bound = Math.max(SPIKE_MOVE, SPIKE_MEDIANS * medianMove(close))
  const [up, down] = [Math.exp(bound), Math.exp(-bound)]
  let count = 0
  for (let i = 1; i + 1 < close.length; i++) {
    const there = close[i] / close[i - 1]
    const back = close[i + 1] / close[i]
    if (there > up ? back >= 1 : there >= down || back <= 1) continue
    if (Math.abs(Math.log(there * back)) < Math.abs(Math.log(there)) / 2) {
      count++
      i++
    }
  }
  return count
}

/** Median size of a log move, of a sample where there are many. */
function medianMove(close: Float64Array): number {
  const stride = Math.ceil(close.length / 4096) || 1
  const sample: number[] = []
  for (let i = 1; i < close.length; i += stride) sample.push(Math.abs(Math.log(close[i] / close[i - 1])))
  return sample.sort(byNumber)[sample.length >> 1] ?? 0
}
