import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { mean, variance } from '../../src/base/statistics.ts'
import { metrics } from '../../src/prove/metrics.ts'
import { skill } from '../../src/prove/skill.ts'

/** Rows whose truth follows the score with the given strength; 0 is none. */
function sample(rows: number, strength: number, seed = 1) {
  const { next } = random(seed)
  const y_score = Array.from({ length: rows }, () => 0.5 + strength * (next() - 0.5))
  return { y_true: y_score.map(p => (next() < p ? 1 : 0)), y_score }
}

describe('skill', () => {
  it('is 1 - log_loss over the entropy of the class frequencies', () => {
    const columns = sample(200, 0.8)
    const share = mean(columns.y_true)
    const entropy = -share * Math.log(share) - (1 - share) * Math.log(1 - share)
    const expected = 1 - metrics('binary', columns).metrics.log_loss! / entropy
    expect(skill('binary', columns).value).toBeCloseTo(expected, 12)
    const { y_true, y_score } = columns
    const classes = { y_true, y_score_0: y_score.map(p => 1 - p), y_score_1: y_score }
    expect(skill('multiclass', classes)).toEqual({
      value: expect.closeTo(expected, 12),
      lower: expect.closeTo(skill('binary', columns).lower!, 12),
    })
  })

  it('is for regression 1 - rmse over the deviation of the truth', () => {
    const columns = { y_true: [1e6 + 1, 1e6 + 2, 1e6 + 3, 1e6 + 5], y_pred: [1e6 + 1, 1e6 + 2, 1e6 + 4, 1e6 + 4] }
    const expected = 1 - metrics('regression', columns).metrics.rmse! / Math.sqrt(variance(columns.y_true))
    expect(skill('regression', columns).value).toBeCloseTo(expected, 12)
  })

  it('is the same for the same seed, and lies above its lower end', () => {
    const columns = sample(300, 0.9)
    expect(skill('binary', columns, { seed: 3 })).toEqual(skill('binary', columns, { seed: 3 }))
    expect(skill('binary', columns, { seed: 3 }).lower).not.toBe(skill('binary', columns, { seed: 4 }).lower)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), seed => {
        const { value, lower } = skill('binary', sample(40, 0.9, seed))
        fc.pre(value !== null)
        expect(lower!).toBeLessThan(value)
      }),
      { numRuns: 10 },
    )
  })

  it('has its lower end above zero for real skill, and below for noise in 97.5 % of cases', () => {
    expect(skill('binary', sample(400, 1)).lower).toBeGreaterThan(0)
    const passes = Array.from({ length: 40 }, (_, seed) => {
      const { next } = random(seed + 100)
      const columns = sample(100, 0.3, seed)
      return skill('binary', { ...columns, y_true: columns.y_true.map(() => (next() < 0.5 ? 1 : 0)) }).lower! > 0
    })
    expect(passes.filter(Boolean).length).toBeLessThanOrEqual(3)
  })

  it('is null where the truth has one value or a score is no probability', () => {
    const none = { value: null, lower: null }
    expect(skill('binary', { y_true: [1, 1], y_score: [0.5, 0.9] })).toEqual(none)
    expect(skill('binary', { y_true: [1, 0], y_score: [1.5, 0.9] })).toEqual(none)
    expect(skill('multiclass', { y_true: ['a', 'b'], y_score_a: [2, 0], y_score_b: [0, 1] })).toEqual(none)
    expect(skill('regression', { y_true: [2, 2], y_pred: [1, 2] })).toEqual(none)
  })
})
