// Figures of predictions against the truth, to the conventions of scikit-learn; what is undefined is null with a warning.
import { dataError } from '../base/errors.ts'
import type { Task } from '../features/labels.ts'

export type { Task } from '../features/labels.ts'

const CLASSIFICATION = [
  'accuracy',
  'precision',
  'recall',
  'f1',
  'roc_auc',
  'average_precision',
  'pr_auc',
  'log_loss',
  'brier',
  'mcc',
] as const
const REGRESSION = ['mse', 'rmse', 'mae', 'r2', 'mape', 'smape', 'directional_accuracy'] as const

export const METRICS = { binary: CLASSIFICATION, multiclass: CLASSIFICATION, regression: REGRESSION } as const

/** By name: `y_true` and `y_score` (P of class 1); `y_true` and a `y_score_<class>` per class; or `y_true` and `y_pred`. */
export type Columns = Record<string, ArrayLike<number | string | null>>

export type Figures = Record<string, number | null>

/** A figure that cannot be had, and why. */
type Warn = (message: string) => null

/**
 * The metrics of a task; binary predicts 1 where the score is >= `threshold`.
 * A missing column, a missing value (with its row, counted from 1) and an unknown class are data errors.
 */
export function metrics(
  task: Task,
  columns: Columns,
  { threshold = 0.5 }: { threshold?: number } = {},
): { metrics: Figures; warnings: string[] } {
  const warnings: string[] = []
  const warn: Warn = message => {
    warnings.push(message)
    return null
  }
  const figures = {
    binary: () => binary(columns, threshold, warn),
    multiclass: () => multiclass(columns, warn),
    regression: () => regression(columns, warn),
  }[task]()
  return { metrics: Object.fromEntries(METRICS[task].map(name => [name, figures[name]])), warnings }
}

function binary(columns: Columns, threshold: number, warn: Warn): Figures {
  const { truth, score } = readBinary(columns)
  return { ...decisions(truth, score, threshold, warn), ...rankings(truth, score, warn), ...losses(truth, score, warn) }
}

/** Metrics of the decision score >= threshold. */
export function decisions(
  truth: ArrayLike<number>,
  score: ArrayLike<number>,
  threshold: number,
  warn: Warn = () => null,
): Figures {
  let tp = 0
  let fp = 0
  let fn = 0
  for (let i = 0; i < truth.length; i++) {
    if (score[i] >= threshold) truth[i] ? tp++ : fp++
    else if (truth[i]) fn++
  }
  const tn = truth.length - tp - fp - fn
  const spread = Math.sqrt((tp + fp) * (tp + fn)) * Math.sqrt((tn + fp) * (tn + fn))
  return {
    accuracy: (tp + tn) / truth.length,
    precision: tp + fp ? tp / (tp + fp) : warn('precision is undefined: class 1 is never predicted'),
    recall: tp + fn ? tp / (tp + fn) : warn('recall is undefined: the truth has no row of class 1'),
    f1: tp + fn ? (2 * tp) / (2 * tp + fp + fn) : warn('f1 is undefined: the truth has no row of class 1'),
    mcc: spread
      ? (tp * tn - fp * fn) / spread
      : warn('mcc is undefined: the truth or the predictions are of one class'),
  }
}

/**
 * Metrics of the order of the scores: roc_auc (ties count half), average_precision (the step sum) and pr_auc (the trapezoid from
 * recall 0, precision 1). O(n log n).
 */
export function rankings(truth: ArrayLike<number>, score: ArrayLike<number>, warn: Warn = () => null): Figures {
  const { positive, negative } = separate(truth, score)
  const P = positive.length
  const N = negative.length
  if (!P || !N) {
    for (const name of ['roc_auc', 'average_precision', 'pr_auc']) warn(`${name} is undefined: the truth has one class`)
    return { roc_auc: null, average_precision: null, pr_auc: null }
  }
  let tp = 0
  let fp = 0
  let precision = 1
  let [pairs, steps, trapezoid] = [0, 0, 0]
  // Down the scores, one group of equal ones at a time.
  while (tp < P || fp < N) {
    const value = Math.max(positive[P - 1 - tp] ?? -Infinity, negative[N - 1 - fp] ?? -Infinity)
    const [tpBefore, fpBefore, precisionBefore] = [tp, fp, precision]
    while (positive[P - 1 - tp] === value) tp++
    while (negative[N - 1 - fp] === value) fp++
    precision = tp / (tp + fp)
    pairs += ((fp - fpBefore) * (tp + tpBefore)) / 2
    steps += (tp - tpBefore) * precision
    trapezoid += ((tp - tpBefore) * (precision + precisionBefore)) / 2
  }
  return { roc_auc: pairs / (P * N), average_precision: steps / P, pr_auc: trapezoid / P }
}

