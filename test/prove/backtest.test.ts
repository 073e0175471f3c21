import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { DAY } from '../../src/base/time.ts'
import {
  type BacktestOptions,
  type Bars,
  backtest,
  backtestSchema,
  buyAndHold,
  periodsPerYear,
  scorer,
} from '../../src/prove/backtest.ts'
import { simulatedBars, simulatedSignal } from './series.ts'

const barsOf = (open: number[], close = open): Bars => ({
  time: Float64Array.from(open, (_, t) => t * DAY),
  open: Float64Array.from(open),
  close: Float64Array.from(close),
})

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as SluiceError).code
  }
  return 'none'
}

describe('units', () => {
  it('fills at the next open, pays fees and slippage on both sides, and marks at every close', () => {
    const bars = barsOf([10, 20, 40, 30], [12, 25, 50, 35])
    const options = { cash: 1000, fee: 0.25, slippage: 0.5 }
    const { trades, equity } = backtest(bars, [1, 0, 0, 0], options)
    // Bought at 20 x 1.5 = 30 for 1000 / (30 x 1.25) units, sold at 40 x 0.5 = 20.
    const units = 1000 / 37.5
    expect(trades).toEqual([
      {
        entry_bar: 1,
        exit_bar: 2,
        entry_time: DAY,
        exit_time: 2 * DAY,
        entry_price: 30,
        exit_price: 20,
        units,
        pnl: units * (20 - 30) - 0.25 * units * (30 + 20),
        return: trades[0].pnl / (units * 30),
      },
    ])
    expect([...equity]).toEqual([1000, units * 25, 400, 400].map(value => expect.closeTo(value, 9)))
  })

  it('fills on the same close under fill: close, and never the signal of the last bar', () => {
    const bars = barsOf([10, 20, 40], [12, 24, 36])
    const { trades, equity } = backtest(bars, [1, 0, 1], { cash: 120, fill: 'close' })
    expect(trades).toMatchObject([{ entry_bar: 0, exit_bar: 1, entry_price: 12, exit_price: 24, units: 10 }])
    expect([...equity]).toEqual([120, 240, 240])
    expect(backtest(bars, [0, 0, 1], { fill: 'close' }).trades).toEqual([])
    expect(backtest(bars, [0, 0, 1]).trades).toEqual([])
  })

  it('closes an open position at the last close, also one that was opened on that bar', () => {
    const bars = barsOf([10, 20, 40], [12, 24, 36])
    const { trades, metrics } = backtest(bars, [0, 1, 0], { cash: 400 })
    expect(trades).toMatchObject([{ entry_bar: 2, exit_bar: 2, entry_price: 40, exit_price: 36, pnl: -40 }])
    expect(metrics).toMatchObject({ exposure: 1 / 3, trades: 1, total_return: expect.closeTo(-0.1, 12) })
  })

  it('turns around at one price, and is flat where shorts are not allowed', () => {
    const bars = barsOf([10, 10, 20, 10], [10, 10, 20, 10])
    const { trades, equity } = backtest(bars, [1, -1, -1, 0], { cash: 100, mode: 'long_short' })
    expect(trades).toMatchObject([
      { entry_bar: 1, exit_bar: 2, units: 10, pnl: 100 },
      { entry_bar: 2, exit_bar: 3, units: -10, pnl: 100, return: 0.5 },
    ])
    expect([...equity]).toEqual([100, 100, 200, 300])
    expect(backtest(bars, [1, -1, -1, 0], { cash: 100 }).trades).toHaveLength(1)
  })

  it('buys whole units only, and waits until one can be paid', () => {
    const bars = barsOf([10, 120, 90, 45], [10, 120, 90, 45])
    expect(backtest(bars, [1, 1, 1, 1], { cash: 100, units: 'whole' }).trades).toMatchObject([
      { entry_bar: 2, units: 1, pnl: -45 },
    ])
    expect(backtest(bars, [1, 1, 1, 1], { cash: 5, units: 'whole' }).metrics).toMatchObject({ trades: 0, exposure: 0 })
  })

  it('stops at ruin and leaves the debt where it is', () => {
    const bars = barsOf([10, 10, 25, 30, 10], [10, 10, 25, 30, 10])
    const { trades, equity, returns, metrics } = backtest(bars, [-1, -1, -1, 1, 1], { cash: 100, mode: 'long_short' })
    expect([...equity]).toEqual([100, 100, -50, -50, -50])
    expect([...returns]).toEqual([0, 0, -1.5, 0, 0])
    expect(trades).toMatchObject([{ entry_bar: 1, exit_bar: 2, pnl: -150 }])
    expect(metrics).toMatchObject({ total_return: -1.5, max_drawdown: 1.5, cagr: null, calmar: null })
  })

  it('enters nothing after a gap has taken everything at the open', () => {
    const bars = barsOf([10, 10, 25, 30], [10, 10, 24, 30])
    const { trades, equity } = backtest(bars, [-1, 1, 1, 1], { cash: 100, mode: 'long_short' })
    expect(trades).toHaveLength(1)
    expect([...equity]).toEqual([100, 100, -50, -50])
  })
})

