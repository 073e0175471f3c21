import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ingest } from '../../src/data/ingest.ts'
import { loadTable } from '../../src/data/tables.ts'
import { dataOf, given, testContext } from './home.ts'

const load = async (text: string, schema: unknown, more: object = {}) => {
  const context = testContext()
  const path = given(context, 'x.csv', text)
  const result = await ingest(dataOf({ kind: 'file', path }, { schema, ...more }), context)
  return { result, ...(await loadTable('prices', undefined, context)), path }
}

const columnsOf = ({ table }: Awaited<ReturnType<typeof load>>) =>
  Object.fromEntries(table.columns.map(({ name, values }) => [name, [...values]]))

describe('a table of any columns', () => {
  it('takes all columns of the source, with the types that their values have', async () => {
    const found = await load('when,n,word,"a ""b"""\n2020-01-01,1.5,x,\n2020-01-03,,NA,2\n', 'table')
    expect(columnsOf(found)).toEqual({
      when: [Date.UTC(2020, 0, 1), Date.UTC(2020, 0, 3)],
      n: [1.5, Number.NaN],
      word: ['x', null],
      'a "b"': [Number.NaN, 2],
    })
    expect(found.manifest).toMatchObject({ candles: false, from: null, rows: 2, timeframe: null })
    expect(found.manifest.schema.map(({ type }) => type)).toEqual(['time', 'number', 'string', 'number'])
  })

  it('refuses a column without a name, and two that differ in case only, unless they are renamed or left out', async () => {
    await expect(load(',x\n0,1\n', 'table')).rejects.toMatchObject({ code: 'UNNAMED_COLUMN', exit: 4 })
    await expect(load('X,x\n0,1\n', 'table')).rejects.toMatchObject({ code: 'DUPLICATE_COLUMN', exit: 4 })
    expect(columnsOf(await load(',x\n0,1\n', [{ name: 'x' }]))).toEqual({ x: [1] })
    const context = testContext()
    const source = { kind: 'file' as const, path: given(context, 'x.csv', 'X,x\n0,1\n'), columns: { small: 'x' } }
    await ingest(dataOf(source, { schema: 'table' }), context)
    expect((await loadTable('prices', undefined, context)).table.columns.map(({ name }) => name)).toEqual([
      'X',
      'small',
    ])
  })

  it('keeps the order and equal rows where it has no key', async () => {
    const found = await load('a,b\n2,x\n1,y\n2,x\n', 'table')
    expect(found.result).toMatchObject({ read: 3, accepted: 3, duplicates: 0 })
    expect(columnsOf(found).a).toEqual([2, 1, 2])
  })

  it('has the time that the config points to, in numbers too', async () => {
    const context = testContext()
    const path = given(context, 'x.csv', 'stamp,v\n1517702400,2\n1517616000,1\n')
    const config = dataOf({ kind: 'file', path, columns: { time: 'stamp' } }, { schema: 'table' })
    expect(await ingest(config, context)).toMatchObject({ from: '2018-02-03T00:00:00.000Z', rows: 2 })
  })

  it('is sorted by its time, each time once', async () => {
    const found = await load('v,time\n3,2020-01-03\n1,2020-01-01\n1,2020-01-01\n2,2020-01-02\n', 'table')
    expect(found.result).toMatchObject({
      read: 4,
      accepted: 3,
      duplicates: 1,
      timeframe: '1d',
      from: '2020-01-01T00:00:00.000Z',
    })
    expect(columnsOf(found).v).toEqual([1, 2, 3])
  })

  it('may have a key of its own', async () => {
    const text = 'time,id,v\n2020-01-01,a,1\n2020-01-01,b,2\n2020-01-01,a,3\n'
    const found = await load(text, { key: ['time', 'id'] })
    expect(columnsOf(found)).toMatchObject({ id: ['b', 'a'], v: [2, 3] })
    expect(found.result.reasons).toMatchObject({ DUPLICATE_TIMESTAMP_CONFLICT: 1 })
    await expect(load(text, { key: ['id'] })).rejects.toMatchObject({ code: 'BAD_SCHEMA', exit: 2 })
    await expect(load(text, { key: ['time', 'x'] })).rejects.toMatchObject({ code: 'BAD_SCHEMA' })
  })

  it('takes the columns that are named, under our names, a missing one where it is not required', async () => {
    const schema = {
      columns: [
        { name: 'y', type: 'number' },
        { name: 'z', required: false, type: 'string' },
      ],
    }
    const context = testContext()
    const path = given(context, 'x.csv', 'theirs,other\n1,2\n')
    const source = { kind: 'file' as const, path, columns: { y: 'theirs' } }
    await ingest(dataOf(source, { schema }), context)
    const { table } = await loadTable('prices', undefined, context)
    expect(table.columns.map(({ name, values }) => [name, ...values])).toEqual([
      ['y', 1],
      ['z', null],
    ])
    const mapped = { ...source, columns: { y: 'their' } }
    await expect(ingest(dataOf(mapped, { schema: 'table' }), context)).rejects.toMatchObject({
      code: 'MISSING_COLUMN',
      next: expect.stringContaining('columns: {y: theirs}'),
    })
    const strict = { columns: [{ name: 'z' }] }
    await expect(ingest(dataOf(source, { schema: strict }), context)).rejects.toMatchObject({ code: 'MISSING_COLUMN' })
  })
})

