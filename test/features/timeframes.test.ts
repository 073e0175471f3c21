import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { numbers, strings, type Table } from '../../src/base/table.ts'
import { barClose, barOpen, parseTimeframe } from '../../src/base/time.ts'
import { passThrough } from '../../src/features/feature.ts'
import { rsi, sma } from '../../src/features/indicators.ts'
import { atTimeframe, resample } from '../../src/features/timeframes.ts'
import { describeShared, shared } from '../shared.ts'
import { type Columns, compute, readColumns, table, worst } from './series.ts'

const MINUTE = 60_000
const file = 'btcusdt_1m_2021_02_week'
const frame = parseTimeframe

describeShared('a week of minutes', () => {
  let week: Columns
  beforeAll(async () => {
    const { open_time: time, ...values } = await readColumns(shared(`candles/${file}.csv`))
    week = { time, ...values }
  })

  it.each(['5m', '15m', '1h', '4h', '1d'])('makes the bars of %s', async higher => {
    const { open_time: opens, ...expected } = await readColumns(shared(`mtf/${file}_to_${higher}.csv`))
    const bars = resample(table(week), frame('1m'), frame(higher))
    expect(numbers(bars, 'time')).toEqual(opens)
    // prices are exact; a volume is a sum, and printed with 6 decimals
    for (const [name, values] of Object.entries(expected))
      expect(worst(numbers(bars, name), values), name).toBeLessThanOrEqual(name === 'volume' ? 1e-12 : 0)
  })

  it('sees the hourly RSI as soon as its bar is closed, on every row', async () => {
    const { rsi_14_1h: expected } = await readColumns(shared(`mtf/${file}_rsi14_1h_asof.csv`))
    const got = compute(atTimeframe(rsi({ n: 14 }), frame('1m'), frame('1h')), week)
    expect(got).toHaveLength(10_080)
    expect(worst(got, expected)).toBeLessThan(1e-9)
  })
})

/** Minutes of which some are missing, the first at any time of day. */
const minutes = fc
  .tuple(
    fc.nat(5000),
    fc.array(fc.tuple(fc.constantFrom(1, 1, 1, 2, 3, 40), fc.integer({ min: 1, max: 9 })), {
      minLength: 1,
      maxLength: 80,
    }),
  )
  .map(([start, rows]): Columns => {
    let minute = start
    const time = Float64Array.from(rows, ([step]) => (minute += step) * MINUTE)
    const close = Float64Array.from(rows, ([, price]) => price)
    return { time, close, high: close.map(x => x + 1), low: close.map(x => x - 1), open: close, volume: close }
  })

/** The bars closed at the end of a row, from all rows up to it: the definition, row by row. */
function closedBars({ time, close }: Columns, row: number, base: string, higher: string): number[][] {
  const now = barClose(time[row], frame(base))
  const periods = new Map<number, number[]>()
  for (let i = 0; i <= row; i++) {
    const open = barOpen(time[i], frame(higher))
    periods.set(open, [...(periods.get(open) ?? []), close[i]])
  }
  return [...periods].filter(([open]) => barClose(open, frame(higher)) <= now).map(([, bar]) => bar)
}

describe('with missing minutes', () => {
  it('a row sees the newest bar that is closed at its end', () => {
    const law = fc.property(minutes, fc.constantFrom('1m', '5m', '15m'), (columns, higher) => {
      const values = compute(atTimeframe(sma({ n: 2 }), frame('1m'), frame(higher)), columns)
      for (let row = 0; row < values.length; row++) {
        const [before, newest] = closedBars(columns, row, '1m', higher)
          .slice(-2)
          .map(bar => bar.at(-1)!)
        expect(values[row]).toEqual(newest === undefined ? Number.NaN : (before + newest) / 2)
      }
    })
    fc.assert(law, { numRuns: 60 })
  })

  it.each([
    ['open', (bar: number[]) => bar[0]],
    ['high', (bar: number[]) => Math.max(...bar) + 1],
    ['low', (bar: number[]) => Math.min(...bar) - 1],
    ['close', (bar: number[]) => bar.at(-1)],
    ['volume', (bar: number[]) => bar.reduce((a, b) => a + b)],
  ])('a bar has its %s', (name, meaning) => {
    const law = fc.property(minutes, columns => {
      const values = compute(atTimeframe(passThrough(name), frame('1m'), frame('5m')), columns)
      for (let row = 0; row < values.length; row++) {
        const newest = closedBars(columns, row, '1m', '5m').at(-1)
        expect(values[row]).toEqual(newest ? meaning(newest) : Number.NaN)
      }
    })
    fc.assert(law, { numRuns: 25 })
  })

  it('a bar is closed by a row of a later one', () => {
    const close = Float64Array.of(1, 2, 3)
    const time = Float64Array.of(0, 5 * MINUTE, 9 * MINUTE)
    expect([...compute(atTimeframe(passThrough('close'), frame('1m'), frame('5m')), { time, close })]).toEqual([
      Number.NaN,
      1,
      3,
    ])
  })

  it('rows of a bar that is closed already change nothing', () => {
    const time = Float64Array.of(0, 4.5, 4.8, 9, 10).map(minute => minute * MINUTE) // bars that straddle
    const close = Float64Array.of(1, 2, 9, 3, 4)
    expect([...compute(atTimeframe(passThrough('close'), frame('1m'), frame('5m')), { time, close })]).toEqual([
      Number.NaN,
      2,
      2,
      3,
      3,
    ])
  })
})

