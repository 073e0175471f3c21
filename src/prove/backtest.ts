// A signal on bars, turned into fills, trades, equity and figures. Knows no models, no files, no other assets.
import { z } from 'zod'
import { dataError } from '../base/errors.ts'
import { DAY } from '../base/time.ts'
import { probabilityAbove, shapeOf } from './luck.ts'

const fraction = z.number().min(0).lt(1)
const CASH = 1_000_000

/** The `backtest` section of the config. Fees and slippage are fractions of the filled value, on each side. */
export const backtestSchema = z.strictObject({
  fill: z.enum(['next_open', 'close']).default('next_open'),
  fee: fraction.default(0),
  slippage: fraction.default(0),
  units: z.enum(['fractional', 'whole']).default('fractional'),
  cash: z.number().positive().default(CASH),
  mode: z.enum(['long', 'long_short']).default('long'),
  accounting: z.enum(['units', 'returns']).default('units'),
  periods_per_year: z.number().positive().optional(),
})

export type BacktestOptions = z.infer<typeof backtestSchema>

/** Bars of one symbol in order of time: epoch ms, prices above zero. */
export interface Bars {
  time: Float64Array
  open: Float64Array
  close: Float64Array
}

/** One position from its entry to its exit. */
export interface Trade {
  entry_bar: number
  exit_bar: number
  entry_time: number
  exit_time: number
  /** With slippage. */
  entry_price: number
  exit_price: number
  /** Below zero for a short. */
  units: number
  /** In money, net of both fees. */
  pnl: number
  /** pnl over the value at entry. */
  return: number
}

export const BACKTEST_METRICS = [
  'total_return',
  'cagr',
  'sharpe',
  'sortino',
  'calmar',
  'max_drawdown',
  'win_rate',
  'profit_factor',
  'trades',
  'exposure',
  'turnover',
  'probabilistic_sharpe',
] as const

/** Null where a figure is undefined: docs/backtest.md says when. */
export type BacktestMetrics = Record<(typeof BACKTEST_METRICS)[number], number | null>

/** What the positions of a series add up to. */
export interface Tally {
  /** Closed trades and those that won; money won and lost. */
  closed: number
  won: number
  profit: number
  loss: number
  /** Bars during which a position was held, and the sum of those positions. */
  held: number
  positions: number
  /** Sum of |change of position|. */
  changes: number
}

/** A signal played on bars. */
export interface Played {
  tally: Tally
  /** Marked at every close; it was `cash` before bar 0. */
  equity: Float64Array
  /** Simple returns of the equity, one per bar. */
  returns: Float64Array
}

export interface Backtest extends Played {
  metrics: BacktestMetrics
  trades: Trade[]
  /** Mean position (-1..1) over the bars that can hold one, which are all but the first. */
  meanPosition: number
}

/**
 * Trades `signal` (1 long, 0 flat, -1 short; known at the bar's close; one per bar) on `bars`.
 * Under `mode: long` a short signal is flat. Missing prices, unordered times and other signals are data errors.
 */
export function backtest(bars: Bars, signal: ArrayLike<number>, options: Partial<BacktestOptions> = {}): Backtest {
  const trades: Trade[] = []
  const played = player(bars, options, trades)(signal)
  const meanPosition = played.tally.positions / Math.max(1, played.returns.length - 1)
  return { metrics: measure(played, termsOf(bars, options)), trades, ...played, meanPosition }
}

/** The metrics of `backtest` alone, for many signals on the same bars, which are checked once: the fast path of a grid. */
export function scorer(
  bars: Bars,
  options: Partial<BacktestOptions> = {},
): (signal: ArrayLike<number>) => BacktestMetrics {
  const play = player(bars, options)
  const terms = termsOf(bars, options)
  return signal => measure(play(signal), terms)
}

/** Plays signals on bars that are checked once. Every call writes into the same equity and returns. */
export function player(
  bars: Bars,
  options: Partial<BacktestOptions> = {},
  trades?: Trade[],
): (signal: ArrayLike<number>) => Played {
  checkBars(bars)
  const checked = backtestSchema.parse(options)
  const equity = new Float64Array(bars.close.length)
  const returns = new Float64Array(bars.close.length)
  return signal => {
    const { tally } = trade(bars, signal, checked, { equity, trades })
    return { tally, equity, returns: returnsOf(equity, checked.cash, returns) }
  }
}

/** The benchmark: bought at the first possible fill with the same costs, held to the end. */
export function buyAndHold(bars: Bars, options: Partial<BacktestOptions> = {}): Backtest {
  return backtest(bars, new Int8Array(bars.close.length).fill(1), { ...options, mode: 'long' })
}

/** The mean bars per year (365.25 days); NaN with fewer than two bars. */
export const periodsPerYear = (time: Float64Array): number => barsPerYear(time.length, time[0], time[time.length - 1])

/** `periodsPerYear` of `bars` bars from the time `from` to the time `to`. */
export const barsPerYear = (bars: number, from: number, to: number): number =>
  bars < 2 ? Number.NaN : (bars - 1) / ((to - from) / (365.25 * DAY))

