// TRACKING: what a run measures goes into the store, and what it is to the trackers of its config. They are told what the store has, so they can be told again.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { writeAtomic } from './base/blobs.ts'
import type { Context, Point } from './base/context.ts'
import type { Row } from './base/database.ts'
import { codeOf, engineError, messageOf, SluiceError, usageError } from './base/errors.ts'
import { openMlflow } from './base/mlflow.ts'
import { openPoints, readPoints } from './base/points.ts'
import { showRun } from './base/runs.ts'
import { withoutLiterals, withoutSecrets } from './base/secrets.ts'
import { flatten, type Told, type Tracker, type TrackingConfig } from './base/tracker.ts'
import type { Config } from './config.ts'
import { enginePython } from './context.ts'
import { openWandb } from './learn/wandb.ts'
import { runFolder } from './publish.ts'
import { bundleFolder } from './registry/bundle.ts'

export interface Tracking {
  /** The context of the run: what is measured with it is kept. */
  context: Context
  begin(): void
  /** Writes what waits into the store, before the run's row is finished. */
  drain(): Promise<void>
  /** Tells the trackers how the run ended, once its row says so. Never throws, and takes a minute at most. */
  end(): Promise<void>
}

/** Commands that make a model: their runs are told to trackers. */
const TOLD = ['run', 'train']

/** Opens what follows a run; nothing is written or sent before `begin`. */
export function openTracking(run: string, command: string, config: Config, context: Context): Tracking {
  const told = TOLD.includes(command)
  const followers = told ? trackersOf(config.tracking, run, context).map(tracker => follow(tracker, run, context)) : []
  const written = () => {
    for (const { wake } of followers) wake()
  }
  const points = openPoints(run, context, { written })
  return {
    context: { ...context, track: (measured: Point[]) => points.take(measured) },
    begin() {
      if (told) writeAtomic(join(runFolder(context.home, run), 'sluice.yaml'), stringify(config))
      for (const { begin } of followers) begin()
    },
    drain: () => points.close(),
    async end() {
      await Promise.all(followers.map(({ end }) => end()))
    },
  }
}

function trackersOf({ mlflow, wandb }: TrackingConfig, run: string, context: Context): Tracker[] {
  const { env = {}, log, home } = context
  const warn = (message: string) => log.warn(message)
  return [
    ...(mlflow ? [openMlflow(mlflow, { env, warn })] : []),
    ...(wandb ? [openWandb(wandb, { python: enginePython(env), env, folder: runFolder(home, run), log })] : []),
  ]
}

/** How long the end of a run waits for a tracker, and that of a run that a person has stopped. */
const END_MS = 60_000
const STOPPED_MS = 800

/** Tells a tracker of a run in the background, in order. The first failure is one warning, and the tracker is told no more. */
function follow(tracker: Tracker, run: string, context: Context) {
  let down = false
  let sent = 0
  let busy = false
  let work = Promise.resolve()

  function giveUp(error: unknown): void {
    if (down) return
    down = true
    const next = error instanceof SluiceError && error.next ? ` (${error.next})` : ''
    context.log.warn(
      `${codeOf(error)}: ${messageOf(error)}${next}. The run goes on without it; sluice runs track ${run} tells it later`,
      { run, tracker: tracker.name },
    )
  }

  function queue(what: () => Promise<void>): Promise<void> {
    work = work.then(() => (down ? undefined : what())).catch(giveUp)
    return work
  }

  const send = async () => {
    sent = await tellPoints(tracker, run, sent, context)
  }

  return {
    begin: () => void queue(async () => tracker.begin(await describe(run, context))),
    wake() {
      if (busy || down) return
      busy = true
      void queue(send).then(() => (busy = false))
    },
    async end() {
      const told = queue(async () => {
        await send()
        await tracker.end(await describe(run, context))
      })
      if (!(await inTime(told, context.signal)))
        giveUp(engineError('TRACKER_DOWN', `${tracker.name} has not taken all that the run has to tell`))
      await tracker.close()
    },
  }
}

