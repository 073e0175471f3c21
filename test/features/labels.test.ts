import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Column, Table } from '../../src/base/table.ts'
import { computeLabel, type LabelConfig, labelSchema } from '../../src/features/labels.ts'
import { describeShared, shared } from '../shared.ts'
import { readColumns, table } from './series.ts'

const label = (close: number[], spec: LabelConfig) => [
  ...computeLabel(table({ close: Float64Array.from(close) }), spec).values,
]
const NONE = Number.NaN

describeShared('labels of the S&P 500', () => {
  it('equal the references on every row that has one, 1e-12', async () => {
    const [{ close }, expected] = await Promise.all([
      readColumns(shared('candles/sp500_1d_2000_2020.csv')),
      readColumns(shared('labels/sp500_1d_2000_2020_labels.csv')),
    ])
    const references: [string, LabelConfig][] = [
      ['fwd_ret_1', { kind: 'forward_return', horizon: 1 }],
      ['fwd_ret_5', { kind: 'forward_return', horizon: 5 }],
      ['fwd_up_1', { kind: 'direction', horizon: 1 }],
      ['fwd_up_5', { kind: 'direction', horizon: 5 }],
      ['label_touch_1pct_within_5_inclusive', { kind: 'touch', horizon: 5, threshold: 0.01 }],
      ['triple_barrier_2pct_10', { kind: 'triple_barrier', horizon: 10, up: 0.02, down: 0.02 }],
    ]
    for (const [name, spec] of references) {
      const { values, horizon } = computeLabel(table({ close }), spec)
      const rows = close.length - horizon
      expect(values.subarray(rows).every(Number.isNaN)).toBe(true)
      const errors = values.subarray(0, rows).map((value, t) => Math.abs(value - expected[name][t]))
      expect(
        errors.every(error => error < 1e-12),
        name,
      ).toBe(true) // a NaN on either side fails too
    }
  })
})

describe('touch', () => {
  const spec: LabelConfig = { kind: 'touch', horizon: 2, threshold: 0.5 }
  it('counts the h-th row and the threshold itself, not the row itself', () => {
    expect(label([2, 2, 3, 2, 2], spec)).toEqual([1, 1, 0, NONE, NONE])
    expect(label([3, 2, 2, 2.9], spec)).toEqual([0, 0, NONE, NONE])
  })
  it('equals the maximum written out', () => {
    const prices = fc.array(fc.integer({ min: 8, max: 12 }), { minLength: 1, maxLength: 30 })
    const law = fc.property(
      prices,
      fc.integer({ min: 1, max: 6 }),
      fc.constantFrom(0.1, 0.25),
      (close, horizon, threshold) => {
        const expected = close.map((now, t) =>
          t + horizon < close.length
            ? Number(Math.max(...close.slice(t + 1, t + horizon + 1)) >= now * (1 + threshold))
            : NONE,
        )
        expect(label(close, { kind: 'touch', horizon, threshold })).toEqual(expected)
      },
    )
    fc.assert(law)
  })
})

describe('triple barrier', () => {
  const spec: LabelConfig = { kind: 'triple_barrier', horizon: 3, up: 0.5, down: 0.25 }
  it('is the barrier reached first, 0 for none', () => {
    expect(label([4, 6, 1, 1], spec)).toEqual([1, NONE, NONE, NONE])
    expect(label([4, 3, 9, 9], spec)).toEqual([-1, NONE, NONE, NONE])
    expect(label([4, 5, 4, 3.1], spec)).toEqual([0, NONE, NONE, NONE])
  })
})

describe('a price that is missing', () => {
  const close = [1, 2, NONE, 2, 3, 4, 5]
  it('leaves no label to the rows that look at it', () => {
    expect(label(close, { kind: 'touch', horizon: 2, threshold: 0.1 })).toEqual([NONE, NONE, NONE, 1, 1, NONE, NONE])
    expect(label(close, { kind: 'direction', horizon: 1 })).toEqual([1, NONE, NONE, 1, 1, 1, NONE])
    expect(label(close, { kind: 'forward_return', horizon: 1 })).toEqual([1, NONE, NONE, 0.5, 4 / 3 - 1, 0.25, NONE])
    expect(label(close, { kind: 'triple_barrier', horizon: 2, up: 0.9, down: 0.9 })).toEqual(
      [1, NONE, NONE, 1, 0, NONE, NONE].map((x, i) => (i === 3 ? 1 : x)),
    )
  })
  it('or that is 0 has no return', () => {
    expect(label([0, 1], { kind: 'forward_return', horizon: 1 })).toEqual([NONE, NONE])
  })
})

describe('symbols', () => {
  it('look ahead in their own rows only', () => {
    const close = Float64Array.of(1, 10, 2, 5, 3, 1)
    const both = table({ close })
    both.columns.push({ name: 'symbol', type: 'string', values: ['a', 'b', 'a', 'b', 'a', 'b'] })
    expect([...computeLabel(both, { kind: 'direction', horizon: 1 }).values]).toEqual([1, 0, 1, 0, NONE, NONE])
  })
})

describe('a column', () => {
  const columns = { target: Float64Array.of(1, 0, 1, 0), close: new Float64Array(4) }
  it('has no label where its rows ahead are missing, whatever stands there', () => {
    expect([...computeLabel(table(columns), { kind: 'column', name: 'target', horizon: 2 }).values]).toEqual([
      1,
      0,
      NONE,
      NONE,
    ])
  })
  it('that does not exist or holds text is refused', () => {
    expect(() => computeLabel(table(columns), { kind: 'column', name: 'y', horizon: 1 })).toThrow('no column y')
  })
})

describe('a column of a table without time', () => {
  const given = (values: Column['values'], type: Column['type']): Table => ({
    rows: values.length,
    columns: [{ name: 'y', type, values }],
  })
  const spec: LabelConfig = { kind: 'column', name: 'y' }

  it('is the label of its own row; what is not finite is none', () => {
    const { values, horizon, words } = computeLabel(given(Float64Array.of(3, NONE, Infinity, -1), 'number'), spec)
    expect([[...values], horizon, words]).toEqual([[3, NONE, NONE, -1], 0, null])
  })

  it('of words has their places in order', () => {
    const { values, words } = computeLabel(given(['no', 'yes', null, 'Yes', 'no'], 'string'), spec)
    expect([[...values], words]).toEqual([
      [1, 2, NONE, 0, 1],
      ['Yes', 'no', 'yes'],
    ])
  })
})

it('a horizon longer than the data leaves no label', () => {
  expect(label([1, 2, 3], { kind: 'direction', horizon: 5 })).toEqual([NONE, NONE, NONE])
})

it.each([
  [{ kind: 'touch', horizon: 5 }, ['threshold']],
  [{ kind: 'column', name: 'y', horizon: 0 }, ['horizon']],
  [{ kind: 'touch', horizon: 0, threshold: 0.01 }, ['horizon']],
  [{ kind: 'triple_barrier', horizon: 5, up: 0.1, down: 1 }, ['down']],
  [{ kind: 'rise', horizon: 5 }, ['kind']],
])('%j is refused at its place', (spec, path) => {
  expect(labelSchema.safeParse(spec).error?.issues).toMatchObject([{ path }])
})
