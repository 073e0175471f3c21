import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BacktestOptions, backtest, backtestSchema, buyAndHold } from '../../src/prove/backtest.ts'
import { excessSharpeProbability } from '../../src/prove/luck.ts'
import { type BarRows, marketOf, poolBacktest, poolBuyAndHold, poolScorer } from '../../src/prove/pool.ts'
import { simulatedBars, simulatedSignal } from './series.ts'

interface Given {
  rows: BarRows
  signal: number[]
}

/** Bars and signals of symbols as rows sorted by time, then in the order given. */
function rowsOf(...series: { symbol: string; bars: BarRows; signal: ArrayLike<number> }[]): Given {
  const rows = series
    .flatMap(({ symbol, bars, signal }, order) =>
      Array.from(bars.time, (time, t) => ({
        time,
        open: bars.open[t],
        close: bars.close[t],
        symbol,
        signal: signal[t],
        order,
      })),
    )
    .sort((a, b) => a.time - b.time || a.order - b.order)
  const numbers = (name: 'time' | 'open' | 'close') => Float64Array.from(rows, row => row[name])
  return {
    rows: {
      time: numbers('time'),
      open: numbers('open'),
      close: numbers('close'),
      symbol: rows.map(row => row.symbol),
    },
    signal: rows.map(row => row.signal),
  }
}

/** A symbol that has only the bars `has`. */
const symbolOf = (symbol: string, seed: number, has: (t: number) => boolean = () => true) => {
  const bars = simulatedBars(80, seed)
  const keep = (values: Float64Array) => values.filter((_, t) => has(t))
  return {
    symbol,
    bars: { time: keep(bars.time), open: keep(bars.open), close: keep(bars.close) },
    signal: simulatedSignal(80, seed + 50).filter((_, t) => has(t)),
  }
}

const options = fc
  .record({
    fill: fc.constantFrom('next_open', 'close'),
    fee: fc.constantFrom(0, 0.001),
    mode: fc.constantFrom('long', 'long_short'),
    accounting: fc.constantFrom('units', 'returns'),
    periods_per_year: fc.constantFrom(undefined, 252),
  })
  .map(given => backtestSchema.parse(given))

const play = ({ rows, signal }: Given, terms: BacktestOptions) => {
  const market = marketOf(rows, undefined, terms)
  return { market, ours: poolBacktest(market, signal, terms), held: poolBuyAndHold(market, terms) }
}