/** The scores of each class, ascending: sorting numbers natively beats sorting rows by a comparison. */
function separate(truth: ArrayLike<number>, score: ArrayLike<number>) {
  const ones = countOnes(truth)
  const positive = new Float64Array(ones)
  const negative = new Float64Array(truth.length - ones)
  let p = 0
  let n = 0
  for (let i = 0; i < truth.length; i++) {
    if (truth[i]) positive[p++] = score[i]
    else negative[n++] = score[i]
  }
  return { positive: positive.sort(), negative: negative.sort() }
}

function countOnes(truth: ArrayLike<number>): number {
  let ones = 0
  for (let i = 0; i < truth.length; i++) if (truth[i]) ones++
  return ones
}

/** Metrics of the scores as probabilities. */
export function losses(truth: ArrayLike<number>, score: ArrayLike<number>, warn: Warn = () => null): Figures {
  let log = 0
  let squares = 0
  for (let i = 0; i < truth.length; i++) {
    if (score[i] < 0 || score[i] > 1) return noProbability(`y_score of row ${i + 1} is ${score[i]}`, warn)
    log += logLoss(truth[i] ? score[i] : 1 - score[i])
    squares += (truth[i] - score[i]) ** 2
  }
  return { log_loss: log / truth.length, brier: squares / truth.length }
}

function noProbability(fact: string, warn: Warn): Figures {
  for (const name of ['log_loss', 'brier']) warn(`${name} is undefined: ${fact}, no probability`)
  return { log_loss: null, brier: null }
}

/** The loss of the probability given to what happened, clipped at the float64 epsilon. */
export const logLoss = (p: number): number => -Math.log(Math.min(Math.max(p, Number.EPSILON), 1 - Number.EPSILON))

/** Predictions by argmax (the first on ties), macro averages over the classes that occur, one against the rest for rankings. */
function multiclass(columns: Columns, warn: Warn): Figures {
  const { classes, truth, scores } = readClasses(columns)
  const predicted = argmax(scores, truth.length)
  const decided = multiDecisions(classes, truth, predicted, warn)
  const normal = asProbabilities(scores, warn)
  // Text says why the scores are no probabilities; they have an order all the same.
  if (typeof normal === 'string')
    return { ...decided, ...multiRankings(classes, truth, scores, warn), ...noProbability(normal, warn) }
  return { ...decided, ...multiRankings(classes, truth, normal, warn), ...multiLosses(truth, normal) }
}

function argmax(scores: Float64Array[], rows: number): Int32Array {
  return Int32Array.from({ length: rows }, (_, i) => {
    let best = 0
    for (let k = 1; k < scores.length; k++) if (scores[k][i] > scores[best][i]) best = k
    return best
  })
}

function multiDecisions(classes: string[], truth: Int32Array, predicted: Int32Array, warn: Warn): Figures {
  const rows = truth.length
  const actual = new Float64Array(classes.length)
  const claimed = new Float64Array(classes.length)
  const hits = new Float64Array(classes.length)
  for (let i = 0; i < rows; i++) {
    actual[truth[i]]++
    claimed[predicted[i]]++
    if (truth[i] === predicted[i]) hits[truth[i]]++
  }
  const seen = classes.map((_, k) => k).filter(k => actual[k] + claimed[k] > 0)
  const macro = (figure: (k: number) => number) => seen.reduce((sum, k) => sum + figure(k), 0) / seen.length
  const named = (list: number[]) => list.map(k => classes[k]).join(', ')
  const unclaimed = seen.filter(k => !claimed[k])
  const absent = seen.filter(k => !actual[k])
  const without = (name: string) => warn(`${name} is undefined: the truth has no row of class ${named(absent)}`)
  return {
    accuracy: sum(hits) / rows,
    precision: unclaimed.length
      ? warn(`precision is undefined: class ${named(unclaimed)} is never predicted`)
      : macro(k => hits[k] / claimed[k]),
    recall: absent.length ? without('recall') : macro(k => hits[k] / actual[k]),
    f1: absent.length ? without('f1') : macro(k => (2 * hits[k]) / (actual[k] + claimed[k])),
    mcc:
      multiMcc(hits, actual, claimed, rows) ?? warn('mcc is undefined: the truth or the predictions are of one class'),
  }
}

