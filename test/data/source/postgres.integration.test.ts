// The PostgreSQL source against a real server.
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findColumn, numbers } from '../../../src/base/table.ts'
import { ingest } from '../../../src/data/ingest.ts'
import { loadTable } from '../../../src/data/tables.ts'
import { PASSWORD, type PostgresServer, startPostgres } from '../../postgres.ts'
import { dataOf, START, testContext } from '../home.ts'

let server: PostgresServer & { stop(): Promise<void> }
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

/** A home with the address of the server in its environment. */
const home = (env: Record<string, string> = {}) => ({ ...testContext(), env: { DATABASE_URL: server.url, ...env } })
const from = (source: object, more: object = {}) => dataOf({ kind: 'postgres', ...source } as never, more)

const BARS = (name: string, columns = 'time timestamptz primary key') =>
  `create table ${name} (${columns}, open float8, high float8, low float8, close float8, volume float8)`
/** Hourly bars i from `first` to before `end`. */
const hours = (name: string, first: number, end: number, close = '101 + i') =>
  `insert into ${name} select timestamptz '2021-10-01Z' + i * interval '1 hour', 100 + i, 103 + i, 99.25 + i, ${close}, 1000 + i from generate_series(${first}, ${end - 1}) i`

describe('a table', () => {
  it('is read in batches, sorted, with its bad rows set aside as the server wrote them', async () => {
    const context = home()
    await server.execute(
      BARS('bars', 'time timestamptz'),
      hours('bars', 0, 250),
      "insert into bars values ('2021-09-30Z', 1, 2, 1, 0, 5), (null, 1, 1, 1, 1, 1), ('2021-10-01Z', 9, 9, 9, 9, 9), ('infinity', 1, 1, 1, 1, 1)",
    )
    const result = await ingest(from({ table: 'public.bars', batch: 7 }), context)
    expect(result).toMatchObject({
      ...{ read: 254, accepted: 250, rejected: 4, timeframe: '1h', from: '2021-10-01T00:00:00.000Z' },
      reasons: { NULL_VALUE: 1, NON_POSITIVE_PRICE: 1, DUPLICATE_TIMESTAMP_CONFLICT: 1, OUT_OF_RANGE: 1 },
    })
    const quarantine = readFileSync(result.quarantine!, 'utf8')
    expect(quarantine).toContain(',1,NON_POSITIVE_PRICE,,"2021-09-30 00:00:00+00,1,2,1,0,5"')
    expect(quarantine).toContain('OUT_OF_RANGE,time,"infinity,1,1,1,1,1"')
    expect(quarantine).toMatch(
      /DUPLICATE_TIMESTAMP_CONFLICT,,"2021-10-01 00:00:00\+00,(9,9,9,9,9|100,103,99.25,101,1000)"/,
    )
    const { table } = await loadTable('prices', undefined, context)
    expect([...numbers(table, 'time')].slice(-2)).toEqual([START + 248 * 3.6e6, START + 249 * 3.6e6])
  })

  it('has the types of the server', async () => {
    const context = home()
    await server.execute(
      `create table typed (at timestamp, day date, exact numeric, whole int8, yes bool, word text, small float4, nothing float8)`,
      `insert into typed values
        ('2020-07-01 12:30:00.125', '2020-02-29', 12345678901234567890.123456789, 9007199254740991, true, ' a "b"', 0.1, null),
        ('2020-07-02', '2020-03-01', 'NaN', -5, false, 'é,\u00a0x', 'NaN', 2), (null, null, null, null, null, null, null, null)`,
    )
    await ingest(from({ table: 'typed', zone: 'America/New_York' }, { schema: 'table' }), context)
    const { table } = await loadTable('prices', undefined, context)
    const column = (name: string) => [...findColumn(table, name)!.values]
    expect(table.columns.map(({ type }) => type).join(' ')).toBe('time time number number string string number number')
    expect(column('at')).toEqual([Date.UTC(2020, 6, 1, 16, 30, 0, 125), Date.UTC(2020, 6, 2, 4), Number.NaN])
    expect(column('day')).toEqual([Date.UTC(2020, 1, 29), Date.UTC(2020, 2, 1), Number.NaN])
    expect(column('exact')).toEqual([Number('12345678901234567890.123456789'), Number.NaN, Number.NaN])
    expect(column('whole')).toEqual([9007199254740991, -5, Number.NaN])
    expect(column('yes')).toEqual(['true', 'false', null])
    expect(column('word')).toEqual(['a "b"', 'é,\u00a0x', null])
    expect(column('small')).toEqual([0.1, Number.NaN, Number.NaN])
  })

  it('keeps the digits of numbers that are to be text, and truths that are to be numbers', async () => {
    const context = home()
    await server.execute('create table ids (id int8, ok bool)', 'insert into ids values (9007199254740993, true)')
    const schema = [
      { name: 'id', type: 'string' },
      { name: 'ok', type: 'boolean' },
    ]
    await ingest(from({ table: 'ids' }, { schema }), context)
    const { table } = await loadTable('prices', undefined, context)
    expect(table.columns.map(({ values }) => values[0])).toEqual(['9007199254740993', 1])
  })
})

