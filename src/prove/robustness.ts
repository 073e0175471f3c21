// How far the proven fit's loss moves when its inputs are disturbed: by noise, a missing column, a shifted scale. Measured on validation rows, so it is no look at the test part.
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { writeAtomic } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import { loadModel, type OnnxModel } from '../base/onnx.ts'
import { random } from '../base/random.ts'
import { mean, variance } from '../base/statistics.ts'
import { jsonDigest } from '../base/table.ts'
import { type Dataset, type DatasetRows, readDataset, vectors } from '../learn/dataset.ts'
import { indices } from '../learn/split.ts'
import type { Fit } from '../learn/train.ts'
import { figuresOf } from './contest.ts'

/** A loss on disturbed rows; null is undefined. */
export interface Effect {
  value: number | null
  /** By which share of the baseline it is higher. */
  change: number | null
  /** Null for regression, and where it is undefined. */
  roc_auc: number | null
}

export interface Robustness {
  metric: 'log_loss' | 'rmse'
  /** Validation rows of the last fold that it was measured on, and how many there are. */
  rows: number
  of: number
  baseline: Effect
  /** Gaussian, its deviation a share of that of each feature in the training rows. Words have none. */
  noise: (Effect & { share: number })[]
  /** The features that are missed most: without values (NaN), or where the model answers nothing then, at the mean of the training rows. */
  missing: (Effect & { feature: string; as: 'missing' | 'mean' })[]
  /** Mean of all features that were tried, of which there may be more. */
  missing_mean: Effect
  missing_tried: number
  /** All numbers at once: multiplied, and moved by a share of each one's deviation. */
  shifted: (Effect & { factor: number; offset: number })[]
}

const VERSION = 2
const SHARES = [0.01, 0.05, 0.1]
/** Half a deviation, and a twentieth of the value, either way. */
const SHIFTS = [
  { factor: 1.05, offset: 0 },
  { factor: 0.95, offset: 0 },
  { factor: 1, offset: 0.5 },
  { factor: 1, offset: -0.5 },
]
const WORST = 5
/** What keeps the cost at a few seconds: rows, features that are left out one by one, and values that the model reads in all. */
const MOST_ROWS = 2000
const FEWEST_ROWS = 200
const MOST_FEATURES = 200
const MOST_VALUES = 20_000_000
/** Of networks, values times parameters: half a minute on two cores (measured: 15 ms on one for 2 million parameters on 120 x 20 values). */
const MOST_WORK = 1.8e13
/** What a larger one is measured on: 20 million parameters on as many values take two minutes. */
const FEWEST_ROWS_OF_LARGE = 50

/** The robustness of an exported fit, found again by the fit's digest: equal fits give equal figures. */
export async function robustnessOf(
  dataset: Dataset,
  proven: Fit,
  seed: number,
  { home, signal }: Pick<Context, 'home' | 'signal'>,
): Promise<Robustness> {
  const digest = jsonDigest({ version: VERSION, fit: proven.digest, seed })
  const path = join(home, 'cache', 'robustness', `${digest}.json`)
  const kept = readKept(path)
  if (kept) return kept
  const model = await loadModel(readFileSync(join(proven.folder, 'model.onnx')), { threads: availableParallelism() })
  try {
    const data = await readDataset(dataset, model.length)
    const found = await measureRobustness(dataset, data, proven, model, seed, signal)
    writeAtomic(path, JSON.stringify({ digest: jsonDigest(found), found }))
    return found
  } finally {
    await model.close()
  }
}

/** A damaged entry of the cache is measured again. */
function readKept(path: string): Robustness | undefined {
  if (!existsSync(path)) return undefined
  try {
    const { digest, found } = JSON.parse(readFileSync(path, 'utf8'))
    return digest === jsonDigest(found) ? found : undefined
  } catch {
    return undefined
  }
}

type Subject = Pick<Dataset, 'features' | 'task' | 'classes' | 'categories' | 'split'>