/** The correlation of the confusion matrix (Gorodkin 2004). */
function multiMcc(hits: Float64Array, actual: Float64Array, claimed: Float64Array, rows: number): number | null {
  const together = actual.reduce((total, count, k) => total + count * claimed[k], 0)
  const apart = (counts: Float64Array) =>
    Math.sqrt(rows * rows - counts.reduce((total, count) => total + count * count, 0))
  const spread = apart(actual) * apart(claimed)
  return spread ? (sum(hits) * rows - together) / spread : null
}

function multiRankings(classes: string[], truth: Int32Array, scores: Float64Array[], warn: Warn): Figures {
  const names = ['roc_auc', 'average_precision', 'pr_auc']
  const each = classes.map((_, k) =>
    rankings(
      Uint8Array.from(truth, label => (label === k ? 1 : 0)),
      scores[k],
    ),
  )
  const missing = classes.filter((_, k) => each[k].roc_auc === null)
  return Object.fromEntries(
    names.map(name => [
      name,
      missing.length
        ? warn(`${name} is undefined: class ${missing.join(', ')} has no row, or every row`)
        : sum(each.map(figures => figures[name] as number)) / classes.length,
    ]),
  )
}

/** brier is the sum over the classes, in 0..2 (Brier 1950). */
function multiLosses(truth: Int32Array, probabilities: Float64Array[]): Figures {
  let log = 0
  let squares = 0
  for (let i = 0; i < truth.length; i++) {
    log += logLoss(probabilities[truth[i]][i])
    for (let k = 0; k < probabilities.length; k++) squares += ((truth[i] === k ? 1 : 0) - probabilities[k][i]) ** 2
  }
  return { log_loss: log / truth.length, brier: squares / truth.length }
}

/** Rounding in the sum of a row; dividing by it would only tear ties apart. */
const ROUNDING = 1e-12
/** What six decimals a class can leave. */
const SUM_TOLERANCE = 1e-5

/** The scores (K columns of N) with rows that add up to 1; or, where one is no probability, the text that says so. */
export function asProbabilities(scores: Float64Array[], warn: Warn = () => null): Float64Array[] | string {
  const probabilities = scores.map(column => column.slice())
  let worst = 0
  for (let i = 0; i < scores[0].length; i++) {
    let total = 0
    for (const column of scores) {
      if (column[i] < 0 || column[i] > 1) return `row ${i + 1} has a score of ${column[i]}`
      total += column[i]
    }
    if (total === 0) return `the scores of row ${i + 1} add up to 0`
    if (Math.abs(total - 1) <= ROUNDING) continue
    worst = Math.max(worst, Math.abs(total - 1))
    for (const column of probabilities) column[i] /= total
  }
  if (worst > SUM_TOLERANCE) warn(`a row of scores is ${worst} away from adding up to 1; rows are divided by their sum`)
  return probabilities
}

