// What each command does: reads its input, lets the stages work, and gives the contract's JSON and the same for a person.
import { once } from 'node:events'
import { resolve } from 'node:path'
import { EXIT } from './base/errors.ts'
import { isoTime } from './base/time.ts'
import { type Act, configured, inHome, trustedIn } from './command.ts'
import { loadConfig } from './config.ts'
import { cacheFolder, enginePython } from './context.ts'
import * as show from './show.ts'

export * from './inspect.ts'
export * from './measure.ts'
export * from './records.ts'

export const showConfig: Act = async options => {
  const { config } = loadConfig(options.config, options.set)
  const { stringify } = await import('yaml')
  return { json: config, text: stringify(config).trimEnd() }
}

export const ingest: Act = (options, caller) =>
  configured(options, caller, async (loaded, context) => {
    const { ingestStage, record } = await import('./pipeline.ts')
    const result = await record('ingest', loaded, context, run =>
      ingestStage(loaded.config, run, context, { fresh: true }),
    )
    return { json: result, text: show.ingested(result) }
  })

export const build: Act = (options, caller) =>
  configured(options, caller, async (loaded, context) => {
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

export const dataset: Act = (options, caller) =>
  configured(options, caller, async ({ config, ...rest }, context) => {
    const { prepare, record } = await import('./pipeline.ts')
    const { partSizes, writeParts } = await import('./learn/dataset.ts')
    const result = await record('dataset', { config, ...rest }, context, async run => {
      const { dataset } = await prepare(config, run, context)
      const files = options.out ? await writeParts(dataset, resolve(String(options.out)), context) : []
      const { digest, rows, features, nullable, split, from, to, timed, warnings } = dataset
      return {
        digest,
        rows,
        parts: partSizes(split),
        folds: split.folds.length,
        features,
        nullable,
        from: timed ? isoTime(from) : null,
        to: timed ? isoTime(to) : null,
        warnings,
        files,
      }
    })
    return { json: result, text: show.frozen(result) }
  })

export const train: Act = (options, caller) =>
  configured(options, caller, async ({ config, ...rest }, context) => {
    const { prepare, record, trainStage } = await import('./pipeline.ts')
    const { measureCandidates } = await import('./prove/contest.ts')
    const result = await record('train', { config, ...rest }, context, async (run, context) => {
      const { dataset } = await prepare(config, run, context)
      const trained = await trainStage(dataset, config, run, context)
      return { candidates: await measureCandidates(dataset, trained), seconds: run.stages.at(-1)!.seconds }
    })
    return { json: result, text: show.trained(result.candidates) }
  })

export const run: Act = (options, caller) =>
  configured(options, caller, async (loaded, context) => {
    if (loaded.config.per_symbol) {
      const { runEach } = await import('./each.ts')
      const result = await runEach(loaded, context)
      return { json: result, text: show.ranEach(result), exit: result.status === 'refused' ? EXIT.gate : 0 }
    }
    const { run } = await import('./pipeline.ts')
    const result = await run(loaded, context)
    return { json: result, text: show.ran(result), exit: result.status === 'refused' ? EXIT.gate : 0 }
  })

export const audit: Act = (options, caller) =>
  configured(options, caller, async ({ config, ...rest }, context) => {
    const { prepare, record } = await import('./pipeline.ts')
    const { audit } = await import('./prove/audit.ts')
    const result = await record('audit', { config, ...rest }, context, async run => {
      const { table, features, dataset } = await prepare(config, run, context)
      const { specs, label, market } = features
      const wanted = { features: specs, label, market }
      return { checks: await audit(table, wanted, dataset, config.seed, context) }
    })
    return {
      json: result,
      text: show.audited(result.checks),
      exit: result.checks.every(({ ok }) => ok) ? 0 : EXIT.gate,
    }
  })

export const predict: Act = (options, caller) =>
  inHome(options, caller, async context => {
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

export const serve: Act = (options, caller) =>
  configured(options, caller, async ({ config }, context) => {
    const { serveChampion } = await import('./serve/server.ts')
    const server = await serveChampion(
      config.name,
      {
        ...config.serve,
        port: (options.port as number | undefined) ?? config.serve.port,
        host: (options.host as string | undefined) ?? config.serve.host,
        token: caller.env.SLUICE_API_TOKEN,
        trusted: config.registry.trusted_keys,
      },
      context,
    )
    process.stdout.write(
      options.json ? `${JSON.stringify({ listening: server.url })}\n` : `listening on ${server.url}\n`,
    )
    const { signal } = caller
    if (!signal.aborted) await once(signal, 'abort')
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

export const doctor: Act = async (options, caller) => {
  const { examine } = await import('./doctor.ts')
  const checks = await examine({ home: options.home, ...caller })
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
