// TRAIN: fits every candidate on every fold through the engine. A finished fit is found by its digest and not redone.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { own, readArrow } from '../base/arrow.ts'
import { sha256, temporaryName } from '../base/blobs.ts'
import type { Context, EngineEvent } from '../base/context.ts'
import { engineError, usageError } from '../base/errors.ts'
import { jsonDigest } from '../base/table.ts'
import { type Dataset, mostColumns } from './dataset.ts'
import type { Candidate, Params } from './models.ts'
import { BUDGETS, isNetwork } from './networks.ts'
import type { Fold, Range } from './split.ts'

export interface Recipe {
  kind: string
  params: Params
  seed: number
}

export interface FitRequest {
  recipe: Recipe
  rows: { train: Range[]; stop: Range[]; predict: Range[] }
  /** Boosting rounds, nothing chosen by early stopping; null lets the parameters decide. */
  iterations?: number | null
  /** Also writes model.onnx and the family's native file. */
  export?: boolean
  /** A fit of the same network on the same rows: its weights are taken, and nothing is trained again. */
  trained?: Fit
}

/** A finished fit: a folder with `predictions.arrow` (and the model when exported), described by its `fit.json`. */
export interface Fit {
  digest: string
  folder: string
  artefacts: { name: string; sha256: string; bytes: number }[]
  iterations: number | null
  importances: Record<string, number> | null
  metrics: Record<string, number | null>
  seconds: number
  cpu_seconds: number
  peak_memory_mb: number
  warnings: string[]
  /** Operations of a network that were not deterministic. */
  nondeterministic?: string[]
  /** Found finished, not fitted now. */
  cached: boolean
}

export interface Trained extends Candidate {
  /** One per fold, in time order. */
  fits: Fit[]
}

/** Fits candidates x folds, each predicting its fold's validation rows. */
export async function train(
  dataset: Dataset,
  candidates: Candidate[],
  seed: number,
  context: Context,
): Promise<Trained[]> {
  await checkBudgets(dataset, candidates, context)
  const { folds } = dataset.split
  const total = candidates.length * folds.length
  const started = context.now()
  let done = 0
  const one = async (candidate: Candidate, fold: Fold) => {
    const { kind, params, id } = candidate
    const rows = rowsOf(params, fold, predicted(dataset, fold))
    const onEvent = followed(`${id}/fold-${fold.index + 1}`, context)
    const fit = await fitOnce(dataset, { recipe: { kind, params, seed }, rows }, context, onEvent)
    checkBudget(candidate, fit.metrics.parameters ?? null) // as it was built, on the columns that its rows made
    done++
    const left = (((context.now() - started) / done) * (total - done)) / 1000
    context.log.progress(`train  ${done}/${total} fits, ${id} fold ${fold.index + 1}, about ${left.toFixed(0)} s left`)
    for (const warning of fit.warnings) context.log.debug(warning, { candidate: id, fold: fold.index })
    return fit
  }
  // Folds of one family stand together, so that a process finds the matrix it has quantised; slow families first, so that none is left for the end.
  const order = [...candidates].sort((a, b) => SLOWEST.indexOf(a.kind) - SLOWEST.indexOf(b.kind))
  const jobs = new Map<string, Promise<Fit>[]>(order.map(({ id }) => [id, []]))
  for (const fold of folds) for (const candidate of order) jobs.get(candidate.id)!.push(one(candidate, fold))
  await allFitted(jobs, order, context.signal)
  return Promise.all(
    candidates.map(async candidate => ({ ...candidate, fits: await Promise.all(jobs.get(candidate.id)!) })),
  )
}

/** Waits for every fit. Stopped, by heat or a person, it throws why as soon as the networks at work have answered: each leaves a checkpoint first. */
async function allFitted(jobs: Map<string, Promise<Fit>[]>, candidates: Candidate[], signal: AbortSignal) {
  const networks = candidates.filter(({ kind }) => isNetwork(kind)).flatMap(({ id }) => jobs.get(id)!)
  const ended = new AbortController()
  const stopped = new Promise<never>((_, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true, signal: ended.signal })
  })
  try {
    await Promise.race([Promise.all([...jobs.values()].flat()), stopped])
  } catch (error) {
    if (signal.aborted) await Promise.allSettled(networks)
    throw error
  } finally {
    ended.abort()
  }
}

