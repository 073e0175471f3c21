// Versioned, content-addressed tables: <home>/tables/<name>/<version>/ holds partitions and a manifest; the store has a row for each.
import { existsSync, linkSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileDigests, place, sha256, temporaryName, writeAtomic } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import type { Row } from '../base/database.ts'
import { codeOf, dataError } from '../base/errors.ts'
import { joinTables, jsonDigest, type Table, tableDigest, type Values } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import type { Layout } from './layout.ts'
import {
  checkPartition,
  checkThere,
  FORMAT,
  type Partition,
  partitionPath,
  readManifest,
  type TableManifest,
  tableFolder,
} from './manifest.ts'
import { type Merger, merger } from './merge.ts'
import { openParquetWriter, type ParquetWriter, readParquet } from './parquet.ts'
import { ALL, addRows, cutPeriod, cutRows, queueOf, type Step } from './partitions.ts'
import { raise, timeRange } from './watermark.ts'

type TableContext = Pick<Context, 'home' | 'database' | 'now' | 'signal'>

/** The newest version's row of the store, if there is any. */
export function latestVersion(
  name: string,
  { database }: Pick<Context, 'database'>,
): Promise<Row<'table_versions'> | undefined> {
  return database
    .selectFrom('table_versions')
    .selectAll()
    .where('name', '=', name)
    .orderBy('version', 'desc')
    .executeTakeFirst()
}

/** The newest version's manifest, when it is what was written; undefined where there is none. Errors: MANIFEST_MISSING, MANIFEST_CORRUPT. */
export async function currentTable(
  name: string,
  context: Pick<Context, 'home' | 'database'>,
): Promise<TableManifest | undefined> {
  const row = await latestVersion(name, context)
  return row && readManifest(row, context.home)
}

/** Rows on their way to a table: sorted by time, then symbol, stretch by stretch. */
export interface NewRows {
  table: string
  layout: Pick<Layout, 'columns' | 'time' | 'symbol' | 'key' | 'candles'>
  tables: AsyncIterable<Table> | Iterable<Table>
  /** Adds the rows to this version; else they replace it. */
  onto?: TableManifest
  partition_rows?: number
}

/** What else the manifest says, once the last row was read; what it throws leaves everything as it was. */
export type Remarks = () => Promise<Pick<TableManifest, 'timeframe' | 'report' | 'source'>>

export interface Saved {
  manifest: TableManifest
  /** False when the current version has these rows already. */
  created: boolean
  /** Rows with a key that the table did not have, and rows that replaced one. */
  added: number
  revised: number
}

const PARTITION_ROWS = 1_000_000

/** Saves rows as the next version, or returns the current version when it has the same rows and nothing else is said of them. Errors: EMPTY_INPUT where there is none. */
export async function saveTable(rows: NewRows, remarks: Remarks, context: TableContext): Promise<Saved> {
  // The store's lock is taken when everything that takes time is on the disk: meanwhile other commands go on.
  const filled = temporaryName(tableFolder(context.home, rows.table, 'next'))
  mkdirSync(filled, { recursive: true })
  try {
    const written = await writePartitions(rows, filled, context)
    const { added, revised } = written
    const more = await remarks()
    if (!written.partitions.length) throw dataError('EMPTY_INPUT', `there is no row for the table ${rows.table}`)
    const content = { created: isoTime(context.now()), ...describeTable(rows, written), ...more }
    return await context.database.transaction().execute(async database => {
      const same = await findSame(content, rows.table, { ...context, database })
      if (same) return { manifest: same, created: false, added, revised }
      const manifest = await addVersion(filled, rows.table, content, { ...context, database })
      return { manifest, created: true, added, revised }
    })
  } finally {
    rmSync(filled, { recursive: true, force: true })
  }
}

type Content = Omit<TableManifest, 'format' | 'table' | 'version' | 'parent'>

/** What is said of rows besides their values: a column of numbers may have become one of names. */
const said = ({ candles, schema, key, timeframe }: Content): string => jsonDigest({ candles, schema, key, timeframe })

/** The manifest of the current version, when it has these rows and says the same of them. */
async function findSame(
  content: Content,
  table: string,
  { home, database }: Pick<TableContext, 'home' | 'database'>,
): Promise<TableManifest | undefined> {
  const current = await latestVersion(table, { database })
  if (current?.digest !== content.digest || !existsSync(tableFolder(home, table, String(current.version))))
    return undefined
  try {
    const manifest = readManifest(current, home)
    return said(manifest) === said(content) ? manifest : undefined
  } catch (error) {
    if (codeOf(error) === 'MANIFEST_FORMAT') return undefined // the next version is written as manifests are now
    throw error
  }
}

