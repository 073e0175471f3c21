import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { backtest, buyAndHold } from '../../src/prove/backtest.ts'
import { defaultGates, explainRefusal, gatesSchema, judge } from '../../src/prove/gate.ts'
import { excessSharpeProbability, probabilisticSharpe, shapeOf } from '../../src/prove/luck.ts'
import { simulatedBars, simulatedSignal } from './series.ts'

const DEFAULT_GATES = defaultGates({ market: true })

const good = {
  sharpe: 1.5,
  max_drawdown: 0.2,
  win_rate: 0.6,
  trades: 20,
  probabilistic_sharpe: 0.97,
  excess_sharpe_probability: 0.93,
}

describe('gatesSchema', () => {
  it.each(['1.0', '= 1', '> one', '>', '> 1 2', '> 1.0.0'])('refuses the bound %j', bound => {
    expect(gatesSchema.safeParse({ sharpe: bound }).success).toBe(false)
  })

  it('refuses an unknown name with the nearest known one', () => {
    const { error } = gatesSchema.safeParse({ sharp: '> 1', nonsense_figure: '> 1' })
    expect(error?.issues.map(({ path, message }) => [path, message])).toEqual([
      [['sharp'], 'there is no figure sharp; did you mean sharpe?'],
      [['nonsense_figure'], 'there is no figure nonsense_figure'],
    ])
  })

  it.each(['valid.skill', 'valid.excess_sharpe_probability'])('refuses %s, which no run has', name => {
    expect(gatesSchema.safeParse({ [name]: '> 0' }).success).toBe(false)
  })
})

describe('judge', () => {
  it('passes when every gate passes', () => {
    const verdict = judge({ ...good, other: null }, DEFAULT_GATES)
    expect(verdict.pass).toBe(true)
    expect(verdict.gates[0]).toEqual({
      name: 'sharpe',
      value: 1.5,
      bound: '> 1.0',
      pass: true,
      shortfall: 0,
      reason: null,
    })
  })

  it.each([
    ['> 1', 1, false],
    ['>= 1', 1, true],
    ['< 1', 1, false],
    ['<= 1', 1, true],
    ['>1e-3', 0.002, true],
    ['< -.5', -0.6, true],
    ['<= 0', -0, true],
  ])('%s of %d: %s', (bound, value, pass) => {
    expect(judge({ sharpe: value }, { sharpe: bound }).pass).toBe(pass)
  })

  it('says by how much a gate failed', () => {
    const verdict = judge({ ...good, sharpe: 0.62, max_drawdown: 0.41 }, DEFAULT_GATES)
    expect(verdict.pass).toBe(false)
    expect(verdict.gates.slice(0, 2)).toEqual([
      expect.objectContaining({
        pass: false,
        shortfall: expect.closeTo(0.38, 12),
        reason: 'sharpe is 0.62, and must be > 1.0: 0.38 too low',
      }),
      expect.objectContaining({
        pass: false,
        shortfall: expect.closeTo(0.11, 12),
        reason: 'max_drawdown is 0.41, and must be < 0.30: 0.11 too high',
      }),
    ])
    expect(judge({ sharpe: 1 }, { sharpe: '> 1' }).gates[0]).toMatchObject({
      shortfall: 0,
      reason: 'sharpe is exactly 1, and must be > 1',
    })
  })

  it('fails what is undefined', () => {
    for (const value of [null, Number.NaN])
      expect(judge({ sharpe: value }, { sharpe: '> -1000' })).toEqual({
        pass: false,
        gates: [
          {
            name: 'sharpe',
            value: null,
            bound: '> -1000',
            pass: false,
            shortfall: null,
            reason: 'sharpe is undefined, and must be > -1000',
          },
        ],
      })
  })

  it('refuses a gate on a figure that this run does not have, and a bound that is none', () => {
    const codeOf = (run: () => unknown) => {
      try {
        run()
      } catch (error) {
        return [(error as SluiceError).code, (error as SluiceError).message]
      }
    }
    expect(codeOf(() => judge(good, { rmse: '< 1' }))).toEqual(['UNKNOWN_GATE', 'there is no figure rmse'])
    expect(codeOf(() => judge(good, { toString: '< 1' }))?.[0]).toBe('UNKNOWN_GATE')
    expect(codeOf(() => judge(good, { sharpe: 'high' }))?.[0]).toBe('BAD_BOUND')
  })

  it('agrees with the comparison it names', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.integer({ min: -5, max: 5 }), (value, limit) => {
        const passes = (operator: string) => judge({ sharpe: value }, { sharpe: `${operator} ${limit}` }).pass
        expect(passes('>')).toBe(!passes('<='))
        expect(passes('<')).toBe(!passes('>='))
        expect(passes('>')).toBe(value > limit)
      }),
    )
  })
})

