// The choice among candidates x thresholds, on out-of-fold validation bars. Measured time plays no part: equal inputs, equal choice.
import { z } from 'zod'
import { dataError, usageError } from '../base/errors.ts'
import type { BacktestOptions } from './backtest.ts'
import { ALL_PART_FIGURES, partFigures, unknownFigure } from './figures.ts'
import { type Columns, decisions, type Figures, losses, metrics, rankings, readBinary, type Task } from './metrics.ts'
import { type Market, poolScorer } from './pool.ts'

/** The `thresholds` section of the config: a grid, or the values themselves; none where nothing is decided by one. */
export const thresholdsSchema = z.union([
  z
    .strictObject({
      from: z.number().default(0.3),
      to: z.number().default(0.75),
      steps: z.int().min(1).max(1000).default(10),
      quantiles: z.boolean().default(false),
    })
    .refine(({ from, to, steps }) => (steps === 1 ? from <= to : from < to), 'from must be below to'),
  z.array(z.number()),
])

export type Thresholds = z.infer<typeof thresholdsSchema>

/** The `select` section of the config: any figure of the backtest or of the predictions. */
export const selectSchema = z.strictObject({
  by: z
    .string()
    .superRefine((name, issues) => {
      if (!ALL_PART_FIGURES.includes(name))
        issues.addIssue({ code: 'custom', message: unknownFigure(name, ALL_PART_FIGURES) })
    })
    .optional(),
})

/** Ascending, without doubles; a grid has the decimals that were meant (0.45, not 0.44999999999999996). */
export function thresholdGrid(thresholds: number[] | { from: number; to: number; steps: number }): number[] {
  if (Array.isArray(thresholds)) return [...new Set(thresholds)].sort((a, b) => a - b)
  const { from, to, steps } = thresholds
  const step = steps > 1 ? (to - from) / (steps - 1) : 0
  return Array.from({ length: steps }, (_, i) => Number((from + i * step).toPrecision(12)))
}

/** What a signal is made of: a column for each class, or the prediction; a row for each bar. */
export type Predicted = Float32Array[]

/** Positions from the predictions of any task. */
export function act(
  { task, classes }: { task: Task; classes: readonly number[] },
  predicted: Predicted,
  threshold: number,
  mode: BacktestOptions['mode'],
): Int8Array {
  if (task === 'multiclass') return classSignals(predicted, classes, threshold, mode)
  return signals(predicted.at(-1)!, threshold, mode, task)
}

/**
 * Positions from probabilities of the classes -1, 0 and 1: the likeliest class (the first on ties) where its probability is >= T, else 0.
 * Under `mode: long` -1 is 0.
 */
export function classSignals(
  predicted: Predicted,
  classes: readonly number[],
  threshold: number,
  mode: BacktestOptions['mode'] = 'long',
): Int8Array {
  const lowest = Math.fround(threshold)
  const decided = decidedClasses({ classes }, predicted)
  return Int8Array.from(decided, (value, i) =>
    predicted.some(column => column[i] >= lowest) ? Math.max(value, mode === 'long' ? 0 : -1) : 0,
  )
}

/** The value of the likeliest class of every row, the first on ties. */
export function decidedClasses({ classes }: { classes: readonly number[] }, predicted: Predicted): Float64Array {
  return Float64Array.from(predicted[0], (_, i) => {
    let best = 0
    for (let k = 0; k < predicted.length; k++) {
      if (Number.isNaN(predicted[k][i])) throw nanPrediction(i)
      if (predicted[k][i] > predicted[best][i]) best = k
    }
    return classes[best]
  })
}

/**
 * Positions from predictions, one per bar: binary p >= T is 1, and under long_short p <= 1 - T is -1 (T must then exceed 0.5);
 * regression p >= T is 1, and under long_short p <= -T is -1.
 * Both sides are rounded to float32, in which models answer: a probability that prints as 0.7 reaches the threshold 0.7.
 */
export function signals(
  p: Float32Array | Float64Array,
  threshold: number,
  mode: BacktestOptions['mode'] = 'long',
  task: Exclude<Task, 'multiclass'> = 'binary',
): Int8Array {
  if (task === 'binary' && mode === 'long_short' && threshold <= 0.5)
    throw usageError('THRESHOLD', `under long_short a threshold must exceed 0.5, and ${threshold} does not`)
  const upper = Math.fround(threshold)
  // Nothing is <= NaN.
  const lower = mode === 'long' ? Number.NaN : Math.fround(task === 'binary' ? 1 - threshold : -threshold)
  const result = new Int8Array(p.length)
  for (let i = 0; i < p.length; i++) {
    const value = Math.fround(p[i])
    if (Number.isNaN(value)) throw nanPrediction(i)
    if (value >= upper) result[i] = 1
    else if (value <= lower) result[i] = -1
  }
  return result
}

const nanPrediction = (row: number) => dataError('NAN_PREDICTION', `the prediction of row ${row + 1} is NaN`)

export interface Candidate {
  id: string
  kind: string
  params: Record<string, unknown>
  /** Out-of-fold predictions, a row for each validation row. */
  predicted: Predicted
  /** Where it is tried to act; [null] where nothing is decided by a threshold. */
  thresholds: (number | null)[]
  /** Size of the model. */
  bytes: number
}

