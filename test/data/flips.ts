// Damaged files of every format: whatever byte is wrong, the answer is an error or a report that adds up, never a crash, never a bad candle, never rows that are gone in silence.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import avsc from 'avsc'
import fc from 'fast-check'
import { expect } from 'vitest'
import { writeArrow } from '../../src/base/arrow.ts'
import { SluiceError } from '../../src/base/errors.ts'
import { numbers, type Table } from '../../src/base/table.ts'
import { readCandles, writeTable } from '../../src/data/files.ts'
import { cleanCsv, dataOf, examine, given, NOW, testContext } from './home.ts'

export const ROWS = 48
const context = { signal: new AbortController().signal, now: () => NOW }

type Home = ReturnType<typeof testContext>

const candles = (home: Home): Promise<Table> => readCandles(given(home, 'clean.csv', cleanCsv(ROWS)))
const recordsOf = ({ rows, columns }: Table) =>
  Array.from({ length: rows }, (_, row) => Object.fromEntries(columns.map(({ name, values }) => [name, values[row]])))

async function avroBytes(records: object[], codec: string): Promise<Buffer> {
  const fields = Object.keys(records[0]).map(name => ({ name, type: name === 'time' ? 'long' : 'double' }))
  const encoder = new avsc.streams.BlockEncoder({ type: 'record', name: 'Candle', fields } as never, {
    codec,
    blockSize: 1024,
  })
  for (const record of records) encoder.write(record)
  encoder.end()
  const chunks: Buffer[] = []
  for await (const chunk of encoder) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Packed files with as many candles, of two symbols, by pyarrow 26 and fastavro 1.13. */
export const PACKED = ['lz4.feather', 'zstd.feather', 'zstandard.avro']
export const packed = (name: string): Buffer => readFileSync(new URL(`packed/${name}`, import.meta.url))

/** The name of a file of each format, and its bytes. */
export const FILES: Record<string, (home: Home) => Promise<Uint8Array>> = {
  ...Object.fromEntries(PACKED.map(name => [name, async () => packed(name)])),
  'x.csv': async () => Buffer.from(cleanCsv(ROWS)),
  'x.csv.gz': async () => gzipSync(cleanCsv(ROWS)),
  'x.json': async home => Buffer.from(JSON.stringify(recordsOf(await candles(home)))),
  'x.jsonl': async home =>
    Buffer.from(
      recordsOf(await candles(home))
        .map(record => `${JSON.stringify(record)}\n`)
        .join(''),
    ),
  'x.avro': async home => avroBytes(recordsOf(await candles(home)), 'deflate'),
  'plain.avro': async home => avroBytes(recordsOf(await candles(home)), 'null'),
  'x.parquet': async home => {
    const path = join(home.home, 'whole.parquet')
    await writeTable(await candles(home), path)
    return readFileSync(path)
  },
  'x.arrow': async home => {
    const path = join(home.home, 'whole.arrow')
    const { columns } = await candles(home)
    await writeArrow(
      path,
      columns.map(({ name, values }) => ({ name, values })),
    )
    return readFileSync(path)
  },
}

/** Rows that no ingest may accept. */
function badCandles(table: Table): number[] {
  const [time, open, high, low, close, volume] = ['time', 'open', 'high', 'low', 'close', 'volume'].map(name =>
    numbers(table, name),
  )
  const symbol = table.columns.find(({ name }) => name === 'symbol')?.values
  const follows = (i: number) =>
    time[i] > time[i - 1] || (time[i] === time[i - 1] && symbol !== undefined && symbol[i]! > symbol[i - 1]!)
  const isGood = (i: number) =>
    low[i] > 0 &&
    low[i] <= Math.min(open[i], close[i]) &&
    high[i] >= Math.max(open[i], close[i]) &&
    high[i] < Number.POSITIVE_INFINITY &&
    volume[i] >= 0 &&
    (i === 0 || follows(i))
  return Array.from({ length: table.rows }, (_, i) => i).filter(i => !isGood(i))
}

/** Gives how many rows were taken; undefined where the file was refused. Rows may be missing only where the report names some that are wrong. */
export async function examineDamaged(path: string, whole = false): Promise<number | undefined> {
  try {
    const { table, counts } = await examine(dataOf({ kind: 'file', path }), context)
    expect(counts.read).toBe(counts.accepted + counts.rejected + counts.duplicates)
    expect(badCandles(table)).toEqual([])
    if (whole && counts.rejected === 0) expect(counts.read).toBe(ROWS)
    return counts.accepted
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error
    expect(error.exit).toBe(4)
    return undefined
  }
}

/** One wrong byte after another: none may take rows away in silence, or take long. */
export async function flip(name: string, runs: number): Promise<void> {
  const home = testContext()
  const whole = Buffer.from(await FILES[name](home))
  expect(await examineDamaged(given(home, name, whole), true)).toBe(ROWS)
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
      const bytes = Buffer.from(whole)
      bytes[at] ^= change
      const begun = performance.now()
      await examineDamaged(given(home, name, bytes), true)
      expect(performance.now() - begun).toBeLessThan(5000)
    }),
    { numRuns: runs },
  )
}

/** Several wrong bytes, and perhaps no end. */
export async function maim(name: string, runs: number): Promise<void> {
  const home = testContext()
  const whole = Buffer.from(await FILES[name](home))
  const damage = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(damage, fc.option(fc.nat(whole.length), { freq: 3 }), async (flips, cut) => {
      const bytes = Buffer.from(whole)
      for (const [at, value] of flips) bytes[at] = value
      await examineDamaged(given(home, name, bytes.subarray(0, cut ?? bytes.length)))
    }),
    { numRuns: runs },
  )
}