describe('an incremental load', () => {
  it('reads what is new or revised, and adds nothing the second time', async () => {
    const context = home()
    await server.execute(BARS('grown'), hours('grown', 0, 100))
    const config = from({ table: 'grown', overlap: '2h' })
    expect(await ingest(config, context)).toMatchObject({ read: 100, added: 100, version: 1 })
    expect(await ingest(config, context)).toMatchObject({ read: 3, added: 0, revised: 0, version: 1, created: false })
    await server.execute(
      hours('grown', 100, 105),
      "update grown set close = 100.5 + 98 where time = timestamptz '2021-10-01Z' + 98 * interval '1 hour'",
      "update grown set close = 1 where time = timestamptz '2021-10-01Z'",
    )
    expect(await ingest(config, context)).toMatchObject({ read: 8, added: 5, revised: 1, version: 2, rows: 105 })
    const { table } = await loadTable('prices', undefined, context)
    expect([numbers(table, 'close')[98], numbers(table, 'close')[0]]).toEqual([198.5, 101])
  })

  it('goes on where each symbol ended, and reads a new one from its beginning', async () => {
    const context = home()
    const insert = (symbol: string, first: number, end: number) =>
      `insert into many select timestamptz '2021-10-01Z' + i * interval '1 hour', 1, 1, 1, 1, 1, '${symbol}' from generate_series(${first}, ${end - 1}) i`
    await server.execute(
      'create table many (time timestamptz, open float8, high float8, low float8, close float8, volume float8, symbol text)',
      ...[insert('a', 0, 50), insert("o''b", 0, 20)],
    )
    const config = from({ table: 'many' })
    await ingest(config, context)
    await server.execute(insert('a', 50, 60), insert("o''b", 20, 30), insert('c', 0, 5))
    expect(await ingest(config, context)).toMatchObject({ read: 27, added: 25, rows: 95, symbols: ['a', 'c', "o'b"] })
  })

  it.each([
    ['timestamp', "timestamp '2021-10-01' + i * interval '1 hour'"],
    ['date', "date '2021-10-01' + i"],
    ['int8', '1633046400 + i * 3600'],
    ['numeric', '(1633046400 + i * 3600)::numeric * 1000000'],
  ])('compares times that are a %s', async (type, value) => {
    const context = home()
    const name = `by_${type}`
    const insert = (first: number, end: number) =>
      `insert into ${name} select ${value}, 1, 1, 1, 1, 1 from generate_series(${first}, ${end - 1}) i`
    await server.execute(BARS(name, `t ${type}`), insert(0, 40))
    const config = from({ table: name, ...(type === 'timestamp' && { zone: 'America/New_York' }) })
    await ingest(config, context)
    await server.execute(insert(40, 43))
    expect(await ingest(config, context)).toMatchObject({ read: 4, added: 3, rows: 43 })
  })

  it('by another column finds what was revised long ago', async () => {
    const context = home()
    await server.execute(BARS('changed', 'updated timestamptz default now(), time timestamptz'))
    const bar = (day: number, close: number) =>
      `insert into changed values (timestamptz '2021-11-${day}Z', '2021-10-${day}Z', 1, 9, 1, ${close}, 1)`
    await server.execute(bar(10, 2), bar(11, 3), bar(12, 4))
    const config = from({ table: 'changed', cursor: 'updated' })
    await ingest(config, context)
    await server.execute("update changed set close = 7, updated = '2021-11-20Z' where time = '2021-10-10Z'")
    expect(await ingest(config, context)).toMatchObject({ revised: 1, rows: 3 })
    expect(await refusal(ingest(from({ table: 'changed', cursor: 'update' }), context))).toMatchObject({
      code: 'MISSING_COLUMN',
    })
  })
})

