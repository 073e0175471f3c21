import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sliceRows, type Table } from '../../src/base/table.ts'
import { parseTimeframe } from '../../src/base/time.ts'
import { defaultFeatures, expandFeatures, type FeatureSpec, makeFeatures } from '../../src/features/catalog.ts'
import { computeFeatures } from '../../src/features/compute.ts'
import { bits, candles, table } from './series.ts'

const COLUMNS = ['time', 'open', 'high', 'low', 'close', 'volume']
const day = parseTimeframe('1d')
const features = makeFeatures(
  [
    { kind: 'expr', name: 'ratio', expr: 'close / sma_3 - lag(ema_4, 1)' }, // before what it reads
    ...expandFeatures(defaultFeatures),
    { kind: 'sma', n: 3 },
    { kind: 'ema', n: 4 },
    { kind: 'column', name: 'close' },
    { kind: 'rsi', n: 3, of: 'sma_3' },
  ],
  day,
  COLUMNS,
)

/** Rows of both tables by turns, as a table of two symbols. */
function interleave(a: Table, b: Table): Table {
  const rows = Math.min(a.rows, b.rows)
  const symbol = Array.from({ length: 2 * rows }, (_, i) => 'ab'[i % 2])
  const columns = a.columns.map(({ name, type, values }, c) => ({
    name,
    type,
    values: Float64Array.from(symbol, (s, i) => (s === 'a' ? values : b.columns[c].values)[i >> 1] as number),
  }))
  return { rows: 2 * rows, columns: [...columns, { name: 'symbol', type: 'string', values: symbol }] }
}

describe('computeFeatures', () => {
  it('computes each after those it reads, in config order', () => {
    const close = Float64Array.of(1, 2, 3, 4, 5, 6)
    const { columns } = computeFeatures(
      table({ open: close, high: close, low: close, close, volume: close, time: close }),
      features,
    )
    const named = new Map(features.map(({ name }, i) => [name, columns[i]]))
    expect([...named.get('sma_3')!]).toEqual([Number.NaN, Number.NaN, 2, 3, 4, 5])
    expect([...named.get('sma_3_rsi_3')!]).toEqual([...Array(5).fill(Number.NaN), 100])
    expect(named.get('ratio')!.at(-1)).toBeCloseTo(6 / 5 - 3.5, 12)
    expect(columns[0]).toBe(named.get('ratio'))
    expect([...named.get('close')!]).toEqual([...close])
  })

  it('shares only steps that are the same, whatever a feature of the user is called', () => {
    const specs: FeatureSpec[] = [
      { kind: 'stoch', k: 2, smooth: 3, d: 1, output: 'k' },
      { kind: 'expr', name: 'position_2', expr: 'volume * 2' },
      { kind: 'sma', n: 3, of: 'position_2' },
    ]
    const close = Float64Array.of(1, 2, 3, 4, 5, 6)
    const candles = table({ open: close, high: close, low: close, close, volume: close, time: close })
    const [, , mean] = computeFeatures(candles, makeFeatures(specs, day, COLUMNS)).columns
    expect([...mean].slice(2)).toEqual([4, 6, 8, 10])
  })

  it('goes on from a snapshot as if it had never stopped, and leaves the snapshot as it was', () => {
    const law = fc.property(candles(40, false), fc.nat(40), (drawn, at) => {
      const whole = table(drawn)
      const cut = Math.min(at, whole.rows)
      const first = computeFeatures(sliceRows(whole, 0, cut), features)
      const kept = structuredClone(first.snapshots)
      const second = computeFeatures(sliceRows(whole, cut, whole.rows), features, first.snapshots)
      const all = computeFeatures(whole, features)
      expect(first.snapshots).toEqual(kept)
      expect(second.snapshots).toEqual(all.snapshots)
      for (const [i, column] of all.columns.entries())
        expect(bits(Float64Array.of(...first.columns[i], ...second.columns[i]))).toEqual(bits(column))
    })
    fc.assert(law, { numRuns: 20 })
  })

  it('keeps symbols apart', () => {
    const law = fc.property(candles(30, false), candles(30, false), (a, b) => {
      const both = interleave(table(a), table(b))
      const rows = both.rows / 2
      const { columns, snapshots } = computeFeatures(both, features)
      expect([...snapshots.keys()].sort()).toEqual(['a', 'b'])
      for (const [offset, alone] of [a, b].entries()) {
        const expected = computeFeatures(sliceRows(table(alone), 0, rows), features).columns
        for (const [i, column] of columns.entries())
          expect(bits(column.filter((_, row) => row % 2 === offset))).toEqual(bits(expected[i]))
      }
    })
    fc.assert(law, { numRuns: 15 })
  })

  it('hands on the snapshot of a symbol without new rows', () => {
    const before = computeFeatures(interleave(table(tiny(1)), table(tiny(2))), features).snapshots
    const { rows, columns } = table(tiny(3))
    const more: Table = { rows, columns: [...columns, { name: 'symbol', type: 'string', values: ['a', 'a'] }] }
    const after = computeFeatures(more, features, before).snapshots
    expect(after.get('b')).toEqual(before.get('b'))
    expect(after.get('a')).not.toEqual(before.get('a'))
  })
})

const tiny = (price: number) => Object.fromEntries(COLUMNS.map(name => [name, Float64Array.of(price, price + 1)]))
