// Runs and their steps as rows. A finished step is found again by stage and digest of its inputs and not redone. Knows no stage.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { isAlive } from './blobs.ts'
import type { Context } from './context.ts'
import type { Database, Row } from './database.ts'
import { codeOf, messageOf, SluiceError } from './errors.ts'
import { removeLeftovers } from './leftovers.ts'
import { jsonDigest } from './table.ts'

export interface StageRecord {
  name: string
  seconds: number
  cached: boolean
  /** Largest resident memory during the stage: this process and the engine's. */
  peak_memory_mb: number
  cpu_seconds: number
}

export interface Run {
  id: string
  /** Epoch milliseconds. */
  started: number
  git: GitState
  stages: StageRecord[]
}

export interface GitState {
  commit: string | null
  dirty: boolean | null
}

type FinalStatus = Exclude<Row<'runs'>['status'], 'running'>

/** A new row with status running. What processes that ended without a word have left is put in order on the way: rows marked failed, half-written files removed. */
export async function startRun(
  { name, command, config, folder }: { name: string; command: string; config: unknown; folder: string },
  context: Context,
): Promise<Run> {
  await buryDead(context.database, context.now())
  removeLeftovers(context.home, context.now())
  const git = await gitState(folder)
  const started = context.now()
  const id = `${new Date(started).toISOString().replace(/\D/g, '').slice(0, 14)}-${randomBytes(3).toString('hex')}`
  await context.database
    .insertInto('runs')
    .values({
      id,
      name,
      command,
      status: 'running',
      config: JSON.stringify(config),
      git_commit: git.commit,
      git_dirty: git.dirty === null ? null : Number(git.dirty),
      pid: process.pid,
      started,
      finished: null,
      result: null,
      error: null,
    })
    .execute()
  return { id, started, git, stages: [] }
}

export async function finishRun(run: Run, status: FinalStatus, result: unknown, context: Context): Promise<void> {
  const finished = context.now()
  await context.database
    .updateTable('runs')
    .set({ status, finished, result: JSON.stringify(result) })
    .where('id', '=', run.id)
    .execute()
}

/** Marks the run failed (or interrupted) with the error's code, words and detail. Never throws: the error at hand is the one to be told. */
export async function failRun(run: Run, error: unknown, context: Context): Promise<void> {
  const status = context.signal.aborted ? 'interrupted' : 'failed'
  const finished = context.now()
  await context.database
    .updateTable('runs')
    .set({ status, finished, error: describeError(error) })
    .where('id', '=', run.id)
    .execute()
    .catch(unwritten => context.log.debug(`the end of run ${run.id} is not written: ${messageOf(unwritten)}`))
}

/**
 * Does `work`, or finds the output of a finished step with the same stage and inputs whose artefacts are `intact`.
 * Inputs and output are JSON; large results are files that the output names.
 */
export async function step<Output>(
  run: Run,
  stage: string,
  inputs: unknown,
  work: () => Promise<Output>,
  context: Context,
  intact: (output: Output) => boolean = () => true,
): Promise<Output> {
  context.signal.throwIfAborted()
  const digest = jsonDigest({ stage, inputs })
  const meter = startMeter(context)
  const found = await finishedOutput<Output>(stage, digest, context.database)
  const cached = found !== undefined && intact(found)
  const row = { run: run.id, stage, digest, cached: Number(cached), started: context.now() }
  const close = async (status: 'done' | 'failed' | 'interrupted', rest: { output?: string; error?: string }) => {
    const usage = meter.stop()
    const end = { finished: context.now(), ...usage, output: rest.output ?? null, error: rest.error ?? null }
    if (cached)
      await context.database
        .insertInto('steps')
        .values({ ...row, status, ...end })
        .execute()
    else
      await context.database
        .updateTable('steps')
        .set({ status, ...end })
        .where('run', '=', run.id)
        .where('stage', '=', stage)
        .execute()
    return usage
  }
  try {
    if (!cached) {
      const open = { finished: null, seconds: null, cpu_seconds: null, peak_memory_mb: null, output: null, error: null }
      await context.database
        .insertInto('steps')
        .values({ ...row, status: 'running', ...open })
        .execute()
    }
    const output = cached ? found : await work()
    const usage = await close('done', { output: JSON.stringify(output) })
    run.stages.push({ name: stage, cached, ...usage })
    const { seconds } = usage
    context.log.info(`${stage.padEnd(9)} ${cached ? 'found' : `${seconds.toFixed(2)} s`}`, {
      run: run.id,
      stage,
      cached,
      seconds,
    })
    return output
  } catch (error) {
    const status = context.signal.aborted ? 'interrupted' : 'failed'
    // The first error is the one to be told, also where the store cannot take it down.
    await close(status, { error: describeError(error) }).catch(() => {})
    throw error
  }
}

