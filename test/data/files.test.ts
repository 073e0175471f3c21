import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Table } from '../../src/base/table.ts'
import { readColumns, writeTable } from '../../src/data/files.ts'
import { readParquet } from '../../src/data/parquet.ts'
import { given, testContext } from './home.ts'

const TABLE: Table = {
  rows: 3,
  columns: [
    {
      name: 'time',
      type: 'time',
      values: Float64Array.of(Date.UTC(2000, 0, 3), Date.UTC(2000, 0, 4, 1, 2, 3, 4), Number.NaN),
    },
    { name: 'x, "y"', type: 'number', values: Float64Array.of(0.1 + 0.2, Number.NaN, -1e-300) },
    { name: 'note', type: 'string', values: ['plain', null, 'a "b",\nc'] },
  ],
}

describe('a table as a file', () => {
  it('CSV: ISO times, shortest exact numbers, empty for missing, quotes where needed', async () => {
    const path = join(testContext().home, 'sub', 'out.csv')
    await writeTable(TABLE, path)
    expect(readFileSync(path, 'utf8')).toBe(
      'time,"x, ""y""",note\n' +
        '2000-01-03T00:00:00.000Z,0.30000000000000004,plain\n' +
        '2000-01-04T01:02:03.004Z,,\n' +
        ',-1e-300,"a ""b"",\nc"\n',
    )
  })
  it.each(['out.csv', 'out.parquet'])('%s comes back as it was', async name => {
    const path = join(testContext().home, name)
    await writeTable(TABLE, path)
    expect(await readColumns(path)).toEqual(TABLE)
    expect(readdirSync(dirname(path))).toEqual([name])
  })
  it('Parquet keeps the order of many rows, and equal tables are equal bytes', async () => {
    const { home } = testContext()
    const values = Float64Array.from({ length: 50_000 }, (_, i) => i * 1.5)
    const table: Table = { rows: values.length, columns: [{ name: 'n', type: 'number', values }] }
    await writeTable(table, join(home, 'a.parquet'))
    await writeTable(table, join(home, "b's [1].parquet"))
    expect(await readColumns(join(home, "b's [1].parquet"))).toEqual(table)
    expect(readFileSync(join(home, 'a.parquet')).equals(readFileSync(join(home, "b's [1].parquet")))).toBe(true)
  })
  it('a table without rows is a file with columns', async () => {
    const { home } = testContext()
    const empty: Table = { rows: 0, columns: [{ name: 'n', type: 'number', values: new Float64Array(0) }] }
    await writeTable(empty, join(home, 'e.parquet'))
    expect(await readParquet(join(home, 'e.parquet'))).toEqual(empty)
  })
  it('an unknown ending, or a folder that cannot be, leaves nothing', async () => {
    const { home } = testContext()
    await expect(writeTable(TABLE, join(home, 'out.xlsx'))).rejects.toMatchObject({ code: 'FORMAT', exit: 2 })
    const path = given({ home }, 'file', 'x')
    await expect(writeTable(TABLE, join(path, 'out.parquet'))).rejects.toThrow()
    expect(existsSync(join(path, 'out.parquet'))).toBe(false)
  })
})

describe('types of CSV columns', () => {
  const types = async (text: string) =>
    Object.fromEntries(
      (await readColumns(given(testContext(), 'x.csv', text))).columns.map(({ name, type }) => [name, type]),
    )
  it('are those that are asked for: words that look like numbers, words for yes and no', async () => {
    const path = given(testContext(), 'x.csv', 'zip,ok,when,n\n01,true,2020,1\n1.0,no,2021,\n,,,2\n')
    const types = { zip: 'string', ok: 'boolean', when: 'string', other: 'number' } as const
    const { columns } = await readColumns(path, { types: new Map(Object.entries(types)) })
    expect(Object.fromEntries(columns.map(({ name, values }) => [name, [...values]]))).toEqual({
      zip: ['01', '1.0', null],
      ok: [1, 0, Number.NaN],
      when: ['2020', '2021', null],
      n: [1, Number.NaN, 2],
    })
    await expect(readColumns(path, { types: new Map([['zip', 'boolean']]) })).rejects.toMatchObject({ code: 'BAD_ROW' })
  })
  it('are those that hold for every value', async () => {
    expect(await types('t,n,m,s,e\n2020-01-01,1,,a,\n2020-01-02T00:00:00Z,nan,2,1,\n')).toEqual({
      t: 'time',
      n: 'number',
      m: 'number',
      s: 'string',
      e: 'number',
    })
    expect(await types('a,b,c\n1,2020-01-01,\n2020-01-01,x,2020-01-01\n')).toEqual({
      a: 'string',
      b: 'string',
      c: 'time',
    })
  })
  it('a ragged row and an empty file are data errors', async () => {
    await expect(types('a,b\n1\n')).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringContaining('x.csv:2'),
    })
    await expect(types('a,b\n')).rejects.toMatchObject({ code: 'EMPTY_INPUT' })
    await expect(types('')).rejects.toMatchObject({ code: 'EMPTY_INPUT' })
  })
})
