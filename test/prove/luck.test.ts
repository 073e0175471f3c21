import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  deflatedSharpe,
  excessSharpeProbability,
  expectedMaximumSharpe,
  minimumTrackRecord,
  probabilisticSharpe,
  probabilityAbove,
  requiredSharpe,
  shapeOf,
} from '../../src/prove/luck.ts'

// Every expected value was worked out from the formulas of docs/gates.md with mpmath 1.3 at 40 digits
// (ncdf, erfinv, moments as plain sums over decimal inputs), independently of this code. The arithmetic stands there.
const A = [0.01, -0.005, 0.02, 0.0, 0.015]
const B = [0.03, -0.01, -0.02, 0.01, 0.04, -0.015]
const C = [-0.02, 0.01, -0.015, 0.005]
const D = [0.01, 0.01, 0.01, 0.01, -0.03, 0.01, 0.01, 0.01]
const E = [0.001, 0.002, -0.001, 0.0005, 0.0015, -0.0005, 0.001, 0.0]

const returns = fc.array(
  fc.integer({ min: -1000, max: 1000 }).map(n => n / 10_000),
  { minLength: 5, maxLength: 40 },
)

describe('probabilisticSharpe', () => {
  it.each([
    [A, 0, 0.9207420038832271],
    [B, 0, 0.7060423104651881],
    [C, 0, 0.2785692430039382],
    [D, 0, 0.7478462978112863],
    [E, 0, 0.9123339413596581],
    [A, 0.25, 0.8297567705851214],
  ])('%j against %d is %d', (series, benchmark, expected) => {
    expect(probabilisticSharpe(series, benchmark)).toBeCloseTo(expected, 12)
  })

  it('is null without two returns that vary', () => {
    expect(probabilisticSharpe([])).toBeNull()
    expect(probabilisticSharpe([0.01])).toBeNull()
    expect(probabilisticSharpe([0, 0, 0])).toBeNull()
    // Constant but for the last bit of the mean.
    expect(probabilisticSharpe(Array(7).fill(0.1))).toBeNull()
  })

  it('is null where the estimator has no variance, and for NaN', () => {
    expect(probabilityAbove({ n: 5, mean: 1, sharpe: 1, skewness: 2, kurtosis: 5 })).toBeNull()
    expect(probabilisticSharpe([0.1, 0.2, Number.NaN])).toBeNull()
  })

  it('does not change with the scale or the order of the returns, and mirrors with their sign', () => {
    fc.assert(
      fc.property(returns, fc.double({ min: 0.1, max: 10, noNaN: true }), (series, scale) => {
        const probability = probabilisticSharpe(series)
        fc.pre(probability !== null)
        expect(probabilisticSharpe(series.map(r => r * scale))).toBeCloseTo(probability, 8)
        expect(probabilisticSharpe(series.toReversed())).toBeCloseTo(probability, 8)
        expect(probabilisticSharpe(series.map(r => -r))).toBeCloseTo(1 - probability, 8)
      }),
    )
  })
})

describe('expectedMaximumSharpe', () => {
  it.each([
    [1, 0.01, 0],
    [2, 1, 0.5197553442805939],
    [10, 0.0025, 0.0787299150672875],
    [160, 0.0016, 0.1076702945094742],
    [160, 1, 2.691757362736855],
    [1000, 0.04, 0.6510243027305451],
  ])('of %d trials of variance %d is %d', (trials, variance, expected) => {
    expect(expectedMaximumSharpe(trials, variance)).toBeCloseTo(expected, 12)
  })

  it('is null for several trials of unknown variance', () => {
    expect(expectedMaximumSharpe(2, null)).toBeNull()
    expect(expectedMaximumSharpe(2, Number.NaN)).toBeNull()
    expect(expectedMaximumSharpe(1, null)).toBe(0)
  })
})

