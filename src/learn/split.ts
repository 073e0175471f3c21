// Who may see what in rows with a time: train, validation and test rows, folds, purge and embargo. Pure; knows times and label ends, no features.
import { z } from 'zod'
import { dataError } from '../base/errors.ts'
import { lowerBound } from '../base/statistics.ts'

export const splitSchema = z.strictObject({
  kind: z.enum(['walk_forward', 'holdout', 'purged_kfold', 'stratified', 'kfold']).default('walk_forward'),
  ratios: z
    .array(z.number().positive().max(1))
    .min(2)
    .max(3)
    .refine(ratios => Math.abs(ratios.reduce((a, b) => a + b, 0) - 1) < 1e-9, {
      error: issue => `ratios must add up to 1, not ${sum(issue.input as number[])}`,
    })
    .default([0.7, 0.15, 0.15]),
  folds: z.int().min(1).max(100).default(5),
  window: z.enum(['expanding', 'rolling']).default('expanding'),
  embargo: z.int().min(0).default(0),
})

export type SplitConfig = z.infer<typeof splitSchema>

/** What each kind needs of the rows: an order in time, none, or either. */
export const SPLIT_TIMED: Record<SplitConfig['kind'], boolean | null> = {
  walk_forward: true,
  purged_kfold: true,
  holdout: null,
  stratified: false,
  kfold: false,
}

/** Half-open row numbers [from, to). */
export type Range = [from: number, to: number]

export interface Fold {
  index: number
  /** Every row the fold may learn from. */
  train: Range[]
  /** `train` without the last 15 %, purged: parameters are fitted on these when a model stops early. */
  fit: Range[]
  /** The last 15 % of `train`: early stopping. */
  stop: Range[]
  /** Out-of-fold rows: thresholds and selection. */
  valid: Range[]
}

export interface Split {
  train: Range[]
  valid: Range[]
  test: Range[]
  /** In time order, where there is one; the last one is `train` and `valid`. */
  folds: Fold[]
  /** Rows that left train or valid by purge and embargo. */
  purged: number
  warnings: string[]
}

/** The rows of a dataset as a split sees them, sorted by time. */
export interface SplitRows {
  /** Bar time of each row, epoch ms, ascending; symbols may share one. */
  time: Float64Array
  /** Bar time at which each row's label is known: bar t+h of the row's own symbol. */
  end: Float64Array
  /** Class of each row, where there are classes: a fold that cannot see one of them is dropped. */
  label?: Float64Array
  /** The classes there are (default: those of `label`), and what they stand for. */
  classes?: number[]
  classNames?: string[]
}

export const STOP_SHARE = 0.15
const SMALLEST_TRAIN = 100

/**
 * Splits rows by time. Boundaries are floor(cumulated ratio x distinct times + 1e-9). A row leaves its part if its label
 * interval meets a bar of the later part (purge), then `embargo` more times leave the end of the earlier part.
 * Walk-forward = scikit-learn's TimeSeriesSplit(folds, test_size = |valid|, gap = horizon + embargo) on the rows before the test part.
 * Throws TOO_FEW_ROWS when a part is empty, and it, ONE_CLASS or CLASS_ABSENT when the last fold cannot be trained.
 */
export function split(rows: SplitRows, config: SplitConfig): Split {
  const n = rows.time.length
  const clock = times(rows.time, [[0, n]])
  const cut = boundaries(config.ratios, clock.length - 1)
  const [trainEnd, validEnd] = [clock[cut[0]], clock[cut[1]]]
  const test: Range[] = validEnd < n ? [[validEnd, n]] : []
  const valid = before(rows, [[trainEnd, validEnd]], test, config.embargo)
  const train = before(rows, [[0, trainEnd]], valid, config.embargo)
  const usable: Range[] = merge([[0, trainEnd], ...valid])
  const plans = planFolds(rows, usable, { train, valid }, config)
  checkParts(plans.at(-1) ?? { train: [], valid: [] }, n, config)
  const { folds, warnings } = keepUsable(
    plans.map(plan => ({ ...plan, ...earlyStop(rows, plan.train) })),
    rows,
  )
  const last = folds.at(-1)!
  const purged = validEnd - size(last.train) - size(last.valid)
  return { train: last.train, valid: last.valid, test, folds, purged, warnings }
}

type Plan = Pick<Fold, 'train' | 'valid'>

function planFolds(
  rows: SplitRows,
  usable: Range[],
  last: Plan,
  { kind, folds, embargo, window }: SplitConfig,
): Plan[] {
  if (kind === 'holdout') return [last]
  if (kind === 'purged_kfold') return purgedBlocks(rows, usable, folds, embargo)
  if (!last.train.length || !last.valid.length) return [last]
  const keep = window === 'rolling' ? distinct(rows.time, last.train) : undefined
  return walkForward(rows, usable, { folds, length: distinct(rows.time, last.valid), embargo, keep })
}

