// What a stage is handed besides its data: made once in cli.ts (or by a library caller), passed down, nothing global.
import type { Database } from './database.ts'
import type { Log } from './log.ts'

export interface Context {
  /** The folder that holds all state. */
  home: string
  database: Database
  log: Log
  /** Aborted by Ctrl-C; a stage stops at its next safe point. */
  signal: AbortSignal
  /** Variables of the environment, for what a config names: secrets and addresses. */
  env?: Record<string, string | undefined>
  /** Epoch milliseconds. */
  now(): number
  /** The warm processes that fit models; started at first use (learn/engine.ts). */
  engine: Engine
  /** Takes down what is measured while a run works (points.ts); returns at once and never throws. Absent outside of a run. */
  track?: (points: Point[]) => void
  /** Codes of the warnings that are said once in a run, and have been. Absent outside of a run. */
  warnedOnce?: Set<string>
}

/** One measured value. A later one of the same series, name and step takes its place. */
export interface Point {
  /** What was measured, such as `cnn_lstm-1/fold-2`, or `machine`. */
  series: string
  /** Such as `loss`, `learning_rate`, `rows_per_second`, `memory_mb`, `temperature`. */
  name: string
  /** A whole number that grows within a series: a batch, an epoch, a second. */
  step: number
  /** NaN and infinities are kept as null: a loss that diverged is a fact. */
  value: number
}

/** A pool of engine processes. The messages are those of protocol/. */
export interface Engine {
  /** How many requests run at once. */
  size: number
  /** Sends a request to the process that suits it best and resolves with its `done` event. */
  request<Done>(method: string, body: object, options?: RequestOptions): Promise<Done>
  /** CPU seconds of all requests so far, and the peak memory of the processes that run now. */
  usage(): { cpu_seconds: number; memory_mb: number }
  /** SHA-256 of the engine's code and of the libraries that run: part of what a fit is found by. */
  digest(): Promise<string>
  /** Versions of Python and its libraries, as the engine says. */
  versions(): Promise<Record<string, string>>
  close(): Promise<void>
}

export interface RequestOptions {
  /** Names the matrix that it will build or find. */
  affinity?: string
  /** Threads that it runs (default 1): so many cores are left to it. */
  cores?: number
  /** Aborted: it is asked to stop at its next safe point, and rejects with the signal's reason when it has. */
  signal?: AbortSignal
  onEvent?: (event: EngineEvent) => void
}

export interface EngineEvent {
  event: 'progress' | 'warning' | 'checkpoint'
  step?: number
  of?: number
  metrics?: Record<string, number | null>
  code?: string
  message?: string
}
