// SELECT: reads what the folds' validation bars and the fits' predictions are, and lets select() choose. No test row is read here.
import type { Context } from '../base/context.ts'
import { endToEnd } from '../base/table.ts'
import { type Dataset, readDataset } from '../learn/dataset.ts'
import type { Candidate, Params } from '../learn/models.ts'
import { indices, type Range, size } from '../learn/split.ts'
import { type Fit, scores, type Trained } from '../learn/train.ts'
import { type BacktestOptions, type Bars, backtest, barsPerYear } from './backtest.ts'
import { deflatedSharpe } from './luck.ts'
import { type Figures, metrics } from './metrics.ts'
import { type Scored, select, signals, type Thresholds, thresholdGrid } from './select.ts'

export interface Choice {
  id: string
  kind: string
  params: Params
  threshold: number
}

export interface Selected {
  selected: Choice
  /** Figures of the selected combination on the out-of-fold validation bars. */
  metrics: Figures
  combinations: number
  /** The best threshold of each candidate, best candidate first. */
  leaderboard: (Choice & { metrics: Figures })[]
  /** `select.by` of every combination, [candidate][threshold]. */
  grid: { candidates: string[]; thresholds: number[]; values: (number | null)[][] }
  /** The selected combination's validation blocks, in time order. */
  folds: { index: number; from: number; to: number; rows: number; metrics: Figures }[]
}

export interface SelectConfig {
  thresholds: Thresholds
  select: { by: string }
  backtest: BacktestOptions
}

/** A part of a dataset as the backtest sees it: one bar a row. */
export interface Part {
  bars: Bars
  label: Float64Array
}

/** Chooses candidate and threshold on the concatenated validation bars of all folds. */
export async function choose(
  dataset: Dataset,
  trained: Trained[],
  config: SelectConfig,
  context: Context,
): Promise<Selected> {
  const blocks = dataset.split.folds.map(fold => fold.valid)
  const { bars, label } = await readPart(dataset, blocks.flat())
  const options = fixedYear(config.backtest, dataset)
  const thresholds = thresholdGrid(config.thresholds)
  const candidates = await Promise.all(
    trained.map(async ({ id, kind, params, fits }) => ({
      id,
      kind,
      params,
      p: await foldProbabilities(dataset, fits),
      bytes: fits.at(-1)!.metrics.model_bytes ?? 0,
    })),
  )
  const contest = { bars, labels: label, thresholds, backtest: options, by: config.select.by }
  const { selected, leaderboard, trialSharpes } = select(candidates, contest)
  const p = candidates.find(({ id }) => id === selected.candidate)!.p
  const { returns } = backtest(bars, signals(p, selected.threshold, options.mode), options)
  context.log.debug('selected', { candidate: selected.candidate, threshold: selected.threshold })
  return {
    selected: choiceOf(selected),
    metrics: { ...selected.metrics, deflated_sharpe: deflatedSharpe(returns, trialSharpes) },
    combinations: leaderboard.length,
    leaderboard: trained
      .map(({ id }) => leaderboard.find(({ candidate }) => candidate === id)!)
      .sort((a, b) => leaderboard.indexOf(a) - leaderboard.indexOf(b))
      .map(scored => ({ ...choiceOf(scored), metrics: scored.metrics })),
    grid: {
      candidates: trained.map(({ id }) => id),
      thresholds,
      values: trained.map(({ id }) =>
        thresholds.map(
          at => leaderboard.find(({ candidate, threshold }) => candidate === id && threshold === at)!.value,
        ),
      ),
    },
    folds: blocks.map((block, index) =>
      foldFigures(index, block, blocks, { bars, label }, p, selected.threshold, options),
    ),
  }
}

/** Candidates with the metrics of their out-of-fold probabilities at 0.5. */
export async function outOfFold(dataset: Dataset, trained: Trained[]): Promise<(Candidate & { metrics: Figures })[]> {
  const part = await readPart(
    dataset,
    dataset.split.folds.flatMap(fold => fold.valid),
  )
  return Promise.all(
    trained.map(async ({ id, kind, params, fits }) => ({
      id,
      kind,
      params,
      metrics: figuresOf(part, await foldProbabilities(dataset, fits), 0.5),
    })),
  )
}

const foldProbabilities = async (dataset: Dataset, fits: Fit[]) =>
  endToEnd(await Promise.all(fits.map(fit => scores(fit, dataset))))

const choiceOf = ({ candidate, kind, params, threshold }: Scored): Choice => ({
  id: candidate,
  kind,
  params: params as Params,
  threshold,
})

function foldFigures(
  index: number,
  block: Range[],
  blocks: Range[][],
  part: Part,
  p: Float32Array,
  threshold: number,
  options: BacktestOptions,
) {
  const from = blocks.slice(0, index).reduce((total, earlier) => total + size(earlier), 0)
  const to = from + size(block)
  const bars = sliceBars(part.bars, from, to)
  const scores = p.subarray(from, to)
  const figures = figuresOf({ bars, label: part.label.subarray(from, to) }, scores, threshold)
  const traded = backtest(bars, signals(scores, threshold, options.mode), options).metrics
  return {
    index,
    from: bars.time[0],
    to: bars.time[to - from - 1],
    rows: to - from,
    metrics: { ...figures, ...traded },
  }
}

/** Metrics of probabilities at a threshold, rounded as the signals round it. */
export function figuresOf({ label }: Part, p: Float32Array, threshold: number): Figures {
  return metrics('binary', { y_true: label, y_score: p }, { threshold: Math.fround(threshold) }).metrics
}

/** Bars and labels of some rows of a dataset. */
export async function readPart(dataset: Dataset, ranges: Range[]): Promise<Part> {
  const { time, open, close, label } = await readDataset(dataset)
  const rows = indices(ranges)
  const take = (values: Float64Array) => Float64Array.from(rows, row => values[row])
  return { bars: { time: take(time), open: take(open), close: take(close) }, label: take(label) }
}

/** A year has as many periods on every part, even of one bar, as on the whole dataset: figures of two parts are compared. */
export const fixedYear = (options: BacktestOptions, { rows, from, to }: Dataset) => ({
  ...options,
  periods_per_year: options.periods_per_year ?? barsPerYear(rows, from, to),
})

const sliceBars = ({ time, open, close }: Bars, from: number, to: number): Bars => ({
  time: time.subarray(from, to),
  open: open.subarray(from, to),
  close: close.subarray(from, to),
})