describe('a rule', () => {
  it.each([
    ['NULL_VALUE', { type: 'number' }, ['1', '', 'nan'], 2],
    ['NOT_A_NUMBER', { type: 'number' }, ['1', 'x'], 1],
    ['OUT_OF_RANGE', { type: 'number' }, ['1', '1e400'], 1],
    ['NOT_AN_INTEGER', { type: 'integer' }, ['1', '1.5', '-2'], 1],
    ['NOT_A_BOOLEAN', { type: 'boolean' }, ['true', 'No', '2', '1'], 1],
    ['BELOW_MINIMUM', { type: 'number', min: 1 }, ['1', '0.99'], 1],
    ['ABOVE_MAXIMUM', { type: 'number', max: 1 }, ['1', '1.01'], 1],
    ['BELOW_MINIMUM', { type: 'time', min: '2020-01-01' }, ['2020-01-01', '2019-12-31T23:59:59Z'], 1],
    ['NOT_ALLOWED', { type: 'string', values: ['a', 'b'] }, ['a', 'c'], 1],
    ['NOT_ALLOWED', { type: 'boolean', values: [true] }, ['yes', 'no'], 1],
    ['PATTERN', { type: 'string', pattern: 'a+' }, ['aa', 'aab'], 1],
    ['NOT_UNIQUE', { type: 'string', unique: true }, ['a', 'b', 'a'], 1],
    ['TIMESTAMP_INVALID', { type: 'time' }, ['2020-01-01', 'noon'], 1],
  ])('%s %j', async (code, rule, values, rejected) => {
    const schema = [
      { name: 'c', ...rule },
      { name: 'n', type: 'integer' },
    ]
    const { result, path } = await load(`c,n\n${values.map((value, i) => `${value},${i}\n`).join('')}`, schema)
    expect(result).toMatchObject({ read: values.length, rejected, reasons: { [code]: rejected } })
    const lines = result.broken[0].first.map(place => place.replace(path, 'x.csv'))
    expect(result.broken).toMatchObject([{ column: 'c', code, rows: rejected }])
    expect(lines.every(line => /^x\.csv:\d+$/.test(line))).toBe(true)
    expect(readFileSync(result.quarantine!, 'utf8').split('\n')[1]).toMatch(new RegExp(`,${code},c,`))
  })

  it('may allow missing values', async () => {
    const { result } = await load('c\n1\n\n"NA"\n', [{ name: 'c', type: 'number', nullable: true, min: 0 }])
    expect(result).toMatchObject({ accepted: 2, rejected: 0 })
  })

  it('that does not go with the type of its column is a config error', async () => {
    await expect(load('c\n1\n', [{ name: 'c', type: 'number', pattern: 'x' }])).rejects.toMatchObject({ exit: 2 })
    await expect(load('c\n1\n', [{ name: 'c', type: 'number', min: 'x' }])).rejects.toMatchObject({ exit: 2 })
  })

  it('names rows and rule where a bad row is an error', async () => {
    const schema = [{ name: 'c', type: 'number', min: 0 }]
    await expect(load('c\n1\n-1\n', schema, { on_bad_row: 'fail' })).rejects.toMatchObject({
      code: 'BAD_ROW',
      message: expect.stringMatching(/^1 bad row: .*x\.csv:3 BELOW_MINIMUM of c \(-1\)$/),
    })
  })
})
