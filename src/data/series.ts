// What is remarkable about accepted rows in time: gaps, bars closer than the bar length, closes that jump and come back.
import { findColumn, joinNumbers, numbers, rowsBySymbol, type Table, takeValues } from '../base/table.ts'
import { isoTime, parseTimeframe, timeframeLength } from '../base/time.ts'
import { commonTimeframe, findGaps, type Gap } from './gaps.ts'
import type { Warning } from './rows.ts'

export interface SeriesReport {
  /** As given, or the most frequent step; null where there is none. */
  timeframe: string | null
  gaps: Gap[]
  warnings: Warning[]
}

/** Looks at one stretch of a table after another, in time order. */
export interface SeriesInspector {
  add(table: Table): void
  report(): SeriesReport
}

interface Series {
  symbol?: string
  time: Float64Array
  close?: Float64Array
}

/** `jump` is the fraction by which a close moves when it is remarkable; null: none is. */
export function seriesInspector(timeframe?: string, jump: number | null = null): SeriesInspector {
  const ends = new Map<string | undefined, Series>()
  let common: string | undefined
  let crowded = 0
  let outliers = 0
  const first: Jump[] = []
  let jumped = 0
  const gaps: Gap[] = []

  function addSeries(series: Series): void {
    const whole = joined(ends.get(series.symbol), series)
    ends.set(series.symbol, lastTwo(whole))
    const frame = timeframe ?? common
    const fresh = whole.time.length - series.time.length
    const from = Math.max(0, fresh - 1)
    if (whole.close && jump !== null) {
      const jumps = findJumps(whole, from, jump)
      jumped += jumps.length
      first.push(...jumps.slice(0, JUMPS_SHOWN - first.length))
    }
    if (!frame) return
    for (const gap of findGaps(whole.time.subarray(from), frame))
      gaps.push(series.symbol === undefined ? gap : { symbol: series.symbol, ...gap })
    const close = timeframeLength(parseTimeframe(frame)) * 0.75
    crowded += countSteps(whole.time.subarray(from), step => step < close)
    if (whole.close) outliers += countSpikes(whole.close)
  }

  return {
    add(table) {
      const all = splitSeries(table)
      common ??= commonTimeframe(all.map(({ time }) => time))
      for (const series of all) addSeries(series)
    },
    report() {
      const warnings: Warning[] = []
      const warn = (code: string, count: number, message: string) => {
        if (count) warnings.push({ code, message, count })
      }
      if (timeframe && common && common !== timeframe)
        warn('TIMEFRAME', 1, `the timeframe is ${timeframe}, but most bars are ${common} apart`)
      const bars = gaps.reduce((sum, gap) => sum + gap.bars, 0)
      warn('GAP', gaps.length, `gaps: ${gaps.length}, bars missing: ${bars}; none is filled`)
      warn('OFF_GRID', crowded, `bars that open before the one before has ended: ${crowded}`)
      warn('OUTLIER', outliers, `closes that jump and at once come back: ${outliers}; they are kept`)
      warn('PRICE_JUMP', jumped, jumpText(first, jumped, jump!))
      return { timeframe: timeframe ?? common ?? null, gaps, warnings }
    },
  }
}

/** Of a whole table at once. */
export function inspectSeries(table: Table, timeframe?: string): SeriesReport {
  const inspector = seriesInspector(timeframe)
  inspector.add(table)
  return inspector.report()
}

function splitSeries(table: Table): Series[] {
  const time = numbers(table, 'time')
  const close = findColumn(table, 'close')?.type === 'number' ? numbers(table, 'close') : undefined
  if (findColumn(table, 'symbol')?.type !== 'string') return [{ time, close }]
  return [...rowsBySymbol(table)].map(([symbol, rows]) => ({
    symbol,
    time: takeValues(time, rows),
    close: close && takeValues(close, rows),
  }))
}

/** With the rows that came before, so that nothing is overlooked at the border. */
function joined(before: Series | undefined, { symbol, time, close }: Series): Series {
  if (!before) return { symbol, time, close }
  return { symbol, time: endToEnd(before.time, time), close: close && before.close && endToEnd(before.close, close) }
}

const endToEnd = (a: Float64Array, b: Float64Array): Float64Array => joinNumbers([a, b], a.length + b.length)

const lastTwo = ({ symbol, time, close }: Series): Series => ({
  symbol,
  time: time.slice(-2),
  close: close?.slice(-2),
})

function countSteps(times: Float64Array, is: (step: number) => boolean): number {
  let count = 0
  for (let i = 1; i < times.length; i++) if (is(times[i] - times[i - 1])) count++
  return count
}

interface Jump {
  symbol?: string
  time: number
  /** Of the close, as a fraction. */
  move: number
}

function findJumps({ symbol, time, close }: Series, from: number, bound: number): Jump[] {
  const jumps: Jump[] = []
  for (let i = from + 1; i < close!.length; i++) {
    const move = close![i] / close![i - 1] - 1
    if (Math.abs(move) > bound) jumps.push({ symbol, time: time[i], move })
  }
  return jumps
}

const JUMPS_SHOWN = 5

function jumpText(first: Jump[], count: number, bound: number): string {
  const list = first.map(
    ({ symbol, time, move }) =>
      `${symbol === undefined ? '' : `${symbol} `}${isoTime(time)} ${(100 * move).toFixed(1)} %`,
  )
  return `closes that move by over ${Number((100 * bound).toPrecision(6))} % (a split? adjust.factors): ${count}; ${list.join(', ')}${count > first.length ? ', ...' : ''}`
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
  return sample.sort((a, b) => a - b)[sample.length >> 1] ?? 0
}
