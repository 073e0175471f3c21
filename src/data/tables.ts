// Versioned, content-addressed tables: <home>/tables/<name>/<version>/ holds partitions and a manifest; the store has a row for each.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileDigests, resolveInside, sha256, writeAtomic, writeFolder } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import type { Row } from '../base/database.ts'
import { dataError, messageOf } from '../base/errors.ts'
import { type Column, type ColumnType, type Table, tableDigest } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { joinNumbers, readColumns } from './files.ts'
import { writeParquet } from './parquet.ts'
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
  const current = await latestVersion(about.table, context)
  if (current?.digest === digest && existsSync(tableFolder(context.home, about.table, String(current.version))))
    return { manifest: readManifest(current, context.home), created: false }
  const manifest = await context.database
    .transaction()
    .execute(store => addVersion(table, digest, about, { ...context, database: store, now: () => context.now() }))
  return { manifest, created: true }
}

/** Inside a transaction: the row is written first, to take the store's write lock, and is seen by others only when the files are there. */
async function addVersion(
  table: Table,
  digest: string,
  about: NewTable,
  context: TableContext,
): Promise<TableManifest> {
  const { database, home } = context
  const created = context.now()
  const key = await database
    .insertInto('table_versions')
    .values(row => ({
      name: about.table,
      version: row
        .selectFrom('table_versions')
        .select(({ eb, fn, lit }) => eb(fn.coalesce(fn.max('version'), lit(0)), '+', lit(1)).as('next'))
        .where('name', '=', about.table),
      digest,
      manifest_sha256: '',
      rows: table.rows,
      created,
    }))
    .returning(['name', 'version'])
    .executeTakeFirstOrThrow()
  const folder = tableFolder(home, key.name, String(key.version))
  removeLeftovers(folder)
  const manifest = await writeFolder(folder, async folder => {
    const [partition, files] = await Promise.all([writePartition(table, folder, context.signal), about.source.files()])
    const manifest: TableManifest = {
      table: key.name,
      version: key.version,
      parent: key.version > 1 ? key.version - 1 : null,
      created: isoTime(created),
      ...describeTable(table, digest, partition),
      timeframe: about.timeframe,
      source: { kind: about.source.kind, files },
      report: about.report,
    }
    writeAtomic(join(folder, 'manifest.json'), manifestText(manifest))
    return manifest
  })
  await database
    .updateTable('table_versions')
    .set({ manifest_sha256: sha256(manifestText(manifest)) })
    .where('name', '=', key.name)
    .where('version', '=', key.version)
    .execute()
  return manifest
}

/** Under the store's lock nobody else writes here: a folder without a row, or with a temporary name, is a dead process's. */
function removeLeftovers(folder: string): void {
  const table = dirname(folder)
  const dead = existsSync(table) ? readdirSync(table).filter(name => name.endsWith('.tmp')) : []
  for (const name of [basename(folder), ...dead]) rmSync(join(table, name), { recursive: true, force: true })
}

const manifestText = (manifest: TableManifest): string => `${JSON.stringify(manifest, null, 2)}\n`

async function writePartition(table: Table, folder: string, signal: AbortSignal): Promise<Partition> {
  const file = 'part-0.parquet'
  await writeParquet(table, join(folder, file), signal)
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
