// The choice among candidates x thresholds, on out-of-fold validation bars. Measured time plays no part: equal inputs, equal choice.
import { z } from 'zod'
import { dataError, usageError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { BACKTEST_METRICS, type BacktestOptions, type Bars, periodsPerYear, scorer } from './backtest.ts'
import { type Columns, decisions, type Figures, losses, METRICS, metrics, rankings, readBinary } from './metrics.ts'

/** A probability: a model acts at or above it. */
const level = z.number().min(0).max(1)

/** The `thresholds` section of the config: a grid, or the values themselves. */
export const thresholdsSchema = z.union([
  z
    .strictObject({
      from: level.default(0.3),
      to: level.default(0.75),
      steps: z.int().min(1).max(1000).default(10),
    })
    .refine(({ from, to, steps }) => (steps === 1 ? from <= to : from < to), 'from must be below to'),
  z.array(level).min(1),
])

export type Thresholds = z.infer<typeof thresholdsSchema>

const BY: string[] = [...BACKTEST_METRICS, ...METRICS.binary]

/** The `select` section of the config: any figure of the backtest or of the predictions, which are of two classes so far. */
export const selectSchema = z.strictObject({
  by: z
    .string()
    .default('sharpe')
    .superRefine((name, issues) => {
      if (BY.includes(name)) return
      const close = nearest(name, BY)
      issues.addIssue({
        code: 'custom',
        message: `there is no figure ${name}${close ? `; did you mean ${close}?` : ''}`,
      })
    }),
})

/** Ascending, without doubles; a grid has the decimals that were meant (0.45, not 0.44999999999999996). */
export function thresholdGrid(thresholds: Thresholds): number[] {
  if (Array.isArray(thresholds)) return [...new Set(thresholds)].sort((a, b) => a - b)
  const { from, to, steps } = thresholds
  const step = steps > 1 ? (to - from) / (steps - 1) : 0
  return Array.from({ length: steps }, (_, i) => Number((from + i * step).toPrecision(12)))
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
  task: 'binary' | 'regression' = 'binary',
): Int8Array {
  if (task === 'binary' && mode === 'long_short' && threshold <= 0.5)
    throw usageError('THRESHOLD', `under long_short a threshold must exceed 0.5, and ${threshold} does not`)
  const upper = Math.fround(threshold)
  // Nothing is <= NaN.
  const lower = mode === 'long' ? Number.NaN : Math.fround(task === 'binary' ? 1 - threshold : -threshold)
  const result = new Int8Array(p.length)
  for (let i = 0; i < p.length; i++) {
    const value = Math.fround(p[i])
    if (Number.isNaN(value)) throw dataError('NAN_PREDICTION', `the prediction of row ${i + 1} is NaN`)
    if (value >= upper) result[i] = 1
    else if (value <= lower) result[i] = -1
  }
  return result
}

export interface Candidate {
  id: string
  kind: string
  params: Record<string, unknown>
  /** Out-of-fold predictions, one per validation bar. */
  p: Float32Array
  /** Size of the model. */
  bytes: number
}

/** One combination that was tried. */
export interface Scored {
  candidate: string
  kind: string
  params: Record<string, unknown>
  threshold: number
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

/** The validation bars that the candidates were predicted on, and the terms of the choice. */
export interface Contest {
  /** Absent for tables, which have no backtest. */
  bars?: Bars
  labels: ArrayLike<number>
  thresholds: number[]
  backtest: BacktestOptions
  by: string
  task?: 'binary' | 'regression'
}

/**
 * Tries every candidate at every threshold. The best `by` wins, undefined ones last;
 * ties go to the lower turnover, then to fewer model bytes, then by candidate id and threshold.
 */
export function select(candidates: Candidate[], contest: Contest): Selection {
  checkContest(candidates, contest)
  const score = contest.bars && scorer(contest.bars, contest.backtest)
  const tried = candidates.flatMap(candidate => tryThresholds(candidate, contest, score))
  const leaderboard = tried.toSorted(rank(contest.by))
  return { selected: leaderboard[0], leaderboard, trialSharpes: sharpesPerBar(tried, contest) }
}

function checkContest(candidates: Candidate[], { thresholds, labels, bars, by, task = 'binary' }: Contest): void {
  if (!candidates.length || !thresholds.length)
    throw usageError('NO_CANDIDATES', 'there is nothing to select from: no candidate, or no threshold')
  const names: string[] = [...METRICS[task], ...(bars ? BACKTEST_METRICS : [])]
  if (!names.includes(by)) throw usageError('SELECT_BY', `cannot select by ${by}; there are ${names.join(', ')}`)
  for (const { id, p } of candidates) {
    if (p.length !== labels.length)
      throw dataError('LENGTH_MISMATCH', `candidate ${id} has ${p.length} predictions for ${labels.length} labels`)
    const bad = p.findIndex(Number.isNaN)
    if (bad >= 0) throw dataError('NAN_PREDICTION', `candidate ${id} predicts NaN at row ${bad + 1}`)
  }
}

function tryThresholds(candidate: Candidate, contest: Contest, score?: ReturnType<typeof scorer>): Scored[] {
  const { labels, backtest, by, task = 'binary' } = contest
  const { id, kind, params, p, bytes } = candidate
  const columns = { y_true: labels, y_score: p, y_pred: p }
  const fixed = task === 'binary' ? undecided(columns) : metrics(task, columns).metrics
  return contest.thresholds.map(threshold => {
    const traded = score?.(signals(p, threshold, backtest.mode, task)) ?? {}
    // The rounded threshold, so that these figures describe the very rows that were acted on.
    const decided = task === 'binary' ? decisions(labels, p, Math.fround(threshold)) : {}
    const figures: Figures = { ...traded, ...decided, ...fixed }
    return { candidate: id, kind, params, threshold, bytes, value: figures[by], metrics: figures }
  })
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
    ascending(a.threshold, b.threshold)
}

/** Not a - b, which is NaN for two infinities. */
const ascending = <T extends number | string>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0)

function sharpesPerBar(tried: Scored[], { bars, backtest }: Contest): (number | null)[] {
  const perYear = backtest.periods_per_year ?? (bars ? periodsPerYear(bars.time) : 1)
  return tried.map(({ metrics: { sharpe } }) => (sharpe == null ? null : sharpe / Math.sqrt(perYear)))
}