/** Rows that a fold's fit predicts: its validation rows, then those it learned from where thresholds are quantiles of these. */
const predicted = ({ task, market }: Dataset, { valid, train }: Fold): Range[] =>
  market && task === 'regression' ? [...valid, ...train] : valid

const fitsFolder = (home: string): string => join(home, 'cache', 'fits')

const SLOWEST = ['random_forest', 'catboost', 'xgboost', 'lightgbm', 'logistic', 'ridge']

/** A model that stops early is fitted on the fold's first 85 % and stopped by the rest; any other on all of it. */
export function rowsOf(params: Params, fold: Fold, predict: Range[] = fold.valid): FitRequest['rows'] {
  return (params.early_stopping_rounds ?? params.patience)
    ? { train: fold.fit, stop: fold.stop, predict }
    : { train: fold.train, stop: [], predict }
}

/** One fit by the engine, or the finished one with the same digest. */
export async function fitOnce(
  dataset: Dataset,
  request: FitRequest,
  context: Context,
  onEvent?: (event: EngineEvent) => void,
): Promise<Fit> {
  const { recipe, rows, iterations = null } = request
  const method = request.export ? 'export' : 'fit'
  const engine = await context.engine.digest()
  const digest = jsonDigest({ engine, dataset: dataset.digest, method, recipe, rows, iterations })
  const folder = join(fitsFolder(context.home), digest)
  const found = readFit(folder)
  if (found) return { ...found, cached: true }

  const out = temporaryName(folder)
  mkdirSync(out, { recursive: true })
  const training = isNetwork(recipe.kind) ? openTraining(digest, request, context) : undefined
  try {
    const warnings: string[] = []
    const done = await context.engine.request<Omit<Fit, 'digest' | 'folder' | 'warnings' | 'cached'>>(
      method,
      {
        dataset: described(dataset),
        model: { ...recipe, ...(dataset.prepare && { prepare: dataset.prepare }) },
        rows,
        iterations,
        out,
        ...training?.body,
      },
      {
        affinity: jsonDigest({ dataset: dataset.digest, kind: recipe.kind, train: rows.train, stop: rows.stop }),
        ...training?.options,
        onEvent: event => {
          if (event.event === 'warning') warnings.push(`${event.code}: ${event.message}`)
          onEvent?.(event)
        },
      },
    )
    const { artefacts, metrics, importances, seconds, cpu_seconds, peak_memory_mb, nondeterministic } = done
    const fit = {
      digest,
      artefacts,
      iterations: done.iterations,
      importances,
      metrics,
      seconds,
      cpu_seconds,
      peak_memory_mb,
      warnings,
      ...(nondeterministic?.length && { nondeterministic }),
    }
    // The description comes last; what has none, or does not agree with it, is no finished fit, so the cache needs no fsync.
    writeFileSync(join(out, 'fit.json'), JSON.stringify(fit))
    rmSync(folder, { recursive: true, force: true })
    renameSync(out, folder)
    training?.close()
    return { ...fit, folder, cached: false }
  } catch (error) {
    rmSync(out, { recursive: true, force: true })
    throw error
  }
}

/** What a fit says of itself on the way, as points of a series: by step, and what is known once an epoch by epoch. */
export const followed =
  (series: string, { track }: Context) =>
  ({ event, step = 0, metrics = {} }: EngineEvent): void => {
    if (event !== 'progress') return
    const { epoch, train_loss, stop_loss, ...rest } = metrics
    const point = (name: string, at: number) => (value: number | null | undefined) =>
      typeof value === 'number' ? [{ series, name, step: at, value }] : []
    const byStep = Object.entries(rest).flatMap(([name, value]) => point(name, step)(value))
    const byEpoch = Object.entries({ train_loss, stop_loss }).flatMap(([name, value]) =>
      point(name, Math.round(epoch ?? 0))(value),
    )
    track?.([...byStep, ...byEpoch])
  }

