import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { numbers } from '../../src/base/table.ts'
import { DAY, isoTime, parseTimeframe } from '../../src/base/time.ts'
import { ingest } from '../../src/data/ingest.ts'
import { verifyTable } from '../../src/data/tables.ts'
import { build, featureTable } from '../../src/features/build.ts'
import { expandFeatures, type FeatureEntry, featuresSchema } from '../../src/features/catalog.ts'
import { pinTables, withJoined } from '../../src/features/join.ts'
import { valuesAsOf } from '../../src/features/sentiment.ts'
import { dataOf, given, testContext } from '../data/home.ts'
import { describeShared, shared } from '../shared.ts'

const HOUR = 3_600_000
const label = { kind: 'direction' as const, horizon: 1 }
const specsOf = (...entries: object[]) => expandFeatures(featuresSchema.parse(entries) as FeatureEntry[])

describe('valuesAsOf', () => {
  const known = { time: Float64Array.of(0, DAY, 2 * DAY), value: Float64Array.of(10, 20, 30) }
  const at = (open: number[], frame: string, lag: string | 0, max_age = '100d') => [
    ...valuesAsOf(Float64Array.from(open), parseTimeframe(frame), known, { lag, max_age }),
  ]

  it('takes the newest row that is known at the end of the bar', () => {
    expect(at([-DAY, 0, DAY, 2 * DAY], '1d', 0)).toEqual([10, 20, 30, 30])
    expect(at([-DAY, 0, DAY, 2 * DAY], '1d', '1h')).toEqual([Number.NaN, 10, 20, 30])
    expect(at([DAY - 2 * HOUR, DAY - HOUR, DAY], '1h', '1h')).toEqual([10, 10, 20])
  })

  it('takes none that has been known for too long', () => {
    expect(at([2 * DAY, 3 * DAY, 4 * DAY], '1d', 0, '2d')).toEqual([30, 30, Number.NaN])
  })

  it('is what a search of all rows finds, and changes with no later row', () => {
    const times = fc.uniqueArray(fc.nat(500), { maxLength: 40 }).map(list => list.sort((a, b) => a - b))
    fc.assert(
      fc.property(
        times,
        times,
        fc.nat(20),
        fc.integer({ min: 1, max: 50 }),
        fc.nat(500),
        (bars, rows, lag, age, cut) => {
          const known = { time: Float64Array.from(rows, t => t * 60_000), value: Float64Array.from(rows, t => t) }
          const open = Float64Array.from(bars, t => t * 60_000)
          const rules = { lag: lag ? `${lag}m` : (0 as const), max_age: `${age}m` }
          const found = valuesAsOf(open, parseTimeframe('5m'), known, rules)
          const naive = bars.map(bar => {
            const row = rows.filter(t => t + lag <= bar + 5).at(-1)
            return row !== undefined && bar + 5 - row - lag <= age ? row : Number.NaN
          })
          expect([...found]).toEqual(naive)
          const until = rows.filter(t => t <= cut).length
          const earlier = { time: known.time.slice(0, until), value: known.value.slice(0, until) }
          const cutOff = valuesAsOf(open, parseTimeframe('5m'), earlier, rules)
          for (const [i, bar] of bars.entries()) if (bar + 5 - lag <= cut) expect(cutOff[i]).toBe(found[i])
        },
      ),
    )
  })
})

const START = Date.UTC(2021, 0, 1)

/** Hourly candles of ten days, and an index of the first six of them. */
async function home({ index = true } = {}) {
  const context = testContext()
  const bars = Array.from({ length: 240 }, (_, i) => `${START + i * HOUR},1,2,0.5,${1 + (i % 7) / 10},5\n`)
  const candles = given(context, 'bars.csv', `time,open,high,low,close,volume\n${bars.join('')}`)
  const { version } = await ingest(dataOf({ kind: 'file', path: candles }, { timeframe: '1h' }), context)
  const days = (count: number) =>
    Array.from({ length: count }, (_, i) => `${isoTime(START + i * DAY)},${10 * (i + 1)},word\n`).join('')
  const ingestIndex = (count: number) => {
    const path = given(context, 'fng.csv', `time,value,classification\n${days(count)}`)
    return ingest(dataOf({ kind: 'file', path }, { table: 'fng', schema: 'table' }), context)
  }
  if (index) await ingestIndex(6)
  return { context, manifest: await verifyTable('prices', version, context), ingestIndex }
}

