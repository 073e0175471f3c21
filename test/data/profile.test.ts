import { describe, expect, it } from 'vitest'
import { ingest } from '../../src/data/ingest.ts'
import { profileColumn, profileTable } from '../../src/data/profile.ts'
import { verifyTable } from '../../src/data/tables.ts'
import { dataOf, given, testContext } from './home.ts'

const NO_NUMBERS = { mean: null, std: null, quantiles: null }

describe('the profile of a column', () => {
  it('of numbers', () => {
    const values = Float64Array.of(3, Number.NaN, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5)
    // numpy: mean, std(ddof=1), quantile(...)
    expect(profileColumn({ name: 'x', type: 'number' }, values)).toEqual({
      ...{ name: 'x', type: 'number', pii: false, rows: 12, missing: 1, distinct: 7, min: 1, max: 9, mean: 4 },
      std: Math.sqrt(5.6),
      quantiles: { p01: 1, p05: 1, p25: 2.5, p50: 4, p75: 5, p95: 7.5, p99: expect.closeTo(8.7, 12) },
      top: [
        { value: 5, rows: 3 },
        { value: 1, rows: 2 },
        { value: 3, rows: 2 },
      ],
    })
  })
  it('of texts', () => {
    const values = ['b', 'a', null, 'b', ...'cdefgh', ...'cdefgh']
    expect(profileColumn({ name: 's', type: 'string' }, values)).toEqual({
      ...{
        name: 's',
        type: 'string',
        pii: false,
        rows: 16,
        missing: 1,
        distinct: 8,
        min: 'a',
        max: 'h',
        ...NO_NUMBERS,
      },
      top: ['b', 'c', 'd', 'e', 'f'].map(value => ({ value, rows: 2 })),
    })
  })
  it('of times', () => {
    const shown = profileColumn({ name: 't', type: 'time' }, Float64Array.of(86_400_000, 0, Number.NaN))
    expect(shown).toMatchObject({
      min: '1970-01-01T00:00:00.000Z',
      max: '1970-01-02T00:00:00.000Z',
      top: [],
      ...NO_NUMBERS,
    })
  })
  it('of nothing', () => {
    for (const [type, values] of [
      ['number', Float64Array.of(Number.NaN)],
      ['string', [null]],
      ['time', new Float64Array()],
    ] as const)
      expect(profileColumn({ name: 'x', type }, values as Float64Array)).toMatchObject({
        distinct: 0,
        min: null,
        ...NO_NUMBERS,
        top: [],
      })
  })
})

it('a profile of a table is that of its parts together; personal columns have counts, no values', async () => {
  const context = testContext()
  const line = (i: number) => `2020-01-0${i}T00:00:00Z,${i % 2 ? 'a' : 'b'},${i},p${i}@x`
  const path = given(context, 'x.csv', `time,symbol,n,mail\n${[1, 2, 3, 4, 5, 8, 9].map(line).join('\n')}\n`)
  const schema = [{ name: 'time' }, { name: 'symbol' }, { name: 'n', pii: true }, { name: 'mail', pii: true }]
  await ingest(dataOf({ kind: 'file', path }, { schema, timeframe: '1d', partition_rows: 2 }), context)
  const manifest = await verifyTable('prices', undefined, context)
  expect(manifest.partitions.length).toBeGreaterThan(3)
  const profile = await profileTable(manifest, context)
  expect(profile.series).toEqual([
    {
      symbol: 'a',
      rows: 4,
      from: '2020-01-01T00:00:00.000Z',
      to: '2020-01-09T00:00:00.000Z',
      gaps: 3,
      bars_missing: 5,
    },
    {
      symbol: 'b',
      rows: 3,
      from: '2020-01-02T00:00:00.000Z',
      to: '2020-01-08T00:00:00.000Z',
      gaps: 2,
      bars_missing: 4,
    },
  ])
  expect(profile.columns.map(({ name, rows, distinct }) => [name, rows, distinct])).toEqual([
    ['time', 7, 7],
    ['symbol', 7, 2],
    ['n', 7, 7],
    ['mail', 7, 7],
  ])
  expect(profile.columns[2]).toMatchObject({ pii: true, min: null, max: null, top: null, ...NO_NUMBERS })
  expect(JSON.stringify(profile)).not.toContain('@x')
})
