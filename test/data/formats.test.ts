// What each format can hold, and how files differ that hold the same candles.

import { gzipSync } from 'node:zlib'
import avsc from 'avsc'
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/base/errors.ts'
import { numbers, strings, tableDigest } from '../../src/base/table.ts'
import { DAY } from '../../src/base/time.ts'
import { ingest } from '../../src/data/ingest.ts'
import { PACKED, packed } from './flips.ts'
import { dataOf, examine, given, NOW, testContext } from './home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }

async function read(name: string, content: string | Uint8Array, source: object = {}, more: object = {}) {
  const path = given(testContext(), name, content)
  return examine(dataOf({ kind: 'file', path, ...source }, more), context)
}
const refusal = async (...given: Parameters<typeof read>): Promise<SluiceError> => {
  const error = await read(...given).catch(error => error)
  expect(error).toBeInstanceOf(SluiceError)
  return error
}

const HEADER = 'time,open,high,low,close,volume'
const CSV = `${HEADER}\n2021-10-01 00:00:00,1.5,3,1,2,10\n2021-10-01 01:00:00,2.5,4,1.25,2,11\n`
const ROWS = [
  { time: '2021-10-01 00:00:00', open: 1.5, high: 3, low: 1, close: 2, volume: 10 },
  { time: '2021-10-01 01:00:00', open: 2.5, high: 4, low: 1.25, close: 2, volume: 11 },
]
const LISTS = ROWS.map(row => Object.values(row))
const lines = (rows: unknown[]) => rows.map(row => `${JSON.stringify(row)}\n`).join('')
const digestOf = async (...given: Parameters<typeof read>) => tableDigest((await read(...given)).table)

describe('the same candles', () => {
  it.each<[string, string | Uint8Array, object]>([
    ['x.csv.gz', gzipSync(CSV), {}],
    ['x.tsv', CSV.replaceAll(',', '\t'), { delimiter: 'auto' }],
    ['x.csv', CSV.replaceAll(',', ';').replaceAll('.', ','), { delimiter: 'auto', decimal: ',' }],
    ['x.csv', CSV.replaceAll(',', '|'), { delimiter: '|' }],
    ['x.csv', `made by hand\n"with a quote\n${CSV}`, { skip_lines: 2 }],
    ['x.csv', `# a remark, with "quotes\n${CSV.replace('\n', '\n# another\n')}`, { comment: '#' }],
    ['x.csv', Buffer.from(CSV, 'utf16le'), { encoding: 'utf-16le' }],
    ['x.csv', CSV.replace(/2021-10-01 (\S+)/g, '01.10.2021 $1'), { dates: 'dmy' }],
    ['x.csv', CSV.replace(/2021-10-01 (\S+)/g, '10/1/2021 $1'), { dates: 'mdy' }],
    ['x.csv', CSV.replace(/2021-10-01 ([\d:]+)/g, '01.10.2021 $1.000 GMT+0000'), { dates: 'dmy' }],
    [
      'mt.csv',
      CSV.replace(HEADER, '<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>').replace(/ (0\d)/g, ',$1'),
      { columns: { time: ['<DATE>', '<TIME>'] } },
    ],
    ['x.json', JSON.stringify(ROWS), {}],
    ['x.json', `\uFEFF${JSON.stringify(LISTS)}`, { header: false }],
    ['x.json', JSON.stringify([HEADER.split(','), ...LISTS]), {}],
    ['x.json.gz', gzipSync(JSON.stringify({ data: { candles: ROWS } })), { records: 'data.candles' }],
    [
      'x.json',
      JSON.stringify(ROWS.map(({ time, ...price }) => ({ at: { time }, price }))),
      {
        columns: {
          time: 'at.time',
          open: 'price.open',
          high: 'price.high',
          low: 'price.low',
          close: 'price.close',
          volume: 'price.volume',
        },
      },
    ],
    ['x.jsonl', lines(ROWS), {}],
    ['x.ndjson.gz', gzipSync(lines(ROWS).replaceAll('\n', '\r\n\r\n')), {}],
    ['x.jsonl', lines([HEADER.split(','), ...LISTS]), {}],
    ['x.jsonl', lines(LISTS), { header: HEADER.split(',') }],
    [
      'x.jsonl',
      lines(ROWS.map(({ time, ...rest }) => ({ day: time.slice(0, 10), clock: time.slice(11), ...rest }))),
      { columns: { time: ['day', 'clock'] } },
    ],
  ])('%s %#', async (name, content, source) => {
    expect(await digestOf(name, content, source)).toBe(await digestOf('x.csv', CSV))
  })

  it('in several files are one table', async () => {
    const home = testContext()
    const paths = [
      given(home, 'a.csv', CSV.split('\n').slice(0, 2).join('\n')),
      given(home, 'b.jsonl', lines(ROWS.slice(1))),
    ]
    const { table } = await examine(dataOf({ kind: 'file', paths }), context)
    expect(tableDigest(table)).toBe(await digestOf('x.csv', CSV))
  })
})