describe('a pool', () => {
  it('of one symbol is that series, bit for bit', () => {
    fc.assert(
      fc.property(options, fc.nat(99), (terms, seed) => {
        const one = symbolOf('a', seed)
        const { ours, held } = play(rowsOf(one), terms)
        const { trades, ...rest } = backtest(one.bars, one.signal, terms)
        expect(ours).toMatchObject(rest)
        expect(ours.trades).toEqual(trades.map(trade => ({ ...trade, symbol: 'a' })))
        expect(held.returns).toEqual(buyAndHold(one.bars, terms).returns)
      }),
      { numRuns: 20 },
    )
  })

  it('of two equal symbols is one of them, with twice the trades', () => {
    fc.assert(
      fc.property(options, fc.nat(99), (terms, seed) => {
        const [a, b] = [symbolOf('a', seed), symbolOf('b', seed)]
        const { ours } = play(rowsOf(a, b), terms)
        const single = backtest(a.bars, a.signal, terms)
        expect(ours.returns).toEqual(single.returns)
        expect(ours.meanPosition).toBe(single.meanPosition)
        for (const [name, value] of Object.entries(single.metrics)) {
          const pooled = ours.metrics[name as keyof typeof ours.metrics]
          if (name === 'trades') expect(pooled).toBe(2 * value!)
          else if (value === null) expect(pooled).toBeNull()
          else expect(Math.abs(pooled! - value)).toBeLessThan(1e-9 * Math.max(1, Math.abs(value)))
        }
      }),
      { numRuns: 20 },
    )
  })

  it('does not depend on the order of symbols, and scores as it plays', () => {
    fc.assert(
      fc.property(options, fc.shuffledSubarray(['a', 'b', 'c'], { minLength: 2 }), (terms, names) => {
        const symbols = names.map(name => symbolOf(name, name.charCodeAt(0), t => t % name.charCodeAt(0) !== 3))
        const shuffled = rowsOf(...symbols)
        const { market, ours } = play(shuffled, terms)
        const sorted = rowsOf(...symbols.toSorted((x, y) => (x.symbol < y.symbol ? -1 : 1)))
        expect(ours).toEqual(play(sorted, terms).ours)
        expect(poolScorer(market, terms)(shuffled.signal)).toEqual(ours.metrics)
      }),
      { numRuns: 15 },
    )
  })

  it('earns the mean return on the union of bars: a symbol without a bar earns nothing there', () => {
    const terms = backtestSchema.parse({ accounting: 'returns', fee: 0.001, cash: 100 })
    const [a, b] = [symbolOf('a', 1), symbolOf('b', 2, t => t % 3 !== 1)]
    const { market, ours, held } = play(rowsOf(a, b), terms)
    const singles = [a, b].map(({ bars, signal }) => backtest(bars, signal, terms))
    const byTime = [a, b].map(
      ({ bars }, s) => new Map(Array.from(bars.time, (time, t) => [time, singles[s].returns[t]])),
    )
    let equity = 100
    for (const [i, time] of a.bars.time.entries()) {
      equity *= 1 + (byTime[0].get(time)! + (byTime[1].get(time) ?? 0)) / 2
      expect(ours.equity[i]).toBeCloseTo(equity, 9)
    }
    const trades = singles.flatMap(({ trades }) => trades)
    expect(ours.metrics).toMatchObject({
      trades: trades.length,
      win_rate: trades.filter(({ pnl }) => pnl > 0).length / trades.length,
      exposure: (singles[0].tally.held + singles[1].tally.held) / (2 * 80),
      turnover: expect.closeTo(((singles[0].tally.changes + singles[1].tally.changes) / (2 * 80)) * market.perYear, 9),
    })
    // Holding the market is a mean position of 1, so nothing is left of it.
    expect(held.meanPosition).toBeLessThanOrEqual(1)
    expect(excessSharpeProbability(held.returns, held.returns, 1)).toBeNull()
    expect(ours.symbols.map(({ symbol, backtest }) => [symbol, backtest.returns.length])).toEqual([
      ['a', 80],
      ['b', 53],
    ])
  })

  it('measures the years on all rows, those of a symbol on its own', () => {
    const { rows } = rowsOf(
      symbolOf('a', 1),
      symbolOf('b', 2, t => t % 2 === 0),
    )
    const market = marketOf(rows, [0, 1])
    expect(market.time).toHaveLength(1)
    expect(market.perYear).toBeCloseTo(365.25, 9)
    expect(market.series.map(({ perYear }) => perYear)).toEqual([expect.closeTo(365.25, 9), expect.closeTo(182.625, 9)])
    expect(marketOf(rows, [0], { periods_per_year: 252 }).perYear).toBe(252)
  })

  it('is over when it is ruined', () => {
    const falling = (symbol: string) => ({
      symbol,
      bars: {
        time: Float64Array.of(1, 2, 3, 4),
        open: Float64Array.of(1, 1, 9, 1),
        close: Float64Array.of(1, 1, 9, 1),
      },
      signal: [-1, -1, -1, -1],
    })
    const terms = backtestSchema.parse({ mode: 'long_short' })
    const { ours } = play(rowsOf(falling('a'), falling('b')), terms)
    expect(ours.equity.at(-1)).toBe(ours.equity[2])
    expect(ours.returns[3]).toBe(0)
    expect(ours.metrics.total_return).toBeLessThan(-1)
  })
})
