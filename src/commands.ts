// What each command does: reads its input, lets the stages work, and gives the contract's JSON and the same for a person.
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import type { Context } from './base/context.ts'
import { dataError, EXIT, usageError } from './base/errors.ts'
import { showRun as runRow, listRuns as runRows } from './base/runs.ts'
import { findColumn, numbers } from './base/table.ts'
import { isoTime } from './base/time.ts'
import { type LoadedConfig, loadConfig } from './config.ts'
import { cacheFolder, enginePython, findHome, openContext } from './context.ts'
import * as show from './show.ts'

export interface Options {
  config: string
  home?: string
  json?: boolean
  quiet?: boolean
  set: string[]
  [name: string]: unknown
}

export interface Surroundings {
  env: NodeJS.ProcessEnv
  signal: AbortSignal
}

/** What a command gives back: the contract's JSON, the same for a person, and an exit code other than 0 where a gate refused. */
export interface Answer {
  /** Undefined: the command has written what there is. */
  json?: unknown
  text: string
  exit?: number
}

/** Opens the home, lets `work` use it, closes it whatever happens. */
async function inHome<T>(
  options: Options,
  { env, signal }: Surroundings,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const home = findHome({ home: options.home, config: options.config, env })
  const context = openContext({ home, env, signal, quiet: options.quiet })
  try {
    return await work(context)
  } finally {
    await context.close()
  }
}

const configured = (
  options: Options,
  surroundings: Surroundings,
  work: (loaded: LoadedConfig, context: Context) => Promise<Answer>,
) => {
  const loaded = loadConfig(options.config, options.set)
  return inHome(options, surroundings, context => work(loaded, context))
}

type Act = (options: Options, surroundings: Surroundings) => Promise<Answer>

export const showConfig: Act = async options => {
  const { config } = loadConfig(options.config, options.set)
  const { stringify } = await import('yaml')
  return { json: config, text: stringify(config).trimEnd() }
}

export const ingest: Act = (options, surroundings) =>
  configured(options, surroundings, async (loaded, context) => {
    const { ingestStage, record } = await import('./pipeline.ts')
    const result = await record('ingest', loaded, context, run =>
      ingestStage(loaded.config, run, context, { fresh: true }),
    )
    return { json: result, text: show.ingested(result) }
  })

export const build: Act = (options, surroundings) =>
  configured(options, surroundings, async (loaded, context) => {
    const { buildStage, ingestStage, record } = await import('./pipeline.ts')
    const { featureTable } = await import('./features/build.ts')
    const { writeTable } = await import('./data/files.ts')
    const result = await record('build', loaded, context, async run => {
      const built = await buildStage(await ingestStage(loaded.config, run, context), loaded.config, run, context)
      if (options.out) await writeTable(await featureTable(built), resolve(String(options.out)), context.signal)
      const { rows, features, label, digest, warmup, horizon } = built
      return {
        rows,
        features,
        label: label.kind,
        digest,
        warmup,
        horizon,
        seconds: run.stages.at(-1)!.seconds,
        out: options.out,
      }
    })
    return { json: result, text: show.built(result) }
  })

export const dataset: Act = (options, surroundings) =>
  configured(options, surroundings, async ({ config, ...rest }, context) => {
    const { buildStage, datasetStage, ingestStage, record } = await import('./pipeline.ts')
    const { partSizes, writeParts } = await import('./learn/dataset.ts')
    const result = await record('dataset', { config, ...rest }, context, async run => {
      const built = await buildStage(await ingestStage(config, run, context), config, run, context)
      const made = await datasetStage(built, config, run, context)
      const files = options.out ? await writeParts(made, resolve(String(options.out)), context) : []
      const { digest, rows, features, nullable, from, to, warnings } = made
      return {
        digest,
        rows,
        parts: partSizes(made.split),
        folds: made.split.folds.length,
        features,
        nullable,
        from: isoTime(from),
        to: isoTime(to),
        warnings,
        files,
      }
    })
    return { json: result, text: show.frozen(result) }
  })

export const train: Act = (options, surroundings) =>
  configured(options, surroundings, async ({ config, ...rest }, context) => {
    const { buildStage, datasetStage, ingestStage, record, trainStage } = await import('./pipeline.ts')
    const { outOfFold } = await import('./prove/contest.ts')
    const result = await record('train', { config, ...rest }, context, async run => {
      const built = await buildStage(await ingestStage(config, run, context), config, run, context)
      const made = await datasetStage(built, config, run, context)
      const trained = await trainStage(made, config, run, context)
      return { candidates: await outOfFold(made, trained), seconds: run.stages.at(-1)!.seconds }
    })
    return { json: result, text: show.trained(result.candidates) }
  })

export const run: Act = (options, surroundings) =>
  configured(options, surroundings, async (loaded, context) => {
    const { run } = await import('./pipeline.ts')
    const result = await run(loaded, context)
    return { json: result, text: show.ran(result), exit: result.status === 'refused' ? EXIT.gate : 0 }
  })

