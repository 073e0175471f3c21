// What TA-Lib does at the edges; its values proper are compared in indicators.test.ts.
import { describe, expect, it } from 'vitest'
import * as bars from '../../src/features/bars.ts'
import type { Feature } from '../../src/features/feature.ts'
import { type Columns, compute } from './series.ts'

/** Bars that stand at `close` all day, with a volume of 5. */
const still = (close: number[]): Columns => {
  const x = Float64Array.from(close)
  return { high: x, low: x, close: x, volume: x.map(() => 5) }
}

const last = (feature: Feature, columns: Columns) => compute(feature, columns).at(-1)
const flat = still(Array(40).fill(0.1))

describe('a market that stands still', () => {
  it.each([
    bars.trange({}),
    bars.atr({ n: 5 }),
    bars.natr({ n: 5 }),
    bars.adx({ n: 5 }),
    bars.plusDi({ n: 5 }),
    bars.minusDi({ n: 5 }),
    bars.stoch({ k: 5, smooth: 3, d: 3, output: 'k' }),
    bars.stochf({ k: 5, d: 3, output: 'd' }),
    bars.willr({ n: 5 }),
    bars.cci({ n: 5 }),
    bars.mfi({ n: 5 }),
  ])('has $name 0', feature => {
    expect(last(feature, flat)).toBe(0)
  })

  it('has no flow either when nothing is traded', () => {
    const columns = { ...still([1, 2, 3, 2, 4]), volume: new Float64Array(5) }
    expect(last(bars.mfi({ n: 3 }), columns)).toBe(0)
  })

  it('keeps its adx', () => {
    const trend = [1, 2, 3, 4, 5, 6, 7]
    const values = compute(bars.adx({ n: 2 }), still([...trend, ...Array(20).fill(7)]))
    expect([...new Set(values.subarray(3))]).toEqual([100])
  })
})

describe('ties', () => {
  it('aroon takes the newest of equal highs and lows', () => {
    expect(last(bars.aroon({ n: 4, output: 'up' }), still([1, 9, 9, 9, 2, 2]))).toBe(50)
    expect(last(bars.aroon({ n: 4, output: 'down' }), still([9, 1, 1, 9, 9]))).toBe(50)
  })
  it('obv and mfi count an unchanged price to neither side', () => {
    expect([...compute(bars.obv({}), still([1, 2, 2, 1]))]).toEqual([5, 10, 10, 5])
    expect(last(bars.mfi({ n: 2 }), still([1, 2, 2]))).toBe(100)
  })
  it('moves up and down of the same size are no direction', () => {
    const columns = { high: Float64Array.of(5, 6, 7), low: Float64Array.of(4, 3, 2), close: Float64Array.of(4, 4, 4) }
    expect(last(bars.plusDi({ n: 2 }), columns)).toBe(0)
    expect(last(bars.minusDi({ n: 2 }), columns)).toBe(0)
  })
})

describe('a window of 1, as TA-Lib', () => {
  const columns = { high: Float64Array.of(11, 13), low: Float64Array.of(9, 10), close: Float64Array.of(10, 12) }
  it('natr is the range itself', () => expect(last(bars.natr({ n: 1 }), columns)).toBe(3))
  it('directional indicators are fractions', () => expect(last(bars.plusDi({ n: 1 }), columns)).toBeCloseTo(2 / 3, 15))
  it('stochastics of 1 bar are its own position', () =>
    expect(last(bars.stoch({ k: 1, smooth: 1, d: 1, output: 'k' }), columns)).toBeCloseTo(200 / 3, 12))
})

it('natr at a close of 0 is 0, and has no value before its warm-up', () => {
  const columns = {
    high: Float64Array.of(1, 1, 1, 1),
    low: Float64Array.of(0, 0, 0, 0),
    close: Float64Array.of(1, 0, 1, 0),
  }
  expect([...compute(bars.natr({ n: 2 }), columns)]).toEqual([Number.NaN, Number.NaN, 100, 0])
})

it('one series can stand in for the bar', () => {
  const rsi = Float64Array.of(30, 40, 35, 60)
  const feature = bars.stochf({ k: 3, d: 1, output: 'k', of: 'rsi_14' })
  expect(feature.name).toBe('rsi_14_stochf_3_1_k')
  expect([...compute(feature, { rsi_14: rsi })]).toEqual([Number.NaN, Number.NaN, 50, 100])
})
