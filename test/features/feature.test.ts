// The laws that every kind of feature passes, at drawn parameters and on drawn series.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTimeframe } from '../../src/base/time.ts'
import { expandFeatures, type FeatureEntry, featuresSchema, makeFeatures } from '../../src/features/catalog.ts'
import { feature, passThrough } from '../../src/features/feature.ts'
import { bits, candles, compute, computeInBlocks, mapColumns } from './series.ts'

const COLUMNS = ['time', 'open', 'high', 'low', 'close', 'volume']
const n = fc.integer({ min: 2, max: 9 })

/** kind -> its keys, drawn. */
const KINDS: Record<string, fc.Arbitrary<object>> = {
  ...Object.fromEntries(
    'sma ema wma rsi mom roc ret logret stddev_pop realvol zscore atr natr adx plus_di minus_di willr cci mfi aroon'
      .split(' ')
      .map(kind => [kind, fc.record({ n })]),
  ),
  macd: fc
    .record({ fast: n, more: fc.nat(5), signal: n })
    .map(({ more, ...keys }) => ({ ...keys, slow: keys.fast + more })),
  bb: fc.record({ n, k: fc.constantFrom(1, 2, 2.5) }),
  stoch: fc.record({ k: n, smooth: n, d: n }),
  stochf: fc.record({ k: n, d: n }),
  trange: fc.constant({}),
  obv: fc.constant({}),
  column: fc.constant({ name: 'close' }),
  expr: fc.constantFrom(
    { name: 'x', expr: 'close / lag(close, 3) - 1' },
    { name: 'x', expr: 'lag(lag(high, 2) > low and not (close == open), 1)' },
    { name: 'x', expr: 'if(volume > 1, max(log(close), sqrt(open)), -min(high, low) * 2)' },
  ),
}

/** Every output of a drawn configuration, plain or on bars of five minutes. */
const drawn = (kind: string) =>
  fc
    .tuple(KINDS[kind], fc.boolean(), fc.boolean())
    .map(([keys, higher, of]) => ({
      kind,
      ...keys,
      ...(higher && kind !== 'expr' ? { timeframe: '5m' } : {}),
      ...(of && !['expr', 'column'].includes(kind) ? { of: 'open' } : {}),
    }))
    .map(entry => {
      const entries = featuresSchema.parse([entry]) as FeatureEntry[]
      return makeFeatures(expandFeatures(entries), parseTimeframe('1m'), COLUMNS)
    })

const cuts = fc.array(fc.nat(60), { maxLength: 60 })

describe.each(Object.keys(KINDS))('%s', kind => {
  it('gives the same bits however the rows are cut into blocks', () => {
    const law = fc.property(drawn(kind), candles(60, true), cuts, (features, columns, at) => {
      for (const made of features)
        expect(bits(computeInBlocks(made, columns, at))).toEqual(bits(compute(made, columns)))
    })
    fc.assert(law, { numRuns: 25 })
  })

  it('has on a prefix the prefix of its values', () => {
    const law = fc.property(drawn(kind), candles(60, true), fc.nat(60), (features, columns, length) => {
      const prefix = mapColumns(columns, x => x.slice(0, length))
      for (const made of features)
        expect(bits(compute(made, prefix))).toEqual(bits(compute(made, columns).slice(0, length)))
    })
    fc.assert(law, { numRuns: 10 })
  })

  it('has no value in its warm-up and, on complete prices above 0, values from there on', () => {
    const law = fc.property(
      drawn(kind),
      fc.array(fc.double({ min: 1, max: 2, noNaN: true }), { minLength: 60, maxLength: 60 }),
      (features, prices) => {
        const x = Float64Array.from(prices)
        const columns = { time: x.map((_, i) => i * 60_000), open: x, high: x, low: x, close: x, volume: x }
        for (const made of features) {
          const values = compute(made, columns)
          expect(values.subarray(0, made.warmup).every(Number.isNaN)).toBe(true)
          if (!made.name.includes('@')) expect(values.subarray(made.warmup).every(Number.isFinite)).toBe(true)
        }
      },
    )
    fc.assert(law, { numRuns: 5 })
  })
})

describe('a gap', () => {
  const restarting = Object.keys(KINDS).filter(kind => kind !== 'column' && kind !== 'expr')

  it.each(restarting)('starts %s anew, as if the series began after it', kind => {
    const law = fc.property(drawn(kind), candles(30, false), candles(30, false), (features, before, after) => {
      const gap = Object.fromEntries(COLUMNS.map(name => [name, Float64Array.of(Number.NaN)]))
      const joined = Object.fromEntries(
        COLUMNS.map(name => [name, Float64Array.of(...before[name], ...gap[name], ...after[name])]),
      )
      for (const made of features.filter(({ name }) => !name.includes('@'))) {
        const expected = Float64Array.of(...compute(made, before), Number.NaN, ...compute(made, after))
        expect(bits(compute(made, joined))).toEqual(bits(expected))
      }
    })
    fc.assert(law, { numRuns: 10 })
  })

  it('is a missing or infinite value in any column that the feature reads', () => {
    const sum = feature({ name: 'sum', reads: ['a', 'b'], warmup: 0, size: 1 }, (state, [a, b], out) => {
      for (let i = 0; i < out.length; i++) out[i] = state[0] += a[i] + b[i]
    })
    const columns = {
      a: Float64Array.of(1, 1, Number.NaN, 1, 1, 1),
      b: Float64Array.of(1, 1, 1, 1, Number.NEGATIVE_INFINITY, 1),
    }
    expect([...compute(sum, columns)]).toEqual([2, 4, Number.NaN, 2, Number.NaN, 2])
  })

  it('is passed on by a column', () => {
    const x = Float64Array.of(1, Number.NaN, 3)
    expect([...compute(passThrough('x'), { x })]).toEqual([1, Number.NaN, 3])
  })
})

describe('long blocks', () => {
  it('are worked off in parts without a seam', () => {
    const x = Float64Array.from({ length: 10_000 }, (_, i) => Math.sin(i) + 2)
    const [made] = makeFeatures([{ kind: 'sma', n: 50 }], parseTimeframe('1m'), ['close'])
    expect(bits(computeInBlocks(made, { close: x }, [4095, 4097, 8192]))).toEqual(bits(compute(made, { close: x })))
  })
})