/** Inside a transaction, which holds the store's write lock: the row is seen by others only when the files are there. */
async function addVersion(
  filled: string,
  name: string,
  content: Content,
  { home, database }: Pick<TableContext, 'home' | 'database'>,
): Promise<TableManifest> {
  const parent = (await latestVersion(name, { database }))?.version ?? null
  const version = (parent ?? 0) + 1
  const manifest = { format: FORMAT, table: name, version, parent, ...content }
  const text = manifestText(manifest)
  writeAtomic(join(filled, 'manifest.json'), text)
  const folder = tableFolder(home, name, String(version))
  rmSync(folder, { recursive: true, force: true }) // a folder without a row is a dead process's
  place(filled, folder)
  const { digest, rows, created } = content
  await database
    .insertInto('table_versions')
    .values({ name, version, digest, manifest_sha256: sha256(text), rows, created: Date.parse(created) })
    .execute()
  return manifest
}

const manifestText = (manifest: TableManifest): string => `${JSON.stringify(manifest, null, 2)}\n`

interface Written {
  partitions: Partition[]
  revisions: Partition[]
  added: number
  revised: number
  watermark: Record<string, number>
}

/** Files that are written at the same time: the next rows are read meanwhile. */
const WRITTEN_AT_ONCE = 2

/** Fills the folder of the next version: files of the version before that get no row are linked, all others written. */
async function writePartitions(rows: NewRows, folder: string, context: TableContext): Promise<Written> {
  const { layout, onto } = rows
  const { signal } = context
  const watermark = { ...onto?.watermark }
  const merging = merger(layout)
  const written: Promise<Partition>[] = []
  const writers = partitionWriters(folder, signal)
  const link = (partition: Partition) => {
    const path = partitionPath(onto!, partition, context.home)
    checkThere(path)
    linkSync(path, join(folder, partition.file))
    return partition
  }
  try {
    for await (const step of stepsOf(rows, merging, context)) {
      if ('keep' in step) written.push(Promise.resolve(link(step.keep)))
      else {
        const { id, table } = step.write
        raise(watermark, table)
        written.push(writers.write(table, id, `part-${id}.parquet`))
        await written.at(-WRITTEN_AT_ONCE)
      }
    }
    const partitions = await Promise.all(written)
    const revisions = (onto?.revisions ?? []).map(link)
    if (merging.replaced.length) {
      const id = `revised-${revisions.length + 1}`
      revisions.push(await writers.write(joinTables(merging.replaced), id, `${id}.parquet`))
    }
    const total = partitions.reduce((sum, { rows }) => sum + rows, 0)
    const revised = merging.replaced.reduce((sum, { rows }) => sum + rows, 0)
    return { partitions, revisions, added: total - (onto?.rows ?? 0), revised, watermark }
  } finally {
    await Promise.allSettled(written) // nothing writes into a folder that is being removed
    await writers.close()
  }
}

/** Which files the next version keeps, and what it writes. */
async function* stepsOf(rows: NewRows, merging: Merger, context: TableContext): AsyncGenerator<Step<Partition>> {
  const { layout, tables, onto, partition_rows = onto?.partition_rows ?? PARTITION_ROWS } = rows
  if (layout.time >= 0) {
    const fresh = queueOf(tables)
    if (onto) {
      const read = (partition: Partition) => readChecked(onto, partition, context)
      return yield* addRows(ALL, onto.partitions, fresh, partition_rows, read, merging.merge)
    }
    for await (const write of cutPeriod(ALL, fresh, partition_rows)) yield { write }
    return
  }
  const found: Table[] = []
  for await (const table of tables) if (table.rows) found.push(table)
  if (!found.length) {
    for (const keep of onto?.partitions ?? []) yield { keep }
    return
  }
  const fresh = joinTables(found)
  const whole = onto ? merging.append(await readAll(onto, context, readChecked), fresh) : fresh
  for (const write of cutRows(whole, partition_rows)) yield { write }
}

type ReadPartition = (
  manifest: TableManifest,
  partition: Partition,
  context: Pick<Context, 'home' | 'signal'>,
) => Promise<Table>

async function readAll(
  manifest: TableManifest,
  context: Pick<Context, 'home' | 'signal'>,
  read: ReadPartition = readPartition,
): Promise<Table> {
  const parts = []
  for (const partition of manifest.partitions) parts.push(await read(manifest, partition, context))
  return joinTables(parts)
}

/** What is written anew gets a digest of its own, so a damaged value must not come that far. Errors: PARTITION_MISSING, PARTITION_CORRUPT. */
const readChecked: ReadPartition = async (manifest, partition, context) => {
  await checkPartition(partitionPath(manifest, partition, context.home), partition)
  return readPartition(manifest, partition, context)
}

