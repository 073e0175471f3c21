import { describe, expect, it } from 'vitest'
import { gateNames, partFigures } from '../../src/prove/figures.ts'
import { thresholdGrid } from '../../src/prove/select.ts'
import { completeTerms, misfits } from '../../src/prove/terms.ts'

const TASKS = ['binary', 'multiclass', 'regression'] as const

describe('what a config does not say', () => {
  it('goes by task and market', () => {
    const terms = (task: (typeof TASKS)[number], market: boolean) => {
      const { thresholds, select, gates } = completeTerms({ select: {} }, { task, market })
      return [thresholdGrid(thresholds).length, select.by, Object.keys(gates).length]
    }
    expect(TASKS.map(task => terms(task, true))).toEqual([
      [10, 'sharpe', 6],
      [10, 'sharpe', 6],
      [10, 'sharpe', 6],
    ])
    expect(TASKS.map(task => terms(task, false))).toEqual([
      [1, 'log_loss', 1],
      [0, 'log_loss', 1],
      [0, 'rmse', 1],
    ])
  })

  it('is allowed', () => {
    for (const task of TASKS)
      for (const market of [true, false]) {
        const scope = { task, market }
        const terms = completeTerms({ select: {} }, scope)
        expect(misfits({ select: {} }, scope, 'long')).toEqual([])
        expect(misfits(terms, scope, 'long')).toEqual([])
        expect(partFigures(scope)).toContain(terms.select.by)
        expect(gateNames(scope)).toEqual(expect.arrayContaining(Object.keys(terms.gates)))
      }
  })

  it('is not added to what it says', () => {
    const asked = { thresholds: [0.7], select: { by: 'f1' }, gates: {} }
    expect(completeTerms(asked, { task: 'binary', market: true })).toEqual(asked)
  })
})

describe('what a config may not ask', () => {
  const asked = (more: object, task: (typeof TASKS)[number], market: boolean, mode: 'long' | 'long_short' = 'long') =>
    misfits({ select: {}, ...more }, { task, market }, mode).map(({ path, message }) => `${path.join('.')}: ${message}`)

  it('are figures of another task, or of a backtest that a table does not have', () => {
    expect(asked({ select: { by: 'rmse' } }, 'binary', true)).toEqual(['select.by: rmse is no figure of a binary task'])
    expect(asked({ select: { by: 'sharpe' } }, 'regression', false)[0]).toMatch(
      /^select\.by: sharpe .* has no backtest/,
    )
    const gates = { sharpe: '> 1', skill: '> 0', 'valid.r2': '> 0', 'valid.log_loss': '< 1', deflated_sharpe: '> 0' }
    expect(asked({ gates }, 'multiclass', false).map(line => line.split(':')[0])).toEqual([
      'gates.sharpe',
      'gates.valid.r2',
      'gates.deflated_sharpe',
    ])
    expect(asked({ gates }, 'regression', true).map(line => line.split(':')[0])).toEqual([
      'gates.skill',
      'gates.valid.log_loss',
    ])
  })

  it.each([
    [[], 'binary', true, /at least one/],
    [[0.5], 'multiclass', false, /decides nothing/],
    [[0.5], 'regression', false, /decides nothing/],
    [[0.5, 1.5], 'multiclass', true, /between 0 and 1, and 1.5/],
    [{ from: 0.5, to: 1.5, steps: 3, quantiles: true }, 'regression', true, /quantile lies between 0 and 1/],
    [{ from: 0.5, to: 0.9, steps: 3, quantiles: true }, 'binary', true, /need a regression/],
  ] as const)('thresholds %j of %s (market %s)', (thresholds, task, market, message) => {
    expect(asked({ thresholds }, task, market)).toEqual([expect.stringMatching(message)])
  })

  it('are two-sided thresholds that overlap, of two classes alone', () => {
    expect(asked({}, 'binary', true, 'long_short')[0]).toMatch(/must exceed 0.5, and 0.3/)
    expect(asked({}, 'multiclass', true, 'long_short')).toEqual([])
    expect(asked({ thresholds: [-0.01, 3] }, 'regression', true, 'long_short')).toEqual([])
  })
})
