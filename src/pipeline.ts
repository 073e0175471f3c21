// THE STORY: raw data becomes a model that has earned its place. Read run() first; each stage gives plain data that the next one takes.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Context } from './base/context.ts'
import { codeOf, messageOf } from './base/errors.ts'
import { failRun, finishRun, type Run, startRun, step } from './base/runs.ts'
import type { Config, LoadedConfig } from './config.ts'
import { type IngestResult, ingest, ingestInputs, isRepeatable } from './data/ingest.ts'
import { tableFolder } from './data/manifest.ts'
import { readingOf } from './data/schema.ts'
import { verifyTable } from './data/tables.ts'
import { build, buildInputs, type Features, planFeatures } from './features/build.ts'
import { broughtBySet } from './features/catalog.ts'
import { pinTables } from './features/join.ts'
import { type Dataset, datasetInputs, freeze, partSizes } from './learn/dataset.ts'
import { expandModels, longestContext } from './learn/models.ts'
import { isNetwork } from './learn/networks.ts'
import { type ThermalConfig, watchTemperature } from './learn/thermal.ts'
import { isIntact, type Trained, train } from './learn/train.ts'
import { choose, requireTradable, type Selected } from './prove/contest.ts'
import { judgeSelected, type Verdict } from './prove/verdict.ts'
import { publish, type RunFiles, type Status, type Story } from './publish.ts'
import { isRefitted, isRegistered, type Registered, register } from './registry/register.ts'
import { aliasVersion } from './registry/versions.ts'
import { deploy } from './serve/deploy.ts'
import { openTracking } from './tracking.ts'

/** The whole story. A stage whose inputs were seen before is found by their digest and not done again. */
export async function run(loaded: LoadedConfig, context: Context): Promise<RunResult> {
  return record('run', loaded, context, async (run, context) => {
    const { config } = loaded
    const started = performance.now()
    const champion = await aliasVersion(context.database, config.name)
    const table = await ingestStage(config, run, context)
    const features = await buildStage(table, config, run, context)
    const story = await tell({ table, features, champion }, config, run, context)
    return summarise(story, await publish(story, context), (performance.now() - started) / 1000)
  })
}

/** What a story begins with: the table, its features, and the champion as it was before. */
export interface Given {
  table: IngestResult
  features: Features
  champion: number | null
}

/** The story from the features on. */
export async function tell(
  { table, features, champion }: Given,
  config: Config,
  run: Run,
  context: Context,
): Promise<Story> {
  const dataset = await datasetStage(features, config, run, context)
  requireTradable(dataset)
  const trained = await trainStage(dataset, config, run, context)
  const selected = await selectStage(dataset, trained, config, run, context) // validation rows only
  const verdict = await gateStage(table, dataset, trained, selected, config, run, context) // the one look at the test rows
  const version = await registerStage(table, features, dataset, selected, verdict, config, run, context)
  const status = await deployStage(dataset, version, champion, config, run, context)
  return { config, run, table, dataset, trained, selected, verdict, version, status }
}

/** From the source to frozen rows and their split. */
export async function prepare(config: Config, run: Run, context: Context) {
  const table = await ingestStage(config, run, context)
  const features = await buildStage(table, config, run, context)
  const dataset = await datasetStage(features, config, run, context)
  return { table, features, dataset }
}

/** Performs `work` as a row: running, then its end, whatever that is. With the context that `work` is given, what it measures is kept. */
export async function record<Result extends object>(
  command: string,
  { config, file }: LoadedConfig,
  context: Context,
  work: (run: Run, context: Context) => Promise<Result>,
): Promise<Result> {
  const run = await startRun({ name: config.name, command, config, folder: dirname(file) }, context)
  const tracking = openTracking(run.id, command, config, context)
  try {
    tracking.begin()
    const result = await work(run, { ...tracking.context, warnedOnce: context.warnedOnce ?? new Set() })
    await tracking.drain()
    await finishRun(run, 'status' in result ? (result.status as Status) : 'done', result, context)
    return result
  } catch (error) {
    context.log.debug(`${command} failed: ${messageOf(error)}`, {
      run: run.id,
      code: codeOf(error),
      stack: (error as Error)?.stack,
    })
    await tracking.drain()
    await failRun(run, error, context)
    throw error
  } finally {
    await tracking.end()
  }
}

