import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { describe, expect, it } from 'vitest'
import type { Table } from '../../src/base/table.ts'
import { writeTable } from '../../src/data/files.ts'
import { ingest } from '../../src/data/ingest.ts'
import { cleanCsv, cleanLine, dataOf, examine, given, HOUR, NOW, START, testContext } from './home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )
const HEADER = 'time,open,high,low,close,volume\n'

async function counts(text: string | Uint8Array, source: object = {}, more: object = {}, name = 'x.csv') {
  const path = given(testContext(), name, text)
  return (await examine(dataOf({ kind: 'file', path, ...source }, more), context)).counts
}

describe('rejected rows', () => {
  it('of CSV are kept with file, line, code and text', async () => {
    const home = testContext()
    const path = given(home, 'x.csv', `${cleanCsv(3)}\n${cleanLine(3)},"a, b"\nnoon,1,2,3,4,5\n`)
    const { quarantine } = await ingest(dataOf({ kind: 'file', path }), home)
    expect(readFileSync(quarantine as string, 'utf8')).toBe(
      `file,line,code,column,row\n${path},6,COLUMN_COUNT,,"${cleanLine(3)},""a, b"""\n${path},7,TIMESTAMP_INVALID,time,"noon,1,2,3,4,5"\n`,
    )
  })

  it('of Parquet are kept with their row', async () => {
    const home = testContext()
    const column = (name: string, values: number[]) => ({
      name,
      type: 'number' as const,
      values: Float64Array.from(values),
    })
    const table: Table = {
      rows: 4,
      columns: [
        { name: 'ts', type: 'time', values: Float64Array.of(START, START + HOUR, START + 2 * HOUR, Number.NaN) },
        ...['open', 'high', 'low', 'close'].map(name => column(name, [1, name === 'close' ? Number.NaN : 1, 1, 1])),
        column('volume', [1, 1, -5, 1]),
        { name: 'ticker', type: 'string', values: ['a', 'a', 'a', 'a'] },
      ],
    }
    const path = join(home.home, 'x.parquet')
    await writeTable(table, path)
    const result = await ingest(dataOf({ kind: 'file', path }), home)
    expect(result).toMatchObject({
      accepted: 1,
      rejected: 3,
      symbols: ['a'],
      reasons: { NULL_VALUE: 2, NEGATIVE_VOLUME: 1 },
    })
    const lines = readFileSync(result.quarantine as string, 'utf8')
      .split('\n')
      .slice(1, 4)
    expect(lines.map(line => line.split(',').slice(1, 3).join(' '))).toEqual([
      '2 NULL_VALUE',
      '3 NEGATIVE_VOLUME',
      '4 NULL_VALUE',
    ])
    expect(lines[1]).toContain('-5')
  })

  it('are an error under fail, and then nothing is written', async () => {
    const home = testContext()
    const path = given(home, 'x.csv', `${cleanCsv(9)}x\ny\nz\n1\n2\n3\n`)
    const error = await refusal(ingest(dataOf({ kind: 'file', path }, { on_bad_row: 'fail' }), home))
    expect(error).toMatchObject({
      code: 'BAD_ROW',
      exit: 4,
      message: expect.stringContaining(`6 bad rows: ${path}:11 COLUMN_COUNT`),
    })
    expect(error.message).toMatch(/and 1 more$/)
    expect(await home.database.selectFrom('table_versions').selectAll().execute()).toEqual([])
  })

  it('that are all rows there are end the ingest, and are kept', async () => {
    const home = testContext()
    const path = given(home, 'x.csv', `${HEADER}${START},1,1,1,0,1\n`)
    const error = await refusal(ingest(dataOf({ kind: 'file', path }), home))
    expect(error).toMatchObject({
      code: 'EMPTY_INPUT',
      exit: 4,
      detail: { read: 1, reasons: { NON_POSITIVE_PRICE: 1 } },
    })
    expect(readFileSync(error.detail.quarantine, 'utf8')).toContain('NON_POSITIVE_PRICE')
  })
})