describe('time of a higher bar', () => {
  it('is its opening', () => {
    const time = Float64Array.of(7, 8, 9, 10).map(minute => minute * MINUTE)
    const values = compute(atTimeframe(passThrough('time'), frame('1m'), frame('5m')), { time })
    expect([...values]).toEqual([Number.NaN, Number.NaN, 5 * MINUTE, 5 * MINUTE])
  })
  it('of months is the first, of weeks Monday', () => {
    const time = Float64Array.from({ length: 70 }, (_, i) => Date.UTC(2024, 0, 1 + i))
    const opens = (higher: string) =>
      [...numbers(resample(table({ time }), frame('1d'), frame(higher)), 'time')].map(t =>
        new Date(t).toISOString().slice(0, 10),
      )
    expect(opens('1M')).toEqual(['2024-01-01', '2024-02-01'])
    expect(opens('1w').slice(0, 3)).toEqual(['2024-01-01', '2024-01-08', '2024-01-15'])
  })
})

describe('resample', () => {
  it('keeps symbols apart and sorts by time, then symbol', () => {
    const rows: [number, string, number][] = [0, 1, 2, 3].flatMap(t =>
      ['b', 'a'].map((s): [number, string, number] => [t * MINUTE, s, t + (s === 'a' ? 0 : 10)]),
    )
    const both: Table = {
      rows: rows.length,
      columns: [
        { name: 'time', type: 'time', values: Float64Array.from(rows, ([t]) => t) },
        { name: 'symbol', type: 'string', values: rows.map(([, s]) => s) },
        { name: 'high', type: 'number', values: Float64Array.from(rows, ([, , x]) => x) },
      ],
    }
    const bars = resample(both, frame('1m'), frame('2m'))
    expect([...numbers(bars, 'time')]).toEqual([0, 0, 2 * MINUTE, 2 * MINUTE])
    expect(strings(bars, 'symbol')).toEqual(['a', 'b', 'a', 'b'])
    expect([...numbers(bars, 'high')]).toEqual([1, 11, 3, 13])
  })
  it('of no rows is no bars', () => {
    expect(resample(table({ time: new Float64Array() }), frame('1m'), frame('1h')).rows).toBe(0)
  })
})

describe('bars that do not make up the higher one', () => {
  it.each([
    ['1h', '30m'],
    ['1d', '36h'],
    ['7m', '1h'],
    ['7d', '1w'],
    ['1w', '14d'],
    ['1w', '1M'],
    ['1M', '1w'],
    ['2M', '3M'],
    ['3d', '1M'],
  ])('%s into %s', (base, higher) => {
    expect(() => atTimeframe(rsi({ n: 14 }), frame(base), frame(higher))).toThrow(
      `bars of ${higher} are not made of whole bars of ${base}`,
    )
  })
  it.each([
    ['1h', '1h'],
    ['1d', '1w'],
    ['12h', '1M'],
    ['1M', '3M'],
    ['1w', '2w'],
  ])('but %s into %s', (base, higher) => {
    expect(atTimeframe(rsi({ n: 14 }), frame(base), frame(higher)).name).toBe(`rsi_14@${higher}`)
  })
})
