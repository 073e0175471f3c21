import { appendFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tableDigest } from '../../src/base/table.ts'
import { ingest } from '../../src/data/ingest.ts'
import { tableFolder } from '../../src/data/manifest.ts'
import { loadTable } from '../../src/data/tables.ts'
import { cleanLine, dataOf, given, HOUR, START, testContext } from './home.ts'

const HEADER = 'time,open,high,low,close,volume'
const csv = (lines: string[]) => `${[HEADER, ...lines].join('\n')}\n`
const bars = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => cleanLine(from + i))
const revised = (i: number) => `${START + i * HOUR},${100 + i},${110 + i},${99.25 + i},${105 + i},5`

function setUp() {
  const context = testContext()
  const load = (lines: string[], more: object = {}) =>
    ingest(
      dataOf({ kind: 'file', path: given(context, 'x.csv', csv(lines)) }, { load: 'incremental', ...more }),
      context,
    )
  const digest = async () => tableDigest((await loadTable('prices', undefined, context)).table)
  return { context, load, digest }
}

describe('an incremental load', () => {
  it('adds what is new, and nothing when it comes again', async () => {
    const { load } = setUp()
    expect(await load(bars(0, 10))).toMatchObject({ version: 1, added: 10, revised: 0, rows: 10 })
    expect(await load(bars(0, 10))).toMatchObject({ version: 1, created: false, added: 0, revised: 0, accepted: 10 })
    expect(await load(bars(8, 12))).toMatchObject({ version: 2, added: 2, revised: 0, rows: 12 })
  })

  it('equals a full one of all rows: appended, late and revised', async () => {
    const { context, load, digest } = setUp()
    await load([...bars(0, 5), ...bars(7, 20)])
    expect(await load([...bars(5, 6), revised(3), ...bars(20, 22)])).toMatchObject({ added: 3, revised: 1 })
    const rows = [...bars(0, 3), revised(3), ...bars(4, 6), ...bars(7, 22)]
    const whole = await ingest(
      dataOf({ kind: 'file', path: given(context, 'all.csv', csv(rows)) }, { table: 'whole' }),
      context,
    )
    expect(await digest()).toBe(whole.digest)
  })

  it('keeps both revisions of a bar, the newest standing', async () => {
    const { context, load } = setUp()
    await load(bars(0, 5))
    await load([revised(3)])
    const { table, manifest } = await loadTable('prices', undefined, context)
    expect([table.rows, table.columns[4].values[3]]).toEqual([5, 108])
    expect(manifest.revisions).toMatchObject([{ rows: 1, from: '2021-10-01T03:00:00.000Z' }])
    expect((await loadTable('prices', 1, context)).table.columns[4].values[3]).toBe(104)
  })

  it('has the newest accepted time as its watermark: a row of the future does not move it', async () => {
    const { context, load } = setUp()
    await load([...bars(0, 5), cleanLine(9, Date.UTC(2100, 0, 1)), cleanLine(8, 'NaN')])
    const { manifest } = await loadTable('prices', undefined, context)
    expect(manifest.watermark).toEqual({ '': START + 4 * HOUR })
  })

  it('of an empty file, or of bad rows only, keeps the table as it is', async () => {
    const { context, load, digest } = setUp()
    await load(bars(0, 5))
    const before = await digest()
    const nothing = { version: 1, created: false, read: 0, added: 0, warnings: [{ code: 'EMPTY_INPUT' }] }
    expect(await load([])).toMatchObject({ ...nothing, reasons: { EMPTY_INPUT: 1 } })
    const nought = dataOf({ kind: 'file', path: given(context, 'x.csv', '') }, { load: 'incremental' })
    await expect(ingest(nought, context)).rejects.toMatchObject({ code: 'EMPTY_INPUT', exit: 4 })
    expect(await load([cleanLine(9, 'noon')])).toMatchObject({ version: 1, created: false, rejected: 1, added: 0 })
    await expect(load([cleanLine(9, 'noon')], { on_bad_row: 'fail' })).rejects.toMatchObject({ code: 'BAD_ROW' })
    expect([await digest(), (await loadTable('prices', undefined, context)).manifest.version]).toEqual([before, 1])
  })

  it('adds nothing to a version that is damaged, and says how to repair it', async () => {
    const { context, load } = setUp()
    await load(bars(0, 5))
    await load([revised(3)])
    const folder = tableFolder(context.home, 'prices', '2')
    const next = `remove ${folder} and run: sluice ingest -c CONFIG --set data.load=full`
    const refused = (code: string) => expect(load(bars(5, 6))).rejects.toMatchObject({ code, exit: 4, next })
    appendFileSync(join(folder, 'part-all.parquet'), 'x')
    await refused('PARTITION_CORRUPT')
    rmSync(join(folder, 'part-all.parquet'))
    await refused('PARTITION_MISSING')
    rmSync(folder, { recursive: true })
    await refused('MANIFEST_MISSING')
    expect(await load(bars(0, 6), { load: 'full' })).toMatchObject({ version: 3, rows: 6 })
    expect(await load(bars(6, 7))).toMatchObject({ version: 4, rows: 7 })
  })

  it('adds nothing where rows that were replaced are gone', async () => {
    const { context, load } = setUp()
    await load(bars(0, 5))
    await load([revised(3)])
    rmSync(tableFolder(context.home, 'prices', '2', 'revised-1.parquet'))
    await expect(load(bars(5, 6))).rejects.toMatchObject({ code: 'PARTITION_MISSING', exit: 4 })
  })

  it('of other columns is refused', async () => {
    const { context, load } = setUp()
    await load(bars(0, 5))
    const path = given(context, 'y.csv', `${HEADER},symbol\n${cleanLine(7)},A\n`)
    const config = dataOf({ kind: 'file', path }, { load: 'incremental' })
    await expect(ingest(config, context)).rejects.toMatchObject({ code: 'SCHEMA_CHANGED', exit: 4 })
  })
})

describe('a table without times', () => {
  const people = (context: { home: string }, rows: string[]) =>
    given(context, 'p.csv', `id,score\n${rows.join('\n')}\n`)
  const configOf = (path: string, schema: object) => dataOf({ kind: 'file', path }, { schema, load: 'incremental' })

  it('with a key has the newest row of each', async () => {
    const context = testContext()
    const schema = { key: ['id'] }
    await ingest(configOf(people(context, ['1,10', '2,20']), schema), context)
    const next = await ingest(configOf(people(context, ['2,21', '3,30', '1,10']), schema), context)
    expect(next).toMatchObject({ version: 2, added: 1, revised: 1, rows: 3, from: null, timeframe: null })
    const { table, manifest } = await loadTable('prices', undefined, context)
    expect(table.columns.map(({ values }) => [...values])).toEqual([
      [1, 2, 3],
      [10, 21, 30],
    ])
    expect(manifest.revisions).toMatchObject([{ rows: 1 }])
  })

  it('without a key gets every row, equal ones too', async () => {
    const context = testContext()
    await ingest(configOf(people(context, ['1,10', '1,10']), {}), context)
    const next = await ingest(configOf(people(context, ['1,10']), {}), context)
    expect(next).toMatchObject({ added: 1, rows: 3, duplicates: 0 })
  })
})