/** Whether work is done before a minute is over, or before a moment is once a person has stopped the command. */
async function inTime(work: Promise<void>, stop: AbortSignal): Promise<boolean> {
  const over = new AbortController()
  const wait = async () => {
    const either = AbortSignal.any([stop, over.signal])
    await sleep(END_MS, undefined, { signal: either }).catch(() => {})
    if (stop.aborted) await sleep(STOPPED_MS, undefined, { signal: over.signal }).catch(() => {})
    return false
  }
  try {
    return await Promise.race([work.then(() => true), wait()])
  } finally {
    over.abort()
  }
}

/** Points after `sent`, in batches; gives the last one's id. */
async function tellPoints(tracker: Tracker, run: string, sent: number, { database }: Context): Promise<number> {
  for (let last = sent; ; ) {
    const points = await readPoints(run, database, { after: last })
    if (!points.length) return last
    await tracker.points(points)
    last = points.at(-1)!.id
  }
}

/**
 * Tells a finished run again, to the trackers of its config or of another: each of them, also where one fails.
 * Errors: NO_TRACKER, RUNNING, and the first of those of trackers; the others are warnings.
 */
export async function tellAgain(id: string, other: Config | undefined, context: Context) {
  const { run } = await showRun(id, context)
  if (run.status === 'running')
    throw usageError('RUNNING', `run ${run.id} has not ended, and tells its trackers itself`)
  const tracking: TrackingConfig = other?.tracking ?? JSON.parse(run.config).tracking ?? {}
  const trackers = trackersOf(tracking, run.id, context)
  if (!trackers.length)
    throw usageError('NO_TRACKER', `no tracker is configured for run ${run.id}`, {
      next: '-c a config with tracking.mlflow or tracking.wandb',
    })
  const told = await describe(run.id, context)
  const failures: unknown[] = []
  for (const tracker of trackers)
    try {
      await tracker.begin(told)
      await tellPoints(tracker, run.id, 0, context)
      await tracker.end(told)
    } catch (error) {
      failures.push(error)
    } finally {
      await tracker.close()
    }
  for (const error of failures.slice(1)) context.log.warn(`${codeOf(error)}: ${messageOf(error)}`, { run: run.id })
  if (failures.length) throw failures[0]
  return { run: run.id, trackers: trackers.map(({ name }) => name) }
}

const STATUS: Partial<Record<Row<'runs'>['status'], Told['status']>> = {
  running: 'running',
  failed: 'failed',
  interrupted: 'killed',
}

/** A run as the store has it now, without what its config says that may be a secret. */
export async function describe(id: string, context: Context): Promise<Told> {
  const { run, steps } = await showRun(id, context)
  const { shown, literals } = withoutLiterals(JSON.parse(run.config))
  const { tracking, ...config } = shown
  const result: Result = run.result === null ? {} : JSON.parse(run.result)
  const outputOf = (name: string) =>
    JSON.parse(steps.find(({ stage }) => stage === name)?.output ?? 'null') ?? undefined
  const data: Ingested | undefined = outputOf('ingest') ?? result.data // of one symbol of several, what all were told from
  return {
    ...{ id, name: run.name, command: run.command, started: run.started, finished: run.finished },
    status: STATUS[run.status] ?? 'finished',
    params: flatten(config),
    tags: tagsOf(run, result, literals, data, outputOf('dataset')),
    figures: { ...Object.assign({}, ...steps.map(stageFigures)), ...resultFigures(result) },
    data: data
      ? { name: data.table, digest: oneMd5(data.md5), source: { table: data.table, version: data.version } }
      : null,
    files: [
      ...configFile(run, literals.length ? shown : undefined, context.home),
      ...filesOf(run, result, context.home),
    ],
  }
}