export function checkParts({ train, valid }: Plan, n: number, { ratios, embargo }: SplitConfig): void {
  for (const [name, part] of Object.entries({ training: train, validation: valid }))
    if (!part.length)
      throw dataError(
        'TOO_FEW_ROWS',
        `the ${name} part is empty: ${n} rows, ratios ${ratios.join('/')}, embargo ${embargo}`,
        {
          next: 'more rows, a shorter horizon or a smaller embargo',
        },
      )
}

export type Classes = Pick<SplitRows, 'label' | 'classes' | 'classNames'>

/** The folds that can be trained, and a warning for each other one; the last one must be. */
export function keepUsable(plans: Omit<Fold, 'index'>[], classes: Classes) {
  const folds: Fold[] = []
  const warnings: string[] = []
  for (const plan of plans) {
    const problem = unusable(plan, classes)
    if (!problem) folds.push({ index: folds.length, ...plan })
    else if (plan === plans.at(-1))
      throw dataError(problem.code, `the last fold cannot be trained: ${problem.message}`, { next: problem.next })
    else warnings.push(`a fold drops out: ${problem.message}`)
  }
  return { folds, warnings }
}

/** floor(cumulated ratio x n + 1e-9): 0.70/0.15/0.15 of 2201 are 1540, 330, 331. */
export function boundaries(ratios: number[], n: number): number[] {
  let cumulated = 0
  return ratios.map((ratio, i) => {
    cumulated += ratio
    return i === ratios.length - 1 ? n : Math.floor(cumulated * n + 1e-9)
  })
}

/**
 * `folds` blocks of `length` distinct times that end with the last row of `usable`, each with what lies before it as training rows,
 * at most `keep` times of them. Equals scikit-learn's TimeSeriesSplit(folds, test_size=length, gap=horizon + embargo, max_train_size=keep);
 * a block with nothing before it is left out.
 */
export function walkForward(
  rows: SplitRows,
  usable: Range[],
  {
    folds,
    length,
    embargo,
    keep = Number.POSITIVE_INFINITY,
  }: { folds: number; length: number; embargo: number; keep?: number },
): { train: Range[]; valid: Range[] }[] {
  const clock = times(rows.time, usable)
  const plans: { train: Range[]; valid: Range[] }[] = []
  for (let to = clock.length - 1; plans.length < folds && to > length; to -= length) {
    const valid = clip(usable, clock[to - length], clock[to])
    const train = before(rows, clip(usable, 0, clock[to - length]), valid, embargo)
    plans.unshift({ train: lastTimes(rows.time, train, keep), valid })
  }
  return plans
}

/**
 * `folds` blocks of consecutive times, together all of `usable`, each with all other rows as training rows but those whose label
 * interval meets that of a held-out row, and the `embargo` times before and after these (Lopez de Prado 2018, purged k-fold).
 */
function purgedBlocks(rows: SplitRows, usable: Range[], folds: number, embargo: number): Plan[] {
  const clock = times(rows.time, usable)
  return equalSizes(clock.length - 1, folds).map((_, i, sizes) => {
    const from = sizes.slice(0, i).reduce((total, length) => total + length, 0)
    const valid = clip(usable, clock[from], clock[from + sizes[i]])
    const earlier = before(rows, clip(usable, 0, clock[from]), valid, embargo)
    return {
      train: merge([
        ...earlier,
        ...after(rows, clip(usable, clock[from + sizes[i]], rows.time.length), valid, embargo),
      ]),
      valid,
    }
  })
}

/** The rows of `part` of which an earlier part knows nothing: those from the end of its last label interval on leave, then the first `embargo` times of the rest. */
function after({ time, end }: SplitRows, part: Range[], earlier: Range[], embargo: number): Range[] {
  const known = indices(earlier).reduce((latest, row) => Math.max(latest, end[row]), Number.NEGATIVE_INFINITY)
  const kept = part.flatMap(([from, to]) => runs(from, to, row => time[row] > known))
  const first = times(time, kept)
  return clip(kept, first[Math.min(embargo, first.length - 1)], time.length)
}

/** n rows in k blocks that differ by one row at most, the larger ones first: scikit-learn's KFold. */
export const equalSizes = (n: number, k: number): number[] =>
  Array.from({ length: k }, (_, i) => Math.floor(n / k) + Number(i < n % k))

/** The last 15 % of a fold's training rows stop the fitting early; the rest, purged from them, is what is fitted. */
function earlyStop(rows: SplitRows, train: Range[]): { fit: Range[]; stop: Range[] } {
  if (!train.length) return { fit: [], stop: [] }
  const first = nthRow(train, Math.floor(size(train) * (1 - STOP_SHARE) + 1e-9))
  const border = lowerBound(rows.time, rows.time[first])
  const stop = clip(train, border, rows.time.length)
  return { fit: before(rows, clip(train, 0, border), stop, 0), stop }
}