function regression(columns: Columns, warn: Warn): Figures {
  const { truth, predicted } = readRegression(columns)
  const rows = truth.length
  const center = sum(truth) / rows
  let [squares, absolute, spread, relative, symmetric, sameSign, nonzero] = [0, 0, 0, 0, 0, 0, 0]
  let varies = false
  for (let i = 0; i < rows; i++) {
    const [y, p] = [truth[i], predicted[i]]
    const error = Math.abs(y - p)
    squares += error * error
    absolute += error
    spread += (y - center) ** 2
    varies ||= y !== truth[0]
    if (error > 0) symmetric += (2 * error) / (Math.abs(y) + Math.abs(p))
    if (y === 0) continue
    nonzero++
    relative += error / Math.abs(y)
    if (Math.sign(y) === Math.sign(p)) sameSign++
  }
  if (nonzero && nonzero < rows) warn(`mape and directional_accuracy skip ${rows - nonzero} rows whose truth is zero`)
  const zero = (name: string) => warn(`${name} is undefined: the truth is zero in every row`)
  return {
    mse: squares / rows,
    rmse: Math.sqrt(squares / rows),
    mae: absolute / rows,
    r2: varies ? 1 - squares / spread : warn('r2 is undefined: the truth is constant'),
    mape: nonzero ? relative / nonzero : zero('mape'),
    smape: symmetric / rows,
    directional_accuracy: nonzero ? sameSign / nonzero : zero('directional_accuracy'),
  }
}

/** The column as finite numbers, `rows` long where that is given. */
function numbersOf(columns: Columns, name: string, rows?: number): Float64Array {
  const values = present(columns, name)
  const result = new Float64Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value === 'string')
      throw dataError('TYPE_MISMATCH', `${name} of row ${i + 1} is text: ${JSON.stringify(value)}`)
    if (value === null || !Number.isFinite(value)) throw missing(name, i, value)
    result[i] = value
  }
  if (rows !== undefined && rows !== result.length)
    throw dataError('LENGTH_MISMATCH', `${name} has ${result.length} rows, y_true has ${rows}`)
  if (result.length === 0) throw dataError('NO_ROWS', `${name} has no rows`)
  return result
}

/** `truth` is 0 or 1. */
export function readBinary(columns: Columns): { truth: Float64Array; score: Float64Array } {
  const truth = numbersOf(columns, 'y_true')
  const bad = truth.findIndex(y => y !== 0 && y !== 1)
  if (bad >= 0) throw dataError('BAD_CLASS', `y_true of row ${bad + 1} is ${truth[bad]}; a binary truth is 0 or 1`)
  return { truth, score: numbersOf(columns, 'y_score', truth.length) }
}

function readRegression(columns: Columns): { truth: Float64Array; predicted: Float64Array } {
  const truth = numbersOf(columns, 'y_true')
  return { truth, predicted: numbersOf(columns, 'y_pred', truth.length) }
}

/** `truth` holds positions in `classes`, which stand in the order of their columns; numbers and text name the same class when they read the same (1, "1", "1.0"). */
function readClasses(columns: Columns): { classes: string[]; truth: Int32Array; scores: Float64Array[] } {
  const names = Object.keys(columns).filter(name => name.startsWith('y_score_'))
  if (names.length < 2)
    throw dataError('MISSING_COLUMN', `multiclass needs two or more columns y_score_<class>; there are ${names.length}`)
  const classes = names.map(name => name.slice('y_score_'.length))
  const position = new Map(classes.flatMap((name, k) => [[name, k] as const, [className(name), k] as const]))
  const labels = present(columns, 'y_true')
  const truth = Int32Array.from(labels as ArrayLike<string>, (label: string | number | null, i) => {
    if (label === null || Number.isNaN(label)) throw missing('y_true', i, label)
    const k = position.get(String(label)) ?? position.get(className(String(label)))
    if (k === undefined)
      throw dataError('BAD_CLASS', `y_true of row ${i + 1} is ${label}, and there is no column y_score_${label}`)
    return k
  })
  return { classes, truth, scores: names.map(name => numbersOf(columns, name, truth.length)) }
}

const className = (text: string): string => (text.trim() && Number.isFinite(Number(text)) ? String(Number(text)) : text)

function present(columns: Columns, name: string): Columns[string] {
  if (columns[name]) return columns[name]
  throw dataError('MISSING_COLUMN', `no column ${name}; there are ${Object.keys(columns).join(', ') || 'none'}`)
}

const missing = (column: string, i: number, value: unknown) =>
  dataError('MISSING_VALUE', `${column} of row ${i + 1} is ${value}; metrics need every value`, {
    detail: { row: i + 1, column },
  })

function sum(values: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i]
  return total
}
