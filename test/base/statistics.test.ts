import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  kolmogorovSmirnov,
  lowerBound,
  mean,
  moments,
  normalCdf,
  normalQuantile,
  quantile,
  spearman,
  variance,
} from '../../src/base/statistics.ts'
import { describeShared, shared } from '../shared.ts'

// mpmath 1.3 at 40 digits.
const CDF = [
  [-38, 2.88542835e-316],
  [-10, 7.619853024160525e-24],
  [-5, 2.866515718791939e-7],
  [-2.5001, 0.006207912714815194],
  [-2.4999, 0.00621141837494459],
  [-1, 0.15865525393145705],
  [-1e-3, 0.49960105778608893],
  [0, 0.5],
  [0.5, 0.6914624612740131],
  [2.4999, 0.9937885816250555],
  [2.5001, 0.9937920872851848],
  [8, 0.9999999999999993],
]
const QUANTILES = [
  [1e-300, -37.0470962993612],
  [1e-20, -9.262340089798407],
  [1e-5, -4.264890793922825],
  [0.01, -2.326347874040841],
  [0.025, -1.9599639845400543],
  [0.3, -0.5244005127080408],
  [0.5, 0],
  [0.975, 1.9599639845400538],
  [0.999, 3.090232306167813],
]

describe('the normal distribution', () => {
  it.each(CDF)('has P(Z <= %d) = %d', (x, expected) => {
    expect(Math.abs(normalCdf(x) - expected)).toBeLessThanOrEqual(1e-15)
    if (expected > 1e-300) expect(Math.abs(normalCdf(x) / expected - 1)).toBeLessThan(1e-13)
  })

  it.each(QUANTILES)('has the quantile of %d at %d', (p, expected) => {
    expect(Math.abs(normalQuantile(p) - expected)).toBeLessThan(1e-12)
  })

  it('ends where it ends', () => {
    expect([normalCdf(-Infinity), normalCdf(Infinity), normalCdf(Number.NaN)]).toEqual([0, 1, Number.NaN])
    expect([normalQuantile(0), normalQuantile(1)]).toEqual([-Infinity, Infinity])
    expect([normalQuantile(-0.1), normalQuantile(1.1), normalQuantile(Number.NaN)]).toEqual(Array(3).fill(Number.NaN))
  })

  it('is inverted by its quantile, and rises', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-12, max: 1 - 1e-12, noNaN: true }), p => {
        expect(Math.abs(normalCdf(normalQuantile(p)) - p)).toBeLessThan(1e-14)
      }),
    )
    fc.assert(
      fc.property(fc.double({ min: -8, max: 8, noNaN: true }), x => {
        expect(normalCdf(x + 1e-6)).toBeGreaterThanOrEqual(normalCdf(x))
      }),
    )
  })
})

// numpy 2.4 and scipy 1.17.
describe('sample statistics', () => {
  const values = [3, 1, 4, 1, 5, 9, 2, 6]

  it('match numpy and scipy', () => {
    expect(mean(values)).toBe(3.875)
    expect([variance(values), variance(values, 1)]).toEqual([6.609375, 7.553571428571429])
    const { skewness, kurtosis } = moments(values)
    expect(skewness).toBeCloseTo(0.6682892518272332, 14)
    expect(kurtosis).toBeCloseTo(2.465050383112855, 14)
    const quantiles = [0, 0.1, 0.5, 0.77, 1].map(q => quantile(values, q))
    expect(quantiles.map((value, i) => Math.abs(value - [1, 1, 3.5, 5.39, 9][i]) < 1e-12)).toEqual(Array(5).fill(true))
    expect(quantile([], 0.5)).toBeNaN()
  })
})

describe('kolmogorovSmirnov', () => {
  it.each([
    [[1, 2, 3, 4, 5], [2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5], 0.5714285714285714, 0.23737373737373738],
    [[1, 2, 2, 3], [2, 2, 4, 5, 6, 7], 0.6666666666666666, 0.18095238095238098],
    [[1, 2, 3], [4, 5, 6], 1, 0.1],
    [[1, 2], [1, 2], 0, 1],
  ])('of %j and %j is %d, p %d (scipy)', (a, b, statistic, pvalue) => {
    const result = kolmogorovSmirnov(a, b)
    expect(result.statistic).toBeCloseTo(statistic, 14)
    expect(result.pvalue).toBeCloseTo(pvalue, 13)
  })

  it('has no value without values', () => {
    expect(kolmogorovSmirnov([], [1])).toEqual({ statistic: Number.NaN, pvalue: Number.NaN })
  })

  // scipy takes the exact distribution at n m / (n + m) here, we its corrected limit.
  it('goes over to the limit for large samples', () => {
    const large = Float64Array.from({ length: 12_000 }, (_, i) => ((i * 7919) % 12_007) / 12_007)
    const other = (power: number) =>
      Float64Array.from({ length: 11_000 }, (_, i) => (((i * 104_729) % 11_003) / 11_003) ** power)
    expect(kolmogorovSmirnov(large, other(1.02)).statistic).toBeCloseTo(0.007659090909090949, 12)
    expect(kolmogorovSmirnov(large, other(1.02)).pvalue).toBeCloseTo(0.8866884593305839, 4)
    expect(kolmogorovSmirnov(large, other(1.05)).pvalue).toBeCloseTo(0.04237674739420372, 5)
    expect(kolmogorovSmirnov(large, large).pvalue).toBe(1)
  })

  it('does not care which sample comes first, nor for their order', () => {
    const sample = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 15 })
    fc.assert(
      fc.property(sample, sample, (a, b) => {
        const { statistic, pvalue } = kolmogorovSmirnov(a, b)
        const swapped = kolmogorovSmirnov(b.toReversed(), a.toReversed())
        expect(swapped.statistic).toBe(statistic)
        expect(swapped.pvalue).toBeCloseTo(pvalue, 12)
        expect(pvalue).toBeGreaterThan(0)
      }),
    )
  })
})

describe('spearman', () => {
  it('is the correlation of the ranks, and null for a constant', () => {
    expect(spearman([1, 2, 3], [10, 100, 1000])).toBe(1)
    expect(spearman([1, 2, 3], [3, 2, 1])).toBe(-1)
    expect(spearman([1, 2, 3], [5, 5, 5])).toBeNull()
    expect(spearman([Number.NaN, Number.NaN], [1, 2])).not.toBeNaN()
  })
})

describeShared('statistics against scipy', () => {
  const read = (name: string) => JSON.parse(readFileSync(shared(`metrics/${name}.json`), 'utf8'))

  it('rank regressions as scipy does', () => {
    const { y_true, y_pred } = read('inputs').regression
    expect(spearman(y_true, y_pred)).toBeCloseTo(read('reference').reference.regression.spearman, 12)
  })

  it('finds drift as scipy does', () => {
    const { drift } = read('inputs')
    for (const name of ['shifted', 'same']) {
      const expected = read('reference').reference.drift[name]
      const { statistic, pvalue } = kolmogorovSmirnov(drift.reference, drift[name])
      expect(Math.abs(statistic - expected.ks_stat)).toBeLessThan(1e-12)
      expect(Math.abs(pvalue - expected.ks_pvalue)).toBeLessThan(1e-12)
    }
  })
})

it('finds where a value belongs among ascending ones, as a search one by one does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 9 })), fc.integer({ min: -1, max: 10 }), (values, value) => {
      const sorted = values.toSorted((a, b) => a - b)
      const place = sorted.findIndex(other => other >= value)
      expect(lowerBound(sorted, value)).toBe(place < 0 ? sorted.length : place)
    }),
  )
})
