// Whether tables are on the disk what was written: every manifest, every file, all that is wrong instead of the first.
import { statSync } from 'node:fs'
import type { Context } from '../base/context.ts'
import { SluiceError } from '../base/errors.ts'
import { checkPartition, partitionPath, readManifest, type TableManifest } from './manifest.ts'
import { listVersions, noTable } from './tables.ts'

export interface Problem {
  table: string
  version: number
  file: string
  code: string
  message: string
}

export interface Inspection {
  versions: number
  files: number
  problems: Problem[]
}

/** Of all tables, or of one, or of one version. Errors: NO_TABLE where the one that is named is not there. */
export async function inspectTables(
  { name, version }: { name?: string; version?: number },
  context: Pick<Context, 'home' | 'database' | 'signal'>,
): Promise<Inspection> {
  const rows = (await listVersions(context, name)).filter(row => version === undefined || row.version === version)
  if (name !== undefined && !rows.length) throw noTable(name, version)
  const problems: Problem[] = []
  /** Versions share files: a file that is whole is read once. */
  const whole = new Set<string>()
  let files = 0
  for (const row of rows) {
    const note = (file: string, error: unknown) => {
      if (!(error instanceof SluiceError)) throw error
      problems.push({ table: row.name, version: row.version, file, code: error.code, message: error.message })
    }
    files++
    const manifest = attempt(
      () => readManifest(row, context.home),
      error => note('manifest.json', error),
    )
    if (!manifest) continue
    for (const partition of [...manifest.partitions, ...manifest.revisions]) {
      context.signal.throwIfAborted()
      files++
      await checkOnce(manifest, partition, whole, context.home).catch(error => note(partition.file, error))
    }
  }
  return { versions: rows.length, files, problems }
}

function attempt<T>(work: () => T, failed: (error: unknown) => void): T | undefined {
  try {
    return work()
  } catch (error) {
    failed(error)
    return undefined
  }
}

async function checkOnce(
  manifest: TableManifest,
  partition: TableManifest['partitions'][number],
  whole: Set<string>,
  home: string,
): Promise<void> {
  const path = partitionPath(manifest, partition, home)
  const stat = statSync(path, { throwIfNoEntry: false })
  const file = `${stat?.dev} ${stat?.ino} ${partition.sha256}`
  if (stat && whole.has(file)) return
  await checkPartition(path, partition)
  whole.add(file)
}
