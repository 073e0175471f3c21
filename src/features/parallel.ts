// Features of several symbols on several cores, in memory that all threads share. Rows are put side by side symbol by symbol,
// a stretch at a time; the threads compute its symbols, and when all are done they put its columns back in order.
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { sliceRows, type Table } from '../base/table.ts'
import { parseTimeframe } from '../base/time.ts'
import { type FeatureSpec, makeFeatures } from './catalog.ts'
import {
  type Arranged,
  arrange,
  type Computed,
  computeFeatures,
  onlySymbol,
  type Room,
  roomFor,
  type Snapshots,
  stateSize,
  workOf,
} from './compute.ts'

/** Rows of a stretch: enough for a thread to be told of it, few enough to stay in the processor's cache. */
const STRETCH = 131_072

/** What a thread needs to make the features itself: functions cannot be sent to it. */
export interface Recipe {
  specs: FeatureSpec[]
  timeframe: string
  /** Of the table. */
  names: string[]
}

/** A table is begun: where rows will be put side by side, and the columns that its features are written to. */
export interface Start {
  recipe: Recipe
  rooms: Room[]
  out: Float64Array[]
}

/** Symbols of a room to compute, and columns of the other one, which is computed, to put back where its `rows` are from `at` on. */
export interface Step {
  room: number
  series: { from: number; to: number; state: Float64Array }[]
  rows: Int32Array | undefined
  at: number
  /** How many symbols and how many columns are taken: each goes to the thread that is free. */
  taken: Int32Array
}

/** Threads that are warm: starting one costs as much as a million rows. */
export interface Threads {
  size: number
  /** As computeFeatures, bit for bit. */
  compute(table: Table, recipe: Recipe, from?: Snapshots): Promise<Computed>
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

async function computeOn(workers: Worker[], table: Table, recipe: Recipe, from?: Snapshots): Promise<Computed> {
  const features = makeFeatures(recipe.specs, parseTimeframe(recipe.timeframe), recipe.names)
  if (onlySymbol(table) !== undefined) return computeFeatures(table, features, from)
  const work = workOf(table, features)
  const snapshots = new Map([...(from ?? [])].map(([symbol, state]) => [symbol, shared(state.length, state)]))
  const stateOf = (symbol: string) => {
    const state = snapshots.get(symbol) ?? shared(stateSize(work))
    snapshots.set(symbol, state)
    return state
  }
  const rooms = [0, 1].map(() => roomFor(work, Math.min(STRETCH, table.rows), shared))
  const out = features.map(() => shared(table.rows))
  for (const worker of workers) worker.postMessage({ recipe, rooms, out } satisfies Start)
  const arranged = (k: number): Arranged | undefined => {
    const part = sliceRows(table, startOf(k), startOf(k + 1))
    const rows = new Int32Array(new SharedArrayBuffer(4 * part.rows))
    return part.rows ? arrange(part, rooms[k % 2], rows) : undefined
  }
  let computed: Arranged | undefined
  let current = arranged(0)
  for (let k = 0; current || computed; k++) {
    const working = all(workers, {
      room: k % 2,
      series: (current?.series ?? []).map(({ symbol, from, to }) => ({ from, to, state: stateOf(symbol) })),
      rows: computed?.rows,
      at: startOf(k - 1),
      taken: new Int32Array(new SharedArrayBuffer(8)),
    })
    const next = current && arranged(k + 1)
    await working
    computed = current
    current = next
  }
  return { columns: out, snapshots }
}

/** The first stretch is a short one: meanwhile the threads wait. */
const startOf = (k: number): number => (k > 0 ? STRETCH / 8 + (k - 1) * STRETCH : 0)

/** Gives every thread the step, and waits until all of them are done. */
async function all(workers: Worker[], step: Step): Promise<void> {
  await Promise.all(
    workers.map(worker => {
      const done = once(worker, 'message')
      worker.postMessage(step)
      return done
    }),
  )
}

function shared(length: number, values?: Float64Array): Float64Array {
  const made = new Float64Array(new SharedArrayBuffer(8 * length))
  if (values) made.set(values)
  return made
}