describe('returns', () => {
  const options = { accounting: 'returns', cash: 100, fee: 0.01, mode: 'long_short' } as const

  it('compounds position x return - cost x change, and shares the cost of a turn between two trades', () => {
    const { trades, equity, metrics } = backtest(barsOf([10, 20, 30, 60, 60]), [1, -1, 0, 0, 0], options)
    const steps = [0, 1 - 0.01, -0.5 - 0.02, -0.01, 0]
    let value = 100
    const expected = steps.map(r => (value *= 1 + r))
    expect([...equity]).toEqual(expected.map(e => expect.closeTo(e, 10)))
    expect(trades).toMatchObject([
      { entry_bar: 0, exit_bar: 1, entry_price: 10, exit_price: 20, units: 10, pnl: expect.closeTo(199 * 0.99 - 100) },
      { entry_bar: 1, exit_bar: 2, entry_price: 20, exit_price: 30 },
    ])
    expect(trades[0].pnl + trades[1].pnl).toBeCloseTo(equity[4] - 100, 10)
    expect(metrics.exposure).toBe(2 / 5)
  })

  it('marks an open position at the end without a cost, and stops at ruin', () => {
    const open = backtest(barsOf([10, 20, 40]), [1, 1, 1], { ...options, fee: 0 })
    expect([...open.equity]).toEqual([100, 200, 400])
    expect(open.trades).toMatchObject([{ entry_bar: 0, exit_bar: 2, pnl: 300 }])
    const ruin = backtest(barsOf([10, 30, 10, 10]), [-1, -1, 1, 1], { ...options, fee: 0 })
    expect([...ruin.equity]).toEqual([100, -100, -100, -100])
    expect(ruin.trades).toHaveLength(1)
  })
})