/** The one open position, the cash beside it, and what the figures are made of. */
interface Book {
  options: BacktestOptions
  time: Float64Array
  equity: Float64Array
  trades?: Trade[]
  /** Under `accounting: returns` the whole equity. */
  cash: number
  /** 1, 0 or -1. */
  side: number
  units: number
  entryBar: number
  entryPrice: number
  tally: Tally
}

/** The one loop behind backtest() and scorer(); trades are kept only when there is a list for them. */
function trade(
  bars: Bars,
  signal: ArrayLike<number>,
  options: BacktestOptions,
  into: Pick<Book, 'equity' | 'trades'>,
): Book {
  const target = targets(signal, bars.close.length, options.mode)
  const book: Book = {
    options,
    time: bars.time,
    ...into,
    cash: options.cash,
    side: 0,
    units: 0,
    entryBar: 0,
    entryPrice: 0,
    tally: { closed: 0, won: 0, profit: 0, loss: 0, held: 0, positions: 0, changes: 0 },
  }
  if (options.accounting === 'units') tradeUnits(book, bars, target)
  else tradeReturns(book, bars, target)
  return book
}

function checkBars({ time, open, close }: Bars): void {
  const n = close.length
  if (time.length !== n || open.length !== n)
    throw dataError('LENGTH_MISMATCH', `time, open and close are ${time.length}, ${open.length} and ${n} bars long`)
  for (let t = 0; t < n; t++) {
    // Written so that NaN fails too.
    if (!(open[t] > 0 && close[t] > 0 && open[t] + close[t] < Number.POSITIVE_INFINITY))
      throw dataError('BAD_PRICE', `bar ${t}: open ${open[t]}, close ${close[t]}; prices must be above zero`)
    if (t && !(time[t] > time[t - 1])) throw dataError('UNORDERED_TIME', `bar ${t} is not later than the bar before it`)
  }
}

/** The wanted position at each close. */
function targets(signal: ArrayLike<number>, bars: number, mode: BacktestOptions['mode']): Int8Array {
  if (signal.length !== bars) throw dataError('LENGTH_MISMATCH', `${signal.length} signals for ${bars} bars`)
  const target = new Int8Array(bars)
  for (let t = 0; t < bars; t++) {
    const wanted = signal[t]
    target[t] = wanted
    // Branches that are never taken, in place of asking for each value in turn: this is the grid's inner loop.
    if (target[t] !== wanted || wanted < -1 || wanted > 1)
      throw dataError('BAD_SIGNAL', `bar ${t}: signal ${wanted}; it must be 1 (long), 0 (flat) or -1 (short)`)
  }
  if (mode === 'long') for (let t = 0; t < bars; t++) if (target[t] < 0) target[t] = 0
  return target
}

/** Units are bought and sold for cash, and held while the signal stays; equity is cash + units x close. */
function tradeUnits(book: Book, { open, close }: Bars, target: Int8Array): void {
  const { equity } = book
  const last = close.length - 1
  const atOpen = book.options.fill === 'next_open'
  let { side, cash, units } = book
  for (let t = 0; t <= last; t++) {
    if (atOpen && t > 0 && target[t - 1] !== side) ({ side, cash, units } = follow(book, target[t - 1], t, open[t]))
    if (!atOpen && t < last && target[t] !== side) ({ side, cash, units } = follow(book, target[t], t, close[t]))
    equity[t] = cash + units * close[t]
    if (t < last && equity[t] > 0) continue
    // The last bar, or ruin: the position is closed at this close, and what is left stays.
    if (side !== 0) leave(book, t, close[t], t - book.entryBar + (atOpen ? 1 : 0))
    equity.fill(book.cash, t)
    return
  }
}

/** Out of the old position and into the wanted one at the same price. */
function follow(book: Book, wanted: number, bar: number, price: number): Book {
  if (book.side !== 0) leave(book, bar, price)
  if (wanted !== 0) enter(book, wanted, bar, price)
  return book
}

/** Spends all equity; where that does not buy one unit (or is below zero) nothing is bought, and the next bar tries again. */
function enter(book: Book, side: number, bar: number, price: number): void {
  const { fee, slippage, units: kind } = book.options
  const paid = price * (1 + side * slippage)
  const affordable = book.cash / (paid * (1 + fee))
  const size = kind === 'whole' ? Math.floor(affordable) : affordable
  if (!(size > 0)) return
  book.cash -= size * paid * (side + fee)
  begin(book, side, bar, paid, size)
}

function leave(book: Book, bar: number, price: number, held = bar - book.entryBar): void {
  const { fee, slippage } = book.options
  const { side, units, entryPrice } = book
  const paid = price * (1 - side * slippage)
  book.cash += units * paid * (1 - side * fee)
  end(book, bar, paid, units * (paid - entryPrice) - fee * Math.abs(units) * (entryPrice + paid), held)
}

