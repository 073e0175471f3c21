// A feature of a higher timeframe: its bars are built from the table's, and a row sees the newest one that is closed.
import { usageError } from '../base/errors.ts'
import { numbers, rowsBySymbol, type Table } from '../base/table.ts'
import { barClose, barOpen, DAY, type Timeframe, timeframeLength } from '../base/time.ts'
import { enclose } from './compute.ts'
import { type Feature, gapAwareFeature, split } from './feature.ts'

/** How a bar's value comes from its rows, by the column's name; of any other column the last row counts. */
const AGGREGATES: Record<string, (held: number, value: number) => number> = {
  open: held => held,
  high: Math.max,
  low: Math.min,
  volume: (held, value) => held + value,
}
const last = (_: number, value: number): number => value

/** What is held of a bar between blocks: nothing yet, an open bar, or one that closed before its last row came. */
const NOTHING = 0
const OPEN = 1
const CLOSED = 2

/** phase, opening and closing time of the bar */
const CLOCK = 3

/** Which bars a block of rows touches, counted from the one that was open before it, or from its first. */
interface Bars {
  /** Bar of each row; -1 for a row of a bar that is closed already. */
  bar: Int32Array
  /** Bars closed at the end of each row. */
  closed: Int32Array
  /** Opening times of the bars. */
  opens: number[]
  /** Whether the first bar was open before the block. */
  continued: boolean
}

/**
 * A feature on bars of the timeframe `higher`; on a row of the base timeframe it has the value of the newest closed bar.
 * A bar is closed when its end <= the end of the row's bar; one whose last rows are missing closes at the next row.
 * Errors (usage, TIMEFRAME): bars of `higher` are not made of whole bars of `base`.
 */
export function atTimeframe(feature: Feature, base: Timeframe, higher: Timeframe): Feature {
  checkFits(base, higher)
  const inner = enclose(feature)
  const columns = inner.reads.filter(name => name !== 'time')
  const sizes = [CLOCK, 2, columns.length, inner.size] // clock; bars seen and value; the open bar; the inner state
  const shape = {
    name: `${inner.name}@${higher.name}`,
    reads: ['time', ...columns],
    warmup: inner.warmup, // a closed bar has at least one row
    size: CLOCK + 2 + columns.length + inner.size,
    version: inner.version,
  }
  return gapAwareFeature(shape, (state, [time, ...rows], out) => {
    const [clock, newest, held, innerState] = split(state, sizes)
    const bars = cutBars(clock, time, base, higher)
    const built = rows.map((x, i) => aggregate(columns[i], x, bars, held[i]))
    held.set(built.map(values => values[values.length - 1]))
    const read = inner.reads.map(name =>
      name === 'time' ? Float64Array.from(bars.opens) : built[columns.indexOf(name)],
    )
    const values = new Float64Array(bars.opens.length)
    const closed = bars.closed.at(-1)!
    inner.advance(innerState, read, values, 0, closed)
    const before = newest[0] ? newest[1] : Number.NaN
    for (let i = 0; i < out.length; i++) out[i] = bars.closed[i] ? values[bars.closed[i] - 1] : before
    if (closed) newest.set([1, values[closed - 1]])
  })
}

/**
 * The closed bars of a timeframe, per symbol, sorted as a table is: time, then symbol. Open is the first, high the largest,
 * low the smallest, volume the sum, any other column the last of the rows; a period without rows has no bar.
 */
export function resample(table: Table, base: Timeframe, higher: Timeframe): Table {
  checkFits(base, higher)
  const parts = [...rowsBySymbol(table)].map(([symbol, rows]) => resampleSeries(table, symbol, rows, base, higher))
  const place = parts.flatMap((part, p) =>
    Array.from(part.time, (time, row) => ({ time, symbol: part.symbol, p, row })),
  )
  place.sort((a, b) => a.time - b.time || (a.symbol < b.symbol ? -1 : 1))
  const columns = table.columns.map(({ name, type }, c) => ({
    name,
    type,
    values:
      type === 'string'
        ? place.map(({ p, row }) => parts[p].columns[c][row] as string | null)
        : Float64Array.from(place, ({ p, row }) => parts[p].columns[c][row] as number),
  }))
  return { rows: place.length, columns }
}

function resampleSeries(table: Table, symbol: string, rows: Int32Array, base: Timeframe, higher: Timeframe) {
  const all = numbers(table, 'time')
  const bars = cutBars(
    new Float64Array(CLOCK),
    Float64Array.from(rows, row => all[row]),
    base,
    higher,
  )
  const count = bars.closed.at(-1) ?? 0
  const time = bars.opens.slice(0, count)
  const lastRow = new Int32Array(bars.opens.length)
  bars.bar.forEach((bar, i) => {
    if (bar >= 0) lastRow[bar] = rows[i]
  })
  const columns = table.columns.map(({ name, values }) => {
    if (name === 'time') return time
    if (!(values instanceof Float64Array)) return Array.from(lastRow.subarray(0, count), row => values[row])
    const series = Float64Array.from(rows, row => values[row])
    return aggregate(name, series, bars, 0).subarray(0, count)
  })
  return { symbol, time, columns }
}

function cutBars(clock: Float64Array, time: Float64Array, base: Timeframe, higher: Timeframe): Bars {
  let phase = clock[0]
  let open = clock[1]
  let close = clock[2]
  const continued = phase === OPEN
  const bar = new Int32Array(time.length).fill(-1)
  const closed = new Int32Array(time.length)
  const opens = continued ? [open] : []
  let done = 0
  for (let i = 0; i < time.length; i++) {
    if (phase === NOTHING || time[i] >= close) {
      done = opens.length // the earlier bar's last rows are missing
      open = barOpen(time[i], higher)
      close = barClose(open, higher)
      opens.push(open)
      phase = OPEN
    }
    if (phase === OPEN) bar[i] = opens.length - 1
    if (phase === OPEN && barClose(time[i], base) >= close) {
      done = opens.length
      phase = CLOSED
    }
    closed[i] = done
  }
  clock.set([phase, open, close])
  return { bar, closed, opens, continued }
}

/** The values of a column's bars; `held` is what the bar that was open before the block had. */
function aggregate(name: string, x: Float64Array, { bar, opens, continued }: Bars, held: number): Float64Array {
  const merge = Object.hasOwn(AGGREGATES, name) ? AGGREGATES[name] : last
  const values = new Float64Array(opens.length)
  let current = -1
  if (continued) values[(current = 0)] = held
  for (let i = 0; i < x.length; i++) {
    const into = bar[i]
    if (into < 0) continue
    values[into] = into === current ? merge(values[into], x[i]) : x[i]
    current = into
  }
  return values
}

function checkFits(base: Timeframe, higher: Timeframe): void {
  if (fits(base, higher)) return
  throw usageError('TIMEFRAME', `bars of ${higher.name} are not made of whole bars of ${base.name}`, {
    next: `a multiple of ${base.name}`,
  })
}

function fits(base: Timeframe, higher: Timeframe): boolean {
  if (base.unit === 'M') return higher.unit === 'M' && higher.count % base.count === 0
  if (higher.unit === 'M') return DAY % timeframeLength(base) === 0
  const origin = barOpen(0, higher)
  return timeframeLength(higher) % timeframeLength(base) === 0 && barOpen(origin, base) === origin
}
