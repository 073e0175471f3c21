import { describe, expect, it } from 'vitest'
import { parseTimeframe } from '../../src/base/time.ts'
import {
  defaultFeatures,
  expandFeatures,
  type FeatureEntry,
  featuresSchema,
  makeFeatures,
} from '../../src/features/catalog.ts'
import { computeFeatures } from '../../src/features/compute.ts'
import { table } from './series.ts'

const COLUMNS = ['time', 'open', 'high', 'low', 'close', 'volume']
const day = parseTimeframe('1d')

const specs = (entries: unknown) => expandFeatures(featuresSchema.parse(entries) as FeatureEntry[])
const names = (entries: unknown) => makeFeatures(specs(entries), day, COLUMNS).map(({ name }) => name)
const issues = (entries: unknown) => featuresSchema.safeParse(entries).error?.issues ?? []

describe('a config', () => {
  it('names features after their kind, parameters, series and timeframe', () => {
    expect(
      names([
        { kind: 'macd', fast: 5, slow: 10, signal: 3 },
        { kind: 'bb', n: 10, k: 2.5, output: ['upper', 'lower'] },
        { kind: 'stoch', output: 'd' },
        { kind: 'stochf' },
        { kind: 'realvol', n: 10 },
        { kind: 'stddev_pop', n: 10 },
        { kind: 'trange' },
        { kind: 'obv', timeframe: '1w' },
        { kind: 'rsi', n: 14, of: 'volume', timeframe: '1M' },
        { kind: 'column', name: 'close' },
        { kind: 'column', name: 'close', timeframe: '1w' },
        { kind: 'expr', name: 'twice', expr: '2 * close' },
      ]),
    ).toEqual([
      ...['macd_5_10_3_macd', 'macd_5_10_3_signal', 'macd_5_10_3_hist'],
      ...['bb_10_2.5_upper', 'bb_10_2.5_lower', 'stoch_14_3_3_d', 'stochf_14_3_k', 'stochf_14_3_d'],
      ...['realvol_10_sample', 'stddev_pop_10', 'trange', 'obv@1w', 'volume_rsi_14@1M', 'close', 'close@1w', 'twice'],
    ])
  })

  it('fans out over every list, the first key outermost, outputs together', () => {
    expect(names([{ kind: 'sma', n: [7, 14, 30] }])).toEqual(['sma_7', 'sma_14', 'sma_30'])
    expect(names([{ kind: 'bb', n: [5, 9], k: [1, 2], output: ['upper', 'lower'] }])).toEqual([
      ...['bb_5_1_upper', 'bb_5_1_lower', 'bb_5_2_upper', 'bb_5_2_lower'],
      ...['bb_9_1_upper', 'bb_9_1_lower', 'bb_9_2_upper', 'bb_9_2_lower'],
    ])
    expect(names([{ kind: 'mom', n: 3, of: ['close', 'volume'], timeframe: ['1d', '1w'] }])).toEqual([
      ...['mom_3@1d', 'mom_3@1w', 'volume_mom_3@1d', 'volume_mom_3@1w'],
    ])
  })

  it('gives plain specs with every default filled in', () => {
    expect(specs([{ kind: 'macd', output: 'hist' }])).toEqual([
      { kind: 'macd', fast: 12, slow: 26, signal: 9, output: 'hist' },
    ])
    expect(specs([{ kind: 'atr' }])).toEqual([{ kind: 'atr', n: 14 }])
  })

  it.each([
    [[{ kind: 'sma', n: 0 }], [0, 'n'], 'too_small'],
    [[{ kind: 'sma', m: 3 }], [0], 'unrecognized_keys'],
    [[{ kind: 'rsi' }, { kind: 'smaa' }], [1, 'kind'], 'invalid_union'],
    [[{ kind: 'macd', fast: [3, 30], slow: 26 }], [0, 'slow'], 'custom'],
    [[{ kind: 'expr', name: 'x', expr: 'close +' }], [0, 'expr'], 'custom'],
    [[{ kind: 'expr', name: 'label', expr: 'close' }], [0, 'name'], 'custom'],
    [[{ kind: 'sma', timeframe: '1y' }], [0, 'timeframe'], 'custom'],
    [[], [], 'too_small'],
  ])('refuses %j at its place', (entries, path, code) => {
    expect(issues(entries)).toMatchObject([{ path, code }])
  })
})

