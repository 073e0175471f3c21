// How much better predictions are than a guess that knows only the training labels, and how sure that is: what tables are gated on.
import { random } from '../base/random.ts'
import { mean, quantile } from '../base/statistics.ts'
import { asProbabilities, logLoss, type Task } from './metrics.ts'

export interface Skill {
  /** 1 - loss / loss of the guess: 0 is no skill, 1 perfection. Null when the guess makes no mistake, or a score is no probability. */
  value: number | null
  /** The lower end of its 95 % interval: what the gate `skill` is held to. */
  lower: number | null
}

export interface Judged {
  task: Task
  /** Label values in the order of the predicted columns. */
  classes: readonly number[]
  /** Labels of the rows the model has learned from: all that the guess knows. */
  learned: Float64Array
  label: Float64Array
  /** A column for each class, or the prediction; a row for each label. */
  predicted: ArrayLike<number>[]
}

/** Rows that may be drawn in all: 1,000 resamples up to 20,000 rows, fewer above that, never under 200. */
const DRAWS = 2e7

/**
 * For classes the log loss against that of the class frequencies in training; for regression the rmse against that of the training mean.
 * The interval is the percentile bootstrap (Efron 1979) over the judged rows, seeded.
 */
export function skill(judged: Judged, { seed = 42 }: { seed?: number } = {}): Skill {
  const { loss, guess } = judged.task === 'regression' ? squares(judged) : logLosses(judged)
  const root = judged.task === 'regression' ? Math.sqrt : (share: number) => share
  const rows = loss.length
  const of = (row: (i: number) => number) => {
    let [ours, theirs] = [0, 0]
    for (let i = 0; i < rows; i++) {
      const at = row(i)
      ours += loss[at]
      theirs += guess[at]
    }
    return 1 - root(ours / theirs)
  }
  const value = of(i => i)
  if (!Number.isFinite(value)) return { value: null, lower: null }
  const { next } = random(seed)
  const resamples = Math.min(1000, Math.max(200, Math.floor(DRAWS / rows)))
  const drawn = Array.from({ length: resamples }, () => of(() => Math.floor(next() * rows)))
  // A resample on which the guess makes no mistake has no skill to speak of.
  return { value, lower: quantile(drawn.filter(Number.isFinite), 0.025) }
}

interface Losses {
  loss: Float64Array
  guess: Float64Array
}

function squares({ learned, label, predicted: [predicted] }: Judged): Losses {
  const center = mean(learned)
  return { loss: label.map((y, i) => (y - predicted[i]) ** 2), guess: label.map(y => (y - center) ** 2) }
}

/** A class that training never had is guessed with the smallest probability there is. */
function logLosses({ classes, learned, label, predicted }: Judged): Losses {
  const normal = asProbabilities(predicted.map(column => Float64Array.from(column)))
  const place = new Map(classes.map((value, k) => [value, k]))
  const frequency = classes.map(value => learned.filter(y => y === value).length / learned.length)
  return {
    loss: label.map((y, i) => (typeof normal === 'string' ? Number.NaN : logLoss(normal[place.get(y)!][i]))),
    guess: label.map(y => logLoss(frequency[place.get(y)!])),
  }
}