/** Writers that are used in turn. The folder's files are synced together, when it gets its place. */
function partitionWriters(folder: string, signal: AbortSignal) {
  const writers: Promise<ParquetWriter>[] = []
  let next = 0
  return {
    async write(table: Table, id: string, file: string): Promise<Partition> {
      const path = join(folder, file)
      writers[next] ??= openParquetWriter(signal)
      const writer = writers[next]
      next = (next + 1) % WRITTEN_AT_ONCE
      const [, digest] = await Promise.all([writer.then(({ write }) => write(table, path)), tableDigest(table)])
      return { id, file, rows: table.rows, ...timeRange(table), digest, ...(await fileDigests(path)) }
    },
    async close() {
      for (const opened of await Promise.allSettled(writers)) if (opened.status === 'fulfilled') opened.value.close()
    },
  }
}

function describeTable(
  { layout, partition_rows, onto }: NewRows,
  { partitions, revisions, watermark, ...counts }: Written,
) {
  const schema = layout.columns.map(({ name, type, rule }) => ({ name, type, ...(rule && { rule }) }))
  return {
    candles: layout.candles,
    schema,
    key: layout.key.map(column => layout.columns[column].name),
    ...counts,
    rows: partitions.reduce((total, { rows }) => total + rows, 0),
    from: partitions[0].from,
    to: partitions.at(-1)!.to,
    symbols: layout.symbol < 0 ? [] : Object.keys(watermark).sort(),
    watermark,
    digest:
      partitions.length === 1
        ? partitions[0].digest
        : jsonDigest({
            schema: schema.map(({ name, type }) => [name, type]),
            partitions: partitions.map(({ id, digest }) => [id, digest]),
          }),
    partition_rows: partition_rows ?? onto?.partition_rows ?? PARTITION_ROWS,
    partitions,
    revisions,
  }
}

/** The manifest of a version (default: the newest), when it is what was written. Errors: NO_TABLE, MANIFEST_MISSING, MANIFEST_CORRUPT. */
export async function findTable(
  name: string,
  version: number | undefined,
  context: Pick<Context, 'home' | 'database'>,
): Promise<TableManifest> {
  const row = version === undefined ? await latestVersion(name, context) : await versionRow(name, version, context)
  if (row) return readManifest(row, context.home)
  throw noTable(name, version)
}

export const noTable = (name: string, version?: number) =>
  dataError('NO_TABLE', `there is no ${version === undefined ? '' : `version ${version} of the `}table ${name}`, {
    next: version === undefined ? 'sluice ingest -c CONFIG' : `sluice data versions ${name}`,
  })

/** Rows of the store, oldest version first; of all tables where none is named. */
export function listVersions({ database }: Pick<Context, 'database'>, name?: string): Promise<Row<'table_versions'>[]> {
  const all = database.selectFrom('table_versions').selectAll().orderBy('name').orderBy('version')
  return (name === undefined ? all : all.where('name', '=', name)).execute()
}

/**
 * The manifest of a version (default: the newest), when it and every partition are what was written.
 * Errors: NO_TABLE, MANIFEST_MISSING, MANIFEST_CORRUPT, PARTITION_MISSING, PARTITION_CORRUPT.
 */
export async function verifyTable(
  name: string,
  version: number | undefined,
  context: Pick<Context, 'home' | 'database'>,
): Promise<TableManifest> {
  const manifest = await findTable(name, version, context)
  for (const partition of [...manifest.partitions, ...manifest.revisions])
    await checkPartition(partitionPath(manifest, partition, context.home), partition)
  return manifest
}

/** A version of a table (default: the newest), verified before use. Errors as verifyTable. */
export async function loadTable(
  name: string,
  version: number | undefined,
  context: Pick<Context, 'home' | 'database' | 'signal'>,
): Promise<{ table: Table; manifest: TableManifest }> {
  const manifest = await verifyTable(name, version, context)
  return { table: await readAll(manifest, context), manifest }
}

/** The rows of one partition of a verified manifest; of `columns` only, where they are named. */
export const readPartition = (
  manifest: TableManifest,
  partition: Partition,
  { home, signal }: Pick<Context, 'home' | 'signal'>,
  columns?: string[],
): Promise<Table> => readParquet(partitionPath(manifest, partition, home), signal, columns)

/** One column of a verified table, of all its partitions. */
export async function readColumn(
  manifest: TableManifest,
  name: string,
  context: Pick<Context, 'home' | 'signal'>,
): Promise<Values> {
  const parts = []
  for (const partition of manifest.partitions) parts.push(await readPartition(manifest, partition, context, [name]))
  return joinTables(parts).columns[0].values
}

const versionRow = (name: string, version: number, { database }: Pick<Context, 'database'>) =>
  database
    .selectFrom('table_versions')
    .selectAll()
    .where('name', '=', name)
    .where('version', '=', version)
    .executeTakeFirst()
