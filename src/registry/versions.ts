// Versions of a model and the names that move over them: `sp500@3`, `sp500@champion`. Rows only; bundles lie in folders beside the store.
import { existsSync, readdirSync } from 'node:fs'
import type { Transaction } from 'kysely'
import { checkName, resolveInside } from '../base/blobs.ts'
import type { Database, Row, Schema } from '../base/database.ts'
import { SluiceError, usageError } from '../base/errors.ts'

export type ModelVersion = Row<'model_versions'>
export type AliasMove = Row<'alias_moves'>

const CHAMPION = 'champion'

export interface Promotion {
  alias?: string
  /** Compare-and-set: the alias must point here (null: nowhere) or the move is `ALIAS_MOVED`. Absent: whatever it points at. */
  expected?: number | null
  reason: string
  /** Also promote a version that a gate refused; the reason says so from then on. */
  force?: boolean
  now: number
}

/** The next free number of a model: above every row, and above every folder that a stopped registration left without a row. */
export async function nextVersion(database: Database, home: string, name: string): Promise<number> {
  const rows = await versionsOf(database, name)
  const folder = resolveInside(home, 'models', checkName(name, 'the model'))
  const folders = existsSync(folder) ? readdirSync(folder).map(Number).filter(Number.isSafeInteger) : []
  return 1 + Math.max(0, ...rows.map(row => row.version), ...folders)
}

/** Adds a version. The same version with the same digest again is the row that stands (a resumed run); with another digest it is `VERSION_TAKEN`. */
export async function addVersion(database: Database, version: ModelVersion): Promise<ModelVersion> {
  checkName(version.name, 'the model')
  const inserted = await database
    .insertInto('model_versions')
    .values(version)
    .onConflict(conflict => conflict.columns(['name', 'version']).doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows === 1n) return version
  const standing = await findVersion(database, version.name, version.version)
  if (standing?.digest === version.digest) return standing
  throw usageError('VERSION_TAKEN', `${version.name}@${version.version} is another model already`)
}

export interface ListedVersion extends Omit<ModelVersion, 'manifest'> {
  aliases: string[]
}

/** Versions of one model, or of all, newest last, with the aliases that point at them. */
export async function listVersions(database: Database, name?: string): Promise<ListedVersion[]> {
  const query = database
    .selectFrom('model_versions')
    .select(['name', 'version', 'digest', 'status', 'run', 'created'])
    .orderBy('name')
    .orderBy('version')
  const rows = await (name === undefined ? query : query.where('name', '=', name)).execute()
  const aliases = await database.selectFrom('aliases').selectAll().orderBy('alias').execute()
  return rows.map(row => ({
    ...row,
    aliases: aliases
      .filter(({ model, version }) => model === row.name && version === row.version)
      .map(({ alias }) => alias),
  }))
}

/** Finds `name` (its champion), `name@3` or `name@alias`. What is not there is a usage error that names what is. */
export async function resolveVersion(database: Database, spec: string): Promise<ModelVersion> {
  const { name, at = CHAMPION } = parseSpec(spec)
  const number = /^[1-9]\d*$/.test(at) ? Number(at) : await aliasVersion(database, name, at)
  const version = number === null ? undefined : await findVersion(database, name, number)
  if (version) return version
  const versions = await versionsOf(database, name)
  if (versions.length === 0) throw await unknownModel(database, name)
  const known = versions.map(row => row.version + (row.status === 'refused' ? ' (refused)' : '')).join(', ')
  if (number !== null) throw usageError('VERSION_UNKNOWN', `${name} has no version ${at}; there are ${known}`)
  const ready = versions.findLast(row => row.status === 'registered')
  throw usageError('ALIAS_UNKNOWN', `${name} has no ${at}; its versions are ${known}`, {
    next: ready && `sluice models promote ${name}@${ready.version}${at === CHAMPION ? '' : ` --alias ${at}`}`,
  })
}

/** `name`, `name@3` or `name@alias`, taken apart. */
export function parseSpec(spec: string): { name: string; at?: string } {
  const [name, at, ...rest] = spec.split('@')
  if (rest.length > 0) throw usageError('NAME', `${spec} is no NAME, NAME@VERSION or NAME@ALIAS`)
  return { name: checkName(name, 'the model'), at: at === undefined ? at : checkName(at, 'the alias') }
}

/** The version that an alias points at, or null. One row by primary key: cheap enough to ask every second. */
export async function aliasVersion(database: Database, model: string, alias = CHAMPION): Promise<number | null> {
  const row = await database
    .selectFrom('aliases')
    .select('version')
    .where('model', '=', model)
    .where('alias', '=', alias)
    .executeTakeFirst()
  return row?.version ?? null
}

