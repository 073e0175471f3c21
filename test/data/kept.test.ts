import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { numbers } from '../../src/base/table.ts'
import { writeTable } from '../../src/data/files.ts'
import { ingest } from '../../src/data/ingest.ts'
import { loadTable } from '../../src/data/tables.ts'
import { cleanLine, dataOf, examine, given, NOW, testContext } from './home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }
const HEADER = 'time,open,high,low,close,volume,funding,note\n'
const rows = (...cells: string[]) => HEADER + cells.map((cell, i) => `${cleanLine(i)},${cell},text\n`).join('')

async function examined(text: string, keep: string[]) {
  const path = given(testContext(), 'x.csv', text)
  return examine(dataOf({ kind: 'file', path, keep }), context)
}

describe('a further column', () => {
  it('is kept when it is asked for, and may have no value', async () => {
    const { table, counts } = await examined(rows('0.25', '', '-1e3'), ['funding'])
    expect(table.columns.map(({ name }) => name)).toEqual(['time', 'open', 'high', 'low', 'close', 'volume', 'funding'])
    expect([...numbers(table, 'funding')]).toEqual([0.25, Number.NaN, -1000])
    expect(counts).toMatchObject({ accepted: 3, rejected: 0 })
    expect((await examined(rows('1'), [])).table.columns).toHaveLength(6)
  })

  it('may have another name in the source', async () => {
    const path = given(testContext(), 'x.csv', rows('0.25'))
    const columns = { rate: 'funding' }
    const { table } = await examine(dataOf({ kind: 'file', path, keep: ['rate'], columns }), testContext())
    expect([...numbers(table, 'rate')]).toEqual([0.25])
  })

  it('of text is refused row by row', async () => {
    const { counts } = await examined(rows('1', 'high', 'inf'), ['funding'])
    expect(counts).toMatchObject({ accepted: 1, reasons: { NOT_A_NUMBER: 1, OUT_OF_RANGE: 1 } })
  })

  it('counts when rows are compared', async () => {
    const [a, b] = [`${cleanLine(0)},,text\n`, `${cleanLine(0)},1,text\n`]
    expect((await examined(HEADER + a + a, ['funding'])).counts).toMatchObject({ accepted: 1, duplicates: 1 })
    expect((await examined(HEADER + a + b, ['funding'])).counts).toMatchObject({
      accepted: 1,
      reasons: { DUPLICATE_TIMESTAMP_CONFLICT: 1 },
    })
  })

  it('that is not there, or there twice, is an error', async () => {
    await expect(examined(rows('1'), ['fundng'])).rejects.toMatchObject({ code: 'MISSING_COLUMN', exit: 4 })
    await expect(examined(rows('1').replace('note', 'funding'), ['funding'])).rejects.toMatchObject({
      code: 'DUPLICATE_COLUMN',
    })
  })

  it('is the same of CSV, of Parquet and of the table that was made', async () => {
    const home = testContext()
    const { table } = await examined(rows('0.25', '', '3'), ['funding'])
    const path = join(home.home, 'x.parquet')
    await writeTable(table, path)
    const again = await examine(dataOf({ kind: 'file', path, keep: ['funding'] }), context)
    expect(again.table).toEqual(table)
    const { table: name, version } = await ingest(dataOf({ kind: 'file', path, keep: ['funding'] }), home)
    expect((await loadTable(name, version, home)).table).toEqual(table)
  })
})
