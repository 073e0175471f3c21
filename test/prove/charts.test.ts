import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drawCalibration, drawdown, drawEquity, drawFolds, drawHistory, thin, wilson } from '../../src/prove/charts.ts'

describe('thin', () => {
  it('keeps both ends, every extreme, the order, and no more points than asked for', () => {
    const series = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 })
    fc.assert(
      fc.property(series, fc.integer({ min: 4, max: 60 }), (y, most) => {
        const x = y.map((_, i) => i)
        const points = thin(x, y, most)
        const kept = points.map(([at]) => at)
        expect(points.length).toBeLessThanOrEqual(Math.max(most, 1))
        expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b))
        expect([kept[0], kept.at(-1)]).toEqual([0, y.length - 1])
        for (const [at, value] of points) expect(value).toBe(y[at])
        const values = points.map(([, value]) => value!)
        expect([Math.min(...values), Math.max(...values)]).toEqual([Math.min(...y), Math.max(...y)])
      }),
    )
  })
})

it('drawdown is the fall from the highest value so far, the start included', () => {
  expect([...drawdown(Float64Array.of(0.5, 0.75, 2, 1))]).toEqual([-0.5, -0.25, 0, -0.5])
  expect([...drawdown(Float64Array.of(1, 2, 1, 3, 1.5))]).toEqual([0, 0, -0.5, 0, -0.5])
})

// scipy.stats.binomtest(k, n).proportion_ci(method='wilson')
it.each([
  [3, 10, 0.10779126740630102, 0.6032218525388546],
  [0, 9, 0, 0.29914504841954404],
  [47, 120, 0.3089919697233256, 0.48106218300072684],
])('the Wilson interval of %i in %i is [%f, %f]', (k, n, low, high) => {
  const interval = wilson(k / n, n)
  expect(interval[0]).toBeCloseTo(low, 12)
  expect(interval[1]).toBeCloseTo(high, 12)
})

describe('drawings', () => {
  const DAY = 86_400_000
  const time = [0, 1, 2, 3].map(i => i * DAY)

  it('name the worst drawdown and both ends', () => {
    const { broad } = drawEquity({ cash: 100, time, equity: [100, 120, 90, 130], benchmark: [100, 100, 95, 110] })
    for (const text of ['−25.0 %', '−5.0 %', '1.30×', '1.10×', 'strategy', 'buy and hold'])
      expect(broad).toContain(text)
  })

  it('count what was paid on the first bar', () => {
    const { broad } = drawEquity({ cash: 100, time, equity: [90, 90, 81, 99], benchmark: [95, 95, 95, 95] })
    for (const text of ['0.99×', '0.95×', '−19.0 %', '−5.0 %']) expect(broad).toContain(text)
  })

  it('go to a logarithmic scale where the values span factors', () => {
    const { broad } = drawEquity({ cash: 1, time, equity: [1, 4, 10, 30], benchmark: [1, 1, 1, 1] })
    for (const tick of ['1×', '2×', '4×', '8×', '16×', '32×']) expect(broad).toContain(`>${tick}<`)
  })

  it('survive a single bar, a ruined account and one bin', () => {
    for (const equity of [[1e6], [1e6, 0, 0, 0], [1e6, -5, 3, 3]]) {
      const at = time.slice(0, equity.length)
      expect(drawEquity({ cash: 1e6, time: at, equity, benchmark: equity }).narrow).not.toContain('NaN')
    }
    expect(drawCalibration([{ mean: 0.5, observed: 1, count: 3 }])).not.toContain('NaN')
  })

  it('leave a gap for an undefined fold', () => {
    const { broad } = drawFolds(
      [
        [0, DAY],
        [DAY, 2 * DAY],
      ],
      [{ name: 'sharpe', neutral: 0, values: [null, 1.25] }],
    )
    expect(broad).toContain('>1.250<')
    expect(broad).not.toContain('NaN')
  })

  it('show how a fit learned, with what was held out where anything was', () => {
    const epochs = (n: number, stop: number | null) =>
      Array.from({ length: n }, (_, i) => ({
        ...{ epoch: i + 1, train_loss: i === 1 ? null : 0.7 - i / (2 * n), stop_loss: stop && stop + i / n },
        ...{ learning_rate: 0.0005, seconds: 1 },
      }))
    const { broad, narrow } = drawHistory(epochs(40, 0.6))
    for (const text of ['training', 'held out', 'epoch', '3e−4', '>40<']) expect(broad).toContain(text)
    expect(drawHistory(epochs(40, null)).broad).not.toContain('held out')
    for (const drawing of [broad, narrow, ...Object.values(drawHistory(epochs(2, 0.6)))])
      expect(drawing).not.toMatch(/NaN|(fill|stroke)="#/)
    expect(drawHistory(epochs(50_000, 0.6)).broad.length).toBeLessThan(40_000)
  })
})