interface Ingested {
  table: string
  version: number
  digest: string
  /** Of each file. */
  md5: string[]
}

function tagsOf(
  run: Row<'runs'>,
  result: Result,
  literals: string[],
  data?: Ingested,
  dataset?: { digest: string },
): Record<string, string> {
  const { code, message } = run.error === null ? {} : JSON.parse(run.error)
  const known: Record<string, string | null | undefined> = {
    'sluice.command': run.command,
    'sluice.status': run.status,
    'sluice.error': code && withoutSecrets(`${code}: ${message}`, literals.filter(isLong)),
    'sluice.git.commit': run.git_commit,
    'sluice.git.dirty': run.git_dirty === null ? null : String(Boolean(run.git_dirty)),
    'sluice.table': data && `${data.table}@${data.version}`,
    'sluice.table.digest': data?.digest,
    'sluice.table.md5': data?.md5.join(' '),
    'sluice.dataset.digest': dataset?.digest,
    'sluice.model': result.model && `${result.model.name}@${result.model.version}`,
    'sluice.model.digest': result.model?.digest,
  }
  return Object.fromEntries(Object.entries(known).filter((entry): entry is [string, string] => Boolean(entry[1])))
}

/** Shorter ones are no secrets, and stand in other words too. */
const isLong = (literal: string): boolean => literal.length >= 4

/** One MD5 for what has several files. */
const oneMd5 = (md5: string[]): string =>
  md5.length === 1 ? md5[0] : createHash('md5').update(md5.join('\n')).digest('hex')

type Values = Record<string, number | null>

/** What results of commands have in common with those of `run` and `train`. */
interface Result {
  metrics?: Record<string, Values>
  backtest?: Values
  benchmark?: Values
  gates?: { name: string; pass: boolean }[]
  candidates?: { id: string; metrics: Values }[]
  data?: Ingested
  model?: { name: string; version: number; digest: string }
}

const stageFigures = ({ stage, cached, seconds, cpu_seconds, peak_memory_mb }: Row<'steps'>) =>
  named(`stage/${stage}`, { seconds, cpu_seconds, peak_memory_mb, found: cached })

function resultFigures({ metrics = {}, backtest = {}, benchmark = {}, gates = [], candidates = [] }: Result) {
  const passed = Object.fromEntries(gates.map(({ name, pass }) => [name, Number(pass)]))
  const sections: [string, Values][] = [
    ...Object.entries(metrics),
    ['backtest', backtest],
    ['benchmark', benchmark],
    ['gate', passed],
    ...candidates.map(({ id, metrics }): [string, Values] => [`candidate/${id}`, metrics]),
  ]
  return Object.assign({}, ...sections.map(([section, values]) => named(section, values)))
}

/** Figures under a section's name; those that are undefined are left out. */
const named = (section: string, values: Values): Record<string, number> =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, value]) => (value === null ? [] : [[`${section}/${name}`, value]])),
  )

/** The run's own, or one beside it where that may hold secrets. */
function configFile(run: Row<'runs'>, shown: Config | undefined, home: string): Told['files'] {
  const [own, told] = ['sluice.yaml', 'told.yaml'].map(name => join(runFolder(home, run.id), name))
  if (!existsSync(own)) return []
  if (shown) writeAtomic(told, stringify(shown))
  return [{ name: 'sluice.yaml', path: shown ? told : own }]
}

/** The report, and the bundle where a version was registered. */
function filesOf(run: Row<'runs'>, { model }: Result, home: string): Told['files'] {
  const report = join(runFolder(home, run.id), 'report.html')
  const bundle = model && bundleFolder(home, model.name, model.version)
  return [
    ...(existsSync(report) ? [{ name: 'report.html', path: report }] : []),
    ...(bundle && existsSync(bundle)
      ? readdirSync(bundle).map(name => ({ name: `bundle/${name}`, path: join(bundle, name) }))
      : []),
  ]
}