/**
 * Returns are compounded: position[t] = target[t - 1], r = position x close return - cost x |change|, cost = fee + slippage.
 * A short is thereby re-balanced at every close. The position left at the end is marked, not sold: no cost is taken for it.
 */
function tradeReturns(book: Book, { close }: Bars, target: Int8Array): void {
  const { equity } = book
  const last = close.length - 1
  const cost = book.options.fee + book.options.slippage
  for (let t = 0; t <= last; t++) {
    const wanted = t ? target[t - 1] : 0
    const r = t ? wanted * (close[t] / close[t - 1] - 1) - cost * Math.abs(wanted - book.side) : 0
    if (wanted !== book.side) {
      const left = book.side === 0 ? book.cash : book.cash * (1 - cost)
      if (book.side !== 0) end(book, t - 1, close[t - 1], left - stake(book))
      if (wanted !== 0) begin(book, wanted, t - 1, close[t - 1], left / close[t - 1])
    }
    book.cash *= 1 + r
    equity[t] = book.cash
    if (t < last && equity[t] > 0) continue
    if (book.side !== 0) end(book, t, close[t], book.cash - stake(book))
    equity.fill(book.cash, t)
    return
  }
}

const stake = (book: Book): number => Math.abs(book.units) * book.entryPrice

function begin(book: Book, side: number, bar: number, price: number, size: number): void {
  book.side = side
  book.units = side * size
  book.entryBar = bar
  book.entryPrice = price
  book.tally.changes++
}

function end(book: Book, bar: number, price: number, pnl: number, held = bar - book.entryBar): void {
  const { tally } = book
  tally.closed++
  tally.held += held
  tally.positions += book.side * held
  tally.changes++
  if (pnl > 0) {
    tally.won++
    tally.profit += pnl
  } else tally.loss -= pnl
  book.trades?.push({
    entry_bar: book.entryBar,
    exit_bar: bar,
    entry_time: book.time[book.entryBar],
    exit_time: book.time[bar],
    entry_price: book.entryPrice,
    exit_price: price,
    units: book.units,
    pnl,
    return: pnl / stake(book),
  })
  book.side = 0
  book.units = 0
}

function returnsOf(equity: Float64Array, cash: number, returns: Float64Array): Float64Array {
  let before = cash
  for (let t = 0; t < equity.length; t++) {
    // After ruin nothing moves any more.
    returns[t] = before > 0 ? equity[t] / before - 1 : 0
    before = equity[t]
  }
  return returns
}

/** What turns a played signal into figures: the cash at the start, the bars of a year, and how many series share each bar. */
export interface Terms {
  cash: number
  perYear: number
  series?: number
}

const termsOf = ({ time }: Bars, options: Partial<BacktestOptions>): Terms => ({
  cash: options.cash ?? CASH,
  perYear: options.periods_per_year ?? periodsPerYear(time),
})

export function measure({ tally, equity, returns }: Played, { cash, perYear, series = 1 }: Terms): BacktestMetrics {
  const n = returns.length
  const { deepest, downside } = fallOf(equity, returns, cash)
  const shape = shapeOf(returns)
  const total = equity[n - 1] / cash - 1
  const cagr = (1 + total) ** (perYear / n) - 1
  const figures: Record<keyof BacktestMetrics, number> = {
    total_return: total,
    cagr,
    sharpe: shape ? shape.sharpe * Math.sqrt(perYear) : Number.NaN,
    sortino: shape ? (shape.mean / downside) * Math.sqrt(perYear) : Number.NaN,
    calmar: cagr / deepest,
    max_drawdown: n ? deepest : Number.NaN,
    win_rate: tally.won / tally.closed,
    profit_factor: tally.profit / tally.loss,
    trades: tally.closed,
    exposure: tally.held / (series * n),
    turnover: (tally.changes / (series * n)) * perYear,
    probabilistic_sharpe: probabilityAbove(shape) ?? Number.NaN,
  }
  return definedOnly(figures)
}

/** The deepest fall from a peak, as a positive fraction, and the root mean square of the falling returns over all bars. */
function fallOf(equity: Float64Array, returns: Float64Array, cash: number): { deepest: number; downside: number } {
  let peak = cash
  let deepest = 0
  let floor = cash
  let squares = 0
  for (let t = 0; t < equity.length; t++) {
    // 2 min(r, 0) without a branch: the processor cannot guess the sign of a return.
    const fall = returns[t] - Math.abs(returns[t])
    squares += fall * fall
    // Divides only at a new depth: below the floor of this peak.
    if (equity[t] > peak) {
      peak = equity[t]
      floor = peak * (1 - deepest)
    } else if (equity[t] < floor) {
      floor = equity[t]
      deepest = 1 - floor / peak
    }
  }
  return { deepest, downside: Math.sqrt(squares / 4 / equity.length) }
}

/** A division by zero is no figure: null. */
function definedOnly(figures: Record<keyof BacktestMetrics, number>): BacktestMetrics {
  const metrics: BacktestMetrics = { ...figures }
  for (const name of BACKTEST_METRICS) if (!Number.isFinite(figures[name])) metrics[name] = null
  return metrics
}
