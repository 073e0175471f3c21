import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { fileDigests, sha256 } from '../../src/base/blobs.ts'
import { openDatabase } from '../../src/base/database.ts'
import { type Table, tableDigest } from '../../src/base/table.ts'
import { readCandles, writeTable } from '../../src/data/files.ts'
import { ingest } from '../../src/data/ingest.ts'
import { candleLayout } from '../../src/data/layout.ts'
import { tableFolder } from '../../src/data/manifest.ts'
import type { SourceFile } from '../../src/data/rows.ts'
import { loadTable, saveTable } from '../../src/data/tables.ts'
import { cleanCsv, dataOf, given, NOW, testContext } from './home.ts'

const clean = (context: { home: string }, rows = 48) =>
  dataOf({ kind: 'file', path: given(context, `clean${rows}.csv`, cleanCsv(rows)) })
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

describe('versions', () => {
  it('the same rows are the same version, other rows the next one', async () => {
    const context = testContext()
    const first = await ingest(clean(context), context)
    const again = await ingest(clean(context), context)
    const more = await ingest(clean(context, 49), context)
    expect([first.version, again.version, more.version]).toEqual([1, 1, 2])
    expect([first.created, again.created, more.created]).toEqual([true, false, true])
    expect(again.digest).toBe(first.digest)
    expect((await loadTable('prices', 1, context)).table.rows).toBe(48)
    expect((await loadTable('prices', undefined, context)).manifest).toMatchObject({ version: 2, parent: 1, rows: 49 })
  })

  it('the same rows of which something else is said are the next version', async () => {
    const context = testContext()
    const path = given(context, 'zones.csv', 'zone,x\n1,0.5\n2,0.25\n')
    const zone = { name: 'zone', type: 'number' as const }
    const versions = []
    for (const schema of [
      [zone, { name: 'x' }],
      [{ ...zone, categorical: true }, { name: 'x' }],
    ])
      for (let twice = 0; twice < 2; twice++)
        versions.push(await ingest(dataOf({ kind: 'file', path }, { schema }), context))
    expect(versions.map(({ version }) => version)).toEqual([1, 1, 2, 2])
    expect(new Set(versions.map(({ digest }) => digest)).size).toBe(1)
    expect((await loadTable('prices', undefined, context)).manifest.schema[0].rule).toMatchObject({ categorical: true })
  })

  it('the same rows from CSV and from Parquet have one digest', async () => {
    const context = testContext()
    const csv = await ingest(clean(context), context)
    const path = join(context.home, 'given', 'same.parquet')
    await writeTable((await loadTable('prices', 1, context)).table, path)
    const parquet = await ingest(dataOf({ kind: 'file', path }), context)
    expect(parquet).toMatchObject({ version: csv.version, digest: csv.digest, created: false })
  })

  it('what is loaded is what was accepted, and the manifest says what it is', async () => {
    const context = testContext()
    const config = clean(context)
    const { digest } = await ingest(config, context)
    const { table, manifest } = await loadTable('prices', undefined, context)
    expect(tableDigest(table)).toBe(digest)
    const [partition] = manifest.partitions
    const file = tableFolder(context.home, 'prices', '1', partition.file)
    expect(partition).toMatchObject(await fileDigests(file))
    const path = 'path' in config.source ? String(config.source.path) : ''
    expect(manifest).toMatchObject({
      table: 'prices',
      version: 1,
      parent: null,
      timeframe: '1h',
      from: '2021-10-01T00:00:00.000Z',
      to: '2021-10-02T23:00:00.000Z',
      created: new Date(NOW).toISOString(),
      schema: ['time', 'open', 'high', 'low', 'close', 'volume'].map(name => ({
        name,
        type: name === 'time' ? 'time' : 'number',
      })),
      source: { kind: 'file', files: [{ path, ...(await fileDigests(path)) }] },
      report: { read: 48, accepted: 48, rejected: 0, duplicates: 0 },
    })
  })

  it('two symbols lie sorted by time, then symbol', async () => {
    const context = testContext()
    const rows = cleanCsv(3).trim().split('\n')
    const text = [`${rows[0]},ticker`, ...['B', 'A'].flatMap(name => rows.slice(1).map(row => `${row},${name}`))].join(
      '\n',
    )
    const result = await ingest(dataOf({ kind: 'file', path: given(context, 'two.csv', text) }), context)
    expect(result).toMatchObject({ accepted: 6, symbols: ['A', 'B'], reasons: {} })
    const { table } = await loadTable('prices', undefined, context)
    expect(table.columns.at(-1)?.values).toEqual(['A', 'B', 'A', 'B', 'A', 'B'])
  })
})

