// Features of a table, partition by partition: a piece is found by all that came before it, so that rows that are added
// cost what is added, and a late one what comes after it. Each goes on from the snapshot at the end of the piece before.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { own, readArrow, writeArrow } from '../base/arrow.ts'
import type { Context } from '../base/context.ts'
import { joinNumbers, jsonDigest, sliceRows, type Table } from '../base/table.ts'
import type { TableManifest } from '../data/manifest.ts'
import type { FeatureSpec } from './catalog.ts'
import { type Computed, computeFeatures, type Snapshots } from './compute.ts'
import type { Feature } from './feature.ts'
import { openThreads } from './parallel.ts'

/** Raised when a piece would be written otherwise. */
const VERSION = 1
/** Values from which threads are worth starting. */
const THREADS_FROM = 2e7

export interface PieceWork {
  manifest: Pick<TableManifest, 'partitions' | 'timeframe' | 'symbols'>
  specs: FeatureSpec[]
  features: Feature[]
}

/** A column for each feature, over all rows of a table version: with what is kept of earlier builds, and on all cores where that pays. */
export async function computePieces(
  table: Table,
  { manifest, specs, features }: PieceWork,
  { home, signal }: Pick<Context, 'home' | 'signal'>,
): Promise<Float64Array[]> {
  const { partitions, timeframe } = manifest
  const names = table.columns.map(({ name }) => name)
  const threaded = manifest.symbols.length > 1 && table.rows * features.length >= THREADS_FROM
  const threads = threaded ? openThreads() : undefined
  const recipe = { specs, timeframe: timeframe ?? '1d', names }
  const compute = (rows: Table, from?: Snapshots): Promise<Computed> | Computed =>
    threads ? threads.compute(rows, recipe, from) : computeFeatures(rows, features, from)
  try {
    if (partitions.length === 1) return (await compute(table)).columns
    const formulas = features.map(({ name, version }) => [name, version])
    let chain = jsonDigest({ version: VERSION, specs, formulas, timeframe, names })
    let snapshots: Snapshots | undefined
    const pieces: Float64Array[][] = []
    for (let i = 0, at = 0; i < partitions.length; at += partitions[i++].rows) {
      signal.throwIfAborted()
      chain = jsonDigest([chain, partitions[i].digest])
      const files = filesOf(home, chain)
      const found = existsSync(files.columns) && existsSync(files.states)
      const made = found
        ? await readPiece(files, features)
        : await compute(sliceRows(table, at, at + partitions[i].rows), snapshots)
      if (!found) await writePiece(files, features, made)
      pieces.push(made.columns)
      snapshots = made.snapshots
    }
    return features.map((_, j) =>
      joinNumbers(
        pieces.map(columns => columns[j]),
        table.rows,
      ),
    )
  } finally {
    await threads?.close()
  }
}

interface Files {
  columns: string
  states: string
}

const filesOf = (home: string, digest: string): Files => {
  const folder = join(home, 'cache', 'features', 'pieces')
  return { columns: join(folder, `${digest}.arrow`), states: join(folder, `${digest}.states.arrow`) }
}

/** The states first: a piece is found when both are there. */
async function writePiece(files: Files, features: Feature[], { columns, snapshots }: Computed): Promise<void> {
  const states = [...snapshots].map(([symbol, values]) => ({ name: own(symbol), values }))
  await writeArrow(files.states, states)
  await writeArrow(
    files.columns,
    features.map(({ name }, i) => ({ name, values: columns[i] })),
  )
}

async function readPiece(files: Files, features: Feature[]): Promise<Computed> {
  const [columns, states] = await Promise.all([readArrow(files.columns), readArrow(files.states)])
  const snapshots = [...states].map(([name, state]) => [name.slice(own('').length), state as Float64Array] as const)
  return { columns: features.map(({ name }) => columns.get(name) as Float64Array), snapshots: new Map(snapshots) }
}