describe('figures', () => {
  it('are null where they are undefined, and never NaN or infinite', () => {
    const none = {
      total_return: null,
      cagr: null,
      sharpe: null,
      sortino: null,
      calmar: null,
      max_drawdown: null,
      win_rate: null,
      profit_factor: null,
      trades: 0,
      exposure: null,
      turnover: null,
      probabilistic_sharpe: null,
    }
    expect(backtest(barsOf([]), []).metrics).toEqual(none)
    expect(backtest(barsOf([10]), [1]).metrics).toEqual({ ...none, total_return: 0, max_drawdown: 0, exposure: 0 })
    const flat = backtest(barsOf([10, 11, 12]), [0, 0, 0]).metrics
    expect(flat).toEqual({ ...none, total_return: 0, cagr: 0, max_drawdown: 0, exposure: 0, turnover: 0 })
    const rising = backtest(barsOf([10, 11, 13, 14]), [1, 1, 1, 1]).metrics
    expect(rising).toMatchObject({ sortino: null, calmar: null, profit_factor: null, win_rate: 1 })
    // 40 % in three seconds is no yearly growth that a number could hold.
    const seconds = { ...barsOf([10, 11, 13, 14]), time: Float64Array.of(0, 1000, 2000, 3000) }
    expect(backtest(seconds, [1, 1, 1, 1]).metrics.cagr).toBeNull()
  })

  it('count time in the table unless told otherwise', () => {
    expect(periodsPerYear(simulatedBars(100).time)).toBeCloseTo(365.25, 10)
    const [bars, signal] = [simulatedBars(100), simulatedSignal(100)]
    const yearly = (periods_per_year: number) => backtest(bars, signal, { periods_per_year }).metrics
    expect(yearly(365.25)).toEqual(backtest(bars, signal).metrics)
    expect(yearly(4 * 365.25).sharpe).toBeCloseTo(2 * yearly(365.25).sharpe!, 10)
    expect(yearly(4 * 365.25).probabilistic_sharpe).toBe(yearly(365.25).probabilistic_sharpe)
  })

  it('count two changes a turn for turnover', () => {
    const { metrics } = backtest(barsOf([10, 10, 10, 10]), [1, -1, 0, 0], { mode: 'long_short', periods_per_year: 4 })
    expect(metrics.turnover).toBe(4)
  })
})

describe('what is refused', () => {
  const bars = barsOf([10, 11, 12])
  it.each([
    ['LENGTH_MISMATCH', bars, [1, 1]],
    ['LENGTH_MISMATCH', { ...bars, open: Float64Array.of(10) }, [1, 1, 1]],
    ['BAD_PRICE', barsOf([10, Number.NaN, 12]), [1, 1, 1]],
    ['BAD_PRICE', barsOf([10, 11, 12], [10, -11, 12]), [1, 1, 1]],
    ['BAD_PRICE', barsOf([10, Infinity, 12]), [1, 1, 1]],
    ['UNORDERED_TIME', { ...bars, time: Float64Array.of(0, 2, 2) }, [1, 1, 1]],
    ['BAD_SIGNAL', bars, [1, 0.5, 0]],
    ['BAD_SIGNAL', bars, [1, 2, 0]],
    ['BAD_SIGNAL', bars, [1, -2, 0]],
    ['BAD_SIGNAL', bars, [1, Number.NaN, 0]],
    ['BAD_SIGNAL', bars, [1, 256, 0]],
  ])('%s', (code, series, signal) => {
    expect(codeOf(() => backtest(series, signal))).toBe(code)
    expect(codeOf(() => scorer(series)(signal))).toBe(code)
  })

  it('options out of range or misspelt', () => {
    expect(backtestSchema.safeParse({ fee: -0.1 }).success).toBe(false)
    expect(backtestSchema.safeParse({ fees: 0.1 }).success).toBe(false)
    expect(backtestSchema.parse({})).toMatchObject({ fill: 'next_open', cash: 1_000_000, units: 'fractional' })
  })
})

describe('golden trades of backtesting.py', () => {
  type Run = [entry: number, exit: number, bought: number, sold: number, units: number, pnl: number][]
  const golden = JSON.parse(readFileSync(new URL('backtest.golden.json', import.meta.url), 'utf8'))
  it.each([
    ['long', { fee: 0.001 }],
    ['long_short', { fee: 0.001, mode: 'long_short' }],
    ['long_short_close', { fee: 0.0005, mode: 'long_short', fill: 'close' }],
  ] as [string, Partial<BacktestOptions>][])('%s', (name, options) => {
    const bars = barsOf(golden.open, golden.close)
    const { trades } = backtest(bars, golden.signal, { ...options, units: 'whole' })
    const expected: Run = golden.runs[name]
    expect(trades).toHaveLength(expected.length)
    for (const [i, [entry_bar, exit_bar, entry_price, exit_price, units, pnl]] of expected.entries()) {
      expect(trades[i]).toMatchObject({ entry_bar, entry_price, units })
      // The peer closes what is open at the end at the last bar's open, or does not count that bar.
      if (trades[i].exit_bar === golden.open.length - 1) continue
      expect(trades[i]).toMatchObject({ exit_bar, exit_price, pnl: expect.closeTo(pnl, 4) })
    }
  })
})

