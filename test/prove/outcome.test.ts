import { describe, expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { mean } from '../../src/base/statistics.ts'
import { metrics } from '../../src/prove/metrics.ts'
import { type ClassOutcome, outcomeOf, type ValueOutcome } from '../../src/prove/outcome.ts'

const { next, normal } = random(4)
const ROWS = 500

describe('what came of predictions', () => {
  it('of classes agrees with their metrics', () => {
    const classes = [-1, 0, 1]
    const label = Float64Array.from({ length: ROWS }, () => Math.floor(3 * next()) - 1)
    const raw = classes.map(value => label.map(y => next() + (y === value ? 0.4 : 0)))
    const predicted = raw.map(column => Float32Array.from(column, (p, i) => p / raw.reduce((sum, c) => sum + c[i], 0)))
    const about = { task: 'multiclass' as const, classes, classNames: ['a', 'b', 'c'] }
    const { confusion, roc_auc, calibration } = outcomeOf(about, label, predicted, null) as ClassOutcome
    const scores = Object.fromEntries(classes.map((value, k) => [`y_score_${value}`, predicted[k]]))
    const { accuracy, roc_auc: auc } = metrics('multiclass', { y_true: label, ...scores }).metrics
    expect(confusion.flat().reduce((a, b) => a + b)).toBe(ROWS)
    expect(classes.reduce((sum, _, k) => sum + confusion[k][k], 0) / ROWS).toBe(accuracy)
    expect(mean(roc_auc as number[])).toBeCloseTo(auc!, 6)
    expect(calibration.map(({ bins }) => bins.reduce((sum, { count }) => sum + count, 0))).toEqual([ROWS, ROWS, ROWS])
  })

  it('of two classes is decided at the threshold, in float32', () => {
    const p = Float32Array.of(0.7, 0.69, 0.2, 0.9)
    const about = { task: 'binary' as const, classes: [0, 1], classNames: ['no', 'yes'] }
    const { confusion, calibration } = outcomeOf(
      about,
      Float64Array.of(1, 1, 0, 0),
      [p.map(v => 1 - v), p],
      0.7,
    ) as ClassOutcome
    expect(confusion).toEqual([
      [1, 1],
      [1, 1],
    ])
    expect(calibration.map(({ name }) => name)).toEqual(['yes'])
  })

  it('of values has a tenth of the rows in each line, and at most 1,000 points', () => {
    const about = { task: 'regression' as const, classes: [], classNames: [] }
    const label = Float64Array.from({ length: 2345 }, normal)
    const { points, tenths } = outcomeOf(
      about,
      label,
      [Float32Array.from(label, y => y + normal())],
      null,
    ) as ValueOutcome
    expect(points).toHaveLength(1000)
    expect(tenths.reduce((sum, { count }) => sum + count, 0)).toBe(2345)
    expect(tenths.map(({ predicted }) => predicted)).toEqual(
      tenths.map(({ predicted }) => predicted).sort((a, b) => a - b),
    )
    const few = outcomeOf(about, Float64Array.of(1, 2), [Float32Array.of(1, 3)], null) as ValueOutcome
    expect(few.tenths).toEqual([
      { predicted: 1, actual: 1, deviation: 0, count: 1 },
      { predicted: 3, actual: 2, deviation: 0, count: 1 },
    ])
  })
})
