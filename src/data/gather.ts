// From a source's blocks to the rows of a table: checked, sorted, each key once, in stretches that fit in memory.
import { join } from 'node:path'
import { dataError } from '../base/errors.ts'
import type { Table } from '../base/table.ts'
import { arrange, tableOf } from './arrange.ts'
import { checkCandles } from './candles.ts'
import { type Contract, contractOf } from './contract.ts'
import type { Layout } from './layout.ts'
import { type Refused, refusedRows } from './quarantine.ts'
import { joinRows, type Rows, type Source } from './rows.ts'
import { type Spilled, spill, type Words } from './spill.ts'

/** Rows that are held in memory before they are put on disk; about half as many are arranged at once after that. */
const MOST_IN_MEMORY = 1 << 20

export interface Gathered {
  layout: Layout
  read: number
  /** Rows in the table's order, stretch by stretch; reading them completes the counts. */
  tables(): AsyncGenerator<Table>
  /** Complete when `tables` has ended. */
  counts: { duplicates: number; outOfOrder: number; accepted: number }
  refused: Refused
  contract: Contract
}

export interface GatherOptions {
  /** A folder for what does not fit in memory; the caller removes it. */
  scratch: string
  signal: AbortSignal
  /** Formulas that hold for every row (contract.ts). */
  rules?: string[]
  mostInMemory?: number
}

/** Reads the whole source; undefined where it has no rows. Errors are the source's. */
export async function gather(source: Source, options: GatherOptions): Promise<Gathered | undefined> {
  const { scratch, signal, rules = [], mostInMemory = MOST_IN_MEMORY } = options
  const counts = { duplicates: 0, outOfOrder: 0, accepted: 0 }
  const refused = refusedRows(source, rules)
  const words: Words = { list: [], numbers: new Map() }
  const runs: Spilled[] = []
  const pending: Rows[] = []
  let held = 0
  let read = 0
  let contract: Contract | undefined

  try {
    for await (const rows of source.blocks) {
      signal.throwIfAborted()
      contract ??= contractOf(rows.layout, rules)
      if (rows.layout.candles) checkCandles(rows)
      contract.check(rows)
      if (held > 0 && held + rows.count > mostInMemory && rows.layout.time >= 0) {
        await spillRun(joinRows(pending.splice(0)))
        held = 0
      }
      read += rows.count
      held += rows.count
      pending.push(rows)
    }
  } catch (error) {
    await closeRuns()
    throw error
  }
  if (!contract) return undefined
  const layout = contract.layout

  function arranged(rows: Rows) {
    const { order, duplicates, winners, outOfOrder } = arrange(rows)
    counts.duplicates += duplicates
    counts.outOfOrder += outOfOrder
    refused.take(rows, winners)
    return order
  }

  /** Written while the next rows are read; one at a time. */
  async function spillRun(rows: Rows): Promise<void> {
    const order = arranged(rows)
    await runs.at(-1)?.written
    runs.push(spill(rows, order, join(scratch, String(runs.length)), words))
  }

  /** Nothing writes into a folder that is being removed. */
  async function closeRuns(): Promise<void> {
    await Promise.allSettled(runs.map(({ written }) => written))
    for (const run of runs) run.close()
  }

  async function* tables(): AsyncGenerator<Table> {
    try {
      const rest = pending.length ? joinRows(pending.splice(0)) : undefined
      if (!runs.length) {
        if (rest) yield accept(rest)
        return
      }
      if (rest) await spillRun(rest)
      await runs.at(-1)!.written
      for (const rows of windows(runs, mostInMemory / 2)) {
        signal.throwIfAborted()
        yield accept(rows)
      }
    } finally {
      await closeRuns()
    }
  }

  function accept(rows: Rows): Table {
    const table = tableOf(rows, arranged(rows))
    counts.accepted += table.rows
    return table
  }

  return { layout, read, tables, counts, refused, contract }
}

/** Stretches of time of about `size` rows, each with the rows of every run, earlier runs first. */
function* windows(runs: Spilled[], size: number): Generator<Rows> {
  const times = Float64Array.from(runs.flatMap(({ sample }) => [...sample])).sort()
  const total = runs.reduce((sum, { rows }) => sum + rows, 0)
  const stride = Math.max(1, Math.floor((size / Math.max(total, 1)) * times.length))
  const borders = new Set(times.filter((_, i) => i > 0 && i % stride === 0))
  let from = runs.map(() => 0)
  for (const border of [...borders, Number.POSITIVE_INFINITY]) {
    const to = runs.map(run => (border === Number.POSITIVE_INFINITY ? run.rows : run.before(border)))
    const parts = runs.flatMap((run, i) => (from[i] < to[i] ? [run.read(from[i], to[i])] : []))
    if (parts.length) yield joinRows(parts)
    from = to
  }
}

/** A source read into one table, strictly: any bad row is an error. For files that a command takes directly. */
export async function readWhole(source: Source, options: GatherOptions): Promise<Table> {
  const gathered = await gather(source, { ...options, mostInMemory: Number.POSITIVE_INFINITY })
  if (!gathered) throw dataError('EMPTY_INPUT', `${source.paths[0] ?? 'the source'} has no rows`)
  const tables: Table[] = []
  for await (const table of gathered.tables()) tables.push(table)
  const bad = gathered.refused.error()
  if (bad) throw bad
  return tables[0]
}
