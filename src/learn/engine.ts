// The door to the engine: a pool of warm engine processes that speak the line protocol of protocol/. Knows no models.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Engine, EngineEvent, RequestOptions } from '../base/context.ts'
import { dataError, engineError, interruption, type SluiceError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { jsonDigest } from '../base/table.ts'
import { isOwn, LOCKS } from './install.ts'

const PROTOCOL = 1
const START_TIMEOUT_MS = 60_000
const CLOSE_TIMEOUT_MS = 2000
const LAST_WORDS_MS = 500
const STDERR_TAIL = 20
const STOP = `${JSON.stringify({ id: 'stop', method: 'stop' })}\n`

/** Where the package sluice_engine lies. */
export const ENGINE_HOME = join(dirname(fileURLToPath(import.meta.url)), '../../engine')

export interface EngineOptions {
  /** The interpreter of the engine's environment. */
  python: string
  /** Environment of the processes; what it says of threads is replaced. */
  env: Record<string, string | undefined>
  log: Log
  /** Aborting it kills every process. */
  signal: AbortSignal
  /** Processes; each runs one thread, since OpenMP threads that spin on busy cores cost 2-8 x. */
  size?: number
}

interface Job extends RequestOptions {
  method: string
  body: object
  resolve(done: unknown): void
  reject(error: Error): void
}

interface Worker {
  child: ChildProcessWithoutNullStreams
  /** Undefined until it has said hello. */
  versions?: Record<string, string>
  affinity?: string
  id: number
  job?: Job
  tail: string[]
  /** As its last answer said. */
  memory: number
  timer?: NodeJS.Timeout
}

/** Opens a pool; the processes start with the first request. */
export function openEngine(options: EngineOptions): Engine {
  return new Pool(options)
}

class Pool implements Engine {
  readonly size: number
  private readonly options: EngineOptions
  private readonly workers = new Set<Worker>()
  /** Every process whose pipes are still open. */
  private readonly children = new Set<ChildProcessWithoutNullStreams>()
  private readonly queue: Job[] = []
  private cpuSeconds = 0
  private closing = false
  private identity?: Promise<string>
  /** Processes worth starting: fewer than `size` once one of them could not be started. */
  private capacity: number

  constructor(options: EngineOptions) {
    this.options = options
    this.size = options.size ?? availableParallelism()
    this.capacity = this.size
    options.signal.addEventListener('abort', this.abort, { once: true })
  }

  request<Done>(method: string, body: object, options: RequestOptions = {}): Promise<Done> {
    if (this.options.signal.aborted || this.closing) return Promise.reject(interruption())
    if (options.signal?.aborted) return Promise.reject(options.signal.reason)
    return new Promise<Done>((resolve, reject) => {
      const job: Job = { method, body, ...options, resolve: done => resolve(done as Done), reject }
      const stop = () => this.stop(job)
      const settled =
        <Value>(settle: (value: Value) => void) =>
        (value: Value) => {
          options.signal?.removeEventListener('abort', stop)
          settle(value)
        }
      job.resolve = settled(job.resolve)
      job.reject = settled(reject)
      options.signal?.addEventListener('abort', stop)
      this.queue.push(job)
      this.dispatch()
    })
  }

  /** One that waits is given up; a process at work on it is told, and ends when it has answered. */
  private stop(job: Job): void {
    const waiting = this.queue.indexOf(job)
    if (waiting >= 0) {
      this.queue.splice(waiting, 1)
      job.reject(job.signal?.reason)
      return
    }
    for (const worker of this.workers) if (worker.job === job) worker.child.stdin.write(STOP)
  }

  usage() {
    return {
      cpu_seconds: this.cpuSeconds,
      memory_mb: [...this.workers].reduce((total, { memory }) => total + memory, 0),
    }
  }

  async versions(): Promise<Record<string, string>> {
    return (await this.request<{ versions: Record<string, string> }>('hello', {})).versions
  }

  digest(): Promise<string> {
    this.identity ??= this.identify().catch(error => {
      this.identity = undefined
      throw error
    })
    return this.identity
  }

  /** What our own environment holds is in its lock, so no process is started to ask it; any other one is asked. */
  private async identify(): Promise<string> {
    const libraries = isOwn(this.options.python)
      ? ['core', 'deep'].map(group => readFileSync(join(LOCKS, `${group}.lock`), 'utf8'))
      : await this.versions()
    return jsonDigest({ code: codeDigest(), libraries })
  }

  /** Rejects what waits, and waits for the last words of every process, also of those that failed: afterwards nothing writes to the log. */
  async close(): Promise<void> {
    this.closing = true
    this.options.signal.removeEventListener('abort', this.abort)
    this.rejectWaiting(interruption())
    for (const { child } of this.workers) child.stdin.end()
    const kill = setTimeout(() => {
      for (const child of this.children) child.kill('SIGKILL')
    }, CLOSE_TIMEOUT_MS)
    await Promise.all([...this.children].map(child => new Promise(resolve => child.once('close', resolve))))
    clearTimeout(kill)
  }

  private readonly abort = (): void => {
    this.rejectWaiting(interruption())
    for (const worker of this.workers) {
      // What can be stopped leaves a checkpoint while the command tidies up; close() ends it in any case.
      if (worker.job?.signal) this.release(worker, interruption())
      else this.fail(worker, interruption())
    }
  }

  /** Lets a process go that was told to stop. */
  private release(worker: Worker, error: Error): void {
    if (!this.workers.delete(worker)) return
    worker.child.stdin.write(STOP)
    worker.job?.reject(error)
  }

  private rejectWaiting(error: Error): void {
    for (const job of this.queue.splice(0)) job.reject(error)
  }

  /** Gives waiting jobs to idle processes: first those whose matrix the process already holds, then a matrix nobody holds. */
  private dispatch(): void {
    if (this.closing || this.options.signal.aborted) return
    const idle = [...this.workers].filter(worker => worker.versions && !worker.job)
    for (const worker of idle) {
      const job = this.takeFor(worker)
      if (job) this.send(worker, job)
    }
    const starting = [...this.workers].filter(worker => !worker.versions).length
    if (this.queue.length > starting && this.workers.size < this.capacity) {
      this.start()
      this.dispatch()
    }
  }

  private takeFor(worker: Worker): Job | undefined {
    const busy = [...this.workers].reduce((sum, { job }) => sum + (job ? coresOf(job, this.size) : 0), 0)
    // One that needs more cores than are free is not overtaken: it would wait for ever.
    const fits = (job: Job) => busy + coresOf(job, this.size) <= this.size
    if (!this.queue.length || !fits(this.queue[0])) return undefined
    const others = new Set([...this.workers].filter(other => other !== worker).map(other => other.affinity))
    const held = this.queue.findIndex(
      job => job.affinity !== undefined && job.affinity === worker.affinity && fits(job),
    )
    const free = this.queue.findIndex(job => !others.has(job.affinity) && fits(job))
    return this.queue.splice(held >= 0 ? held : Math.max(free, 0), 1)[0]
  }

  private send(worker: Worker, job: Job): void {
    worker.job = job
    worker.affinity = job.affinity
    worker.id++
    worker.child.stdin.write(`${JSON.stringify({ ...job.body, id: String(worker.id), method: job.method })}\n`)
  }

  private start(): void {
    const { python, env, log } = this.options
    const child = spawn(python, ['-m', 'sluice_engine'], {
      env: {
        ...env,
        PYTHONPATH: ENGINE_HOME,
        PYTHONDONTWRITEBYTECODE: '1',
        SLUICE_THREADS: '1',
        OMP_NUM_THREADS: '1',
        OPENBLAS_NUM_THREADS: '1',
        OMP_WAIT_POLICY: 'PASSIVE',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const worker: Worker = { child, id: 0, memory: 0, tail: [] }
    this.workers.add(worker)
    this.children.add(child)
    child.once('close', () => this.children.delete(child))
    worker.timer = setTimeout(
      () =>
        this.fail(
          worker,
          engineError('ENGINE_START', `the engine said nothing for ${START_TIMEOUT_MS / 1000} s after its start`),
        ),
      START_TIMEOUT_MS,
    )
    child.stdin.on('error', () => {}) // a dead process is reported by its exit
    child.once('error', error => this.fail(worker, missing(python, error)))
    // Its last words may still be in the pipe when it has ended; a child of its own may hold the pipe open for ever.
    child.once('exit', (code, signal) => {
      const end = () => this.fail(worker, crashed(worker, code, signal))
      const late = setTimeout(end, LAST_WORDS_MS)
      child.once('close', () => {
        clearTimeout(late)
        end()
      })
    })
    createInterface({ input: child.stdout }).on('line', line => this.receive(worker, line))
    createInterface({ input: child.stderr }).on('line', line => {
      log.debug(line, { engine: child.pid })
      worker.tail = [...worker.tail, line].slice(-STDERR_TAIL)
    })
    this.send(worker, this.hello(worker))
  }

  private hello(worker: Worker): Job {
    const job: Job = {
      method: 'hello',
      body: {},
      resolve: done => {
        clearTimeout(worker.timer)
        const { protocol, versions } = done as { protocol: number; versions: Record<string, string> }
        if (protocol === PROTOCOL) {
          worker.versions = versions
          return
        }
        worker.job = job // one that speaks otherwise has not started
        this.fail(worker, engineError('ENGINE_PROTOCOL', `the engine speaks protocol ${protocol}, not ${PROTOCOL}`))
      },
      // The last process that cannot start takes the waiting jobs with it; until then the others, started or starting, do them.
      reject: error => {
        this.capacity = this.workers.size
        if (this.capacity > 0) return
        this.capacity = this.size // the next request tries afresh
        this.rejectWaiting(error)
      },
    }
    return job
  }

  private receive(worker: Worker, line: string): void {
    const message = parse(line)
    const job = worker.job
    if (!message || !job || (message.id !== null && message.id !== String(worker.id))) {
      const text = JSON.stringify(line.slice(0, 200))
      this.fail(worker, engineError('ENGINE_PROTOCOL', `the engine wrote ${text}, which is no answer to a request`))
      return
    }
    if (message.event === 'done' || message.event === 'failed') {
      worker.job = undefined
      this.cpuSeconds += message.cpu_seconds ?? 0
      worker.memory = Math.max(worker.memory, message.peak_memory_mb ?? 0)
      if (message.event === 'done') job.resolve(message)
      else if (message.code === 'STOPPED' && job.signal?.aborted) job.reject(job.signal.reason)
      else job.reject(failure(job, message, worker))
      if (job.signal?.aborted) this.workers.delete(worker) // it ends now
      this.dispatch()
    } else job.onEvent?.(message as unknown as EngineEvent)
  }

  /** Ends a process and rejects what it was doing; the next request starts a fresh one. */
  private fail(worker: Worker, error: Error): void {
    if (!this.workers.delete(worker)) return
    clearTimeout(worker.timer)
    worker.child.kill('SIGKILL')
    worker.job?.reject(error)
    this.dispatch()
  }
}

const coresOf = ({ cores = 1 }: Job, size: number): number => Math.min(cores, size)

interface Message {
  id: string | null
  event: string
  code?: unknown
  reason?: unknown
  cpu_seconds?: number
  peak_memory_mb?: number
}

function parse(line: string): Message | undefined {
  try {
    const message = JSON.parse(line)
    return typeof message?.event === 'string' ? message : undefined
  } catch {
    return undefined
  }
}

/** Failures that the rows caused, not the engine. */
const DATA_CODES = new Set(['ONE_CLASS', 'CLASS_ABSENT', 'UNKNOWN_CLASS', 'NO_ROWS', 'DATASET_CORRUPT'])

function failure(job: Job, { code, reason }: { code?: unknown; reason?: unknown }, worker: Worker): SluiceError {
  const make = DATA_CODES.has(String(code)) ? dataError : engineError
  const [, group] = /sluice engine install (\w+)$/.exec(String(reason)) ?? []
  return make(String(code), `${job.method}: ${reason}`, {
    detail: { stderr: worker.tail },
    ...(group && { next: `sluice engine install ${group}` }),
  })
}

function missing(python: string, cause: Error): SluiceError {
  return engineError('ENGINE_MISSING', `the engine's Python cannot be started: ${python} (${cause.message})`, {
    cause,
    next: 'sluice engine install core',
  })
}

function crashed(worker: Worker, code: number | null, signal: string | null): SluiceError {
  const how = signal ? `was killed by ${signal}` : `ended with code ${code}`
  const noModule = worker.tail.some(line => line.includes('ModuleNotFoundError'))
  return engineError('ENGINE_CRASHED', `the engine ${how}${worker.tail.length ? `: ${worker.tail.at(-1)}` : ''}`, {
    detail: { stderr: worker.tail },
    next: noModule ? 'sluice engine install core' : 'sluice doctor',
  })
}

function codeDigest(): string {
  const hash = createHash('sha256')
  const code = join(ENGINE_HOME, 'sluice_engine')
  const files = readdirSync(code, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.py') && file !== 'tracker.py') // which fits nothing
    .sort()
  for (const file of files) hash.update(file).update(readFileSync(join(code, file)))
  return hash.digest('hex')
}
