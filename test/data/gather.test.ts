import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { joinTables, tableDigest } from '../../src/base/table.ts'
import { gather } from '../../src/data/gather.ts'
import { dataConfig } from '../../src/data/schema.ts'
import { openSource } from '../../src/data/sources.ts'
import { given, HOUR, NOW, START, testContext } from './home.ts'

/** What comes of files, each a block of its own, when at most so many rows may be held in memory. */
async function gathered(paths: string[], mostInMemory: number) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-gather-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const { source, schema } = dataConfig.parse({ source: { kind: 'file', paths } })
  const { signal } = new AbortController()
  const scratch = join(folder, 'scratch')
  const found = (await gather(openSource(source, schema, { signal, now: () => NOW }), {
    scratch,
    signal,
    mostInMemory,
  }))!
  const tables = []
  for await (const table of found.tables()) if (table.rows) tables.push(table)
  const { DUPLICATE_TIMESTAMP_CONFLICT: conflicts = 0, ...reasons } = found.refused.reasons()
  const { accepted, duplicates } = found.counts
  // Of three rows with one key the first is a duplicate or a conflict by which of the others it is compared with.
  const result = {
    digest: tables.length ? tableDigest(joinTables(tables)) : null,
    read: found.read,
    accepted,
    dropped: duplicates + conflicts,
    reasons,
  }
  return { spilled: existsSync(scratch), result }
}

/** Rows in any order, some of them twice, some with other values, some broken. */
const rows = fc.array(
  fc.record({
    hour: fc.integer({ min: 0, max: 30 }),
    symbol: fc.constantFrom('A', 'B'),
    close: fc.constantFrom(1, 2, -1),
  }),
  { minLength: 1, maxLength: 80 },
)

const csvOf = (list: { hour: number; symbol: string; close: number }[]) =>
  `time,open,high,low,close,volume,symbol\n${list.map(({ hour, symbol, close }) => `${START + hour * HOUR},1,2,1,${close},0,${symbol}\n`).join('')}`

it('what does not fit in memory is the same table, with the same rows refused', async () => {
  const context = testContext()
  await fc.assert(
    fc.asyncProperty(rows, async list => {
      const third = Math.ceil(list.length / 3)
      const parts = [0, 1, 2].map(n => list.slice(n * third, (n + 1) * third)).filter(part => part.length)
      const paths = parts.map((part, n) => given(context, `${n}.csv`, csvOf(part)))
      const { result, spilled } = await gathered(paths, Number.POSITIVE_INFINITY)
      expect(spilled).toBe(false)
      const small = await gathered(paths, 1)
      expect(small.spilled).toBe(paths.length > 1)
      expect(small.result).toEqual(result)
      const { read, accepted, dropped, reasons } = result
      expect(read).toBe(accepted + dropped + Object.values(reasons).reduce((sum, count) => sum + count, 0))
    }),
    { numRuns: 30 },
  )
})