describe('a build', () => {
  const entry = { kind: 'sentiment', table: 'fng', max_age: '2d' }

  it('joins the table as it was known, scaled', async () => {
    const { context, manifest } = await home()
    const features = await pinTables(specsOf(entry, { kind: 'expr', name: 'calm', expr: '1 - fng_value' }), context)
    const built = await build(manifest, { features, label, market: true }, context)
    const table = await featureTable(built)
    expect(table.columns.map(({ name }) => name)).toEqual(['time', 'fng_value', 'calm', 'label'])
    const values = numbers(table, 'fng_value')
    expect(values[0]).toBe(0.1) // ends at 01:00, when the value of that day is known
    expect([values[23], values[24]]).toEqual([0.1, 0.2])
    expect([values[5 * 24 + 48], values[5 * 24 + 49]]).toEqual([0.6, Number.NaN]) // two days after its last row
    expect(numbers(table, 'calm')[30]).toBe(0.8)
    expect(built.specs[0]).toMatchObject({ version: 1 })
  })

  it('is another one when the table has changed, in all it reads and nothing else', async () => {
    const { context, manifest, ingestIndex } = await home()
    const plan = specsOf(entry)
    const before = await build(manifest, { features: await pinTables(plan, context), label, market: true }, context)
    await ingestIndex(8)
    const pinned = await pinTables(plan, context)
    const after = await build(manifest, { features: pinned, label, market: true }, context)
    expect(after.digest).not.toBe(before.digest)
    const [a, b] = [numbers(await featureTable(before), 'fng_value'), numbers(await featureTable(after), 'fng_value')]
    expect(b.slice(0, 144)).toEqual(a.slice(0, 144))
    expect(b[160]).toBe(0.7)
  })

  it('is the same in partitions', async () => {
    const { context, manifest } = await home()
    const path = given(context, 'x.csv', '')
    const config = dataOf(
      { kind: 'file', path: path.replace('x.csv', 'bars.csv') },
      { timeframe: '1h', table: 'cut', partition_rows: 50 },
    )
    const cut = await verifyTable('cut', (await ingest(config, context)).version, context)
    expect(cut.partitions.length).toBeGreaterThan(3)
    const features = await pinTables(specsOf(entry, { kind: 'sma', n: 5, of: 'fng_value' }), context)
    const whole = await featureTable(await build(manifest, { features, label, market: true }, context))
    const pieces = await featureTable(await build(cut, { features, label, market: true }, context))
    expect(pieces).toEqual(whole)
  })

  it('ends where there is no table, unless it is optional', async () => {
    const { context } = await home({ index: false })
    await expect(pinTables(specsOf(entry), context)).rejects.toMatchObject({ code: 'NO_TABLE', fault: 'data' })
    const left = await pinTables(specsOf({ ...entry, optional: true }, { kind: 'rsi' }), context)
    expect(left.map(({ kind }) => kind)).toEqual(['rsi'])
    expect(context.warnings.join()).toContain('fng_value is left out')
  })

  it.each([
    [{ column: 'classification' }, 'MISSING_COLUMN'],
    [{ column: 'none' }, 'MISSING_COLUMN'],
  ])('refuses %j', async (more, code) => {
    const { context } = await home()
    await expect(pinTables(specsOf({ ...entry, ...more }), context)).rejects.toMatchObject({ code })
  })

  it('needs bars of a length', async () => {
    const { context } = await home()
    const table = { rows: 1, columns: [{ name: 'time', type: 'time' as const, values: Float64Array.of(START) }] }
    await expect(withJoined(table, null, specsOf(entry), context)).rejects.toMatchObject({ code: 'TIMEFRAME' })
  })
})

describeShared('the real index', () => {
  it('is joined to hourly candles of bitcoin, no value before its hour', async () => {
    const context = testContext()
    const index = {
      kind: 'file' as const,
      path: shared('fng/fear_greed_2018_2022.csv'),
      columns: { time: 'timestamp' },
    }
    const schema = [
      { name: 'time', type: 'time' as const },
      { name: 'value', type: 'integer' as const, min: 0, max: 100 },
    ]
    const { rejected } = await ingest(dataOf(index, { table: 'fng', schema }), context)
    expect(rejected).toBe(0)
    const bitcoin = { kind: 'file' as const, path: shared('candles/btcusdt_1h_binance_2021_2022.csv') }
    const { version } = await ingest(dataOf(bitcoin, { table: 'btc', timeframe: '1h' }), context)
    const manifest = await verifyTable('btc', version, context)
    const features = await pinTables(specsOf({ kind: 'sentiment', table: 'fng' }), context)
    const table = await featureTable(await build(manifest, { features, label, market: true }, context))
    const raw = readFileSync(shared('fng/fear_greed_2018_2022.csv'), 'utf8')
    const values = new Map(
      raw
        .trim()
        .split('\n')
        .slice(1)
        .map(line => line.split(',').slice(0, 2).map(Number) as [number, number]),
    )
    const [time, sentiment] = [numbers(table, 'time'), numbers(table, 'fng_value')]
    let compared = 0
    for (let i = 0; i < table.rows; i++) {
      const day = Math.floor(time[i] / DAY) * 86_400
      const value = values.get(day)
      if (value === undefined) continue
      compared++
      expect(sentiment[i]).toBe(value / 100)
    }
    expect(compared).toBeGreaterThan(5000)
  })
})
