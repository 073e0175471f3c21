// Several symbols as one book: each has an equal share, and earns nothing on a bar that it does not have. One symbol is its own book, to the bit.
import {
  type Backtest,
  type BacktestMetrics,
  type BacktestOptions,
  type Bars,
  backtest,
  barsPerYear,
  buyAndHold,
  measure,
  type Played,
  player,
  scorer,
  type Tally,
  type Trade,
} from './backtest.ts'

/** Rows as bars of symbols, sorted by time; without `symbol` they are one series. */
export interface BarRows extends Bars {
  symbol?: ArrayLike<string | null>
}

/** The bars of one symbol. */
export interface Series {
  symbol: string
  bars: Bars
  /** The row of each bar, and its place among the times of the market. */
  rows: Int32Array
  at: Int32Array
  /** Bars a year of this symbol. */
  perYear: number
}

/** What is traded together. */
export interface Market {
  /** Every time at which some symbol has a bar. */
  time: Float64Array
  /** By symbol. */
  series: Series[]
  /** Times a year. */
  perYear: number
}

export interface PooledTrade extends Trade {
  symbol: string
}

/** `entry_bar` and `exit_bar` of a trade count the bars of its own symbol; all else is over the times of the market. */
export interface PooledBacktest extends Backtest {
  trades: PooledTrade[]
  symbols: { symbol: string; backtest: Backtest }[]
}

/**
 * The rows `taken` (default: all) as a market. Its years are those of all `rows`, so that figures of two parts can be compared,
 * unless `periods_per_year` says otherwise.
 */
export function marketOf(
  rows: BarRows,
  taken: ArrayLike<number> = Int32Array.from(rows.time.keys()),
  options: Pick<BacktestOptions, 'periods_per_year'> = {},
): Market {
  const take = (values: Float64Array, index: Int32Array) => Float64Array.from(index, i => values[taken[i]])
  const whole = bySymbol(rows)
  const years = new Map(
    [...whole].map(([symbol, index]) => [symbol, yearOf(Float64Array.from(index, i => rows.time[i]))]),
  )
  const time = distinct(Float64Array.from(taken, row => rows.time[row]))
  const place = new Map(Array.from(time, (value, i) => [value, i]))
  const series = [...bySymbol(rows, taken)].map(([symbol, index]): Series => {
    const bars = { time: take(rows.time, index), open: take(rows.open, index), close: take(rows.close, index) }
    const at = Int32Array.from(bars.time, value => place.get(value)!)
    return { symbol, bars, rows: index, at, perYear: options.periods_per_year ?? years.get(symbol)! }
  })
  return { time, series, perYear: options.periods_per_year ?? yearOf(distinct(rows.time)) }
}

/** Positions in `taken` of the rows of each symbol, by symbol: what comes out must not hang on the order of symbols. */
function bySymbol({ time, symbol }: BarRows, taken?: ArrayLike<number>): Map<string, Int32Array> {
  const found = new Map<string, number[]>()
  const n = taken?.length ?? time.length
  for (let i = 0; i < n; i++) {
    const name = symbol?.[taken ? taken[i] : i] ?? ''
    const list = found.get(name)
    if (list) list.push(i)
    else found.set(name, [i])
  }
  const sorted = [...found].sort(([a], [b]) => (a < b ? -1 : 1))
  return new Map(sorted.map(([name, list]) => [name, Int32Array.from(list)]))
}

const distinct = (time: Float64Array): Float64Array => Float64Array.from(new Set(time)).sort()

const yearOf = (time: Float64Array): number => barsPerYear(time.length, time[0], time[time.length - 1])

/** Trades `signal`, one a row, each symbol by itself with the whole cash, and takes the mean of their returns. */
export function poolBacktest(market: Market, signal: ArrayLike<number>, options: BacktestOptions): PooledBacktest {
  const played = market.series.map(one => backtest(one.bars, signalOf(one, market, signal), optionsOf(one, options)))
  return together(market, played, options)
}

/** The benchmark: every symbol bought and held. */
export function poolBuyAndHold(market: Market, options: BacktestOptions): PooledBacktest {
  const played = market.series.map(one => buyAndHold(one.bars, optionsOf(one, options)))
  return together(market, played, options)
}

/** The metrics of `poolBacktest` alone, for many signals on the same market. */
export function poolScorer(market: Market, options: BacktestOptions): (signal: ArrayLike<number>) => BacktestMetrics {
  const [first, ...others] = market.series
  if (!others.length) return scorer(first.bars, optionsOf(first, options))
  const players = market.series.map(one => player(one.bars, optionsOf(one, options)))
  const terms = termsOf(market, options)
  return signal => {
    const played = market.series.map((one, i) => players[i](signalOf(one, market, signal)))
    return measure(pooled(market, played, options.cash), terms)
  }
}

const optionsOf = ({ perYear }: Series, options: BacktestOptions): BacktestOptions => ({
  ...options,
  // A year cannot be told from one bar.
  periods_per_year: Number.isFinite(perYear) ? perYear : undefined,
})

const termsOf = ({ series, perYear }: Market, { cash }: BacktestOptions) => ({ cash, perYear, series: series.length })

/** The rows of a lone symbol are all rows. */
const signalOf = ({ rows }: Series, { series }: Market, signal: ArrayLike<number>): ArrayLike<number> =>
  series.length === 1 ? signal : Float64Array.from(rows, row => signal[row])

function together(market: Market, played: Backtest[], options: BacktestOptions): PooledBacktest {
  const symbols = market.series.map(({ symbol }, i) => ({ symbol, backtest: played[i] }))
  const trades = symbols
    .flatMap(({ symbol, backtest }) => backtest.trades.map(trade => ({ ...trade, symbol })))
    .sort((a, b) => a.entry_time - b.entry_time)
  if (played.length === 1) return { ...played[0], trades, symbols }
  const whole = pooled(market, played, options.cash)
  // Of the bars that can hold a position, as in a single series: holding the market is then a mean position of 1.
  const possible = market.series.reduce((total, { bars }) => total + bars.time.length - 1, 0)
  const meanPosition = whole.tally.positions / Math.max(1, possible)
  return { ...whole, metrics: measure(whole, termsOf(market, options)), trades, meanPosition, symbols }
}

/** The mean of the returns at every time, compounded from the cash; trades, bars held and changes are added up. */
function pooled({ time, series }: Market, played: Played[], cash: number): Played {
  const sum = new Float64Array(time.length)
  for (const [i, { at }] of series.entries()) for (let t = 0; t < at.length; t++) sum[at[t]] += played[i].returns[t]
  const equity = new Float64Array(time.length)
  const returns = new Float64Array(time.length)
  let value = cash
  for (let t = 0; t < time.length; t++) {
    // After ruin nothing moves any more.
    returns[t] = value > 0 ? sum[t] / series.length : 0
    value *= 1 + returns[t]
    equity[t] = value
  }
  return { tally: played.map(({ tally }) => tally).reduce(add), equity, returns }
}

const add = (a: Tally, b: Tally): Tally => ({
  closed: a.closed + b.closed,
  won: a.won + b.won,
  profit: a.profit + b.profit,
  loss: a.loss + b.loss,
  held: a.held + b.held,
  positions: a.positions + b.positions,
  changes: a.changes + b.changes,
})
