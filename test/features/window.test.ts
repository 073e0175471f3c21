// Rolling operations against what they mean, written out as a loop over every window.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as window from '../../src/features/window.ts'

const values = fc
  .array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 1, maxLength: 50 })
  .map(x => Float64Array.from(x))
const lengths = fc.integer({ min: 1, max: 12 })

/** `meaning` of every full window, NaN before. */
const naive = (x: Float64Array, n: number, meaning: (recent: number[]) => number) =>
  Array.from(x, (_, i) => (i < n - 1 ? Number.NaN : meaning([...x.subarray(i - n + 1, i + 1)])))

const sum = (x: number[]) => x.reduce((a, b) => a + b, 0)

function check(
  size: (n: number) => number,
  rolling: (state: Float64Array, n: number, x: Float64Array, out: Float64Array) => void,
  meaning: (recent: number[]) => number,
) {
  const law = fc.property(values, lengths, (x, n) => {
    const out = new Float64Array(x.length)
    rolling(new Float64Array(size(n)), n, x, out)
    for (const [i, expected] of naive(x, n, meaning).entries())
      if (Number.isNaN(expected)) expect(out[i]).toBeNaN()
      else expect(Math.abs(out[i] - expected)).toBeLessThan(1e-9)
  })
  fc.assert(law, { numRuns: 60 })
}

describe('a window', () => {
  it('sums', () => check(window.sumSize, window.rollingSum, sum))
  it('averages', () => check(window.sumSize, window.rollingMean, recent => sum(recent) / recent.length))
  it('weighs by age', () =>
    check(window.weightedSize, window.rollingWeighted, recent => {
      const weights = recent.map((_, i) => i + 1)
      return sum(recent.map((value, i) => value * weights[i])) / sum(weights)
    }))
  it('finds its largest', () =>
    check(
      window.maxSize,
      (state, n, x, out) => window.rollingMax(state, n, 1, x, out),
      recent => Math.max(...recent),
    ))
  it('finds its smallest, negated', () =>
    check(
      window.maxSize,
      (state, n, x, out) => window.rollingMax(state, n, -1, x, out),
      recent => -Math.min(...recent),
    ))
  it('knows how long ago its newest largest was', () =>
    check(
      window.ageSize,
      (state, n, x, out) => window.maxAge(state, n, 1, x.map(Math.round), out),
      recent => recent.length - 1 - recent.map(Math.round).lastIndexOf(Math.max(...recent.map(Math.round))),
    ))
  it('has squared deviations from its mean', () =>
    check(
      window.momentsSize,
      (state, n, x, out) => window.rollingMoments(state, n, x, new Float64Array(x.length), out),
      recent => sum(recent.map(value => (value - sum(recent) / recent.length) ** 2)),
    ))
  it('may write over what it reads', () => {
    const x = Float64Array.of(1, 2, 3, 4, 5, 6)
    window.rollingMean(new Float64Array(window.sumSize(2)), 2, x, x)
    expect([...x]).toEqual([Number.NaN, 1.5, 2.5, 3.5, 4.5, 5.5])
  })
  it('is free of a NaN as soon as that has left', () => {
    const x = Float64Array.of(1, Number.NaN, 1, 1, 1, 1)
    window.rollingSum(new Float64Array(window.sumSize(3)), 3, x, x)
    expect([...x]).toEqual([Number.NaN, Number.NaN, Number.NaN, Number.NaN, 3, 3])
  })
})

describe('rounding', () => {
  it('does not build up: a sum after huge values is exact', () => {
    const x = new Float64Array(100).fill(0.25)
    x.fill(1e17, 0, 30)
    window.rollingSum(new Float64Array(window.sumSize(20)), 20, x, x)
    expect([...x.subarray(50)]).toEqual(Array(50).fill(5))
  })

  it('leaves a tiny variance on a large offset as it is over 200,000 rows', () => {
    const n = 20
    const x = Float64Array.from({ length: 200_000 }, (_, i) => 60_000 + ((i * 7) % 64) / 2 ** 16) // exact in binary
    const deviation = new Float64Array(x.length)
    const squares = new Float64Array(x.length)
    window.rollingMoments(new Float64Array(window.momentsSize(n)), n, x, deviation, squares)
    for (const row of [n - 1, 100_003, 199_998, 199_999]) {
      const recent = [...x.subarray(row - n + 1, row + 1)].map(value => value - 60_000)
      const mean = sum(recent) / n
      const expected = sum(recent.map(value => (value - mean) ** 2))
      expect(Math.abs(squares[row] / expected - 1)).toBeLessThan(1e-12)
      expect(Math.abs(deviation[row] - (recent[n - 1] - mean))).toBeLessThan(1e-17)
    }
  })

  it('gives a window without variance exactly 0, also after a jump', () => {
    const x = new Float64Array(60).fill(0.1)
    x.fill(1e6 / 3, 30)
    const squares = new Float64Array(60)
    window.rollingMoments(new Float64Array(window.momentsSize(7)), 7, x, new Float64Array(60), squares)
    expect([...squares.subarray(6, 30), ...squares.subarray(36)]).toEqual(Array(48).fill(0))
  })
})

describe('smoothing', () => {
  it('starts as a mean and does not count NaNs in front', () => {
    const x = Float64Array.of(Number.NaN, 2, 4, 9)
    window.ema(new Float64Array(window.smoothSize), 2, x, x)
    expect([...x]).toEqual([Number.NaN, Number.NaN, 3, 7])
  })
  it('of Wilder weighs the newest with 1 / n', () => {
    const x = Float64Array.of(2, 4, 9)
    window.wilder(new Float64Array(window.smoothSize), 2, x, x)
    expect([...x]).toEqual([Number.NaN, 3, 6])
  })
})

it('positive and sign are exact', () => {
  const numbers = [0, 5e-324, -5e-324, 0.1, -0.1, 1e300, -1e300]
  expect(numbers.map(x => window.positive(x))).toEqual(numbers.map(x => Math.max(x, 0)))
  expect(numbers.map(x => window.sign(x))).toEqual(numbers.map(Math.sign))
})
