// SELECT: reads what the folds' validation rows and the fits' predictions are, and lets select() choose. No test row is read here.
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { mean, quantile, variance } from '../base/statistics.ts'
import { endToEnd } from '../base/table.ts'
import { type Dataset, type DatasetRows, readDataset } from '../learn/dataset.ts'
import type { Candidate as Configured, Params } from '../learn/models.ts'
import { indices, type Range, size } from '../learn/split.ts'
import { type Fit, predictions, type Trained } from '../learn/train.ts'
import type { BacktestOptions } from './backtest.ts'
import { deflatedSharpe } from './luck.ts'
import { type Figures, metrics } from './metrics.ts'
import { type Market, marketOf, poolBacktest } from './pool.ts'
import {
  act,
  type Candidate,
  columnsOf,
  type Predicted,
  type Scored,
  select,
  type Thresholds,
  thresholdGrid,
} from './select.ts'

export interface Choice {
  id: string
  kind: string
  params: Params
  /** Null where nothing is decided by one. */
  threshold: number | null
  /** Of the predictions of the training rows, where the threshold was chosen as one. */
  quantile?: number
}

export interface Selected {
  selected: Choice
  /** Figures of the selected combination on the out-of-fold validation rows. */
  metrics: Figures
  combinations: number
  /** The best threshold of each candidate, best candidate first. */
  leaderboard: (Choice & { metrics: Figures })[]
  /** `select.by` of every combination, [candidate][threshold]; no threshold is one column. With `quantiles` the thresholds are given as these. */
  grid: { candidates: string[]; thresholds: number[]; quantiles: boolean; values: (number | null)[][] }
  /** The selected combination's validation blocks in the order of the folds; `from` and `to` are times. */
  folds: { index: number; from: number | null; to: number | null; rows: number; metrics: Figures }[]
  /** How the figures of the folds scatter. */
  spread: Record<string, Spread>
}

/** Of the folds that have the figure: deviation with ddof 1, null for one fold. */
export interface Spread {
  mean: number
  deviation: number | null
  min: number
  max: number
  folds: number
}

export interface SelectConfig {
  thresholds: Thresholds
  select: { by: string }
  backtest: BacktestOptions
}

/** Rows of a dataset as they are judged. */
export interface Part {
  label: Float64Array
  /** Absent for a table, which has no backtest. */
  market?: Market
}

/** Said before anything is fitted: of classes, only -1, 0 and 1 tell what to do on a market. */
export function requireTradable({ task, market, classes, classNames }: Dataset): void {
  const odd = classes.findIndex((value, k) => ![-1, 0, 1].includes(value) || Number(classNames[k]) !== value)
  if (market && task === 'multiclass' && odd >= 0)
    throw dataError(
      'CLASSES',
      `the label has the class ${classNames[odd]}; on candles the classes are -1 (short), 0 (flat) and 1 (long)`,
      { next: 'a label of kind triple_barrier, or a column of -1, 0 and 1' },
    )
}

/** Chooses candidate and threshold on the concatenated validation rows of all folds. */
export async function choose(
  dataset: Dataset,
  trained: Trained[],
  config: SelectConfig,
  context: Context,
): Promise<Selected> {
  const {
    backtest: options,
    select: { by },
  } = config
  const data = await readDataset(dataset)
  const blocks = dataset.split.folds.map(fold => fold.valid)
  const part = partOf(dataset, data, blocks.flat(), options)
  const levels = { thresholds: thresholdGrid(config.thresholds), quantiles: areQuantiles(config.thresholds) }
  const candidates = await Promise.all(trained.map(one => candidateOf(dataset, one, levels)))
  const { task, classes } = dataset
  const contest = { task, classes, labels: part.label, market: part.market, backtest: options, by }
  const { selected, leaderboard, trialSharpes } = select(candidates, contest)
  context.log.debug('selected', { candidate: selected.candidate, threshold: selected.threshold })
  const { predicted } = candidates.find(({ id }) => id === selected.candidate)!
  const choiceOf = ({ candidate: id, kind, params, threshold, step }: Scored): Choice => ({
    id,
    kind,
    params: params as Params,
    threshold,
    ...(levels.quantiles ? { quantile: levels.thresholds[step] } : {}),
  })
  const folds = blocks.map((block, index) => {
    const from = size(blocks.slice(0, index).flat())
    const own = predicted.map(column => column.subarray(from, from + size(block)))
    return foldFigures(dataset, data, { index, block, predicted: own }, selected.threshold, options)
  })
  return {
    selected: choiceOf(selected),
    metrics: {
      ...selected.metrics,
      ...(part.market && {
        deflated_sharpe: deflatedSharpe(
          trade(dataset, part.market, predicted, selected.threshold!, options).returns,
          trialSharpes,
        ),
      }),
    },
    combinations: leaderboard.length,
    leaderboard: leaderboard
      .filter(({ candidate }, i) => leaderboard.findIndex(other => other.candidate === candidate) === i)
      .map(scored => ({ ...choiceOf(scored), metrics: scored.metrics })),
    grid: { candidates: candidates.map(({ id }) => id), ...levels, values: gridValues(candidates, leaderboard) },
    folds,
    spread: spreadOf(folds),
  }
}

