import { describe, expect, it } from 'vitest'
import type { Fit } from '../../src/learn/train.ts'
import { distance, withoutTest } from '../../src/prove/verdict.ts'

const chosen = { metrics: { sharpe: 0.5, trades: 30 } }
const proof = (native_node: number, metrics = {}) => ({
  proven: { metrics } as Fit,
  parity: { native_python: 0, native_node, bound: 1e-6, rows: 30 },
})

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

  it('refuses 8 bits that cost more than a hundredth of the loss, whatever gates the config has', () => {
    const judged = [0.01, 0.011, null].map(change => withoutTest(chosen, proof(0, { int8_loss_change: change }), {}))
    expect(judged.map(({ pass, gates }) => [pass, gates.map(({ name }) => name)])).toEqual(
      [true, false, false].map(pass => [pass, ['int8_loss_change']]),
    )
    expect(judged[1].explanation[1]).toBe(
      'int8_loss_change is 0.011, and must be <= 0.01: 0.001 too high; in 8 bits the network is another; without int8 it is what was trained',
    )
  })
})

describe('the difference of a parity', () => {
  const columns = (...values: number[][]) => values.map(column => Float32Array.from(column))

  it('is absolute up to the unit of a column, which is 1, and relative above', () => {
    expect(distance(columns([0.25, 0.5]), columns([0.25, 0.75]))).toBe(0.25)
    expect(distance(columns([512, 512]), columns([512, 516]))).toBe(4 / 512)
    expect(distance(columns([0, -64, 64]), columns([1, -64, 64]))).toBe(1)
    expect(distance(columns([0, -64, 64]), columns([1, -64, 64]), () => 50)).toBe(1 / 50)
  })

  it('is the worst of the columns, each by its own unit', () => {
    const unitOf = (column: Float32Array) => Math.max(1, ...column)
    expect(distance(columns([0, 0], [-64, 64]), columns([0.5, 0], [-64, 68]), unitOf)).toBe(0.5)
  })

  it('is infinite where a side has no value, or has another shape', () => {
    const [a, ...others] = [[1, 2], [1, Number.NaN], [1]].map(values => columns(values))
    expect([...others, columns([1, 2], [1, 2])].map(b => distance(a, b))).toEqual(Array(3).fill(Infinity))
    expect(distance(columns([1, Number.NaN]), a)).toBe(Infinity)
  })
})
