// What is written of a version of a table, and that it still is what was written.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileSha256, resolveInside, sha256 } from '../base/blobs.ts'
import type { Row } from '../base/database.ts'
import { dataError, messageOf } from '../base/errors.ts'
import type { ColumnType } from '../base/table.ts'
import type { ColumnRule } from './columns.ts'
import type { SourceFile } from './rows.ts'

export interface Partition {
  /** The period of its rows (partitions.ts). */
  id: string
  file: string
  rows: number
  /** Time of the first and of the last row; null where rows have no time. */
  from: string | null
  to: string | null
  /** Of the content (base/table.ts). */
  digest: string
  sha256: string
  /** DVC's. */
  md5: string
  bytes: number
}

export interface SchemaColumn {
  name: string
  type: ColumnType
  /** Rules of the config that say more than the type. */
  rule?: ColumnRule
}

/** Raised when a manifest says something else than before. */
export const FORMAT = 2

export interface TableManifest {
  format: number
  table: string
  version: number
  /** Version this one followed; null for the first. */
  parent: number | null
  created: string
  /** Rows are held to the candle contract. */
  candles: boolean
  schema: SchemaColumn[]
  /** Columns of which no two rows have the same values; none: rows are not compared. */
  key: string[]
  timeframe: string | null
  rows: number
  /** Rows with a key that the version before did not have, and rows that replaced one of it; of a full load all are added. */
  added: number
  revised: number
  /** Time of the first and of the last row; null where rows have no time. */
  from: string | null
  to: string | null
  symbols: string[]
  /** Time of the newest row of each symbol ('' without symbols), from which an incremental load goes on. */
  watermark: Record<string, number>
  /** Of the content, whatever file it came from: that of the only partition, else over those of all. */
  digest: string
  partition_rows: number
  partitions: Partition[]
  /** Rows that later ones with the same key replaced in this table, oldest first; the rows of each file have one time at which they were replaced. */
  revisions: Partition[]
  source: {
    kind: string
    files: SourceFile[]
    /** By which prices were adjusted. */
    factors?: SourceFile[]
  }
  /** What the ingest found: counts, reasons, gaps, warnings. */
  report: unknown
}

export const tableFolder = (home: string, ...names: string[]): string => resolveInside(join(home, 'tables'), ...names)

export const partitionPath = ({ table, version }: TableManifest, { file }: Partition, home: string) =>
  join(tableFolder(home, table, String(version)), file)

/** Errors: MANIFEST_MISSING, MANIFEST_CORRUPT. */
export function readManifest(row: Row<'table_versions'>, home: string): TableManifest {
  const path = join(tableFolder(home, row.name, String(row.version)), 'manifest.json')
  const next = repairOf(path)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const fact = existsSync(path) ? `cannot be read: ${messageOf(cause)}` : 'is missing'
    throw dataError('MANIFEST_MISSING', `the manifest ${path} ${fact}`, { cause, next })
  }
  if (sha256(text) !== row.manifest_sha256)
    throw dataError('MANIFEST_CORRUPT', `the manifest ${path} is not the one that was written`, { next })
  const manifest: TableManifest = JSON.parse(text)
  if (manifest.format !== FORMAT)
    throw dataError('MANIFEST_FORMAT', `the manifest ${path} was written by another version of sluice`, {
      next: 'sluice ingest -c CONFIG --set data.load=full',
    })
  return manifest
}

/** Errors: PARTITION_MISSING, PARTITION_CORRUPT. */
export async function checkPartition(path: string, { sha256 }: Partition): Promise<void> {
  checkThere(path)
  if ((await fileSha256(path)) !== sha256)
    throw dataError('PARTITION_CORRUPT', `the partition ${path} is not the one that was written`, {
      next: repairOf(path),
    })
}

export function checkThere(path: string): void {
  if (!existsSync(path))
    throw dataError('PARTITION_MISSING', `the partition ${path} is missing`, { next: repairOf(path) })
}

/** Full, since nothing can be added to a version that is damaged; without its folder, since equal rows would be that version again. */
const repairOf = (path: string): string =>
  `remove ${dirname(path)} and run: sluice ingest -c CONFIG --set data.load=full`