describe('two commands that share a home', () => {
  /** Connections of their own to one store. */
  function twoConnections() {
    const context = testContext()
    return [1, 2].map(() => {
      const database = openDatabase(join(context.home, 'store.db'))
      onTestFinished(() => database.destroy())
      return { ...context, database }
    })
  }
  const rowsOf = (table: Table) => ({ table: 'prices', layout: candleLayout(), tables: [table] })
  const about =
    (files = async (): Promise<SourceFile[]> => []) =>
    async () => ({ timeframe: '1h', report: {}, source: { kind: 'file', files: await files() } })
  const candles = async (context: { home: string }, rows: number) =>
    readCandles(given(context, `candles${rows}.csv`, cleanCsv(rows)))

  it('can both write while one of them saves its rows', async () => {
    const [one, other] = twoConnections()
    const move = { model: 'm', alias: 'champion', from_version: null, to_version: 1, reason: 'r', moved: NOW }
    const files = async () => {
      await other.database.insertInto('alias_moves').values(move).execute()
      return []
    }
    expect(await saveTable(rowsOf(await candles(one, 5)), about(files), one)).toMatchObject({
      manifest: { version: 1 },
    })
  })

  it('save equal rows as one version, and others as two', async () => {
    const contexts = twoConnections()
    const equal = await candles(contexts[0], 5)
    const same = await Promise.all(contexts.map(context => saveTable(rowsOf(equal), about(), context)))
    expect(same.map(({ manifest, created }) => [manifest.version, created]).sort()).toEqual([
      [1, false],
      [1, true],
    ])
    const tables = await Promise.all([6, 7].map(rows => candles(contexts[0], rows)))
    const other = await Promise.all(tables.map((table, i) => saveTable(rowsOf(table), about(), contexts[i])))
    expect(other.map(({ manifest: { version, parent } }) => [version, parent]).sort()).toEqual([
      [2, 1],
      [3, 2],
    ])
    expect(readdirSync(tableFolder(contexts[0].home, 'prices')).sort()).toEqual(['1', '2', '3'])
  })
})