export const audit: Act = (options, surroundings) =>
  configured(options, surroundings, async ({ config, ...rest }, context) => {
    const { buildStage, datasetStage, ingestStage, record } = await import('./pipeline.ts')
    const { audit } = await import('./prove/audit.ts')
    const { expandFeatures } = await import('./features/catalog.ts')
    const result = await record('audit', { config, ...rest }, context, async run => {
      const table = await ingestStage(config, run, context)
      const built = await buildStage(table, config, run, context)
      const made = await datasetStage(built, config, run, context)
      return {
        checks: await audit(
          table,
          { features: expandFeatures(config.features), label: config.label },
          made,
          config.seed,
          context,
        ),
      }
    })
    return {
      json: result,
      text: show.audited(result.checks),
      exit: result.checks.every(({ ok }) => ok) ? 0 : EXIT.gate,
    }
  })

export const backtest: Act = async options => {
  const { readCandles, readColumns, writeTable } = await import('./data/files.ts')
  const prove = await import('./prove/backtest.ts')
  const candles = await readCandles(resolve(String(options.candles)))
  if (findColumn(candles, 'symbol'))
    throw dataError('SYMBOLS', 'the candles hold a symbol column; a backtest takes one series', {
      next: 'a file of one symbol, without the column',
    })
  const bars = { time: numbers(candles, 'time'), open: numbers(candles, 'open'), close: numbers(candles, 'close') }
  const given = await readColumns(resolve(String(options.signals)))
  const signal = alignSignals(bars.time, numbers(given, 'time'), numbers(given, 'signal'))
  const parsed = prove.backtestSchema.safeParse({
    fill: options.fill,
    fee: options.fee,
    slippage: options.slippage,
    units: options.units,
    cash: options.cash,
    mode: options.mode,
    accounting: options.accounting,
    periods_per_year: options.periodsPerYear,
  })
  if (!parsed.success)
    throw usageError(
      'OPTION',
      parsed.error.issues.map(({ path, message }) => `--${path.join('.').replaceAll('_', '-')}: ${message}`).join('; '),
    )
  const result = prove.backtest(bars, signal, parsed.data)
  const benchmark = prove.buyAndHold(bars, parsed.data).metrics
  if (options.out) {
    const columns = [
      { name: 'time', type: 'time' as const, values: bars.time },
      { name: 'equity', type: 'number' as const, values: result.equity },
      { name: 'return', type: 'number' as const, values: result.returns },
    ]
    await writeTable({ rows: bars.time.length, columns }, resolve(String(options.out)))
  }
  const trades = result.trades.map(trade => ({
    ...trade,
    entry_time: isoTime(trade.entry_time),
    exit_time: isoTime(trade.exit_time),
  }))
  return { json: { metrics: result.metrics, trades, benchmark }, text: show.backtested(result.metrics, benchmark) }
}

/** One signal a bar: by time; a bar without one is flat, a signal without a bar is refused. */
function alignSignals(bars: Float64Array, time: Float64Array, values: Float64Array): Float64Array {
  const row = new Map<number, number>()
  for (let i = 0; i < bars.length; i++) row.set(bars[i], i)
  const signal = new Float64Array(bars.length)
  const seen = new Set<number>()
  for (let i = 0; i < time.length; i++) {
    const at = row.get(time[i])
    if (at === undefined)
      throw dataError(
        'SIGNAL_TIME',
        `the signal of ${Number.isNaN(time[i]) ? 'an empty time' : isoTime(time[i])} (row ${i + 1}) has no candle`,
      )
    if (seen.has(at)) throw dataError('SIGNAL_TIME', `there are two signals for ${isoTime(time[i])} (row ${i + 1})`)
    seen.add(at)
    signal[at] = values[i]
  }
  return signal
}

export const metrics: Act = async options => {
  const { readColumns } = await import('./data/files.ts')
  const prove = await import('./prove/metrics.ts')
  const table = await readColumns(resolve(String(options.input)))
  const columns = Object.fromEntries(table.columns.map(({ name, values }) => [name, values]))
  const result = prove.metrics(options.task as 'binary', columns, { threshold: Number(options.threshold) })
  for (const warning of result.warnings) process.stderr.write(`warning: ${warning}\n`)
  return { json: { ...result, rows: table.rows }, text: show.figures(result.metrics) }
}

export const report: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
    const { run } = await runRow(String(options.run), context)
    const { runFolder } = await import('./publish.ts')
    const data = join(runFolder(context.home, run.id), 'report.json')
    if (!existsSync(data))
      throw usageError(
        'NO_REPORT',
        `run ${run.id} (${run.command}, ${run.status}) left no report: only a finished run has one`,
        { next: `sluice runs show ${run.id}` },
      )
    const { renderReport } = await import('./prove/report.ts')
    const path = options.out ? resolve(String(options.out)) : join(runFolder(context.home, run.id), 'report.html')
    writeAtomic(path, await renderReport(JSON.parse(readFileSync(data, 'utf8'))))
    return { json: { path }, text: path }
  })