const optionSets = fc.record({
  fill: fc.constantFrom('next_open' as const, 'close' as const),
  fee: fc.constantFrom(0, 0.001, 0.02),
  slippage: fc.constantFrom(0, 0.0005, 0.01),
  units: fc.constantFrom('fractional' as const, 'whole' as const),
  mode: fc.constantFrom('long' as const, 'long_short' as const),
  accounting: fc.constantFrom('units' as const, 'returns' as const),
})
const seeds = fc.integer({ min: 0, max: 2 ** 30 })
const LENGTH = 60
const law = (check: (bars: Bars, signal: Int8Array, options: Partial<BacktestOptions>, seed: number) => void) =>
  fc.assert(
    fc.property(seeds, optionSets, (seed, options) =>
      check(simulatedBars(LENGTH, seed), simulatedSignal(LENGTH, seed + 1), options, seed),
    ),
  )

describe('laws', () => {
  it('the last equity is the cash and what the trades made', () => {
    law((bars, signal, options) => {
      const { equity, trades } = backtest(bars, signal, options)
      const made = trades.reduce((sum, { pnl }) => sum + pnl, 0)
      expect(Math.abs(equity[LENGTH - 1] - 1_000_000 - made)).toBeLessThan(1e-4)
    })
  })

  it('returns compound to the equity', () => {
    law((bars, signal, options) => {
      const { equity, returns, metrics } = backtest(bars, signal, options)
      const product = returns.reduce((value, r) => value * (1 + r), 1_000_000)
      expect(product / equity[LENGTH - 1]).toBeCloseTo(1, 10)
      expect(metrics.total_return).toBeCloseTo(product / 1_000_000 - 1, 10)
    })
  })

  it('more fees never leave more', () => {
    law((bars, signal, options) => {
      const left = (fee: number) => backtest(bars, signal, { ...options, units: 'fractional', fee }).equity[LENGTH - 1]
      expect(left(0.003)).toBeLessThanOrEqual(left(0.001))
    })
  })

  it('the future changes nothing that was', () => {
    law((bars, signal, options, seed) => {
      const cut = 5 + (seed % (LENGTH - 10))
      const other = simulatedBars(LENGTH, seed + 2)
      const changed = { ...bars, open: bars.open.slice(), close: bars.close.slice() }
      changed.open.set(other.open.subarray(cut), cut)
      changed.close.set(other.close.subarray(cut), cut)
      const changedSignal = Int8Array.from(signal, (s, t) => (t < cut ? s : ((s + 2) % 3) - 1))
      const before = backtest(bars, signal, options).equity.subarray(0, cut)
      expect(backtest(changed, changedSignal, options).equity.subarray(0, cut)).toEqual(before)
    })
  })

  it('twice the price is the same', () => {
    law((bars, signal, options) => {
      // A power of two, so that not even the rounding differs.
      const twice = { ...bars, open: bars.open.map(p => 2 * p), close: bars.close.map(p => 2 * p) }
      const fractional = { ...options, units: 'fractional' as const }
      expect(scorer(twice, fractional)(signal)).toEqual(scorer(bars, fractional)(signal))
    })
  })

  it('scorer is backtest without the trades, for many signals', () => {
    law((bars, signal, options, seed) => {
      const { metrics, trades, equity } = backtest(bars, signal, options)
      const scores = scorer(bars, options)
      scores(simulatedSignal(LENGTH, seed + 9))
      expect(scores(signal)).toEqual(metrics)
      expect(metrics.trades).toBe(trades.length)
      expect(equity.length).toBe(LENGTH)
    })
  })

  it('always long is buy and hold', () => {
    law((bars, _, options) => {
      const held = buyAndHold(bars, options)
      expect(backtest(bars, new Int8Array(LENGTH).fill(1), options)).toEqual(held)
      expect(held.meanPosition).toBe(1)
      expect(held.trades).toHaveLength(1)
    })
  })
})
