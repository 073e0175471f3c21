// Damaged files: whatever byte is wrong, the answer is an error or a report that adds up, never a crash and never a bad candle.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SluiceError } from '../../src/base/errors.ts'
import { numbers, type Table } from '../../src/base/table.ts'
import { readCandles, writeTable } from '../../src/data/files.ts'
import { cleanCsv, dataOf, examine, given, NOW, testContext } from './home.ts'

const ROWS = 40
const context = { signal: new AbortController().signal, now: () => NOW }

/** Rows that no ingest may accept. */
function badCandles(table: Table): number[] {
  const [time, open, high, low, close, volume] = ['time', 'open', 'high', 'low', 'close', 'volume'].map(name =>
    numbers(table, name),
  )
  const isGood = (i: number) =>
    low[i] > 0 &&
    low[i] <= Math.min(open[i], close[i]) &&
    high[i] >= Math.max(open[i], close[i]) &&
    high[i] < Number.POSITIVE_INFINITY &&
    volume[i] >= 0 &&
    (i === 0 || time[i] > time[i - 1])
  return Array.from({ length: table.rows }, (_, i) => i).filter(i => !isGood(i))
}

async function examineDamaged(path: string): Promise<void> {
  try {
    const { table, counts } = await examine(dataOf({ kind: 'file', path }), context)
    expect(counts.read).toBe(counts.accepted + counts.rejected + counts.duplicates)
    expect(badCandles(table)).toEqual([])
  } catch (error) {
    expect(error).toBeInstanceOf(SluiceError)
    expect((error as SluiceError).exit).toBe(4)
  }
}

const damage = (size: number) => fc.array(fc.tuple(fc.nat(size - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })

it('CSV with wrong bytes', async () => {
  const home = testContext()
  const whole = Buffer.from(cleanCsv(ROWS))
  await fc.assert(
    fc.asyncProperty(damage(whole.length), async flips => {
      const bytes = Buffer.from(whole)
      for (const [at, value] of flips) bytes[at] = value
      await examineDamaged(given(home, 'damaged.csv', bytes))
    }),
    { numRuns: 250 },
  )
})

it('CSV cut anywhere', async () => {
  const home = testContext()
  const whole = Buffer.from(cleanCsv(ROWS))
  for (let size = 0; size < whole.length; size += 17)
    await examineDamaged(given(home, 'cut.csv', whole.subarray(0, size)))
})

it('Parquet with wrong bytes, and cut', async () => {
  const home = testContext()
  const path = join(home.home, 'whole.parquet')
  await writeTable(await readCandles(given(home, 'whole.csv', cleanCsv(ROWS))), path)
  const whole = readFileSync(path)
  const damaged = join(home.home, 'damaged.parquet')
  await fc.assert(
    fc.asyncProperty(damage(whole.length), fc.option(fc.nat(whole.length), { freq: 8 }), async (flips, cut) => {
      const bytes = Buffer.from(whole)
      for (const [at, value] of flips) bytes[at] = value
      writeFileSync(damaged, bytes.subarray(0, cut ?? bytes.length))
      await examineDamaged(damaged)
    }),
    { numRuns: 25 },
  )
})
