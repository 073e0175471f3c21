// The commands about tables that are there: what is in them, how versions differ, what was refused, whether files are whole.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from './base/context.ts'
import { EXIT, usageError } from './base/errors.ts'
import { isoTime } from './base/time.ts'
import { type Act, inHome, type Options, trackFolder } from './command.ts'
import { loadConfig } from './config.ts'
import type { IngestResult } from './data/ingest.ts'
import type { TableManifest } from './data/manifest.ts'
import * as show from './show.ts'

interface Spec {
  name: string
  version?: number
}

function parseSpec(text: string): Spec {
  const [, name, version] = /^([^@]+)(?:@([1-9]\d{0,8}))?$/.exec(text) ?? []
  if (name === undefined) throw usageError('TABLE', `${text} is no table: write name or name@version`)
  return { name, ...(version !== undefined && { version: Number(version) }) }
}

/** The table that is named, else that of the config. */
function namedTable(options: Options): Spec | undefined {
  if (options.table !== undefined) return parseSpec(String(options.table))
  return options.config ? { name: loadConfig(options.config, options.set).config.data.table } : undefined
}

function requireTable(options: Options): Spec {
  const found = namedTable(options)
  if (found) return found
  throw usageError('TABLE', 'say which table', { next: 'sluice data versions lists them; or -c CONFIG' })
}

export const profileData: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { name, version } = requireTable(options)
    const { verifyTable } = await import('./data/tables.ts')
    const { profileTable } = await import('./data/profile.ts')
    const json = await profileTable(await verifyTable(name, version, context), context)
    return { json, text: show.profiled(json) }
  })

export const diffData: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { diffTables } = await import('./data/diff.ts')
    const [from, to] = await bothSides(requireTable(options), options.other, context)
    const json = await diffTables(from, to, context)
    return { json, text: show.compared(json) }
  })

/** The two that are named, or one and the version before it. */
async function bothSides(first: Spec, other: unknown, context: Context): Promise<[TableManifest, TableManifest]> {
  const { listVersions, verifyTable } = await import('./data/tables.ts')
  const named = await verifyTable(first.name, first.version, context)
  if (other !== undefined) {
    const second = parseSpec(String(other))
    return [named, await verifyTable(second.name, second.version, context)]
  }
  const earlier = (await listVersions(context, first.name)).filter(({ version }) => version < named.version).at(-1)
  if (!earlier)
    throw usageError(
      'ONE_VERSION',
      `${named.table}@${named.version} is the first version: there is none to compare it with`,
      {
        next: `sluice data diff ${named.table}@${named.version} OTHER@VERSION`,
      },
    )
  return [await verifyTable(first.name, earlier.version, context), named]
}

export const listTables: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { findTable, listVersions } = await import('./data/tables.ts')
    const name = namedTable(options)?.name
    if (name !== undefined) await findTable(name, undefined, context)
    const versions = []
    for (const row of await listVersions(context, name)) {
      const { parent, added, revised, from, to } = await findTable(row.name, row.version, context)
      const { name: table, version, rows, digest, created } = row
      versions.push({ table, version, parent, rows, added, revised, from, to, digest, created: isoTime(created) })
    }
    const shown = versions.map(({ digest, ...row }) => ({ ...row, digest: digest.slice(0, 12) }))
    return { json: { versions }, text: shown.length ? show.table(shown) : 'no tables yet' }
  })

export const showQuarantine: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { readQuarantine } = await import('./data/quarantine.ts')
    const { name, version } = requireTable(options)
    const { path, personal = mayBePersonal(options), ...found } = await quarantineOf(name, version, context)
    if (path === null)
      return {
        json: { table: name, version: found.version, path, rows: 0, reasons: {}, refused: [] },
        text: `no row of ${name} was refused`,
      }
    const { refused, ...counts } = await readQuarantine(path, Number(options.limit), context.signal)
    // Who may see personal data looks into the file.
    const rows = refused.map(({ row, ...why }) => ({ ...why, row: personal ? null : row }))
    const more = counts.rows > rows.length ? `and ${counts.rows - rows.length} more in ${path}` : path
    const hidden = personal ? ['what the rows hold may be personal and is in the file only:'] : []
    return {
      json: { table: name, version: found.version, path, ...counts, refused: rows },
      text: [show.table(rows), ...hidden, more].join('\n'),
    }
  })

/** Of a table without a version, as its config says; without that nothing says what is in it. */
function mayBePersonal({ config, set }: Options): boolean {
  if (!config) return true
  const { schema } = loadConfig(config, set).config.data
  return schema !== 'candles' && Boolean(schema.columns?.some(({ pii }) => pii))
}

/** What the newest ingest refused, whether it made a version or not; or that of a version. */
async function quarantineOf(name: string, version: number | undefined, context: Context) {
  const { tableFolder } = await import('./data/manifest.ts')
  const { findTable, latestVersion } = await import('./data/tables.ts')
  const folder = tableFolder(context.home, name, 'quarantine')
  const files = existsSync(folder) ? readdirSync(folder).filter(file => file.endsWith('.csv')) : []
  const dated = files.map(file => ({ path: join(folder, file), time: statSync(join(folder, file)).mtimeMs }))
  const newest = dated.sort((a, b) => b.time - a.time)[0]
  const known = version !== undefined || (await latestVersion(name, context))
  if (!known && newest) return { path: newest.path, version: null }
  const manifest = await findTable(name, version, context)
  const personal = manifest.schema.some(({ rule }) => rule?.pii)
  if (version === undefined && newest && newest.time > Date.parse(manifest.created))
    return { path: newest.path, version: null, personal }
  return { path: (manifest.report as IngestResult).quarantine, version: manifest.version, personal }
}

export const verifyData: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { inspectTables } = await import('./data/verify.ts')
    const found = await inspectTables(namedTable(options) ?? {}, context)
    const ok = !found.problems.length
    return { json: { ok, ...found }, text: show.verified(found), ...(!ok && { exit: EXIT.data }) }
  })

export const trackData: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { name, version } = requireTable(options)
    const { tableFolder } = await import('./data/manifest.ts')
    const { verifyTable } = await import('./data/tables.ts')
    const manifest = await verifyTable(name, version, context)
    const found = await trackFolder(tableFolder(context.home, name, String(manifest.version)), name, options)
    return { json: { table: name, version: manifest.version, ...found.json }, text: found.text }
  })