/** `fresh` reads the source again whatever was found before, as an incremental load always does. */
export async function ingestStage(
  { data }: Config,
  run: Run,
  context: Context,
  { fresh = false } = {},
): Promise<IngestResult> {
  const there = ({ table, version }: IngestResult) =>
    !fresh && isRepeatable(data) && existsSync(tableFolder(context.home, table, String(version)))
  return step(run, 'ingest', await ingestInputs(data), () => ingest(data, context), context, there)
}

/** The table is verified before anything is built on it: a manifest or partition that is missing or wrong ends the run here. */
export async function buildStage(
  { table, version }: IngestResult,
  config: Config,
  run: Run,
  context: Context,
): Promise<Features> {
  const manifest = await verifyTable(table, version, context)
  const { features, label, data } = config
  const plan = planFeatures(manifest, { features, label, schema: data.schema })
  const wanted = { ...plan, features: await pinTables(plan.features, context) }
  return step(
    run,
    'build',
    buildInputs(manifest, wanted),
    () => build(manifest, wanted, context),
    context,
    ({ path }) => existsSync(path),
  )
}

function datasetStage(features: Features, config: Config, run: Run, context: Context): Promise<Dataset> {
  const { task, split, preprocess, seed, symbol, models } = config
  const optional = broughtBySet(features.specs, config.features)
  const wanted = {
    task,
    split,
    preprocess,
    seed,
    symbol,
    optional,
    context: longestContext(expandModels(models, task)),
  }
  const inputs = datasetInputs(features, wanted)
  return step(
    run,
    'dataset',
    inputs,
    () => freeze(features, wanted, context),
    context,
    ({ path, sequence }) => existsSync(path) && (!sequence || existsSync(sequence.path)),
  )
}

export async function trainStage(
  dataset: Dataset,
  { models, seed, task, thermal }: Config,
  run: Run,
  context: Context,
): Promise<Trained[]> {
  const candidates = expandModels(models, task)
  const inputs = { engine: await context.engine.digest(), dataset: dataset.digest, candidates, seed }
  const intact = (trained: Trained[]) => trained.every(({ fits }) => fits.every(isIntact))
  const work = () => cooled(thermal, candidates, run, context, watched => train(dataset, candidates, seed, watched))
  return step(run, 'train', inputs, work, context, intact)
}

/** Networks are trained while the temperature is watched: where it is too high all of them stop, each with a checkpoint. */
async function cooled<Result>(
  thermal: ThermalConfig,
  candidates: { kind: string }[],
  { started }: Run,
  context: Context,
  work: (context: Context) => Promise<Result>,
): Promise<Result> {
  if (!candidates.some(({ kind }) => isNetwork(kind))) return work(context)
  const hot = new AbortController()
  const watch = watchTemperature(thermal, {
    log: context.log,
    warned: context.warnedOnce,
    onReading: (celsius, sensor) => {
      const step = Math.round((context.now() - started) / 1000)
      context.track?.([{ series: sensor, name: 'temperature', step, value: celsius }])
    },
    onCritical: error => hot.abort(error),
  })
  try {
    return await work({ ...context, signal: AbortSignal.any([context.signal, hot.signal]) })
  } finally {
    watch.stop()
  }
}

function selectStage(
  dataset: Dataset,
  trained: Trained[],
  config: Config,
  run: Run,
  context: Context,
): Promise<Selected> {
  const { thresholds, select, backtest } = config
  const fits = trained.map(({ id, fits }) => [id, fits.map(({ digest }) => digest)])
  const inputs = { version: 3, dataset: dataset.digest, fits, thresholds, select, backtest }
  return step(run, 'select', inputs, () => choose(dataset, trained, { thresholds, select, backtest }, context), context)
}