/**
 * Points an alias (`champion`) at a version, as compare-and-set in one transaction, and gives the version it pointed at before.
 * Errors: `ALIAS_MOVED` when `expected` no longer holds, `REFUSED_VERSION` (exit 3) for a version that a gate refused. Pointing it where it points already moves nothing.
 */
export async function promote(
  database: Database,
  name: string,
  version: number,
  { alias = CHAMPION, expected, reason, force = false, now }: Promotion,
): Promise<{ from: number | null; to: number }> {
  if (/^\d+$/.test(checkName(alias, 'the alias')))
    throw usageError('NAME', `the alias ${alias} would read as a version`)
  const { status } = await resolveVersion(database, `${name}@${version}`)
  const forced = status === 'refused'
  if (forced && !force)
    throw new SluiceError('gate', 'REFUSED_VERSION', `${name}@${version} was refused by a gate`, {
      next: `sluice models show ${name}@${version} says by which; --force --reason "..." promotes it all the same`,
    })
  if (forced && reason.trim() === '') throw usageError('REASON', 'a forced promotion needs a reason')
  return database.transaction().execute(async transaction => {
    const from = await aliasVersion(transaction, name, alias)
    if (expected !== undefined && from !== expected)
      throw new SluiceError(
        'gate',
        'ALIAS_MOVED',
        `${alias} of ${name} is ${from ?? 'nowhere'} by now, not ${expected ?? 'nowhere'}`,
        {
          next: `sluice models show ${name}, then promote again`,
          detail: { from, expected },
        },
      )
    if (from !== version)
      await move(transaction, {
        model: name,
        alias,
        from,
        to: version,
        reason: forced ? `forced: ${reason}` : reason,
        now,
      })
    return { from, to: version }
  })
}

/**
 * Points an alias back at the version that it replaced; again goes further back. Never forward: for that, promote.
 * With nothing to go back to it is `NO_PREVIOUS`.
 */
export async function rollback(
  database: Database,
  name: string,
  { alias = CHAMPION, reason, now }: Pick<Promotion, 'alias' | 'reason' | 'now'>,
): Promise<{ from: number; to: number }> {
  return database.transaction().execute(async transaction => {
    const [to, from] = lineage(await history(transaction, name, alias)).slice(-2)
    if (from === undefined)
      throw usageError('NO_PREVIOUS', `${alias} of ${name} has no version to go back to`, {
        next: `sluice models list, then sluice models promote ${name}@VERSION`,
      })
    await move(transaction, { model: name, alias, from, to, reason, now })
    return { from, to }
  })
}

/** Every move of a model's aliases, or of one of them, oldest first. */
export async function history(database: Database, name: string, alias?: string): Promise<AliasMove[]> {
  const moves = database.selectFrom('alias_moves').selectAll().where('model', '=', name).orderBy('id')
  return (alias === undefined ? moves : moves.where('alias', '=', alias)).execute()
}

/** The chain of versions that replaced each other; going back to one of them forgets those that came after it. */
export function lineage(moves: Pick<AliasMove, 'to_version'>[]): number[] {
  const chain: number[] = []
  for (const { to_version: to } of moves) {
    const seen = chain.indexOf(to)
    if (seen >= 0) chain.length = seen
    chain.push(to)
  }
  return chain
}

interface Move {
  model: string
  alias: string
  from: number | null
  to: number
  reason: string
  now: number
}

async function move(transaction: Transaction<Schema>, { model, alias, from, to, reason, now }: Move): Promise<void> {
  await transaction
    .insertInto('aliases')
    .values({ model, alias, version: to, moved: now })
    .onConflict(conflict => conflict.columns(['model', 'alias']).doUpdateSet({ version: to, moved: now }))
    .execute()
  await transaction
    .insertInto('alias_moves')
    .values({ model, alias, from_version: from, to_version: to, reason, moved: now })
    .execute()
}

const versionsOf = (database: Database, name: string) =>
  database
    .selectFrom('model_versions')
    .select(['version', 'status'])
    .where('name', '=', name)
    .orderBy('version')
    .execute()

const findVersion = (database: Database, name: string, version: number) =>
  database
    .selectFrom('model_versions')
    .selectAll()
    .where('name', '=', name)
    .where('version', '=', version)
    .executeTakeFirst()

async function unknownModel(database: Database, name: string): Promise<SluiceError> {
  const rows = await database.selectFrom('model_versions').select('name').distinct().orderBy('name').execute()
  const known = rows.map(row => row.name).join(', ')
  return usageError('MODEL_UNKNOWN', `no model ${name}; ${known ? `there are ${known}` : 'none is registered yet'}`, {
    next: known ? undefined : 'sluice run -c FILE.yaml',
  })
}
