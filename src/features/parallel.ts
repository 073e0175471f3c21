// Features of several symbols on several cores: each thread computes whole symbols, in memory that all of them share.
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Table } from '../base/table.ts'
import { parseTimeframe } from '../base/time.ts'
import { type FeatureSpec, makeFeatures } from './catalog.ts'
import { type Computed, computeFeatures, readBy, type Snapshot, seriesOf } from './compute.ts'

/** What a thread needs to make the features itself: functions cannot be sent to it. */
export interface Recipe {
  specs: FeatureSpec[]
  timeframe: string
  /** Of the table. */
  names: string[]
}

/** To a thread: the columns by name, the rows of its symbols (null: all), and what the features remember of each. */
export interface Order {
  recipe: Recipe
  rows: number
  inputs: Map<string, Float64Array>
  out: Float64Array[]
  series: [symbol: string, rows: Int32Array | null][]
  from: Map<string, Snapshot>
}

/** Threads that are warm: starting one costs as much as a million rows. */
export interface Threads {
  size: number
  /** As computeFeatures, bit for bit. */
  compute(table: Table, recipe: Recipe, from?: Map<string, Snapshot>): Promise<Computed>
  close(): Promise<void>
}

export function openThreads(size = availableParallelism()): Threads {
  const workers = Array.from({ length: size }, () => new Worker(new URL('./thread.js', import.meta.url)))
  return {
    size,
    compute: (table, recipe, from) => computeOn(workers, table, recipe, from),
    close: async () => {
      await Promise.all(workers.map(worker => worker.terminate()))
    },
  }
}

async function computeOn(
  workers: Worker[],
  table: Table,
  recipe: Recipe,
  from: Map<string, Snapshot> = new Map(),
): Promise<Computed> {
  const features = makeFeatures(recipe.specs, parseTimeframe(recipe.timeframe), recipe.names)
  const series = [...seriesOf(table)]
  if (series.length < 2) return computeFeatures(table, features, from)
  const inputs = new Map([...readBy(table, features).inputs].map(([name, values]) => [name, shared(values)]))
  const out = features.map(() => new Float64Array(new SharedArrayBuffer(8 * table.rows)))
  const shares = dealt(series, workers.length)
  const snapshots = new Map(from)
  const done = workers.map(async (worker, i) => {
    if (!shares[i].length) return
    worker.postMessage({ recipe, rows: table.rows, inputs, out, series: shares[i], from } satisfies Order)
    const [made] = (await once(worker, 'message')) as [Snapshot[]]
    for (const snapshot of made) snapshots.set(snapshot.symbol, snapshot)
  })
  await Promise.all(done)
  return { columns: out, snapshots }
}

/** Neighbours to one hand, about as many rows to each: rows of two symbols that lie side by side are then seldom written by two threads. */
function dealt<T extends [string, Int32Array | null]>(series: T[], hands: number): T[][] {
  const shares = Array.from({ length: hands }, (): T[] => [])
  const total = series.reduce((sum, [, rows]) => sum + (rows?.length ?? 0), 0)
  let before = 0
  for (const one of series) {
    const rows = one[1]?.length ?? 0
    shares[Math.min(hands - 1, Math.floor(((before + rows / 2) / total) * hands))].push(one)
    before += rows
  }
  return shares
}

function shared(values: Float64Array): Float64Array {
  const copy = new Float64Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
