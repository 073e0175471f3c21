// Weights & Biases as a tracker: its own client, in a Python process per run (engine/sluice_engine/tracker.py). Knows of runs what a tracker is told.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { engineError, type SluiceError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { withoutSecrets } from '../base/secrets.ts'
import type { Told, Tracker, TrackingConfig } from '../base/tracker.ts'
import { ENGINE_HOME } from './engine.ts'

export interface WandbOptions {
  /** The interpreter of the engine's environment, with the group `track`. */
  python: string
  env: Record<string, string | undefined>
  /** Of the run; nothing is written elsewhere. */
  folder: string
  log: Pick<Log, 'debug'>
}

/** Ms until an answer: the client starts a process of its own, and sends files at the end. */
const PATIENCE_MS = 60_000
const CLOSE_MS = 1000

interface Waiting {
  resolve(): void
  reject(error: SluiceError): void
}

/** The process starts with `begin`. Errors: TRACKER_MISSING, TRACKER_DOWN, TRACKER_REFUSED. */
export function openWandb(config: NonNullable<TrackingConfig['wandb']>, options: WandbOptions): Tracker {
  const { python, env, folder, log } = options
  const failure = (code: string, message: string, next = NEXT[code]) =>
    engineError(code, withoutSecrets(message, [env.WANDB_API_KEY]), { next })
  let child: ChildProcessWithoutNullStreams | undefined
  let ended: Promise<void> | undefined
  let waiting: Waiting | undefined
  let requests = 0

  function start(): ChildProcessWithoutNullStreams {
    mkdirSync(folder, { recursive: true })
    const started = spawn(python, ['-m', 'sluice_engine.tracker'], {
      env: environment(env, config.mode),
      detached: true,
    })
    // Not its `close`: the client's own process may hold the pipes a little longer.
    ended = new Promise(resolve => started.once('exit', () => resolve()).once('error', () => resolve()))
    started.stdin.on('error', () => {}) // a dead process is reported by its exit
    started.once('error', error =>
      settle(failure('TRACKER_MISSING', `the tracker's Python cannot be started: ${python} (${error.message})`)),
    )
    started.once('exit', (code, signal) =>
      settle(failure('TRACKER_DOWN', `the process of Weights & Biases ended with ${signal ?? code}`)),
    )
    createInterface({ input: started.stdout }).on('line', receive)
    createInterface({ input: started.stderr }).on('line', line =>
      log.debug(withoutSecrets(line, [env.WANDB_API_KEY]), { tracker: started.pid }),
    )
    return started
  }

  function receive(line: string): void {
    const answer = parse(line)
    if (!answer) {
      settle(failure('TRACKER_DOWN', `the process of Weights & Biases wrote ${JSON.stringify(line.slice(0, 200))}`))
      return
    }
    const { event, code, reason } = answer
    if (event === 'done') settle()
    else settle(failure(String(code), `Weights & Biases: ${String(reason).replaceAll(/\s+/g, ' ')}`))
  }

  function settle(error?: SluiceError): void {
    const { resolve, reject } = waiting ?? {}
    waiting = undefined
    if (error) reject?.(error)
    else resolve?.()
  }

  async function ask(method: string, body: object): Promise<void> {
    child ??= start()
    const late = setTimeout(
      () => settle(failure('TRACKER_DOWN', `Weights & Biases took over ${PATIENCE_MS / 1000} s to ${method}`)),
      PATIENCE_MS,
    )
    try {
      await new Promise<void>((resolve, reject) => {
        waiting = { resolve, reject }
        if (child!.exitCode !== null || child!.signalCode !== null)
          settle(failure('TRACKER_DOWN', 'the process of Weights & Biases has ended'))
        child!.stdin.write(`${JSON.stringify({ ...body, id: String(++requests), method })}\n`)
      })
    } finally {
      clearTimeout(late)
    }
  }

  return {
    name: 'Weights & Biases',
    begin: ({ id, name, params, tags }) =>
      ask('begin', {
        ...{ run: id, name: `${name}-${id}`, folder, mode: config.mode },
        ...{ project: config.project ?? name, entity: config.entity, config: { ...typed(params), ...tags } },
      }),
    points: points =>
      ask('points', { points: points.map(({ id, series, name, step, value }) => ({ id, series, name, step, value })) }),
    end({ status, params, tags, figures, files }) {
      const isPacked = ({ name }: Told['files'][number]) => name.startsWith(BUNDLE)
      const bundle = files.filter(isPacked).map(({ name, path }) => ({ name: name.slice(BUNDLE.length), path }))
      return ask('end', {
        ...{ exit_code: status === 'finished' ? 0 : 1, config: { ...typed(params), ...tags }, figures, bundle },
        files: files.filter(file => !isPacked(file)),
      })
    },
    /** The end of its stdin lets the client write what it holds; then it is ended. */
    async close() {
      child?.stdin.end()
      const kill = setTimeout(() => child?.kill('SIGKILL'), CLOSE_MS)
      await ended
      clearTimeout(kill)
    },
  }
}

interface Answer {
  event: string
  code?: unknown
  reason?: unknown
}

/** A process that is killed may leave half a line. */
function parse(line: string): Answer | undefined {
  try {
    const answer = JSON.parse(line)
    return typeof answer?.event === 'string' ? answer : undefined
  } catch {
    return undefined
  }
}

/** Files of this folder are kept as a model. */
const BUNDLE = 'bundle/'

const NEXT: Record<string, string> = {
  TRACKER_MISSING: 'sluice engine install track',
  TRACKER_REFUSED: 'WANDB_API_KEY in the environment, or tracking.wandb.mode: offline',
}

/** Of what the environment says of the client, the address and the key alone; without a network, not even these. */
function environment(env: Record<string, string | undefined>, mode: 'offline' | 'online') {
  const kept = mode === 'online' ? ['WANDB_API_KEY', 'WANDB_BASE_URL'] : []
  const around = Object.entries(env).filter(([name]) => !name.startsWith('WANDB_') || kept.includes(name))
  return { ...Object.fromEntries(around), PYTHONPATH: ENGINE_HOME, PYTHONDONTWRITEBYTECODE: '1' }
}

/** Numbers as numbers, so that they can be plotted against. */
function typed(params: Record<string, string>): Record<string, unknown> {
  const isPlain = (text: string) => /^(-?\d+(\.\d+)?(e[+-]?\d+)?|true|false|null)$/.test(text)
  return Object.fromEntries(
    Object.entries(params).map(([name, text]) => [name, isPlain(text) ? JSON.parse(text) : text]),
  )
}
