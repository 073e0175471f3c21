// A store in memory and a home that is gone after the test.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { z } from 'zod'
import type { Context } from '../../src/base/context.ts'
import { openDatabase } from '../../src/base/database.ts'
import { joinTables, type Table } from '../../src/base/table.ts'
import { gather } from '../../src/data/gather.ts'
import { countsOf } from '../../src/data/ingest.ts'
import { type DataConfig, dataConfig } from '../../src/data/schema.ts'
import { inspectSeries } from '../../src/data/series.ts'
import { openSource } from '../../src/data/sources.ts'

export const NOW = Date.UTC(2026, 0, 1)

export function testContext(): Context & { warnings: string[] } {
  const home = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const database = openDatabase(':memory:')
  onTestFinished(async () => {
    await database.destroy()
    rmSync(home, { recursive: true, force: true })
  })
  const warnings: string[] = []
  const quiet = () => {}
  return {
    home,
    database,
    warnings,
    log: { info: quiet, debug: quiet, progress: quiet, close: quiet, warn: message => warnings.push(message) },
    signal: new AbortController().signal,
    now: () => NOW,
    engine: {
      size: 0,
      request: () => Promise.reject(new Error('ingest needs no engine')),
      usage: () => ({ cpu_seconds: 0, memory_mb: 0 }),
      digest: async () => 'engine',
      versions: async () => ({}),
      close: async () => {},
    },
  }
}

export const dataOf = (source: z.input<typeof dataConfig>['source'], more: object = {}): DataConfig => ({
  table: 'prices',
  ...dataConfig.parse({ source, ...more }),
  ...('table' in more ? { table: String(more.table) } : {}),
})

/** Writes a file below the home and returns its path. */
export function given({ home }: { home: string }, name: string, content: string | Uint8Array): string {
  mkdirSync(join(home, 'given'), { recursive: true })
  const path = join(home, 'given', name)
  writeFileSync(path, content)
  return path
}

export const HOUR = 3_600_000
export const START = Date.UTC(2021, 9, 1)

/** Clean hourly candles as CSV lines without header; every row is different. */
export const cleanLine = (i: number, time: string | number = START + i * HOUR): string =>
  `${time},${100 + i},${102.5 + i},${99.25 + i},${101 + i},${1000 + i}`
export const cleanCsv = (rows: number): string =>
  `time,open,high,low,close,volume\n${Array.from({ length: rows }, (_, i) => `${cleanLine(i)}\n`).join('')}`

/** What an ingest would accept and report, without a table. */
export async function examine(config: DataConfig, { signal, now }: Pick<Context, 'signal' | 'now'>) {
  const sourced = openSource(config.source, config.schema, { signal, now, timeframe: config.timeframe })
  const gathered = await gather(sourced, { scratch: '', signal })
  if (!gathered) throw new Error('the source has no rows')
  const tables: Table[] = []
  for await (const table of gathered.tables()) tables.push(table)
  const table = joinTables(tables)
  const series =
    gathered.layout.time < 0 ? { timeframe: null, gaps: [], warnings: [] } : inspectSeries(table, config.timeframe)
  const counts = countsOf(gathered, series, sourced.warnings())
  return { table, timeframe: series.timeframe, counts, bad: gathered.refused.error(), refused: gathered.refused }
}
