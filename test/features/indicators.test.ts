// Against TA-Lib's values: every row and column of the references, and the conventions at the edges.
import { expect, it } from 'vitest'
import { parseTimeframe } from '../../src/base/time.ts'
import { type FeatureSpec, makeFeatures } from '../../src/features/catalog.ts'
import { computeFeatures, enclose } from '../../src/features/compute.ts'
import * as indicators from '../../src/features/indicators.ts'
import { describeShared, shared } from '../shared.ts'
import { compute, readColumns, table, worst } from './series.ts'

const NAMES = ['stddev_pop', 'plus_di', 'minus_di', 'macd', 'bb', 'stochf', 'stoch', 'aroon', 'realvol']
const KEYS: Record<string, string[]> = {
  macd: ['fast', 'slow', 'signal', 'output'],
  bb: ['n', 'k', 'output'],
  stoch: ['k', 'smooth', 'd', 'output'],
  stochf: ['k', 'd', 'output'],
  aroon: ['n', 'output'],
}

/** The spec that a reference's column name stands for: macd_12_26_9_hist. */
function specOf(column: string): FeatureSpec {
  const kind = NAMES.find(name => column.startsWith(`${name}_`)) ?? column.split('_')[0]
  const parts = column
    .slice(kind.length + 1)
    .split('_')
    .filter(Boolean)
  const keys = KEYS[kind] ?? (parts.length ? ['n'] : [])
  return Object.fromEntries([
    ['kind', kind],
    ...keys.map((key, i) => [key, key === 'output' ? parts[i] : Number(parts[i])]),
  ]) as FeatureSpec
}

describeShared('TA-Lib', () => {
  it.each([
    ['talib_sp500_1d', 'sp500_1d_2000_2020', 5105],
    ['talib_btcusdt_1h', 'btcusdt_1h_binance_2021_2022', 6000],
  ])('%s: every column on all rows, 1e-9 relative, NaN before the first', async (reference, candles, rows) => {
    const prices = await readColumns(shared(`candles/${candles}.csv`))
    const { date, open_time, ...expected } = await readColumns(shared(`indicators/${reference}.parquet`))
    const names = Object.keys(expected)
    expect(names).toHaveLength(41)
    const { open, high, low, close, volume } = prices
    const bars = Object.fromEntries(
      Object.entries({ open, high, low, close, volume }).map(([name, x]) => [name, x.subarray(0, rows)]),
    )
    const features = makeFeatures(names.map(specOf), parseTimeframe('1h'), Object.keys(bars))
    expect(features.map(feature => feature.name)).toEqual(names)
    const { columns } = computeFeatures(table(bars), features)
    for (const [i, name] of names.entries()) {
      expect(columns[i]).toHaveLength(rows)
      expect(worst(columns[i], expected[name]), name).toBeLessThan(1e-9)
      expect(features[i].warmup, name).toBe(expected[name].findIndex(value => !Number.isNaN(value)))
    }
  })
})

const last = (feature: Parameters<typeof compute>[0], close: number[]) =>
  compute(feature, { close: Float64Array.from(close) }).at(-1)

it('a series that stands still: rsi 0, zscore 0, deviation 0, macd 0', () => {
  const flat = Array(40).fill(0.1)
  expect(last(indicators.rsi({ n: 14 }), flat)).toBe(0)
  expect(last(indicators.zscore({ n: 14 }), flat)).toBe(0)
  expect(last(indicators.stddevPop({ n: 14 }), flat)).toBe(0)
  expect(last(indicators.realvol({ n: 14 }), flat)).toBe(0)
  expect(last(indicators.macd({ fast: 3, slow: 6, signal: 2, output: 'hist' }), Array(40).fill(4))).toBe(0)
})

it('rsi is 100 if every move was up and 0 if every one was down', () => {
  expect(last(indicators.rsi({ n: 3 }), [1, 2, 3.3, 4, 5.1])).toBe(100)
  expect(last(indicators.rsi({ n: 3 }), [5, 4, 3.3, 2, 1.1])).toBe(0)
})

it('what is divided by 0: roc has 0 as TA-Lib, returns have no value', () => {
  expect(last(indicators.roc({ n: 1 }), [0, 5])).toBe(0)
  expect(last(indicators.ret({ n: 1 }), [0, 5])).toBeNaN()
  expect(last(indicators.logret({ n: 1 }), [0, 5])).toBeNaN()
  expect(last(indicators.logret({ n: 1 }), [5, -1])).toBeNaN()
})

it('a price of 0 leaves realised volatility as soon as it has left the window', () => {
  const values = compute(indicators.realvol({ n: 2 }), { close: Float64Array.of(1, 2, 0, 2, 1, 2, 4, 8) })
  expect([...values].map(Number.isFinite)).toEqual([false, false, false, false, false, true, true, true])
})

it('returns and z-scores by hand', () => {
  expect(last(indicators.ret({ n: 2 }), [4, 5, 5])).toBeCloseTo(0.25, 15)
  expect(last(indicators.logret({ n: 1 }), [1, Math.E])).toBeCloseTo(1, 15)
  expect(last(indicators.zscore({ n: 3 }), [1, 2, 3])).toBeCloseTo(1, 15)
  expect(last(indicators.mom({ n: 2 }), [4, 5, 7])).toBe(3)
})

it('a window of 1 is the series itself', () => {
  for (const average of [indicators.sma, indicators.ema, indicators.wma])
    expect([...compute(average({ n: 1 }), { close: Float64Array.of(3, 0.1, 7) })]).toEqual([3, 0.1, 7])
})

it('another series stands in front of the name', () => {
  expect(enclose(indicators.sma({ n: 7, of: 'volume' }))).toMatchObject({ name: 'volume_sma_7', reads: ['volume'] })
  expect(indicators.bb({ n: 7, k: 2.5, output: 'middle', of: 'rsi_14' }).name).toBe('rsi_14_bb_7_2.5_middle')
  expect(indicators.sma({ n: 7, of: 'close' }).name).toBe('sma_7')
})