describe('several files', () => {
  const files = (...texts: string[]) => {
    const home = testContext()
    return dataOf({ kind: 'file', paths: texts.map((text, i) => given(home, `${i}.csv`, text)) })
  }
  it('are read in order, each with its own header; the later one wins', async () => {
    const other = `Close,Open,High,Low,Volume,Date\n7,7,7,7,7,${START}\n`
    const { table, counts } = await examine(files(cleanCsv(2), other), context)
    expect(counts).toMatchObject({ read: 3, accepted: 2, reasons: { DUPLICATE_TIMESTAMP_CONFLICT: 1 } })
    expect(Array.from(table.columns[4].values as Float64Array)).toEqual([7, 102])
  })
  it('either all have symbols or none has', async () => {
    const withSymbol = `symbol,${HEADER}a,${cleanLine(5)}\n`
    expect(await refusal(examine(files(cleanCsv(2), withSymbol), context))).toMatchObject({ code: 'MISSING_COLUMN' })
    expect(await refusal(examine(files(cleanCsv(2), HEADER), context))).toMatchObject({
      code: 'EMPTY_INPUT',
      message: expect.stringContaining('1.csv'),
    })
  })
})

describe('options of a file', () => {
  it('gzip, names without a header, no volume', async () => {
    expect(await counts(gzipSync(cleanCsv(4)), {}, {}, 'x.csv.gz')).toMatchObject({ accepted: 4, reasons: {} })
    const bare = `${cleanLine(0)}\n${cleanLine(1)}\n`
    expect(
      await counts(bare, { header: ['when', 'open', 'high', 'low', 'close', 'volume'], columns: { time: 'when' } }),
    ).toMatchObject({ accepted: 2 })
    const without = cleanCsv(4).replaceAll(/,[^,\n]*\n/g, '\n')
    expect(await counts(without, { columns: { volume: null } })).toMatchObject({
      accepted: 4,
      reasons: { NO_VOLUME: 4 },
    })
  })
  it('another delimiter does not change the rows', async () => {
    expect(await counts(cleanCsv(4).replaceAll(',', '\t'), { delimiter: '\t' })).toMatchObject({
      accepted: 4,
      reasons: {},
    })
    expect(await refusal(counts(cleanCsv(4).replaceAll(',', '\t')))).toMatchObject({
      code: 'DELIMITER',
      next: expect.stringContaining('\\t'),
    })
  })
  it('a column of a type that holds no numbers is refused', async () => {
    const home = testContext()
    const values = { type: 'number' as const, values: Float64Array.of(1) }
    const columns = ['open', 'high', 'low', 'close'].map(name => ({ name, ...values }))
    const path = join(home.home, 'x.parquet')
    const time = Float64Array.of(START)
    await writeTable(
      {
        rows: 1,
        columns: [
          { name: 'time', type: 'time', values: time },
          ...columns,
          { name: 'volume', type: 'time', values: time },
        ],
      },
      path,
    )
    expect(await refusal(examine(dataOf({ kind: 'file', path }), context))).toMatchObject({ code: 'TYPE_MISMATCH' })
  })
  it('a column of lists is refused', async () => {
    const path = join(testContext().home, 'x.parquet')
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    const one = ['open', 'high', 'low', 'volume'].map(name => `1.0 as ${name}`).join(', ')
    await connection.run(`copy (select now() as time, ${one}, [1.0::double] as close) to '${path}' (format parquet)`)
    connection.closeSync()
    instance.closeSync()
    expect(await refusal(examine(dataOf({ kind: 'file', path }), context))).toMatchObject({
      code: 'TYPE_MISMATCH',
      message: expect.stringContaining('close (close) is a DOUBLE[]'),
    })
  })
})

describe('remarks', () => {
  it('a timeframe that most bars do not have, bars that overlap', async () => {
    expect((await counts(cleanCsv(9), {}, { timeframe: '1d' })).reasons).toMatchObject({ TIMEFRAME: 1, OFF_GRID: 8 })
    expect((await counts(cleanCsv(9), {}, { timeframe: '15m' })).reasons).toMatchObject({ TIMEFRAME: 1, GAP: 8 })
  })
  it('rows of the future are judged by the clock of the context', async () => {
    const path = given(testContext(), 'x.csv', cleanCsv(48))
    const then = { ...context, now: () => START - 12 * HOUR }
    expect((await examine(dataOf({ kind: 'file', path }), then)).counts).toMatchObject({ accepted: 13, rejected: 35 })
  })
  it('are told to the person', async () => {
    const home = testContext()
    await ingest(dataOf({ kind: 'file', path: given(home, 'x.csv', `${cleanCsv(4)}${cleanLine(9)}\n`) }), home)
    expect(home.warnings).toEqual([expect.stringContaining('prices: gaps: 1, bars missing: 5')])
  })
})