describe('text', () => {
  it('in an encoding of its own', async () => {
    const text = `${HEADER},symbol\n2021-10-01,1,1,1,1,1,MÜV2\n`
    const { table } = await read('x.csv', Buffer.from(text, 'latin1'), { encoding: 'windows-1252' })
    expect(strings(table, 'symbol')).toEqual(['MÜV2'])
    const { counts } = await read('x.csv', Buffer.from(text, 'latin1')).catch(error => ({ counts: error }))
    expect(counts.reasons).toMatchObject({ ENCODING: 1 })
  })
  it('is told what would read it', async () => {
    expect((await refusal('x.csv', Buffer.from(CSV, 'utf16le'))).next).toContain('encoding: utf-16le')
    expect((await refusal('x.csv', CSV.replace('time,', 'Date,Time,'))).next).toContain('columns: {time: [Date, Time]}')
    expect((await refusal('x.csv', CSV.replace('volume', 'Volume BTC'))).next).toContain(
      'columns: {volume: Volume BTC}',
    )
    expect(await refusal('x.csv', CSV, { columns: { time: ['time', 'clock'] } })).toMatchObject({
      code: 'MISSING_COLUMN',
      detail: { missing: ['clock'] },
    })
  })
  it('lies where the quarantine says, also in another encoding', async () => {
    const home = testContext()
    const bad = `${CSV}# x\n2021-10-01 02:00,ö,1,1,1,1\n`
    const path = given(home, 'x.csv', Buffer.from(`\uFEFF${bad}`, 'utf16le'))
    const { quarantine } = await ingest(dataOf({ kind: 'file', path, comment: '#' }), home)
    const { readFileSync } = await import('node:fs')
    expect(readFileSync(quarantine!, 'utf8')).toContain(`${path},5,NOT_A_NUMBER,open,"2021-10-01 02:00,ö,1,1,1,1"`)
  })
})

