import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinTables, type Table, tableDigest } from '../../src/base/table.ts'
import { candleLayout } from '../../src/data/layout.ts'
import { type TableManifest, tableFolder } from '../../src/data/manifest.ts'
import { cutPeriod, cutRows, ALL as everything, periodOf, queueOf } from '../../src/data/partitions.ts'
import { loadTable, readPartition, saveTable } from '../../src/data/tables.ts'
import { HOUR, testContext } from './home.ts'

const LIMIT = 20
const BEGIN = Date.UTC(2020, 10, 28)

type Bar = { time: number; symbol: string; close: number }

const byKey = (a: Bar, b: Bar) => a.time - b.time || (a.symbol < b.symbol ? -1 : 1)

/** As a table of candles, sorted, each key once: the last one. */
function tableOf(bars: Bar[]): Table {
  const rows = [...new Map(bars.map(bar => [`${bar.time} ${bar.symbol}`, bar])).values()].sort(byKey)
  const number = (name: string, values: number[], type: 'time' | 'number' = 'number') => ({
    name,
    type,
    values: Float64Array.from(values),
  })
  return {
    rows: rows.length,
    columns: [
      number('time', rows.map(({ time }) => time), 'time'), // biome-ignore format: one column a line
      ...['open', 'high', 'low', 'close'].map(name =>
        number(
          name,
          rows.map(({ close }) => close),
        ),
      ),
      number(
        'volume',
        rows.map(() => 1),
      ),
      { name: 'symbol', type: 'string', values: rows.map(({ symbol }) => symbol) },
    ],
  }
}

const about = async () => ({ timeframe: '1h', report: {}, source: { kind: 'test', files: [] } })

const save = (table: Table, context: ReturnType<typeof testContext>, onto?: TableManifest, name = 'bars') =>
  saveTable(
    { table: name, layout: candleLayout({ symbols: true }), tables: [table], onto, partition_rows: LIMIT },
    about,
    context,
  )

/** Bars within some days that lie months apart, so that years and months are cut, and some are not. */
const bar = fc.record({
  time: fc
    .tuple(fc.constantFrom(0, 1, 34, 35, 400), fc.integer({ min: 0, max: 40 }))
    .map(([day, hour]) => BEGIN + (day * 24 + hour) * HOUR),
  symbol: fc.constantFrom('A', 'B'),
  close: fc.integer({ min: 1, max: 3 }),
})
const batch = fc.array(bar, { minLength: 1, maxLength: 60 })

describe('partitions', () => {
  it('hold all rows in order, each at most as many as allowed', async () => {
    await fc.assert(
      fc.asyncProperty(batch, fc.integer({ min: 1, max: 30 }), async (bars, limit) => {
        const table = tableOf(bars)
        const pieces = []
        for await (const piece of cutPeriod(everything, queueOf([table]), limit)) pieces.push(piece)
        expect(tableDigest(joinTables(pieces.map(piece => piece.table)))).toBe(tableDigest(table))
        for (const { id, table } of pieces) {
          const { from, to } = periodOf(id)
          const times = table.columns[0].values as Float64Array
          expect(times[0] >= from && times[table.rows - 1] < to).toBe(true)
          // An hour of two symbols is not cut further.
          expect(table.rows <= Math.max(limit, 2)).toBe(true)
        }
      }),
      { numRuns: 100 },
    )
  })

  it('are the same however the rows are handed over', async () => {
    await fc.assert(
      fc.asyncProperty(batch, fc.integer({ min: 1, max: 7 }), async (bars, size) => {
        const whole = tableOf(bars)
        const cut = async (tables: Table[]) => {
          const ids: string[] = []
          for await (const { id, table } of cutPeriod(everything, queueOf(tables), LIMIT))
            ids.push(`${id} ${table.rows}`)
          return ids
        }
        const parts = [...cutRows(whole, size)].map(({ table }) => table)
        expect(await cut(parts)).toEqual(await cut([whole]))
      }),
      { numRuns: 60 },
    )
  })

  it('of rows without a time are stretches of them', () => {
    const table = {
      rows: 7,
      columns: [{ name: 'n', type: 'number' as const, values: Float64Array.of(1, 2, 3, 4, 5, 6, 7) }],
    }
    expect([...cutRows(table, 3)].map(({ id, table }) => [id, table.rows])).toEqual([
      ['0000', 3],
      ['0001', 3],
      ['0002', 1],
    ])
    expect([...cutRows(table, 7)].map(({ id }) => id)).toEqual(['all'])
  })
})

