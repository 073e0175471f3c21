import { describe, expect, it } from 'vitest'
import { withoutTest } from '../../src/prove/verdict.ts'

const chosen = { metrics: { sharpe: 0.5, trades: 30 } }
const proof = (native_node: number) => ({ parity: { native_python: 0, native_node, bound: 1e-6, rows: 30 } })

describe('without a test part', () => {
  it('holds the gates on validation, and says which fail by how much', () => {
    const gates = { 'valid.sharpe': '> 1', 'valid.trades': '>= 20', max_drawdown: '< 0.1' }
    const { pass, gates: held, explanation, test_looks } = withoutTest(chosen, proof(0), gates)
    expect({ pass, held: held.map(({ name, pass }) => [name, pass]), test_looks }).toEqual({
      pass: false,
      held: [
        ['valid.sharpe', false],
        ['valid.trades', true],
      ],
      test_looks: 0,
    })
    expect(explanation).toEqual([
      expect.stringContaining('there is no test part'),
      'valid.sharpe is 0.5, and must be > 1: 0.5 too low',
    ])
  })

  it('refuses a model that is not the same everywhere', () => {
    const { pass, explanation } = withoutTest(chosen, proof(0.1), {})
    expect(pass).toBe(false)
    expect(explanation[1]).toBe('parity is 0.1, and must be <= 0.000001: 0.1 too high')
  })
})