describe('JSON', () => {
  it.each([
    ['{"a": 1', {}, 'JSON_PARSE'],
    ['[{"time": NaN}]', {}, 'JSON_PARSE'],
    ['', {}, 'EMPTY_INPUT'],
    ['[]', {}, 'EMPTY_INPUT'],
    ['[1, 2]', {}, 'EMPTY_INPUT'],
    [JSON.stringify({ s: 'ok', data: { list: LISTS } }), {}, 'RECORDS'],
    [JSON.stringify({ data: 1 }), { records: 'data' }, 'RECORDS'],
    [JSON.stringify(LISTS), {}, 'MISSING_COLUMN'],
  ])('%s is refused', async (text, source, code) => {
    const error = await refusal('x.json', text, source)
    expect(error).toMatchObject({ code, exit: 4 })
    if (text.includes('list')) expect(error.next).toContain('records: data.list')
    else if (code === 'RECORDS') expect(error.next).toContain('format: jsonl')
    if (code === 'MISSING_COLUMN') expect(error.next).toContain('header: false')
  })

  it('rows of another shape are refused alone', async () => {
    const { counts } = await read(
      'x.json',
      JSON.stringify([
        ...ROWS,
        5,
        [1],
        null,
        { ...ROWS[0], time: '2021-10-02', close: [2] },
        { ...ROWS[0], time: '2021-10-03', low: true },
        {},
      ]),
    )
    expect(counts).toMatchObject({ read: 8, accepted: 2, reasons: { TYPE_MISMATCH: 5, NULL_VALUE: 1 } })
    const short = await read('x.jsonl', lines([...LISTS, [1]]), { header: false })
    expect(short.counts).toMatchObject({ accepted: 2, reasons: { COLUMN_COUNT: 1 } })
  })

  it('a broken line costs itself alone and is kept as it was', async () => {
    const text = lines(ROWS).replace('\n', '\n{"time": 16\n')
    const { counts, refused } = await read('x.jsonl', text)
    expect(counts).toMatchObject({ read: 3, accepted: 2, reasons: { JSON_PARSE: 1 } })
    expect(refused.error()).toMatchObject({ detail: { rows: [{ line: 2, code: 'JSON_PARSE' }] } })
  })

  it('as a table has the columns of all rows, with the types of their values', async () => {
    const rows = [
      { b: 1, s: 'x', t: '2021-01-01' },
      { b: null, s: '5', n: { deep: true } },
      { b: '2.5', t: '2021-01-02' },
    ]
    for (const [name, text] of [
      ['x.json', JSON.stringify(rows)],
      ['x.jsonl', lines(rows)],
    ] as const) {
      const { table } = await read(name, text, {}, { schema: 'table' })
      expect(table.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
        'b number',
        's string',
        't time',
        'n.deep string',
      ])
      expect([...numbers(table, 'b')]).toEqual([1, Number.NaN, 2.5])
      expect(strings(table, 's')).toEqual(['x', '5', null])
      expect(strings(table, 'n.deep')).toEqual([null, 'true', null])
    }
  })
})

