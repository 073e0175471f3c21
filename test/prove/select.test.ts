import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { random } from '../../src/base/random.ts'
import { backtest, backtestSchema } from '../../src/prove/backtest.ts'
import { metrics } from '../../src/prove/metrics.ts'
import {
  type Candidate,
  type Contest,
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
    for (const bad of [{ from: 0.8 }, { steps: 0 }, { step: 2 }, [], ['a']])
      expect(thresholdsSchema.safeParse(bad).success).toBe(false)
    expect(selectSchema.parse({})).toEqual({ by: 'sharpe' })
    expect(selectSchema.safeParse({ by: 'sharp' }).error?.issues[0].message).toContain('did you mean sharpe?')
    for (const by of ['rmse', 'skill', 'deflated_sharpe']) expect(selectSchema.safeParse({ by }).success).toBe(false)
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

describe('select', () => {
  const rows = 120
  const bars = simulatedBars(rows)
  const { next } = random(5)
  const labels = Array.from({ length: rows }, () => (next() < 0.5 ? 1 : 0))
  const candidate = (id: string, bytes = 100): Candidate => ({
    id,
    kind: 'logistic',
    params: { id },
    p: Float32Array.from({ length: rows }, next),
    bytes,
  })
  const candidates = ['a', 'b', 'c'].map(id => candidate(id))
  const contest: Contest = {
    bars,
    labels,
    thresholds: [0.4, 0.5, 0.6],
    backtest: backtestSchema.parse({ fee: 0.001 }),
    by: 'sharpe',
  }

  it('scores every combination as the backtest and the metrics do', () => {
    const { leaderboard, trialSharpes } = select(candidates, contest)
    expect(leaderboard).toHaveLength(9)
    for (const { candidate, threshold, metrics: figures } of leaderboard) {
      const { p } = candidates.find(({ id }) => id === candidate)!
      const traded = backtest(bars, signals(p, threshold), contest.backtest)
      const predicted = metrics('binary', { y_true: labels, y_score: p }, { threshold: Math.fround(threshold) })
      expect(figures).toEqual({ ...traded.metrics, ...predicted.metrics })
    }
    const first = backtest(bars, signals(candidates[0].p, 0.4), contest.backtest)
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
    const { leaderboard, selected } = select(candidates, { ...contest, thresholds: [0.5, 2] })
    expect(selected.value).not.toBeNull()
    expect(leaderboard.slice(3).map(({ value }) => value)).toEqual([null, null, null])
    const never = select(candidates, { ...contest, thresholds: [2] })
    expect(never.selected.value).toBeNull()
    expect(never.trialSharpes).toEqual([null, null, null])
  })

  it('breaks ties by turnover, bytes, id and threshold', () => {
    const { p } = candidates[0]
    const twins = [
      { ...candidate('z', 100), p },
      { ...candidate('b', 50), p },
      { ...candidate('a', 50), p },
    ]
    const { leaderboard } = select(twins, { ...contest, by: 'roc_auc' })
    const order = leaderboard.map(({ candidate, threshold }) => [candidate, threshold])
    const turnovers = leaderboard.map(({ metrics }) => metrics.turnover!)
    expect(turnovers).toEqual(turnovers.toSorted((a, b) => a - b))
    expect(order.slice(0, 3).map(([id]) => id)).toEqual(['a', 'b', 'z'])
    const table = select(twins, { ...contest, bars: undefined, by: 'log_loss' })
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

  it('selects regressions and tables too', () => {
    const truth = Array.from({ length: rows }, () => next() - 0.5)
    const options = { ...contest, labels: truth, task: 'regression' as const, by: 'rmse' }
    const { selected } = select(candidates, options)
    const expected = metrics('regression', {
      y_true: truth,
      y_pred: candidates.find(c => c.id === selected.candidate)!.p,
    })
    expect(selected.value).toBe(expected.metrics.rmse)
    const table = select(candidates, { ...options, bars: undefined, thresholds: [0] })
    expect(table.selected.candidate).toBe(selected.candidate)
    expect(table.trialSharpes).toEqual([null, null, null])
  })

  it('refuses what cannot be compared', () => {
    const broken = { ...candidates[0], p: candidates[0].p.with(3, Number.NaN) }
    expect(codeOf(() => select([broken], contest))).toBe('NAN_PREDICTION')
    expect(codeOf(() => select([{ ...broken, p: new Float32Array(2) }], contest))).toBe('LENGTH_MISMATCH')
    expect(codeOf(() => select([], contest))).toBe('NO_CANDIDATES')
    expect(codeOf(() => select(candidates, { ...contest, thresholds: [] }))).toBe('NO_CANDIDATES')
    expect(codeOf(() => select(candidates, { ...contest, bars: undefined }))).toBe('SELECT_BY')
    expect(codeOf(() => select(candidates, { ...contest, by: 'rmse' }))).toBe('SELECT_BY')
  })
})