describe('a query', () => {
  it('is read, and can do nothing else', async () => {
    const context = home()
    await server.execute(BARS('queried'), hours('queried', 0, 20))
    const query = 'select * from queried where volume < 1010 -- the first;\n;'
    expect(await ingest(from({ query, columns: { volume: null } }), context)).toMatchObject({
      accepted: 10,
      reasons: { NO_VOLUME: 10 },
    })
    for (const query of [
      'delete from queried returning *',
      'select * from queried) as x; commit; drop table queried; select * from (select 1',
      'select * from nowhere',
    ])
      expect(await refusal(ingest(from({ query }), context))).toMatchObject({ code: 'DATABASE_QUERY', exit: 4 })
    expect(await server.execute('select count(*)::int from queried')).toEqual([[20]])
  })

  it('that takes too long is ended', async () => {
    const config = from(
      { query: 'select now() as time, pg_sleep(30)::text, 1 as close', timeout: 0.3 },
      { schema: 'table' },
    )
    expect(await refusal(ingest(config, home()))).toMatchObject({ code: 'DATABASE_TIMEOUT', exit: 4 })
  })

  it('is cancelled on the server when the command is stopped', async () => {
    const abort = new AbortController()
    const context = { ...home(), signal: abort.signal }
    const running = () =>
      server.execute(
        "select count(*)::int from pg_stat_activity where query like 'fetch forward %' and state = 'active'",
      )
    const ended = refusal(
      ingest(from({ query: 'select pg_sleep(31)::text as a, 1 as b' }, { schema: 'table' }), context),
    )
    for (let i = 0; (await running())[0][0] === 0 && i < 100; i++);
    abort.abort(new Error('stopped'))
    expect(await ended).toEqual(new Error('stopped'))
    expect(await running()).toEqual([[0]])
  })
})

describe('a connection', () => {
  it('that cannot be made says where, and no password', async () => {
    const wrong = (url: string) => refusal(ingest(from({ table: 'x', url_env: 'MY_URL' }), home({ MY_URL: url })))
    for (const url of [
      `postgres://sluice:wr0ng-secret@127.0.0.1:${server.port}/postgres`,
      'postgres://sluice:wr0ng-secret@127.0.0.1:1/postgres',
      'postgres://sluice:wr0ng-secret@[bad/postgres',
      `postgres://sluice:wr0ng-secret@127.0.0.1:${server.port}/nowhere?sslmode=disable`,
    ]) {
      const error = await wrong(url)
      expect(error).toMatchObject({ code: 'DATABASE_UNREACHABLE', exit: 4 })
      expect(error.message + error.stack + JSON.stringify(error.cause ?? '')).not.toContain('wr0ng-secret')
    }
    const without = await wrong(`postgres://sluice@127.0.0.1:${server.port}/postgres`)
    expect(without).toMatchObject({ code: 'DATABASE_UNREACHABLE', message: expect.stringContaining('PGPASSWORD') })
    expect(await wrong('mysql://a:b@c/d')).toMatchObject({ code: 'DATABASE_URL', exit: 2 })
    const missing = await refusal(ingest(from({ table: 'x', url_env: 'MY_URL' }), home()))
    expect(missing).toMatchObject({ code: 'DATABASE_URL', exit: 2, message: expect.stringContaining('MY_URL') })
  })

  it('takes a URL of the config with the password of the environment', async () => {
    await server.execute(BARS('secret'), hours('secret', 0, 5))
    const url = `postgres://sluice@127.0.0.1:${server.port}/postgres`
    expect(await ingest(from({ table: 'secret', url }), home({ PGPASSWORD: PASSWORD }))).toMatchObject({ rows: 5 })
  })

  it('that drops in the middle ends the load, and nothing is saved', async () => {
    const context = home()
    await server.execute(BARS('dropped'), hours('dropped', 0, 100))
    const config = from({ table: 'dropped' })
    await ingest(config, context)
    await server.execute(hours('dropped', 100, 2000))
    const slow = from({ query: 'select *, pg_sleep(0.002)::text from dropped', batch: 10 })
    const ended = refusal(ingest(slow, context))
    for (let i = 0; i < 100; i++) {
      const [[count]] = await server.execute(
        "select count(pg_terminate_backend(pid))::int from pg_stat_activity where query like 'fetch forward 10 %'",
      )
      if (count) break
    }
    expect(await ended).toMatchObject({ code: 'DATABASE_LOST', exit: 4 })
    expect((await loadTable('prices', undefined, context)).manifest).toMatchObject({ version: 1, rows: 100 })
    expect(readdirSync(`${context.home}/tables/prices`)).toEqual(['1'])
  })

  it('is closed afterwards', async () => {
    const count = async () =>
      (await server.execute("select count(*)::int from pg_stat_activity where application_name = 'sluice'"))[0][0]
    for (let i = 0; (await count()) !== 0 && i < 50; i++);
    expect(await count()).toBe(0)
  })
})
