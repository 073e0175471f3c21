// Versioned, content-addressed tables: <home>/tables/<name>/<version>/ holds partitions and a manifest; the store has a row for each.
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileDigests, place, resolveInside, sha256, temporaryName, writeAtomic } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import type { Row } from '../base/database.ts'
import { dataError, messageOf } from '../base/errors.ts'
import { type Column, type ColumnType, type Table, tableDigest } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { joinNumbers, readColumns, writeTable } from './files.ts'
import type { SourceFile } from './rows.ts'

export interface Partition {
  file: string
  rows: number
  from: string
  to: string
  sha256: string
  /** DVC's. */
  md5: string
  bytes: number
}

export interface TableManifest {
  table: string
  version: number
  /** Version this one followed; null for the first. */
  parent: number | null
  created: string
  schema: { name: string; type: ColumnType }[]
  timeframe: string | null
  rows: number
  /** Time of the first and of the last row. */
  from: string
  to: string
  symbols: string[]
  /** Of the content (base/table.ts), whatever file it came from. */
  digest: string
  partitions: Partition[]
  source: { kind: string; files: SourceFile[] }
  /** What the ingest found: counts, reasons, gaps, warnings. */
  report: unknown
}

type TableContext = Pick<Context, 'home' | 'database' | 'now' | 'signal'>

export const tableFolder = (home: string, ...names: string[]): string => resolveInside(join(home, 'tables'), ...names)

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

/** What the manifest of a new version says besides its rows. */
export interface NewTable extends Pick<TableManifest, 'table' | 'timeframe' | 'report'> {
  source: { kind: string; files(): Promise<SourceFile[]> }
}

/** Saves rows (sorted by time, then symbol; never none) as the next version, or returns the current version when it has the same rows. */
export async function saveTable(
  table: Table,
  about: NewTable,
  context: TableContext,
): Promise<{ manifest: TableManifest; created: boolean }> {
  const digest = tableDigest(table)
  const same = await findSame(digest, about, context)
  if (same) return { manifest: same, created: false }
  // The store's lock is taken when everything that takes time is on the disk: meanwhile other commands go on.
  const filled = temporaryName(tableFolder(context.home, about.table, 'next'))
  mkdirSync(filled, { recursive: true })
  try {
    const [partition, files] = await Promise.all([writePartition(table, filled, context.signal), about.source.files()])
    const content = {
      created: isoTime(context.now()),
      ...describeTable(table, digest, partition),
      timeframe: about.timeframe,
      source: { kind: about.source.kind, files },
      report: about.report,
    }
    return await context.database.transaction().execute(async database => {
      const same = await findSame(digest, about, { ...context, database })
      if (same) return { manifest: same, created: false }
      return { manifest: await addVersion(filled, about.table, content, { ...context, database }), created: true }
    })
  } finally {
    rmSync(filled, { recursive: true, force: true })
  }
}

/** The manifest of the current version, when it has these rows. */
async function findSame(
  digest: string,
  { table }: NewTable,
  { home, database }: Pick<TableContext, 'home' | 'database'>,
): Promise<TableManifest | undefined> {
  const current = await latestVersion(table, { database })
  if (current?.digest !== digest || !existsSync(tableFolder(home, table, String(current.version)))) return undefined
  return readManifest(current, home)
}

/** Inside a transaction, which holds the store's write lock: the row is seen by others only when the files are there. */
async function addVersion(
  filled: string,
  name: string,
  content: Omit<TableManifest, 'table' | 'version' | 'parent'>,
  { home, database }: Pick<TableContext, 'home' | 'database'>,
): Promise<TableManifest> {
  const parent = (await latestVersion(name, { database }))?.version ?? null
  const version = (parent ?? 0) + 1
  const manifest = { table: name, version, parent, ...content }
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

async function writePartition(table: Table, folder: string, signal: AbortSignal): Promise<Partition> {
  const file = 'part-0.parquet'
  await writeTable(table, join(folder, file), signal)
  return { file, rows: table.rows, ...timeRange(table), ...(await fileDigests(join(folder, file))) }
}

function describeTable(table: Table, digest: string, partition: Partition) {
  const symbol = table.columns.find(({ name }) => name === 'symbol')
  return {
    schema: table.columns.map(({ name, type }) => ({ name, type })),
    rows: table.rows,
    ...timeRange(table),
    symbols: [...new Set(symbol?.values as string[] | undefined)].sort(),
    digest,
    partitions: [partition],
  }
}

function timeRange({ columns: [time], rows }: Table): { from: string; to: string } {
  const values = time.values as Float64Array
  return { from: isoTime(values[0]), to: isoTime(values[rows - 1]) }
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
  const row = version === undefined ? await latestVersion(name, context) : await versionRow(name, version, context)
  if (!row)
    throw dataError(
      'NO_TABLE',
      `there is no ${version === undefined ? '' : `version ${version} of the `}table ${name}`,
      { next: 'sluice ingest -c CONFIG' },
    )
  const manifest = readManifest(row, context.home)
  for (const partition of manifest.partitions)
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
  const parts = []
  for (const partition of manifest.partitions)
    parts.push(await readColumns(partitionPath(manifest, partition, context.home), context.signal))
  return { table: joined(parts, manifest), manifest }
}

const partitionPath = ({ table, version }: TableManifest, { file }: Partition, home: string) =>
  join(tableFolder(home, table, String(version)), file)

const versionRow = (name: string, version: number, { database }: Pick<Context, 'database'>) =>
  database
    .selectFrom('table_versions')
    .selectAll()
    .where('name', '=', name)
    .where('version', '=', version)
    .executeTakeFirst()

function readManifest(row: Row<'table_versions'>, home: string): TableManifest {
  const path = join(tableFolder(home, row.name, String(row.version)), 'manifest.json')
  const next = `remove ${tableFolder(home, row.name, String(row.version))} and run: sluice ingest -c CONFIG`
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw dataError('MANIFEST_MISSING', `the manifest ${path} cannot be read: ${messageOf(cause)}`, { cause, next })
  }
  if (sha256(text) !== row.manifest_sha256)
    throw dataError('MANIFEST_CORRUPT', `the manifest ${path} is not the one that was written`, { next })
  return JSON.parse(text)
}

async function checkPartition(path: string, { sha256 }: Partition): Promise<void> {
  const next = 'remove the folder of this version and run: sluice ingest -c CONFIG'
  if (!existsSync(path)) throw dataError('PARTITION_MISSING', `the partition ${path} is missing`, { next })
  if ((await fileDigests(path)).sha256 !== sha256)
    throw dataError('PARTITION_CORRUPT', `the partition ${path} is not the one that was written`, { next })
}

/** Partitions end to end, as the manifest's schema says. */
function joined(parts: Table[], { schema, rows }: TableManifest): Table {
  if (parts.length === 1) return parts[0]
  const columns = schema.map(({ name, type }): Column => {
    const pieces = parts.map(part => part.columns.find(column => column.name === name)?.values)
    if (type === 'string') return { name, type, values: (pieces as (string | null)[][]).flat() }
    return { name, type, values: joinNumbers(pieces as Float64Array[], rows) }
  })
  return { rows, columns }
}