describe('what is not as it was written', () => {
  const saved = async () => {
    const context = testContext()
    const config = clean(context)
    await ingest(config, context)
    return { context, config, file: (name: string) => join(tableFolder(context.home, 'prices', '1'), name) }
  }

  it('a manifest that is gone or changed stops loading and ingesting, and names the way out', async () => {
    const { context, config, file } = await saved()
    const text = readFileSync(file('manifest.json'), 'utf8')
    writeFileSync(file('manifest.json'), text.replace('"rows": 48', '"rows": 47'))
    const corrupt = { code: 'MANIFEST_CORRUPT', fault: 'data', exit: 4, next: expect.stringContaining('sluice ingest') }
    expect(await refusal(loadTable('prices', undefined, context))).toMatchObject(corrupt)
    expect(await refusal(ingest(config, context))).toMatchObject(corrupt)
    rmSync(file('manifest.json'))
    const missing = { code: 'MANIFEST_MISSING', message: expect.stringContaining(file('manifest.json')) }
    expect(await refusal(loadTable('prices', undefined, context))).toMatchObject(missing)
    expect(await refusal(ingest(config, context))).toMatchObject(missing)
    rmSync(file(''), { recursive: true })
    expect(await ingest(config, context)).toMatchObject({ version: 2, created: true })
  })

  it('a partition that is gone or changed stops loading', async () => {
    const { context, file } = await saved()
    appendFileSync(file('part-all.parquet'), 'x')
    expect(await refusal(loadTable('prices', undefined, context))).toMatchObject({ code: 'PARTITION_CORRUPT', exit: 4 })
    rmSync(file('part-all.parquet'))
    expect(await refusal(loadTable('prices', undefined, context))).toMatchObject({ code: 'PARTITION_MISSING', exit: 4 })
  })

  it('a manifest of another version of the program stops loading, and an ingest writes a new one', async () => {
    const { context, file } = await saved()
    const text = readFileSync(file('manifest.json'), 'utf8').replace(/"format": \d+/, '"format": 1')
    writeFileSync(file('manifest.json'), text)
    await context.database
      .updateTable('table_versions')
      .set({ manifest_sha256: sha256(text) })
      .execute()
    expect(await refusal(loadTable('prices', undefined, context))).toMatchObject({ code: 'MANIFEST_FORMAT', exit: 4 })
    expect(await ingest(clean(context), context)).toMatchObject({ version: 2, created: true })
    expect((await loadTable('prices', undefined, context)).table.rows).toBe(48)
  })

  it('a table that nobody saved is a data error', async () => {
    expect(await refusal(loadTable('prices', undefined, testContext()))).toMatchObject({ code: 'NO_TABLE', exit: 4 })
    expect(await refusal(loadTable('prices', 7, testContext()))).toMatchObject({ code: 'NO_TABLE', exit: 4 })
  })
})

describe('nothing half-written', () => {
  const versions = async (context: ReturnType<typeof testContext>) => {
    const folder = join(context.home, 'tables', 'prices')
    const rows = await context.database.selectFrom('table_versions').selectAll().execute()
    return { rows: rows.length, folders: existsSync(folder) ? readdirSync(folder) : [] }
  }

  it('an interrupted ingest leaves no version and no row', async () => {
    const context = testContext()
    const config = clean(context, 5000)
    for (const delay of [0, 2, 5, 10, 20]) {
      const stop = new AbortController()
      setTimeout(() => stop.abort(new Error('interrupted')), delay)
      const error = await refusal(ingest(config, { ...context, signal: stop.signal }))
      if (!error) break
      expect(error.message).toBe('interrupted')
      expect(await versions(context)).toEqual({ rows: 0, folders: [] })
    }
    expect(await ingest(config, context)).toMatchObject({ version: 1 })
  })

  it('the folder without a row that a process left when it died is replaced', async () => {
    const context = testContext()
    const left = join(context.home, 'tables', 'prices', '1')
    mkdirSync(left, { recursive: true })
    writeFileSync(join(left, 'part-all.parquet'), 'half')
    expect(await ingest(clean(context), context)).toMatchObject({ version: 1, created: true })
    expect((await loadTable('prices', 1, context)).table.rows).toBe(48)
    expect(await versions(context)).toEqual({ rows: 1, folders: ['1'] })
  })

  it('an error while saving leaves no row', async () => {
    const context = testContext()
    mkdirSync(join(context.home, 'tables'), { recursive: true })
    writeFileSync(join(context.home, 'tables', 'prices'), 'a file where the folder should be')
    await expect(ingest(clean(context), context)).rejects.toThrow()
    expect(await context.database.selectFrom('table_versions').selectAll().execute()).toEqual([])
  })
})

it('candles that a command takes directly pass the same contract, and a bad row is an error', async () => {
  const context = testContext()
  const good = given(context, 'good.csv', cleanCsv(5))
  expect((await readCandles(good)).rows).toBe(5)
  const bad = given(context, 'bad.csv', cleanCsv(5).replace('103.5', '-1'))
  expect(await refusal(readCandles(bad))).toMatchObject({
    code: 'BAD_ROW',
    message: expect.stringMatching(/bad\.csv:\d NON_POSITIVE_PRICE/),
  })
})
