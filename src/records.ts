// The commands about what is on record: runs, their reports, model versions and aliases.
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import type { Context } from './base/context.ts'
import { dataError, usageError } from './base/errors.ts'
import { readPoints, summarisePoints } from './base/points.ts'
import { showRun as runRow, listRuns as runRows } from './base/runs.ts'
import type { Table } from './base/table.ts'
import { isoTime } from './base/time.ts'
import { type Act, inHome, type Options, trackFolder, trustedIn } from './command.ts'
import { loadConfig } from './config.ts'
import * as show from './show.ts'

export const report: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { run } = await runRow(String(options.run), context)
    const { runFolder } = await import('./publish.ts')
    const data = join(runFolder(context.home, run.id), 'report.json')
    if (!existsSync(data))
      throw usageError(
        'NO_REPORT',
        `run ${run.id} (${run.command}, ${run.status}) left no report: only a finished run has one`,
        { next: `sluice runs show ${run.id}` },
      )
    const { REPORT_FORMAT, renderReport } = await import('./prove/report.ts')
    const written = JSON.parse(readFileSync(data, 'utf8'))
    if (written.format !== REPORT_FORMAT)
      throw dataError('REPORT_FORMAT', `${data} was written by another version of sluice`, {
        next: `${join(runFolder(context.home, run.id), 'report.html')} is as it was`,
      })
    const path = options.out ? resolve(String(options.out)) : join(runFolder(context.home, run.id), 'report.html')
    writeAtomic(path, await renderReport(written))
    return { json: { path }, text: path }
  })

export const listRuns: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const runs = (await runRows(context)).map(show.runSummary)
    return {
      json: { runs },
      text: show.table(
        runs.map(({ run, name, command, status, started, seconds }) => ({
          run,
          name,
          command,
          status,
          started,
          seconds,
        })),
      ),
    }
  })

export const showRun: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { run, steps } = await runRow(String(options.run), context)
    const points = options.points === undefined ? undefined : resolve(String(options.points))
    if (points !== undefined) {
      const { writeTable } = await import('./data/files.ts')
      await writeTable(await pointTable(run.id, context), points, context.signal)
    }
    const json = {
      ...show.runSummary(run),
      config: JSON.parse(run.config),
      result: parse(run.result),
      error: parse(run.error),
      steps: steps.map(show.stepSummary),
      measured: await summarisePoints(run.id, context.database),
      points,
    }
    return { json: { runs: [json] }, text: show.runDetail(json) }
  })

/** Every point of a run as a table, in the order in which they came. */
async function pointTable(run: string, { database }: Context): Promise<Table> {
  const rows = await readPoints(run, database, { limit: Number.MAX_SAFE_INTEGER })
  const numbers = (values: (number | null)[]) => Float64Array.from(values, value => value ?? Number.NaN)
  return {
    rows: rows.length,
    columns: [
      { name: 'series', type: 'string', values: rows.map(({ series }) => series) },
      { name: 'name', type: 'string', values: rows.map(({ name }) => name) },
      { name: 'step', type: 'number', values: numbers(rows.map(({ step }) => step)) },
      { name: 'value', type: 'number', values: numbers(rows.map(({ value }) => value)) },
      { name: 'time', type: 'time', values: numbers(rows.map(({ at }) => at)) },
    ],
  }
}

export const trackRun: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const other = options.config ? loadConfig(options.config, options.set).config : undefined
    const { tellAgain } = await import('./tracking.ts')
    const told = await tellAgain(String(options.run), other, context)
    return { json: told, text: `${told.trackers.join(' and ')} know of run ${told.run}` }
  })

const parse = (text: string | null): unknown => (text === null ? null : JSON.parse(text))

export const listModels: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { listVersions } = await import('./registry/versions.ts')
    const models = await listVersions(context.database, options.name as string | undefined)
    const shown = models.map(({ created, aliases, digest, ...rest }) => ({
      ...rest,
      aliases: aliases.join(' '),
      digest: digest.slice(0, 12),
      created: isoTime(created),
    }))
    return { json: { models }, text: shown.length ? show.table(shown) : 'no models yet' }
  })

export const showModel: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { history, resolveVersion } = await import('./registry/versions.ts')
    const { manifest, ...row } = await resolveVersion(context.database, String(options.model))
    const moves = await history(context.database, row.name)
    const { stringify } = await import('yaml')
    const json = { ...row, manifest: JSON.parse(manifest), history: moves }
    return { json: { models: [json] }, text: stringify(json).trimEnd() }
  })

export const promoteModel: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { parseSpec, promote, resolveVersion } = await import('./registry/versions.ts')
    const spec = parseSpec(String(options.model))
    const { name, version } = await resolveVersion(context.database, String(options.model))
    if (!spec.at)
      throw usageError('VERSION', `say which version of ${name} to promote`, { next: `sluice models list ${name}` })
    const alias = String(options.alias)
    const moved = await promote(context.database, name, version, {
      alias,
      reason: reasonFor(options),
      force: Boolean(options.force),
      now: context.now(),
    })
    return {
      json: { models: [{ name, version, alias, ...moved }] },
      text: `${name}@${alias} is version ${version} (was ${moved.from ?? 'nowhere'})`,
    }
  })

/** A version that was refused needs a person's reason. */
function reasonFor({ reason, force }: Options): string {
  if (reason === undefined && force) throw usageError('REASON', 'a forced promotion needs --reason')
  return String(reason ?? 'promoted by hand')
}

export const rollbackModel: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { rollback } = await import('./registry/versions.ts')
    const [name, alias] = [String(options.name), String(options.alias)]
    const moved = await rollback(context.database, name, { alias, reason: 'rolled back by hand', now: context.now() })
    return {
      json: { models: [{ name, version: moved.to, alias, ...moved }] },
      text: `${name}@${alias} is version ${moved.to} again (was ${moved.from})`,
    }
  })

export const trackModel: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { resolveVersion } = await import('./registry/versions.ts')
    const { bundleFolder, openRegistered } = await import('./registry/bundle.ts')
    const { trustedKeys } = await import('./registry/keys.ts')
    const row = await resolveVersion(context.database, String(options.model))
    await openRegistered(context.home, row, trustedKeys(context.home, trustedIn(options)))
    const found = await trackFolder(bundleFolder(context.home, row.name, row.version), row.name, options)
    return { json: { name: row.name, version: row.version, ...found.json }, text: found.text }
  })

export const verifyModel: Act = (options, caller) =>
  inHome(options, caller, async context => {
    const { resolveVersion } = await import('./registry/versions.ts')
    const { openRegistered } = await import('./registry/bundle.ts')
    const { trustedKeys } = await import('./registry/keys.ts')
    const row = await resolveVersion(context.database, String(options.model))
    const { digest, manifest } = await openRegistered(context.home, row, trustedKeys(context.home, trustedIn(options)))
    const json = {
      name: row.name,
      version: row.version,
      digest,
      ok: true,
      files: manifest.files.map(({ name }) => name),
    }
    return { json: { models: [json] }, text: `${row.name}@${row.version} is whole and signed: ${digest}` }
  })