/** The rows of `part` that know nothing of `later`: those whose label interval meets it leave, then the last `embargo` times of the rest. */
export function before(rows: SplitRows, part: Range[], later: Range[], embargo: number): Range[] {
  if (!later.length) return part.filter(([from, to]) => from < to)
  const border = rows.time[later[0][0]]
  const kept = part.flatMap(([from, to]) => runs(from, to, i => rows.end[i] < border))
  return dropLastTimes(rows.time, kept, embargo)
}

interface Problem {
  code: string
  message: string
  next: string
}

/** Why a fold cannot be trained: by a model that is fitted on all its training rows, or by one that stops early. */
const unusable = ({ train, fit }: Pick<Fold, 'train' | 'fit'>, classes: Classes): Problem | undefined =>
  unfit(train, 'training rows', SMALLEST_TRAIN, classes) ??
  unfit(fit, 'training rows before those that stop boosting', 1, classes)

function unfit(
  part: Range[],
  what: string,
  least: number,
  { label, classes, classNames }: Classes,
): Problem | undefined {
  const n = size(part)
  if (n < least)
    return {
      code: 'TOO_FEW_ROWS',
      message: `${n} ${what}, at least ${least} ${least === 1 ? 'is' : 'are'} needed`,
      next: 'more rows, or fewer folds',
    }
  if (!label) return undefined
  const values = classes ?? [...new Set(label)].sort((a, b) => a - b)
  const nameOf = (value: number) => classNames?.[values.indexOf(value)] ?? String(value)
  const seen = new Set(part.flatMap(([from, to]) => [...new Set(label.subarray(from, to))]))
  if (seen.size === 1)
    return {
      code: 'ONE_CLASS',
      message: `all ${n} ${what} have the label ${nameOf([...seen][0])}`,
      next: 'another label threshold or horizon',
    }
  const absent = values.find(value => !seen.has(value))
  if (absent === undefined) return undefined
  return {
    code: 'CLASS_ABSENT',
    message: `none of ${n} ${what} has the label ${nameOf(absent)}`,
    next: 'more rows of that class, or join it with another one',
  }
}

/** Number of rows in ranges. */
export const size = (ranges: Range[]): number => ranges.reduce((total, [from, to]) => total + to - from, 0)

/** The row numbers of ranges, in order. */
export function indices(ranges: Range[]): Uint32Array {
  const out = new Uint32Array(size(ranges))
  let at = 0
  for (const [from, to] of ranges) for (let i = from; i < to; i++) out[at++] = i
  return out
}

/** First row of each distinct time within ranges, then the end of the last one. */
function times(time: Float64Array, ranges: Range[]): number[] {
  const first: number[] = []
  let previous = Number.NaN
  for (const [from, to] of ranges)
    for (let i = from; i < to; i++)
      if (time[i] !== previous) {
        first.push(i)
        previous = time[i]
      }
  first.push(ranges.length ? ranges.at(-1)![1] : 0)
  return first
}

const distinct = (time: Float64Array, ranges: Range[]): number => times(time, ranges).length - 1

function lastTimes(time: Float64Array, ranges: Range[], count: number): Range[] {
  const first = times(time, ranges)
  return count >= first.length - 1 ? ranges : clip(ranges, first[first.length - 1 - count], first.at(-1)!)
}

function dropLastTimes(time: Float64Array, ranges: Range[], count: number): Range[] {
  const first = times(time, ranges)
  return clip(ranges, 0, first[Math.max(0, first.length - 1 - count)])
}

function nthRow(ranges: Range[], n: number): number {
  let left = n
  for (const [from, to] of ranges) {
    if (left < to - from) return from + left
    left -= to - from
  }
  return ranges.at(-1)![1] - 1
}

function clip(ranges: Range[], from: number, to: number): Range[] {
  return ranges.map(([a, b]): Range => [Math.max(a, from), Math.min(b, to)]).filter(([a, b]) => a < b)
}

function merge(ranges: Range[]): Range[] {
  const out: Range[] = []
  for (const [from, to] of ranges) {
    const last = out.at(-1)
    if (last && last[1] === from) last[1] = to
    else out.push([from, to])
  }
  return out
}

function runs(from: number, to: number, keep: (row: number) => boolean): Range[] {
  const out: Range[] = []
  for (let i = from; i < to; i++) {
    if (!keep(i)) continue
    const last = out.at(-1)
    if (last && last[1] === i) last[1]++
    else out.push([i, i + 1])
  }
  return out
}

const sum = (values: number[]) => Number(values.reduce((a, b) => a + b, 0).toFixed(12))
