// How much better predictions are than the best constant, and how sure that is: what tables are gated on.
import { random } from '../base/random.ts'
import { mean, quantile } from '../base/statistics.ts'
import {
  asProbabilities,
  type Columns,
  logLoss,
  readBinary,
  readClasses,
  readRegression,
  type Task,
} from './metrics.ts'

export interface Skill {
  /**
   * 1 - log_loss / log_loss of the class frequencies; for regression 1 - rmse / rmse of the mean. 0 is no skill, 1 perfection.
   * Null when the truth has one value only, or a score is no probability.
   */
  value: number | null
  /** The lower end of its 95 % interval: what the gate `skill` is held to. */
  lower: number | null
}

/** Rows that may be drawn in all: 1,000 resamples up to 20,000 rows, fewer above that, never under 200. */
const DRAWS = 2e7

/** The skill of the rows and its percentile bootstrap (Efron 1979) over resampled rows, seeded. Columns as for `metrics`. */
export function skill(task: Task, columns: Columns, { seed = 42 }: { seed?: number } = {}): Skill {
  const { rows, of } = task === 'regression' ? againstMean(columns) : againstFrequencies(task, columns)
  const sample = Int32Array.from({ length: rows }, (_, i) => i)
  const value = of(sample)
  if (!Number.isFinite(value)) return { value: null, lower: null }
  const { next } = random(seed)
  const resamples = Math.min(1000, Math.max(200, Math.floor(DRAWS / rows)))
  const drawn = Array.from({ length: resamples }, () => of(sample.map(() => Math.floor(next() * rows))))
  // A resample whose truth is of one value has no skill to speak of.
  return { value, lower: quantile(drawn.filter(Number.isFinite), 0.025) }
}

/** The statistic of chosen rows; NaN or -Infinity where it is undefined. */
interface Statistic {
  rows: number
  of(sample: Int32Array): number
}

function againstFrequencies(task: 'binary' | 'multiclass', columns: Columns): Statistic {
  const { labels, loss, classes } = task === 'binary' ? binaryLosses(columns) : classLosses(columns)
  return {
    rows: loss.length,
    of(sample) {
      const counts = new Float64Array(classes)
      let total = 0
      for (let i = 0; i < sample.length; i++) {
        counts[labels[sample[i]]]++
        total += loss[sample[i]]
      }
      let entropy = 0
      for (const count of counts) if (count) entropy -= count * Math.log(count / sample.length)
      return 1 - total / entropy
    },
  }
}

interface RowLosses {
  labels: ArrayLike<number>
  loss: Float64Array
  classes: number
}

function binaryLosses(columns: Columns): RowLosses {
  const { truth, score } = readBinary(columns)
  return { labels: truth, loss: truth.map((y, i) => lossOf(y ? score[i] : 1 - score[i])), classes: 2 }
}

function classLosses(columns: Columns): RowLosses {
  const { classes, truth, scores } = readClasses(columns)
  const normal = asProbabilities(scores)
  const loss = Float64Array.from(truth, (k, i) => (typeof normal === 'string' ? Number.NaN : logLoss(normal[k][i])))
  return { labels: truth, loss, classes: classes.length }
}

const lossOf = (p: number): number => (p >= 0 && p <= 1 ? logLoss(p) : Number.NaN)

function againstMean(columns: Columns): Statistic {
  const { truth, predicted } = readRegression(columns)
  const center = mean(truth)
  return {
    rows: truth.length,
    of(sample) {
      let [errors, sum, squares] = [0, 0, 0]
      for (let i = 0; i < sample.length; i++) {
        // Centred first: the spread of large numbers would drown in rounding.
        const y = truth[sample[i]] - center
        errors += (truth[sample[i]] - predicted[sample[i]]) ** 2
        sum += y
        squares += y * y
      }
      return 1 - Math.sqrt(errors / (squares - (sum * sum) / sample.length))
    },
  }
}
