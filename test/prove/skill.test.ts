import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { mean } from '../../src/base/statistics.ts'
import { metrics } from '../../src/prove/metrics.ts'
import { type Judged, skill } from '../../src/prove/skill.ts'

/** Rows whose truth follows the probability with the given strength; 0 is none. */
function sample(rows: number, strength: number, seed = 1): Judged {
  const { next } = random(seed)
  const p = Float64Array.from({ length: rows }, () => 0.5 + strength * (next() - 0.5))
  const label = p.map(value => (next() < value ? 1 : 0))
  const learned = Float64Array.from({ length: 100 }, (_, i) => (i < 60 ? 1 : 0))
  return { task: 'binary', classes: [0, 1], learned, label, predicted: [p.map(value => 1 - value), p] }
}

describe('skill', () => {
  it('is 1 - log_loss over that of the class frequencies in training', () => {
    const given = sample(200, 0.8)
    const loss = (y_score: ArrayLike<number>) =>
      metrics('binary', { y_true: given.label, y_score }).metrics.log_loss as number
    const guess = loss(given.label.map(() => 0.6))
    const expected = 1 - loss(given.predicted[1]) / guess
    expect(skill(given).value).toBeCloseTo(expected, 12)
    // Other label values, more classes than occur: the same rows, the same skill.
    const named = { ...given, task: 'multiclass' as const, classes: [-1, 1, 7] }
    const values = (labels: Float64Array) => labels.map(y => (y ? 1 : -1))
    const predicted = [...given.predicted, new Float64Array(200)]
    const same = { ...named, learned: values(given.learned), label: values(given.label), predicted }
    expect(skill(same)).toEqual({ value: expect.closeTo(expected, 12), lower: expect.closeTo(skill(given).lower!, 12) })
  })

  it('is for regression 1 - rmse over that of the training mean', () => {
    const label = Float64Array.of(1, 2, 3, 5)
    const predicted = [Float64Array.of(1, 2, 4, 4)]
    const learned = Float64Array.of(2, 4)
    const rmse = (y_pred: Float64Array) => metrics('regression', { y_true: label, y_pred }).metrics.rmse as number
    const { value } = skill({ task: 'regression', classes: [], learned, label, predicted })
    expect(value).toBeCloseTo(1 - rmse(predicted[0]) / rmse(label.map(() => mean(learned))), 12)
  })

  it('is the same for the same seed, and lies above its lower end', () => {
    const given = sample(300, 0.9)
    expect(skill(given, { seed: 3 })).toEqual(skill(given, { seed: 3 }))
    expect(skill(given, { seed: 3 }).lower).not.toBe(skill(given, { seed: 4 }).lower)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1000 }), seed => {
        const { value, lower } = skill(sample(40, 0.9, seed))
        expect(lower!).toBeLessThan(value!)
      }),
      { numRuns: 10 },
    )
  })

  it('has its lower end above zero for real skill, and hardly ever for noise', () => {
    expect(skill(sample(400, 1)).lower).toBeGreaterThan(0)
    const passes = Array.from({ length: 40 }, (_, seed) => {
      const { next } = random(seed + 100)
      const given = sample(100, 0.3, seed)
      const half = Float64Array.of(0, 1)
      return skill({ ...given, learned: half, label: given.label.map(() => (next() < 0.5 ? 1 : 0)) }).lower! > 0
    })
    expect(passes.filter(Boolean).length).toBeLessThanOrEqual(3)
  })

  it('is far below zero where a class comes that was called impossible, and null where there is nothing to compare', () => {
    const given = sample(50, 0.5)
    const sure = { ...given, predicted: [given.label, given.label.map(y => 1 - y)] }
    expect(skill(sure).value).toBeLessThan(-30)
    const none = { value: null, lower: null }
    expect(skill({ ...given, predicted: given.predicted.map(column => Array.from(column, p => p + 1)) })).toEqual(none)
    const flat = Float64Array.of(2, 2)
    expect(skill({ task: 'regression', classes: [], learned: flat, label: flat, predicted: [[1, 2]] })).toEqual(none)
  })
})