export const listRuns: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
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

export const showRun: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
    const { run, steps } = await runRow(String(options.run), context)
    const json = {
      ...show.runSummary(run),
      config: JSON.parse(run.config),
      result: parse(run.result),
      error: parse(run.error),
      steps: steps.map(show.stepSummary),
    }
    return { json: { runs: [json] }, text: show.runDetail(json) }
  })

const parse = (text: string | null): unknown => (text === null ? null : JSON.parse(text))

export const listModels: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
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

export const showModel: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
    const { history, resolveVersion } = await import('./registry/versions.ts')
    const { manifest, ...row } = await resolveVersion(context.database, String(options.model))
    const moves = await history(context.database, row.name)
    const { stringify } = await import('yaml')
    const json = { ...row, manifest: JSON.parse(manifest), history: moves }
    return { json: { models: [json] }, text: stringify(json).trimEnd() }
  })

export const promoteModel: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
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

export const rollbackModel: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
    const { rollback } = await import('./registry/versions.ts')
    const [name, alias] = [String(options.name), String(options.alias)]
    const moved = await rollback(context.database, name, { alias, reason: 'rolled back by hand', now: context.now() })
    return {
      json: { models: [{ name, version: moved.to, alias, ...moved }] },
      text: `${name}@${alias} is version ${moved.to} again (was ${moved.from})`,
    }
  })

/** Keys that are trusted besides the home's own: those the config lists, when one is given. */
const trustedIn = (options: Options): string[] =>
  options.config ? loadConfig(options.config).config.registry.trusted_keys : []

export const verifyModel: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
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

export const predict: Act = (options, surroundings) =>
  inHome(options, surroundings, async context => {
    const { predictFile } = await import('./serve/file.ts')
    const out = resolve(String(options.out))
    const { rows, unanswered } = await predictFile(
      String(options.model),
      resolve(String(options.input)),
      out,
      trustedIn(options),
      context,
    )
    return {
      json: { rows, unanswered, out },
      text: `${rows} rows -> ${out}${unanswered ? ` (${unanswered} without an answer: a feature is missing or warms up)` : ''}`,
    }
  })

export const serve: Act = (options, surroundings) =>
  configured(options, surroundings, async ({ config }, context) => {
    const { serveChampion } = await import('./serve/server.ts')
    const server = await serveChampion(
      config.name,
      {
        ...config.serve,
        port: (options.port as number | undefined) ?? config.serve.port,
        host: (options.host as string | undefined) ?? config.serve.host,
        token: surroundings.env.SLUICE_API_TOKEN,
        trusted: config.registry.trusted_keys,
      },
      context,
    )
    process.stdout.write(
      options.json ? `${JSON.stringify({ listening: server.url })}\n` : `listening on ${server.url}\n`,
    )
    await new Promise<void>(stop => surroundings.signal.addEventListener('abort', () => stop(), { once: true }))
    await server.close()
    return { text: '' }
  })

export const installEngine: Act = async (options, { env }) => {
  const { install, pythonOf } = await import('./learn/install.ts')
  if (env.SLUICE_PYTHON)
    return {
      json: { groups: [], python: env.SLUICE_PYTHON },
      text: `SLUICE_PYTHON names ${env.SLUICE_PYTHON}: nothing is installed`,
    }
  const cache = cacheFolder(env)
  const group = String(options.group)
  const onLine = options.quiet ? () => {} : (line: string) => process.stderr.write(`${line}\n`)
  const state = await install(group, { cache, onLine })
  return { json: { groups: [group], state, python: pythonOf(cache) }, text: `engine group ${group}: ${state}` }
}

export const checkEngine: Act = async (_, { env, signal }) => {
  const { openEngine } = await import('./learn/engine.ts')
  const { GROUPS, isInstalled } = await import('./learn/install.ts')
  const { openLog } = await import('./base/log.ts')
  const engine = openEngine({ python: enginePython(env), env, log: openLog({ quiet: true }), signal, size: 1 })
  try {
    const versions = await engine.versions()
    const groups = env.SLUICE_PYTHON ? [] : GROUPS.filter(group => isInstalled(cacheFolder(env), group))
    return {
      json: { groups, versions, python: enginePython(env) },
      text: show.table(Object.entries(versions).map(([name, version]) => ({ name, version }))),
    }
  } finally {
    await engine.close()
  }
}

export const doctor: Act = async (options, surroundings) => {
  const { examine } = await import('./doctor.ts')
  const checks = await examine({ home: options.home, ...surroundings })
  return { json: { checks }, text: show.examined(checks), exit: checks.every(({ ok }) => ok) ? 0 : EXIT.unexpected }
}

export const init: Act = async options => {
  const { initialise } = await import('./init.ts')
  const files = await initialise(
    String(options.preset ?? 'market'),
    resolve(String(options.dir ?? '.')),
    options.data as string | undefined,
  )
  return { json: { files }, text: `${files.join('\n')}\nnext: sluice run -c ${files[0]}` }
}