describe('makeFeatures', () => {
  const made = (entries: unknown) => () => names(entries)

  it('refuses two features of one name, and a feature with the name of a column', () => {
    expect(made([{ kind: 'rsi' }, { kind: 'rsi', n: 14 }])).toThrow('two features are named rsi_14')
    expect(made([{ kind: 'expr', name: 'volume', expr: 'close' }])).toThrow('volume is the name of a column')
  })
  it('refuses a name that is neither column nor feature', () => {
    expect(made([{ kind: 'sma', of: 'clsoe' }])).toThrow(
      'clsoe_sma_20 reads clsoe, which is neither a column nor a feature; did you mean close?',
    )
    expect(made([{ kind: 'column', name: 'funding' }])).toThrow('funding reads funding, which is neither')
    expect(made([{ kind: 'expr', name: 'x', expr: 'x + 1' }])).toThrow('x reads x, which is neither')
  })
  it('refuses a circle', () => {
    const circle = [
      { kind: 'expr', name: 'a', expr: 'b + 1' },
      { kind: 'expr', name: 'b', expr: 'lag(c, 1)' },
      { kind: 'expr', name: 'c', expr: 'a * 2' },
    ]
    expect(made(circle)).toThrow('features read each other in a circle: a -> b -> c -> a')
  })
  it('refuses a timeframe that the bars do not make up', () => {
    expect(made([{ kind: 'sma', timeframe: '36h' }])).toThrow('bars of 36h are not made of whole bars of 1d')
  })
  it('adds up the warm-up of what is read', () => {
    const features = makeFeatures(
      specs([
        { kind: 'rsi', n: 5, of: 'sma_20' },
        { kind: 'sma', n: 20 },
        { kind: 'expr', name: 'past', expr: 'lag(sma_20_rsi_5, 3)' },
      ]),
      day,
      COLUMNS,
    )
    expect(features.map(({ warmup }) => warmup)).toEqual([24, 19, 27])
  })
})

describe('stationary_20', () => {
  const features = makeFeatures(expandFeatures(defaultFeatures), day, COLUMNS)

  it('is what a config without features has: 20, without volume', () => {
    expect(featuresSchema.parse(undefined)).toEqual(defaultFeatures)
    expect(new Set(features.map(({ name }) => name)).size).toBe(20)
    expect(features.flatMap(({ reads }) => reads)).not.toContain('volume')
  })

  it('does not change with the unit of the price', () => {
    const open = Float64Array.from({ length: 200 }, (_, i) => 100 + 10 * Math.sin(i) + i / 10)
    const close = open.map((x, i) => x + Math.cos(3 * i))
    const bars = {
      open,
      close,
      high: close.map((x, i) => Math.max(x, open[i]) + 1),
      low: close.map((x, i) => Math.min(x, open[i]) - 1),
    }
    const scaled = Object.fromEntries(Object.entries(bars).map(([name, x]) => [name, x.map(value => value * 1024)]))
    const [a, b] = [bars, scaled].map(columns => computeFeatures(table(columns), features).columns)
    for (const [i, { name }] of features.entries()) expect(b[i], name).toEqual(a[i])
  })
})

describe('a set', () => {
  it.each([
    ['default', 20],
    ['stationary_20', 20],
    ['talib', 29],
    ['btalib', 26],
  ])('%s has its features, each of which has a value on candles', (name, count) => {
    const made = makeFeatures(specs([{ kind: 'set', name }]), day, COLUMNS)
    expect(made).toHaveLength(count)
    const wave = (base: number) => Float64Array.from({ length: 120 }, (_, i) => base + 5 * Math.sin(i / 3) + i / 10)
    const prices = { open: wave(100), high: wave(103), low: wave(97), close: wave(101), volume: wave(1000) }
    const time = Float64Array.from({ length: 120 }, (_, i) => i * 86_400_000)
    const { columns } = computeFeatures(table({ time, ...prices }), made)
    expect(columns.map(values => values.at(-1)).filter(value => !Number.isFinite(value))).toEqual([])
  })
})