describe('deflatedSharpe', () => {
  it.each([
    [A, [0.1, 0.2, 0.3], 1, 0.895120785061123],
    [A, [0.1, 0.2, 0.3], 2, 0.8794976273945425],
    [B, [0.1, 0.2, 0.3], 1, 0.6345575096973608],
    [C, [-0.2, 0.0, 0.1], 1, 0.20832464047537275],
    [E, [0.05, -0.05, 0.4, 0.1], 1, 0.8042129887736978],
    [E, { count: 160, variance: 0.0016 }, 1, 0.8625458409150558],
    [E, { count: 1, variance: 0.0016 }, 1, 0.9123339413596581],
  ])('%j after %j and %d looks is %d', (series, trials, looks, expected) => {
    expect(deflatedSharpe(series, trials, looks)).toBeCloseTo(expected, 12)
  })

  it('counts trials that never traded without a Sharpe of theirs', () => {
    const variance = 0.01
    expect(deflatedSharpe(A, [0.1, 0.2, 0.3, null])).toBeCloseTo(deflatedSharpe(A, { count: 4, variance })!, 14)
  })

  it('is null when several trials have no variance to speak of, or the returns none', () => {
    expect(deflatedSharpe(A, [0.1, null])).toBeNull()
    expect(deflatedSharpe([0, 0, 0], [0.1, 0.2])).toBeNull()
  })

  it('never rises with more looks', () => {
    fc.assert(
      fc.property(returns, fc.integer({ min: 1, max: 50 }), (series, looks) => {
        const trials = { count: 10, variance: 0.01 }
        const once = deflatedSharpe(series, trials, looks)
        fc.pre(once !== null)
        expect(deflatedSharpe(series, trials, looks + 1)!).toBeLessThanOrEqual(once)
      }),
    )
  })
})

describe('excessSharpeProbability', () => {
  it.each([
    [A, [0.005, -0.01, 0.01, 0.0, 0.02], 0.5, 0.9848506747520279],
    [B, [0.02, -0.02, -0.03, 0.0, 0.05, 0.01], 0.8, 0.6130753781736522],
    [C, [-0.03, 0.02, -0.01, 0.01], 1, 0.3293462959247755],
    [D, [0.02, -0.01, 0.015, 0.0, -0.04, 0.02, 0.005, 0.01], 0.25, 0.7861692468318812],
    [E, [0.002, 0.001, -0.003, 0.001, 0.002, -0.002, 0.0, 0.001], -0.5, 0.8073483246601306],
  ])('%j beside %j at exposure %d is %d', (series, market, exposure, expected) => {
    expect(excessSharpeProbability(series, market, exposure)).toBeCloseTo(expected, 12)
  })

  it('is null for the market itself', () => {
    expect(excessSharpeProbability(B, B, 1)).toBeNull()
  })
})

describe('what would have to be true', () => {
  it('finds the track record that a probability needs', () => {
    expect(minimumTrackRecord(shapeOf(A)!, 0.95)).toBeCloseTo(6.4428561148693735, 10)
    expect(minimumTrackRecord(shapeOf(E)!, 0.95)).toBeCloseTo(11.311029900793647, 10)
    expect(minimumTrackRecord(shapeOf(D)!, 0.99)).toBeCloseTo(85.96665647303928, 9)
    expect(minimumTrackRecord(shapeOf(C)!, 0.95)).toBe(Number.POSITIVE_INFINITY)
  })

  it('finds the Sharpe that these bars need, which is infinite for too few', () => {
    expect(requiredSharpe(shapeOf(A)!, 0.95)).toBeCloseTo(0.9207459024044954, 10)
    expect(requiredSharpe(shapeOf(E)!, 0.95)).toBeCloseTo(0.6901611554499103, 10)
    expect(requiredSharpe({ ...shapeOf(A)!, n: 2, kurtosis: 9 }, 0.99)).toBe(Number.POSITIVE_INFINITY)
  })

  it('agrees with the probability it inverts', () => {
    const shape = shapeOf(E)!
    expect(minimumTrackRecord(shape, probabilisticSharpe(E)!)).toBeCloseTo(shape.n, 8)
    expect(requiredSharpe(shape, probabilisticSharpe(E)!)).toBeCloseTo(shape.sharpe, 8)
  })
})
