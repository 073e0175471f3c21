import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { random } from '../../src/base/random.ts'
import { backtest, backtestSchema } from '../../src/prove/backtest.ts'
import { METRICS, metrics } from '../../src/prove/metrics.ts'
import { marketOf } from '../../src/prove/pool.ts'
import {
  act,
  type Candidate,
  type Contest,
  classSignals,
  select,
  selectSchema,
  signals,
  thresholdGrid,
  thresholdsSchema,
} from '../../src/prove/select.ts'
import { simulatedBars } from './series.ts'

const codeOf = (run: () => unknown) => {
  try {
    run()
  } catch (error) {
    return (error as SluiceError).code
  }
}

describe('thresholds', () => {
  it('are the decimals that were meant', () => {
    const grid = thresholdGrid(thresholdsSchema.parse({}))
    expect(grid).toEqual([0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75])
    expect(thresholdGrid({ from: 0.1, to: 0.9, steps: 9 })).toEqual([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    expect(thresholdGrid({ from: 0.5, to: 0.5, steps: 1 })).toEqual([0.5])
    expect(thresholdGrid([0.6, 0.5, 0.6])).toEqual([0.5, 0.6])
  })

  it('and what they are selected by are checked', () => {
    for (const bad of [{ from: 0.8 }, { steps: 0 }, { step: 2 }, ['a']])
      expect(thresholdsSchema.safeParse(bad).success).toBe(false)
    expect(selectSchema.safeParse({ by: 'sharp' }).error?.issues[0].message).toContain('did you mean sharpe?')
    for (const by of ['skill', 'deflated_sharpe']) expect(selectSchema.safeParse({ by }).success).toBe(false)
  })
})

describe('signals', () => {
  it('reach a threshold in float32, whichever precision the probability came in', () => {
    for (const threshold of [0.3, 0.35, 0.7, 0.75]) {
      expect([...signals(Float32Array.of(threshold), threshold)]).toEqual([1])
      expect([...signals(Float64Array.of(threshold), threshold)]).toEqual([1])
      const below = Math.fround(threshold) - 1e-7
      expect([...signals(Float32Array.of(below), threshold)]).toEqual([0])
    }
  })

  it('are short under long_short only', () => {
    const p = Float32Array.of(0.1, 0.3, 0.31, 0.69, 0.7, 0.9)
    expect([...signals(p, 0.7)]).toEqual([0, 0, 0, 0, 1, 1])
    expect([...signals(p, 0.7, 'long_short')]).toEqual([-1, -1, 0, 0, 1, 1])
    expect(codeOf(() => signals(p, 0.5, 'long_short'))).toBe('THRESHOLD')
    const returns = Float32Array.of(-0.02, -0.01, 0, 0.01)
    expect([...signals(returns, 0.01, 'long_short', 'regression')]).toEqual([-1, -1, 0, 1])
    expect([...signals(Float64Array.of(-Infinity), 0.01)]).toEqual([0])
  })

  it('refuse NaN', () => {
    expect(codeOf(() => signals(Float32Array.of(0.5, Number.NaN), 0.5))).toBe('NAN_PREDICTION')
  })

  it('never get more as the threshold rises', () => {
    const p = fc.float32Array({ min: 0, max: 1, noNaN: true, maxLength: 30 })
    const level = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(p, level, level, (values, a, b) => {
        const count = (threshold: number) => signals(values, threshold).reduce((sum, s) => sum + s, 0)
        expect(count(Math.max(a, b))).toBeLessThanOrEqual(count(Math.min(a, b)))
      }),
    )
  })
})

describe('signals of classes', () => {
  const predicted = [
    [0.5, 0.2, 0.1, 0.4],
    [0.3, 0.2, 0.2, 0.2],
    [0.2, 0.6, 0.7, 0.4],
  ].map(column => Float32Array.from(column))

  it('are the likeliest class, the first on ties, where it is likely enough', () => {
    expect([...classSignals(predicted, [-1, 0, 1], 0.4, 'long_short')]).toEqual([-1, 1, 1, -1])
    expect([...classSignals(predicted, [-1, 0, 1], 0.4)]).toEqual([0, 1, 1, 0])
    expect([...classSignals(predicted, [-1, 0, 1], 0.7, 'long_short')]).toEqual([0, 0, 1, 0])
    expect([...classSignals(predicted, [0, 1, -1], 0.3, 'long_short')]).toEqual([0, -1, -1, 0])
    expect(codeOf(() => classSignals([Float32Array.of(Number.NaN), Float32Array.of(1)], [0, 1], 0.5))).toBe(
      'NAN_PREDICTION',
    )
  })

  it('are those of the task', () => {
    const [, , p] = predicted
    expect(act({ task: 'multiclass', classes: [-1, 0, 1] }, predicted, 0.4, 'long')).toEqual(
      classSignals(predicted, [-1, 0, 1], 0.4),
    )
    expect(act({ task: 'binary', classes: [0, 1] }, [p, p], 0.6, 'long_short')).toEqual(signals(p, 0.6, 'long_short'))
    expect(act({ task: 'regression', classes: [] }, [p], 0.3, 'long_short')).toEqual(
      signals(p, 0.3, 'long_short', 'regression'),
    )
  })
})

const binary = (p: Float32Array) => [p.map(value => 1 - value), p]

describe('select', () => {
  const rows = 120
  const bars = simulatedBars(rows)
  const { next } = random(5)
  const labels = Float64Array.from({ length: rows }, () => (next() < 0.5 ? 1 : 0))
  const candidate = (id: string, bytes = 100): Candidate => ({
    id,
    kind: 'logistic',
    params: { id },
    predicted: binary(Float32Array.from({ length: rows }, next)),
    thresholds: [0.4, 0.5, 0.6],
    bytes,
  })
  const at = (thresholds: (number | null)[], list = candidates) => list.map(one => ({ ...one, thresholds }))
  const candidates = ['a', 'b', 'c'].map(id => candidate(id))
  const contest: Contest = {
    task: 'binary',
    classes: [0, 1],
    market: marketOf(bars),
    labels,
    backtest: backtestSchema.parse({ fee: 0.001 }),
    by: 'sharpe',
  }

  it('scores every combination as the backtest and the metrics do', () => {
    const { leaderboard, trialSharpes } = select(candidates, contest)
    expect(leaderboard).toHaveLength(9)
    for (const { candidate, threshold, metrics: figures } of leaderboard) {
      const [, p] = candidates.find(({ id }) => id === candidate)!.predicted
      const traded = backtest(bars, signals(p, threshold!), contest.backtest)
      const predicted = metrics('binary', { y_true: labels, y_score: p }, { threshold: Math.fround(threshold!) })
      expect(figures).toEqual({ ...traded.metrics, ...predicted.metrics })
    }
    const first = backtest(bars, signals(candidates[0].predicted[1], 0.4), contest.backtest)
    expect(trialSharpes).toHaveLength(9)
    expect(trialSharpes[0]).toBeCloseTo(first.metrics.sharpe! / Math.sqrt(365.25), 12)
  })

  it.each(['sharpe', 'max_drawdown', 'roc_auc', 'log_loss', 'f1', 'trades'])('puts the best %s first', by => {
    const { selected, leaderboard } = select(candidates, { ...contest, by })
    const values = leaderboard.map(({ value }) => value!)
    const lower = ['max_drawdown', 'log_loss'].includes(by)
    expect(selected.value).toBe(lower ? Math.min(...values) : Math.max(...values))
    expect(values).toEqual(values.toSorted((a, b) => (lower ? a - b : b - a)))
  })

  it('puts what is undefined last, and says so when nothing is defined', () => {
    const { leaderboard, selected } = select(at([0.5, 2]), contest)
    expect(selected.value).not.toBeNull()
    expect(leaderboard.slice(3).map(({ value }) => value)).toEqual([null, null, null])
    const never = select(at([2]), contest)
    expect(never.selected.value).toBeNull()
    expect(never.trialSharpes).toEqual([null, null, null])
  })

  it('breaks ties by turnover, bytes, id and threshold', () => {
    const { predicted } = candidates[0]
    const twins = [
      { ...candidate('z', 100), predicted },
      { ...candidate('b', 50), predicted },
      { ...candidate('a', 50), predicted },
    ]
    const { leaderboard } = select(twins, { ...contest, by: 'roc_auc' })
    const order = leaderboard.map(({ candidate, threshold }) => [candidate, threshold])
    const turnovers = leaderboard.map(({ metrics }) => metrics.turnover!)
    expect(turnovers).toEqual(turnovers.toSorted((a, b) => a - b))
    expect(order.slice(0, 3).map(([id]) => id)).toEqual(['a', 'b', 'z'])
    const table = select(twins, { ...contest, market: undefined, by: 'log_loss' })
    expect(table.leaderboard.slice(0, 3).map(({ candidate, threshold }) => [candidate, threshold])).toEqual([
      ['a', 0.4],
      ['a', 0.5],
      ['a', 0.6],
    ])
  })

  it('does not depend on the order of the candidates', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(candidates, { minLength: 3 }), shuffled => {
        expect(select(shuffled, contest).leaderboard).toEqual(select(candidates, contest).leaderboard)
      }),
      { numRuns: 10 },
    )
  })

  it('selects regressions, each by thresholds of its own', () => {
    const truth = Float64Array.from({ length: rows }, () => next() - 0.5)
    const guesses = candidates.map(({ id, predicted: [, p] }, i) => ({
      ...candidate(id),
      predicted: [p],
      thresholds: [0.1 * i, 0.5],
    }))
    const options = { ...contest, task: 'regression' as const, classes: [], labels: truth, by: 'rmse' }
    const { selected, leaderboard } = select(guesses, options)
    const [y_pred] = guesses.find(c => c.id === selected.candidate)!.predicted
    expect(selected.value).toBe(metrics('regression', { y_true: truth, y_pred }).metrics.rmse)
    expect(leaderboard.map(({ candidate, step }) => `${candidate}${step}`).sort()).toEqual([
      'a0',
      'a1',
      'b0',
      'b1',
      'c0',
      'c1',
    ])
    const table = select(at([null], guesses), { ...options, market: undefined })
    expect(table.selected).toMatchObject({ candidate: selected.candidate, threshold: null })
    expect(Object.keys(table.selected.metrics)).toEqual([...METRICS.regression])
    expect(table.trialSharpes).toEqual([null, null, null])
  })

  it('selects among several classes, on a market and on a table', () => {
    const classes = [-1, 0, 1]
    const truth = Float64Array.from({ length: rows }, () => Math.floor(3 * next()) - 1)
    const guesses = candidates.map(({ id, predicted: [a, b] }) => {
      const [low, high] = [a.map(p => p / 2), b.map(p => p / 2)]
      return { ...candidate(id), predicted: [low, low.map((p, i) => 1 - p - high[i]), high] }
    })
    const options = { ...contest, task: 'multiclass' as const, classes, labels: truth }
    const { selected } = select(guesses, options)
    const best = guesses.find(({ id }) => id === selected.candidate)!
    const signal = classSignals(best.predicted, classes, selected.threshold!)
    const scores = Object.fromEntries(classes.map((name, k) => [`y_score_${name}`, best.predicted[k]]))
    expect(selected.metrics).toEqual({
      ...backtest(bars, signal, contest.backtest).metrics,
      ...metrics('multiclass', { y_true: truth, ...scores }).metrics,
    })
    const table = select(at([null], guesses), { ...options, market: undefined, by: 'accuracy' })
    expect(table.leaderboard.map(({ threshold }) => threshold)).toEqual([null, null, null])
    expect(codeOf(() => select(guesses, { ...options, by: 'rmse' }))).toBe('SELECT_BY')
  })

  it('refuses what cannot be compared', () => {
    const broken = { ...candidates[0], predicted: binary(candidates[0].predicted[1].with(3, Number.NaN)) }
    expect(codeOf(() => select([broken], contest))).toBe('NAN_PREDICTION')
    expect(codeOf(() => select([{ ...broken, predicted: [new Float32Array(2)] }], contest))).toBe('LENGTH_MISMATCH')
    expect(codeOf(() => select([], contest))).toBe('NO_CANDIDATES')
    expect(codeOf(() => select(at([]), contest))).toBe('NO_CANDIDATES')
    expect(codeOf(() => select(candidates, { ...contest, market: undefined }))).toBe('SELECT_BY')
    expect(codeOf(() => select(candidates, { ...contest, by: 'rmse' }))).toBe('SELECT_BY')
  })
})