/** One combination that was tried. */
export interface Scored {
  candidate: string
  kind: string
  params: Record<string, unknown>
  threshold: number | null
  /** Which of the candidate's thresholds it is. */
  step: number
  bytes: number
  /** The figure that is selected by. */
  value: number | null
  /** The figures of the backtest and of the predictions at this threshold. */
  metrics: Figures
}

export interface Selection {
  selected: Scored
  /** Every combination, the best first. */
  leaderboard: Scored[]
  /** Sharpe per bar of every combination (null: it never traded), for the deflated Sharpe. */
  trialSharpes: (number | null)[]
}

/** The validation rows that the candidates were predicted on, and the terms of the choice. */
export interface Contest {
  task: Task
  /** Label values in the order of the predicted columns. */
  classes: readonly number[]
  labels: Float64Array
  /** Absent for tables, which have no backtest. */
  market?: Market
  backtest: BacktestOptions
  by: string
}

/**
 * Tries every candidate at every threshold. The best `by` wins, undefined ones last;
 * ties go to the lower turnover, then to fewer model bytes, then by candidate id and threshold.
 */
export function select(candidates: Candidate[], contest: Contest): Selection {
  checkContest(candidates, contest)
  const score = contest.market && poolScorer(contest.market, contest.backtest)
  const tried = candidates.flatMap(candidate => tryThresholds(candidate, contest, score))
  const leaderboard = tried.toSorted(rank(contest.by))
  return { selected: leaderboard[0], leaderboard, trialSharpes: sharpesPerBar(tried, contest) }
}

function checkContest(candidates: Candidate[], { task, labels, market, by }: Contest): void {
  if (!candidates.length || candidates.some(({ thresholds }) => !thresholds.length))
    throw usageError('NO_CANDIDATES', 'there is nothing to select from: no candidate, or no threshold')
  const names = partFigures({ task, market: market !== undefined })
  if (!names.includes(by)) throw usageError('SELECT_BY', `cannot select by ${by}; there are ${names.join(', ')}`)
  for (const { id, predicted } of candidates)
    for (const column of predicted) {
      if (column.length !== labels.length)
        throw dataError(
          'LENGTH_MISMATCH',
          `candidate ${id} has ${column.length} predictions for ${labels.length} labels`,
        )
      const bad = column.findIndex(Number.isNaN)
      if (bad >= 0) throw dataError('NAN_PREDICTION', `candidate ${id} predicts NaN at row ${bad + 1}`)
    }
}

type Score = ReturnType<typeof poolScorer>

function tryThresholds(candidate: Candidate, contest: Contest, score?: Score): Scored[] {
  const { task, labels, backtest, by } = contest
  const { id, kind, params, predicted, thresholds, bytes } = candidate
  const columns = columnsOf(contest, labels, predicted)
  const fixed = task === 'binary' ? undecided(columns) : metrics(task, columns).metrics
  return thresholds.map((threshold, step) => {
    const traded = score && threshold !== null ? score(act(contest, predicted, threshold, backtest.mode)) : {}
    // The rounded threshold, so that these figures describe the very rows that were acted on.
    const decided =
      task === 'binary' && threshold !== null ? decisions(labels, predicted[1], Math.fround(threshold)) : {}
    const figures: Figures = { ...traded, ...decided, ...fixed }
    return { candidate: id, kind, params, threshold, step, bytes, value: figures[by], metrics: figures }
  })
}

/** Predictions as `metrics` takes them. */
export function columnsOf(
  { task, classes }: Pick<Contest, 'task' | 'classes'>,
  y_true: Float64Array,
  predicted: Predicted,
): Columns {
  if (task === 'binary') return { y_true, y_score: predicted[1] }
  if (task === 'regression') return { y_true, y_pred: predicted[0] }
  return { y_true, ...Object.fromEntries(classes.map((value, k) => [`y_score_${value}`, predicted[k]])) }
}

/** What does not depend on the threshold is sorted for once a candidate. */
function undecided(columns: Columns): Figures {
  const { truth, score } = readBinary(columns)
  return { ...rankings(truth, score), ...losses(truth, score) }
}

const LOWER_IS_BETTER = new Set([
  'max_drawdown',
  'turnover',
  'log_loss',
  'brier',
  'mse',
  'rmse',
  'mae',
  'mape',
  'smape',
])

function rank(by: string): (a: Scored, b: Scored) => number {
  const sign = LOWER_IS_BETTER.has(by) ? 1 : -1
  const cost = (value: number | null | undefined, direction: number) => (value == null ? Infinity : value * direction)
  return (a, b) =>
    ascending(cost(a.value, sign), cost(b.value, sign)) ||
    ascending(cost(a.metrics.turnover, 1), cost(b.metrics.turnover, 1)) ||
    ascending(a.bytes, b.bytes) ||
    ascending(a.candidate, b.candidate) ||
    ascending(a.step, b.step)
}

/** Not a - b, which is NaN for two infinities. */
const ascending = <T extends number | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0)

function sharpesPerBar(tried: Scored[], { market }: Contest): (number | null)[] {
  const root = Math.sqrt(market?.perYear ?? 1)
  return tried.map(({ metrics: { sharpe } }) => (sharpe == null ? null : sharpe / root))
}