describe('rows that are added', () => {
  it('make the very files that all rows at once would make', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 2, maxLength: 3 }), async batches => {
        const context = testContext()
        let manifest: TableManifest | undefined
        for (const bars of batches) manifest = (await save(tableOf(bars), context, manifest)).manifest
        const all = tableOf(batches.flat())
        const rebuilt = (await save(all, context, undefined, 'rebuilt')).manifest
        expect(manifest!.digest).toBe(rebuilt.digest)
        const described = ({ partitions }: TableManifest) =>
          partitions.map(({ id, rows, sha256 }) => ({ id, rows, sha256 }))
        expect(described(manifest!)).toEqual(described(rebuilt))
        expect(manifest!.watermark).toEqual(rebuilt.watermark)
        expect(tableDigest((await loadTable('bars', undefined, context)).table)).toBe(tableDigest(all))
      }),
      { numRuns: 4 },
    )
  })

  it('leave files of other times as they are, and keep what they replace', async () => {
    const context = testContext()
    const hours = (day: number, close = 1): Bar[] =>
      Array.from({ length: 12 }, (_, hour) => ({ time: BEGIN + (day * 24 + hour) * HOUR, symbol: 'A', close }))
    const first = (await save(tableOf([...hours(0), ...hours(1), ...hours(2)]), context)).manifest
    expect(first.partitions.map(({ id }) => id)).toEqual(['2020-11-28', '2020-11-29', '2020-11-30'])
    const late = { time: BEGIN + 25 * HOUR, symbol: 'A', close: 2 }
    const next = { time: BEGIN + 72 * HOUR, symbol: 'A', close: 1 }
    const { manifest, added, revised } = await save(tableOf([late, next]), context, first)
    expect([added, revised, manifest.rows, manifest.version]).toEqual([1, 1, 37, 2])
    const inode = ({ version }: TableManifest, file: string) =>
      statSync(tableFolder(context.home, 'bars', String(version), file)).ino
    const kept = first.partitions.filter(({ file }) =>
      manifest.partitions.some(other => other.file === file && inode(manifest, file) === inode(first, file)),
    )
    expect(kept).toHaveLength(first.partitions.length - 1)
    const [revision] = manifest.revisions
    const old = await readPartition(manifest, revision, context)
    expect(old.columns.map(({ values }) => values[0])).toEqual([late.time, 1, 1, 1, 1, 1, 'A'])
    // The next version still has it.
    const third = (await save(tableOf([{ ...next, close: 3 }]), context, manifest)).manifest
    expect(third.revisions).toHaveLength(2)
    expect((await loadTable('bars', 1, context)).table.rows).toBe(36)
  })

  it('that are known already make no version', async () => {
    const context = testContext()
    const bars = [{ time: BEGIN, symbol: 'A', close: 1 }]
    const first = (await save(tableOf(bars), context)).manifest
    expect(await save(tableOf(bars), context, first)).toMatchObject({ created: false, added: 0, revised: 0 })
    expect(existsSync(tableFolder(context.home, 'bars', '2'))).toBe(false)
    expect(readdirSync(join(context.home, 'tables/bars'))).toEqual(['1'])
    expect(JSON.parse(readFileSync(tableFolder(context.home, 'bars', '1', 'manifest.json'), 'utf8'))).toEqual(first)
  })
})