/** Before anything is trained, how many parameters each network with a budget has on these features. Error (usage): BUDGET. */
async function checkBudgets(dataset: Dataset, candidates: Candidate[], { engine }: Context): Promise<void> {
  const { task, classes } = dataset
  const channels = mostColumns(dataset)
  for (const candidate of candidates) {
    if (!candidate.budget) continue
    const { kind, params } = candidate
    const body = { model: { kind, params }, channels, task, classes: classes.length }
    const { parameters } = await engine.request<{ parameters: number }>('parameters', body)
    checkBudget(candidate, parameters, ` on ${channels} columns`)
  }
}

function checkBudget({ id, budget }: Candidate, parameters: number | null, where = ''): void {
  if (!budget || parameters === null || parameters <= BUDGETS[budget]) return
  throw usageError(
    'BUDGET',
    `${id} has ${parameters} trainable parameters${where}, its budget of ${budget} allows ${BUDGETS[budget]}`,
    { next: 'fewer or narrower layers, fewer features, or a larger budget' },
  )
}

/** What a network needs besides: a folder of checkpoints that outlives a killed process, and cores for its threads. */
function openTraining(digest: string, { recipe, trained }: FitRequest, { home, engine, signal }: Context) {
  const checkpoints = join(home, 'cache', 'checkpoints', digest)
  mkdirSync(checkpoints, { recursive: true })
  const weights = trained && join(trained.folder, 'model.safetensors')
  return {
    body: { checkpoints, ...(weights && { weights }) },
    options: { cores: Number(recipe.params.threads ?? engine.size) * Number(recipe.params.processes), signal },
    /** A finished one, whose files are in place, is not gone on with. */
    close: () => rmSync(checkpoints, { recursive: true, force: true }),
  }
}

/** A dataset as the engine is told of it; `categories` are numbers of words. */
function described({ digest, path, features, task, classes, categories, sequence }: Dataset) {
  const words = Object.entries(categories).map(([name, words]) => [name, words.length])
  const counts = words.length ? { categories: Object.fromEntries(words) } : {}
  const windows = sequence ? { sequence: { path: sequence.path, at: own('at') } } : {}
  return { digest, path, features, label: own('label'), task, classes, ...counts, ...windows }
}

function readFit(folder: string): Omit<Fit, 'cached'> | undefined {
  const path = join(folder, 'fit.json')
  if (!existsSync(path)) return undefined
  try {
    const fit = JSON.parse(readFileSync(path, 'utf8'))
    const whole = fit.artefacts.every(
      (file: { name: string; sha256: string }) => sha256(readFileSync(join(folder, file.name))) === file.sha256,
    )
    return whole ? { ...fit, folder } : undefined
  } catch {
    return undefined // a damaged entry of the cache is fitted again
  }
}

/** Whether a fit still lies in its folder as it was finished. */
export const isIntact = ({ folder }: Pick<Fit, 'folder'>): boolean => readFit(folder) !== undefined

/** What a fit says of every row it predicted, in row order: a probability for each class, or the prediction; `onnx` reads what onnxruntime gave the engine. */
export async function predictions(
  fit: Fit,
  { task, classes }: Pick<Dataset, 'task' | 'classes'>,
  source: 'native' | 'onnx' = 'native',
): Promise<Float32Array[]> {
  const columns = await readArrow(join(fit.folder, 'predictions.arrow'))
  const names = task === 'regression' ? ['prediction'] : classes.map((_, k) => `p${k}`)
  return names.map(name => {
    const values = columns.get(source === 'onnx' ? `onnx_${name}` : name)
    if (values instanceof Float32Array) return values
    throw engineError(
      'ENGINE_PROTOCOL',
      `predictions.arrow of fit ${fit.digest.slice(0, 12)} has no float32 column ${name}`,
    )
  })
}