describe('explainRefusal', () => {
  const returns = Float64Array.from({ length: 250 }, (_, t) => 0.001 + 0.01 * Math.sin(t * t))
  const evidence = { returns, trades: 20, periodsPerYear: 252 }
  const explain = (values: Record<string, number | null>, gates: Record<string, string>, more = {}) =>
    explainRefusal(judge(values, gates), { ...evidence, ...more })

  it('is silent about gates that pass', () => {
    expect(explain(good, DEFAULT_GATES)).toEqual([])
  })

  it.each([
    ['sharpe', 0.5, '> 1.0', 'it would pass with 2 times the mean return at the same volatility'],
    ['sharpe', -0.5, '> 1.0', 'the mean return is not above zero'],
    ['max_drawdown', 0.4, '< 0.30', 'equity must never stand more than 30 % below its peak'],
    ['win_rate', 0.45, '> 0.50', '9 of 20 trades won, and 11 would have to'],
    ['win_rate', 0.45, '>= 0.50', '9 of 20 trades won, and 10 would have to'],
    ['win_rate', 0.5, '> 0.55', '10 of 20 trades won, and 12 would have to'],
    ['win_rate', 0.5, '>= 0.55', '10 of 20 trades won, and 11 would have to'],
    ['trades', 20, '>= 50', 'at this rate it takes about 625 bars, and there were 250'],
    ['trades', 0, '>= 50', 'there was no trade in 250 bars'],
    ['excess_sharpe_probability', 0.5, '> 0.9', 'the returns must beat holding the market at the same mean exposure'],
  ])('%s %d %s', (name, value, bound, remedy) => {
    expect(explain({ [name]: value }, { [name]: bound })[0]).toContain(remedy)
  })

  it('says which Sharpe these bars need, and how many bars this Sharpe needs', () => {
    const value = probabilisticSharpe(returns)!
    const [line] = explain({ probabilistic_sharpe: value }, { probabilistic_sharpe: '> 0.999' })
    const [, needed, shown, bars] = /need a Sharpe of (\S+) a year, and show (\S+); at that Sharpe it takes (\d+) bars/
      .exec(line)!
      .map(Number)
    expect(shown).toBeCloseTo(shapeOf(returns)!.sharpe * Math.sqrt(252), 1)
    expect(needed).toBeGreaterThan(shown)
    expect(bars).toBeGreaterThan(250)
    const losing = explain(
      { probabilistic_sharpe: 0.1 },
      { probabilistic_sharpe: '> 0.95' },
      { returns: returns.map(r => -r) },
    )
    expect(losing[0]).toMatch(/and show -\S+$/)
    const flat = explain({ probabilistic_sharpe: 0.1 }, { probabilistic_sharpe: '> 0.95' }, { returns: [0, 0] })
    expect(flat[0]).toContain('higher Sharpe, or longer')
  })

  it('says why a figure is undefined', () => {
    const lines = (name: string, more = {}) => explain({ [name]: null }, { [name]: '> 0' }, more)[0]
    expect(lines('sharpe', { trades: 0 })).toBe('sharpe is undefined, and must be > 0; there was no trade in 250 bars')
    expect(lines('profit_factor')).toContain('no trade lost')
    expect(lines('excess_sharpe_probability')).toContain('do not differ from holding the market')
    expect(lines('sortino')).toContain('docs/gates.md')
    expect(lines('roc_auc', { trades: 0 })).not.toContain('no trade')
  })

  it('says what a skill that is too low would take, of which no trade can tell', () => {
    const verdict = judge({ skill: -0.1 }, { skill: '> 0' })
    expect(explainRefusal(verdict)).toEqual([expect.stringContaining('0.1 too low; the predictions must beat a guess')])
  })

  it('knows of the test part only, and may know of none', () => {
    for (const name of ['valid.sharpe', 'deflated_sharpe'])
      expect(explain({ [name]: null }, { [name]: '> 0' }, { trades: 0 })).toEqual([
        `${name} is undefined, and must be > 0`,
      ])
    expect(explainRefusal(judge({ 'valid.sharpe': 0.5 }, { 'valid.sharpe': '> 1' }))).toEqual([
      'valid.sharpe is 0.5, and must be > 1: 0.5 too low',
    ])
  })

  it('adds nothing where the bound is on the other side, or the name has no more to say', () => {
    expect(explain({ trades: 20 }, { trades: '< 10' })).toEqual(['trades is 20, and must be < 10: 10 too high'])
    expect(explain({ mcc: 0.1 }, { mcc: '> 0.2' })).toEqual(['mcc is 0.1, and must be > 0.2: 0.1 too low'])
  })
})

describe('the default gates', () => {
  it('let hardly any position without skill pass', () => {
    const passed = Array.from({ length: 150 }, (_, seed) => {
      const bars = simulatedBars(331, seed)
      const { metrics, returns, meanPosition } = backtest(bars, simulatedSignal(331, seed + 1000), { fee: 0.0005 })
      const market = buyAndHold(bars, { fee: 0.0005 }).returns
      const excess = excessSharpeProbability(returns, market, meanPosition)
      return judge({ ...metrics, excess_sharpe_probability: excess }, DEFAULT_GATES).pass
    })
    expect(passed.filter(Boolean).length).toBeLessThanOrEqual(2)
  })
})