describe('Avro', () => {
  const nullable = (type: object | string) => ['null', type]
  const schema = {
    type: 'record',
    name: 'Row',
    fields: [
      { name: 'at', type: nullable({ type: 'long', logicalType: 'timestamp-micros' }) },
      { name: 'local', type: { type: 'long', logicalType: 'local-timestamp-millis' } },
      { name: 'day', type: { type: 'int', logicalType: 'date' } },
      { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 10, scale: 2 } },
      { name: 'big', type: 'long' },
      { name: 'either', type: ['int', 'double'] },
      { name: 'side', type: { type: 'enum', name: 'Side', symbols: ['BUY', 'SELL'] } },
      { name: 'note', type: nullable('string') },
      { name: 'flag', type: 'boolean' },
      { name: 'deep', type: { type: 'map', values: 'int' } },
    ],
  }
  const rows = [
    {
      at: 1633046400000999,
      local: 0,
      day: -1,
      price: Buffer.from('ff83', 'hex'),
      big: 2 ** 52,
      either: { double: 1.5 },
      side: 'SELL',
      note: 'ä',
      flag: true,
      deep: { a: 1 },
    },
    {
      at: null,
      local: 1,
      day: 1,
      price: Buffer.from('0100', 'hex'),
      big: -1,
      either: { int: 2 },
      side: 'BUY',
      note: null,
      flag: false,
      deep: {},
    },
  ]
  async function bytes(codec: string): Promise<Buffer> {
    const encoder = new avsc.streams.BlockEncoder(schema as never, { codec })
    for (const row of rows) encoder.write(row)
    encoder.end()
    const chunks: Buffer[] = []
    for await (const chunk of encoder) chunks.push(chunk)
    return Buffer.concat(chunks)
  }

  it.each(['null', 'deflate'])('of logical types and unions, packed with %s', async codec => {
    const path = given(testContext(), 'x.avro', await bytes(codec))
    const source = { kind: 'file' as const, path }
    const columns = Object.keys(rows[0]).map(name => ({ name, nullable: true }))
    const { table } = await examine(dataOf(source, { schema: { columns, key: ['big'] } }), context)
    expect([...numbers(table, 'at')]).toEqual([1633046400000, Number.NaN])
    expect([...numbers(table, 'local')]).toEqual([0, 1])
    expect([...numbers(table, 'day')]).toEqual([-86_400_000, 86_400_000])
    expect([...numbers(table, 'price')]).toEqual([-1.25, 2.56])
    expect([...numbers(table, 'big')]).toEqual([2 ** 52, -1])
    expect([...numbers(table, 'either')]).toEqual([1.5, 2])
    expect(strings(table, 'side')).toEqual(['SELL', 'BUY'])
    expect(strings(table, 'note')).toEqual(['ä', null])
    expect(strings(table, 'flag')).toEqual(['true', 'false'])
    expect(strings(table, 'deep')).toEqual(['{"a":1}', '{}'])
  })
  it('a time beyond what a date can be is refused where words are asked for', async () => {
    const fields = [
      { name: 'note', type: { type: 'long', logicalType: 'timestamp-millis' } },
      { name: 'id', type: 'int' },
    ]
    const encoder = new avsc.streams.BlockEncoder({ type: 'record', name: 'Row', fields } as never)
    for (const [id, note] of [0, 8.64e15, 8.7e15, -9e15].entries()) encoder.write({ note, id })
    encoder.end()
    const chunks: Buffer[] = []
    for await (const chunk of encoder) chunks.push(chunk)
    const source = { kind: 'file' as const, path: given(testContext(), 'x.avro', Buffer.concat(chunks)) }
    const columns = [{ name: 'note', type: 'string' as const }, { name: 'id' }]
    const { table, counts } = await examine(dataOf(source, { schema: { columns, key: ['id'] } }), context)
    expect(strings(table, 'note')).toEqual(['1970-01-01T00:00:00.000Z', '+275760-09-13T00:00:00.000Z'])
    expect(counts.reasons).toEqual({ OUT_OF_RANGE: 2 })
  })
  it('packed with what cannot be unpacked is refused by name', async () => {
    const other = Buffer.from((await bytes('deflate')).toString('latin1').replace('deflate', 'deflat2'), 'latin1')
    expect(await refusal('x.avro', other)).toMatchObject({ code: 'AVRO_CODEC', exit: 4 })
  })
  it('cut anywhere gives an error, or the whole blocks before', async () => {
    const whole = await bytes('null')
    for (let size = 0; size < whole.length; size += 23)
      expect((await refusal('x.avro', whole.subarray(0, size), {}, { schema: 'table' })).code).toMatch(
        /CORRUPT_FILE|EMPTY_INPUT/,
      )
  })
})

it.each(PACKED)('a packed file of another library: %s', async name => {
  const { columns, rows } = (await read(name, packed(name))).table
  const day = (row: number) => Date.UTC(2020, 0, 1) + row * DAY
  const each = <T>(value: (row: number) => T) => Array.from({ length: rows }, (_, row) => value(row))
  expect(Object.fromEntries(columns.map(({ name, values }) => [name, [...values]]))).toEqual({
    time: each(day),
    open: each(() => 10),
    high: each(() => 12),
    low: each(() => 9),
    close: each(row => 10 + row / 100),
    volume: each(row => row),
    symbol: each(row => (row % 2 ? 'AB' : 'CD')),
  })
})

describe('a file of another format than its name says', () => {
  it.each([
    ['x.avro', 'CORRUPT_FILE'],
    ['x.arrow', 'CORRUPT_FILE'],
    ['x.parquet', 'CORRUPT_FILE'],
    ['x.json', 'JSON_PARSE'],
    ['x.jsonl', 'EMPTY_INPUT'],
    ['x.xlsx', 'FORMAT'],
  ])('%s', async (name, code) => {
    expect(await refusal(name, CSV)).toMatchObject({ code, exit: 4 })
  })
})
