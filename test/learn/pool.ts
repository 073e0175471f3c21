// A dataset with a rare class, a pool around the engine, and fits that take milliseconds.
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { readArrow, writeArrow } from '../../src/base/arrow.ts'
import type { Engine, EngineEvent } from '../../src/base/context.ts'
import type { Log } from '../../src/base/log.ts'
import { random } from '../../src/base/random.ts'
import { enginePython } from '../../src/context.ts'
import { openEngine } from '../../src/learn/engine.ts'

export const PYTHON = enginePython(process.env)
export const ROWS = 400
export const KINDS = ['logistic', 'random_forest', 'xgboost', 'lightgbm', 'catboost']

/** Quick fits that draw random numbers where the family has any. */
export const PARAMS: Record<string, object> = {
  logistic: {},
  random_forest: { n_estimators: 10 },
  xgboost: { n_estimators: 10, subsample: 0.5 },
  lightgbm: { n_estimators: 10, subsample: 0.5, subsample_freq: 1 },
  catboost: { iterations: 10 },
}

/** Writes dataset.arrow: three features, of which the first tells the label, and a class that is rare. */
export async function writeDataset(folder: string): Promise<void> {
  const { normal } = random(1)
  const x = Array.from({ length: 3 }, () => Float32Array.from({ length: ROWS }, normal))
  const label = Float64Array.from(x[0], value => Number(value + 0.5 * normal() > 1))
  const features = x.map((values, i) => ({ name: `f${i}`, values }))
  await writeArrow(join(folder, 'dataset.arrow'), [...features, { name: 'label', values: label }])
}

/** A pool of the real engine, or of what stands in its place, with the lines of its log. */
export function openPool({
  python = PYTHON,
  size = 2,
  env = process.env,
}: {
  python?: string
  size?: number
  env?: NodeJS.ProcessEnv
} = {}) {
  const lines: string[] = []
  const quiet = () => {}
  const log: Log = { info: quiet, warn: quiet, progress: quiet, close: quiet, debug: line => lines.push(line) }
  const abort = new AbortController()
  return { engine: openEngine({ python, env, log, signal: abort.signal, size }), lines, abort }
}

/** A pool that is closed when the test is over. */
export function pool(options: Parameters<typeof openPool>[0]) {
  const made = openPool(options)
  onTestFinished(() => made.engine.close())
  return made
}

interface Done {
  artefacts: { name: string; sha256: string }[]
  iterations: number | null
  metrics: Record<string, number>
  importances: Record<string, number>
  peak_memory_mb: number
}

export interface Asked {
  params?: object
  seed?: number
  stop?: number[][]
  method?: string
  path?: string
  onEvent?: (event: EngineEvent) => void
}

/** Fits the rare class on the first 250 rows and predicts the last 100. */
export async function fit(
  engine: Engine,
  folder: string,
  kind: string,
  {
    params = PARAMS[kind],
    seed = 1,
    stop = [],
    method = 'fit',
    path = join(folder, 'dataset.arrow'),
    onEvent,
  }: Asked = {},
) {
  const out = mkdtempSync(join(folder, 'out-'))
  const dataset = { digest: path, path, features: ['f0', 'f1', 'f2'], label: 'label', task: 'binary', classes: [0, 1] }
  const body = {
    dataset,
    model: { kind, params, seed },
    rows: { train: [[0, 250]], stop, predict: [[300, ROWS]] },
    iterations: null,
    out,
  }
  const done = await engine.request<Done>(method, body, { affinity: kind, onEvent })
  const predictions = await readArrow(join(out, 'predictions.arrow'))
  return { ...done, p: predictions.get('p1') as Float32Array, predictions }
}