async function gateStage(
  table: IngestResult,
  dataset: Dataset,
  trained: Trained[],
  selected: Selected,
  { gates, backtest, seed }: Config,
  run: Run,
  context: Context,
): Promise<Verdict> {
  const engine = await context.engine.digest()
  const inputs = { version: 3, engine, dataset: dataset.digest, selected, gates, backtest, seed }
  // What has no symbol is known by the name of its table.
  const looked = {
    symbols: table.symbols.length ? table.symbols : [table.table],
    timeframe: dataset.timed ? (table.timeframe ?? 'irregular') : 'rows',
  }
  const work = () =>
    judgeSelected(dataset, trained, selected, { gates, backtest }, { run: run.id, seed, looked }, context)
  return step(run, 'gate', inputs, work, context, ({ proven }) => isIntact(proven))
}

async function registerStage(
  table: IngestResult,
  { specs }: Features,
  dataset: Dataset,
  selected: Selected,
  verdict: Verdict,
  config: Config,
  run: Run,
  context: Context,
): Promise<Registered> {
  const { name, seed, refit, backtest, label, data } = config
  const reading = readingOf(data.source)
  const manifest = await verifyTable(table.table, table.version, context)
  const subject = {
    name,
    run: run.id,
    seed,
    refit,
    mode: backtest.mode,
    features: specs,
    label,
    table: manifest,
    reading,
    git: run.git,
  }
  const inputs = {
    version: 1,
    engine: await context.engine.digest(),
    dataset: dataset.digest,
    selected,
    backtest,
    judged: [verdict.gates, verdict.metrics, verdict.backtest, verdict.benchmark],
    name,
    seed,
    refit,
    ...(reading && { reading }),
  }
  const fitted = isRefitted(verdict, subject) ? [selected.selected] : []
  const work = () =>
    cooled(config.thermal, fitted, run, context, watched => register(dataset, selected, verdict, subject, watched))
  return step(run, 'register', inputs, work, context, version => isRegistered(version, context.home))
}

/** Never found finished: where the alias points is decided now. Refused, and without a test part, a version does not come here. */
async function deployStage(
  dataset: Dataset,
  version: Registered,
  champion: number | null,
  config: Config,
  run: Run,
  context: Context,
): Promise<Status> {
  if (version.status === 'refused') return 'refused'
  if (!dataset.split.test.length) return 'registered'
  const reason = `run ${run.id} passed its gates`
  const work = () => deploy(version, config.deploy, reason, context, { expected: champion })
  const { promoted } = await step(run, 'deploy', { run: run.id }, work, context)
  return promoted ? 'deployed' : 'registered'
}

/** The contract of `run --json`. */
export type RunResult = ReturnType<typeof summarise>

/** A story in figures. */
export function summarise(
  { run, dataset, trained, selected, verdict, version, status, table }: Story,
  files: RunFiles,
  seconds: number,
) {
  return {
    run: run.id,
    status,
    task: dataset.task,
    market: dataset.market,
    seconds: Math.round(seconds * 1000) / 1000,
    data: { table: table.table, version: table.version, digest: table.digest, md5: table.md5 },
    stages: run.stages,
    rows: partSizes(dataset.split),
    folds: dataset.split.folds.length,
    combinations: selected.combinations,
    selected: selected.selected,
    leaderboard: selected.leaderboard,
    spread: selected.spread,
    metrics: verdict.metrics,
    backtest: verdict.backtest,
    benchmark: verdict.benchmark,
    symbols: verdict.symbols,
    gates: [...verdict.gates, ...version.failed],
    explanation: [...verdict.explanation, ...version.failed.map(({ reason }) => reason ?? '')],
    test_looks: verdict.test_looks,
    parity: verdict.parity,
    model: { name: version.name, version: version.version, digest: version.digest },
    warnings: [...table.warnings.map(({ message }) => message), ...dataset.warnings],
    nondeterministic: [...new Set(trained.flatMap(({ fits }) => fits.flatMap(fit => fit.nondeterministic ?? [])))],
    files,
  }
}