const areQuantiles = (thresholds: Thresholds): boolean => !Array.isArray(thresholds) && thresholds.quantiles

interface Levels {
  thresholds: number[]
  quantiles: boolean
}

async function candidateOf(dataset: Dataset, { id, kind, params, fits }: Trained, levels: Levels): Promise<Candidate> {
  const last = fits.at(-1)!
  const thresholds = levels.quantiles ? await trainingQuantiles(dataset, last, levels.thresholds) : levels.thresholds
  return {
    id,
    kind,
    params,
    predicted: await outOfFold(dataset, fits),
    thresholds: thresholds.length ? thresholds : [null],
    bytes: last.metrics.model_bytes ?? 0,
  }
}

/** Quantiles of what the last fold's fit says of the rows it learned from, which it predicted after those of its validation block. */
async function trainingQuantiles(dataset: Dataset, fit: Fit, levels: number[]): Promise<number[]> {
  const [predicted] = await predictions(fit, dataset)
  const learned = predicted.subarray(size(dataset.split.folds.at(-1)!.valid))
  return levels.map(level => quantile(learned, level))
}

/** What each fold's fit says of its validation rows, end to end. */
async function outOfFold(dataset: Dataset, fits: Fit[]): Promise<Predicted> {
  const blocks = await Promise.all(fits.map((fit, i) => validPredictions(dataset, fit, i)))
  return blocks[0].map((_, k) => endToEnd(blocks.map(columns => columns[k])))
}

/** What a fit says of the validation rows of fold `index`: the first that it predicted. */
export async function validPredictions(dataset: Dataset, fit: Fit, index: number): Promise<Predicted> {
  const rows = size(dataset.split.folds[index].valid)
  return (await predictions(fit, dataset)).map(column => column.subarray(0, rows))
}

const gridValues = (candidates: Candidate[], leaderboard: Scored[]): (number | null)[][] =>
  candidates.map(({ id, thresholds }) => {
    const own = leaderboard.filter(({ candidate }) => candidate === id)
    return thresholds.map((_, step) => own.find(scored => scored.step === step)!.value)
  })

/** Candidates with the metrics of their out-of-fold predictions, for two classes at 0.5. */
export async function measureCandidates(
  dataset: Dataset,
  trained: Trained[],
): Promise<(Configured & { metrics: Figures })[]> {
  const { label } = await readDataset(dataset)
  const truth = Float64Array.from(indices(dataset.split.folds.flatMap(fold => fold.valid)), row => label[row])
  return Promise.all(
    trained.map(async ({ id, kind, params, fits }) => ({
      id,
      kind,
      params,
      metrics: figuresOf(dataset, truth, await outOfFold(dataset, fits), 0.5),
    })),
  )
}

function foldFigures(
  dataset: Dataset,
  data: DatasetRows,
  { index, block, predicted }: { index: number; block: Range[]; predicted: Predicted },
  threshold: number | null,
  options: BacktestOptions,
): Selected['folds'][number] {
  const { label, market } = partOf(dataset, data, block, options)
  const traded = market && trade(dataset, market, predicted, threshold!, options).metrics
  return {
    index,
    from: dataset.timed ? data.time[block[0][0]] : null,
    to: dataset.timed ? data.time[block.at(-1)![1] - 1] : null,
    rows: label.length,
    metrics: { ...figuresOf(dataset, label, predicted, threshold), ...traded },
  }
}

function spreadOf(folds: Selected['folds']): Record<string, Spread> {
  const names = Object.keys(folds[0].metrics)
  const known = (name: string) => folds.map(({ metrics }) => metrics[name]).filter(value => value !== null)
  return Object.fromEntries(
    names.flatMap(name => {
      const values = known(name)
      if (!values.length) return []
      const deviation = values.length > 1 ? Math.sqrt(variance(values, 1)) : null
      const [min, max] = [Math.min(...values), Math.max(...values)]
      return [[name, { mean: mean(values), deviation, min, max, folds: values.length }]]
    }),
  )
}

/** Metrics of predictions; for two classes at a threshold, rounded as the signals round it. */
export function figuresOf(
  dataset: Pick<Dataset, 'task' | 'classes'>,
  label: Float64Array,
  predicted: Predicted,
  threshold: number | null,
): Figures {
  const decided = threshold === null ? {} : { threshold: Math.fround(threshold) }
  return metrics(dataset.task, columnsOf(dataset, label, predicted), decided).metrics
}

/** What acting on predictions would have earned. */
export const trade = (
  dataset: Pick<Dataset, 'task' | 'classes'>,
  market: Market,
  predicted: Predicted,
  threshold: number,
  options: BacktestOptions,
) => poolBacktest(market, act(dataset, predicted, threshold, options.mode), options)

/** Some rows of a dataset. A year has as many bars on every part, even of one bar, as on the whole dataset: figures of two parts are compared. */
export function partOf(
  { market }: Pick<Dataset, 'market'>,
  data: DatasetRows,
  ranges: Range[],
  options: BacktestOptions,
): Part {
  const rows = indices(ranges)
  const label = Float64Array.from(rows, row => data.label[row])
  return market ? { label, market: marketOf(data, rows, options) } : { label }
}