async function finishedOutput<Output>(stage: string, digest: string, database: Database): Promise<Output | undefined> {
  const row = await database
    .selectFrom('steps')
    .select('output')
    .where('stage', '=', stage)
    .where('digest', '=', digest)
    .where('status', '=', 'done')
    .orderBy('finished', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.output ? (JSON.parse(row.output) as Output) : undefined
}

const SAMPLE_EVERY_MS = 50
const MB = 1 << 20

/** Wall time, CPU time and peak memory of what happens until stop(), this process and the engine together. */
function startMeter({ engine }: Context) {
  const started = performance.now()
  const cpu = process.cpuUsage()
  const engineCpu = engine.usage().cpu_seconds
  let peak = process.memoryUsage.rss()
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), SAMPLE_EVERY_MS).unref()
  return {
    stop() {
      clearInterval(timer)
      const { user, system } = process.cpuUsage(cpu)
      const { cpu_seconds, memory_mb } = engine.usage()
      peak = Math.max(peak, process.memoryUsage.rss())
      return {
        seconds: round((performance.now() - started) / 1000),
        cpu_seconds: round((user + system) / 1e6 + cpu_seconds - engineCpu),
        peak_memory_mb: round(peak / MB + memory_mb),
      }
    },
  }
}

const round = (value: number) => Math.round(value * 1000) / 1000

function describeError(error: unknown): string {
  const detail = error instanceof SluiceError ? error.detail : (error as Error)?.stack
  return JSON.stringify({ code: codeOf(error), message: messageOf(error), detail })
}

/** Runs whose process is gone did not finish. */
async function buryDead(database: Database, now: number): Promise<void> {
  for (const { id, pid } of await database
    .selectFrom('runs')
    .select(['id', 'pid'])
    .where('status', '=', 'running')
    .execute()) {
    if (isAlive(pid)) continue
    const error = JSON.stringify({ code: 'DIED', message: `process ${pid} ended without a word` })
    await database
      .updateTable('runs')
      .set({ status: 'failed', finished: now, error })
      .where('id', '=', id)
      .where('status', '=', 'running')
      .execute()
    await database
      .updateTable('steps')
      .set({ status: 'failed', finished: now, error })
      .where('run', '=', id)
      .where('status', '=', 'running')
      .execute()
  }
}

const execute = promisify(execFile)

/** Commit of the repository that holds `folder` and whether it has uncommitted changes; nulls where there is none. */
async function gitState(folder: string): Promise<GitState> {
  try {
    const git = async (...args: string[]) => (await execute('git', ['-C', folder, ...args])).stdout.trim()
    return { commit: await git('rev-parse', 'HEAD'), dirty: (await git('status', '--porcelain')) !== '' }
  } catch {
    return { commit: null, dirty: null }
  }
}

/** Runs, newest first. */
export async function listRuns(context: Context, limit = 50): Promise<Row<'runs'>[]> {
  await buryDead(context.database, context.now())
  return context.database
    .selectFrom('runs')
    .selectAll()
    .orderBy('started', 'desc')
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

/** One run by its id or the beginning of it, with its steps. */
export async function showRun(id: string, context: Context): Promise<{ run: Row<'runs'>; steps: Row<'steps'>[] }> {
  await buryDead(context.database, context.now())
  const runs = await context.database
    .selectFrom('runs')
    .selectAll()
    .where('id', 'like', `${id.replace(/[%_]/g, '')}%`)
    .limit(2)
    .execute()
  if (runs.length !== 1)
    throw new SluiceError('usage', 'RUN', runs.length ? `several runs begin with ${id}` : `there is no run ${id}`, {
      next: 'sluice runs list',
    })
  const steps = await context.database
    .selectFrom('steps')
    .selectAll()
    .where('run', '=', runs[0].id)
    .orderBy('started')
    .execute()
  return { run: runs[0], steps }
}
