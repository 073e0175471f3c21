import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { type Table, takeRows } from '../../src/base/table.ts'
import { DAY } from '../../src/base/time.ts'
import { candleLayout } from '../../src/data/layout.ts'
import type { TableManifest } from '../../src/data/manifest.ts'
import { saveTable } from '../../src/data/tables.ts'
import { build, readFeatures } from '../../src/features/build.ts'
import { expandFeatures, featuresSchema } from '../../src/features/catalog.ts'
import { testContext } from '../data/home.ts'
import { dailyCandles } from './series.ts'

const LIMIT = 750
const DAYS = 900
const LATE = 500

const config = {
  features: expandFeatures(
    featuresSchema.parse([
      { kind: 'rsi', n: 14 },
      { kind: 'macd' },
      { kind: 'sma', n: 30 },
      { kind: 'rsi', n: 5, timeframe: '1w' },
      { kind: 'expr', name: 'jump', expr: 'open / lag(close, 1) - 1' },
    ]),
  ),
  label: { kind: 'direction' as const, horizon: 2 },
  market: true,
}

/** Days of two symbols, one of which begins later. */
function candles(): Table {
  const { normal } = random(5)
  const rows = Array.from({ length: DAYS }, (_, day) =>
    (day < 100 ? ['A'] : ['A', 'B']).map(symbol => ({ day, symbol })),
  )
    .flat()
    .map(row => ({ ...row, close: 100 + normal() }))
  return dailyCandles(rows)
}

describe('features of a table in partitions', () => {
  const context = testContext
  const setUp = () => {
    const home = context()
    const whole = candles()
    const time = whole.columns[0].values as Float64Array
    const daysOf = (is: (day: number) => boolean) =>
      takeRows(
        whole,
        [...time.keys()].filter(row => is((time[row] - time[0]) / DAY)),
      )
    const save = async (table: Table, onto?: TableManifest, limit = LIMIT) =>
      (
        await saveTable(
          { table: 't', layout: candleLayout({ symbols: true }), tables: [table], onto, partition_rows: limit },
          async () => ({ timeframe: '1d', report: {}, source: { kind: 'test', files: [] } }),
          home,
        )
      ).manifest
    const features = async (manifest: TableManifest) =>
      (await readFeatures(await build(manifest, config, home))).features
    const pieces = () => readdirSync(join(home.home, 'cache/features/pieces')).filter(name => !name.includes('states'))
    return { home, whole, daysOf, save, features, pieces }
  }

  it('are those of the whole table at once, bit for bit', async () => {
    const { whole, save, features } = setUp()
    const cut = await save(whole)
    expect(cut.partitions.length).toBeGreaterThan(2)
    const one = await save(whole, undefined, 1_000_000)
    expect(one.partitions).toHaveLength(1)
    expect(await features(cut)).toEqual(await features(one))
  })

  it('after a late bar are those of a full rebuild, computed from the partition that it lies in', async () => {
    const { whole, daysOf, save, features, pieces } = setUp()
    const early = await save(daysOf(day => day !== LATE))
    await features(early)
    const before = pieces().length
    const late = await save(
      daysOf(day => day === LATE),
      early,
    )
    const got = await features(late)
    const unchanged = late.partitions.findIndex(({ digest }, i) => digest !== early.partitions[i].digest)
    expect(unchanged).toBeGreaterThan(0)
    expect(pieces()).toHaveLength(before + late.partitions.length - unchanged)
    const other = setUp()
    expect(got).toEqual(await other.features(await other.save(whole)))
  })

  it('after bars that are appended cost the last partition', async () => {
    const { daysOf, save, features, pieces } = setUp()
    const first = await save(daysOf(day => day < DAYS - 3))
    await features(first)
    const before = pieces().length
    await features(
      await save(
        daysOf(day => day >= DAYS - 3),
        first,
      ),
    )
    expect(pieces()).toHaveLength(before + 1)
  })
})