/** Disturbs rows of the last fold's validation block, and compares what the model says of them with their labels. Aborted, it throws the signal's reason before the next one. */
export async function measureRobustness(
  dataset: Subject,
  data: DatasetRows,
  { importances, metrics }: Pick<Fit, 'importances' | 'metrics'>,
  model: Pick<OnnxModel, 'run' | 'columns' | 'length'>,
  seed: number,
  signal?: AbortSignal,
): Promise<Robustness> {
  const { valid, train } = dataset.split.folds.at(-1)!
  const all = indices(valid)
  const tried = mostImportant(dataset.features, importances)
  const runs = 1 + SHARES.length + tried.length + SHIFTS.length
  const { length: width } = vectors(dataset, data, all.subarray(0, 1), model.length)
  const rows = evenly(all, mostRows(runs * width, metrics.parameters ?? 0))
  const label = Float64Array.from(rows, row => data.label[row])
  const x = vectors(dataset, data, rows, model.length)
  const scales = scalesOf(dataset, data, indices(train))
  const metric = dataset.task === 'regression' ? 'rmse' : 'log_loss'

  let baseline: Effect | undefined
  const effect = async (disturbed: Float32Array): Promise<Effect> => {
    signal?.throwIfAborted()
    const output = await model.run(disturbed, rows.length)
    // A row without an answer has no loss.
    const figures = output.every(Number.isFinite)
      ? figuresOf(dataset, label, columnsOf(output, model.columns), null)
      : {}
    const value = figures[metric] ?? null
    return { value, change: baseline ? relative(value, baseline.value) : 0, roc_auc: figures.roc_auc ?? null }
  }
  const without = async (j: number) => {
    const feature = dataset.features[j]
    const found = await effect(withFeature(x, scales, j, Number.NaN))
    if (found.value !== null) return { feature, as: 'missing' as const, ...found }
    return { feature, as: 'mean' as const, ...(await effect(withFeature(x, scales, j, scales[j].mean))) }
  }

  baseline = await effect(x)
  const noise = []
  for (const share of SHARES) noise.push({ share, ...(await effect(withNoise(x, scales, share, seed))) })
  const missing = []
  for (const j of tried) missing.push(await without(j))
  const shifted = []
  for (const shift of SHIFTS) shifted.push({ ...shift, ...(await effect(withShift(x, scales, shift))) })
  return {
    ...{ metric, rows: rows.length, of: all.length, baseline, noise },
    missing: [...missing].sort((a, b) => (b.change ?? 0) - (a.change ?? 0)).slice(0, WORST),
    missing_mean: meanEffect(missing),
    missing_tried: missing.length,
    shifted,
  }
}

/**
 * How many rows a model may be measured on, not so few that they say nothing: `values` is what it reads of each, in all runs together.
 * Parameters are those of a network; how large the file of trees is says nothing of their time.
 */
export function mostRows(values: number, parameters: number): number {
  const read = Math.max(FEWEST_ROWS, Math.min(MOST_ROWS, Math.floor(MOST_VALUES / values)))
  return Math.min(read, Math.max(FEWEST_ROWS_OF_LARGE, Math.floor(MOST_WORK / (values * parameters))))
}

/** At most `most` rows in even steps. */
export function evenly(rows: Uint32Array, most: number): Uint32Array {
  const n = Math.min(rows.length, most)
  return Uint32Array.from({ length: n }, (_, i) => rows[Math.floor((i * rows.length) / n)])
}

/** Numbers of the features that are left out one by one. */
function mostImportant(features: string[], importances: Fit['importances']): number[] {
  const share = (j: number) => importances?.[features[j]] ?? 0
  return [...features.keys()].sort((a, b) => share(b) - share(a) || a - b).slice(0, MOST_FEATURES)
}

/** What a feature is like in the rows that were learned from. */
export interface Scale {
  mean: number
  /** 0 where nothing varies, and of words. */
  deviation: number
  /** A place in a vocabulary: neither noise nor a factor makes another word of it. */
  word: boolean
}

function scalesOf({ features, categories }: Subject, data: DatasetRows, learned: Uint32Array): Scale[] {
  return data.features.map((column, j) => {
    const word = Object.hasOwn(categories, features[j])
    const values = Float64Array.from(learned, row => column[row]).filter(value => !Number.isNaN(value))
    return {
      mean: values.length ? mean(values) : 0,
      deviation: word || !values.length ? 0 : Math.sqrt(variance(values)),
      word,
    }
  })
}

// A vector is one step of C features, or L steps of the same C, and vectors stand one after the other: place i is feature i mod C in both.

/** Equal seeds draw equal noise whatever its share, so that shares differ in nothing else. */
export function withNoise(x: Float32Array, scales: Scale[], share: number, seed: number): Float32Array {
  const draw = random(seed)
  return x.map((value, i) => value + share * scales[i % scales.length].deviation * draw.normal())
}

export function withFeature(x: Float32Array, scales: Scale[], feature: number, value: number): Float32Array {
  const disturbed = x.slice()
  for (let i = feature; i < x.length; i += scales.length) disturbed[i] = value
  return disturbed
}

export function withShift(
  x: Float32Array,
  scales: Scale[],
  { factor, offset }: { factor: number; offset: number },
): Float32Array {
  return x.map((value, i) => {
    const { deviation, word } = scales[i % scales.length]
    return word ? value : value * factor + offset * deviation
  })
}

const columnsOf = (output: Float32Array, columns: number): Float32Array[] =>
  Array.from({ length: columns }, (_, k) => output.filter((_, i) => i % columns === k))

const relative = (value: number | null, base: number | null): number | null =>
  value === null || base === null || base === 0 ? null : value / base - 1

function meanEffect(effects: Effect[]): Effect {
  const average = (name: keyof Effect) => {
    const known = effects.map(effect => effect[name]).filter(value => value !== null)
    return known.length ? mean(known) : null
  }
  return { value: average('value'), change: average('change'), roc_auc: average('roc_auc') }
}
