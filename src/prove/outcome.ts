// What was predicted against what came, on the test part: which classes are taken for which, whether a probability means what it says, how far predictions are off.
import { mean, variance } from '../base/statistics.ts'
import { type CalibrationBin, drawCalibration, drawPredicted } from './charts.ts'
import { rankings, type Task } from './metrics.ts'
import { bar, count, drawn, figure, type Html, heatMap, html, section, table } from './page.ts'
import { decidedClasses, type Predicted } from './select.ts'

export type Outcome = ClassOutcome | ValueOutcome

export interface ClassOutcome {
  classes: string[]
  /** Rows by [actual][predicted] class. */
  confusion: number[][]
  /** Area under the ROC curve of each class against the rest. */
  roc_auc: (number | null)[]
  /** Of each class; of two, of the second alone. Empty bins are absent. */
  calibration: { name: string; bins: CalibrationBin[] }[]
}

export interface ValueOutcome {
  /** Predicted and actual value of at most 1,000 rows, evenly taken. */
  points: [predicted: number, actual: number][]
  /** Tenths of the rows in the order of their predictions. */
  tenths: { predicted: number; actual: number; deviation: number; count: number }[]
}

interface Predictor {
  task: Task
  classes: readonly number[]
  classNames: string[]
}

/** `threshold` decides between two classes; several are decided by the highest probability. */
export function outcomeOf(
  { task, classes, classNames }: Predictor,
  label: Float64Array,
  predicted: Predicted,
  threshold: number | null,
): Outcome {
  if (task === 'regression') return valueOutcome(label, predicted[0])
  const decided =
    task === 'binary'
      ? Float64Array.from(predicted[1], p => Number(p >= Math.fround(threshold ?? 0.5)))
      : decidedClasses({ classes }, predicted)
  const place = new Map(classes.map((value, k) => [value, k]))
  const confusion = classes.map(() => classes.map(() => 0))
  for (let i = 0; i < label.length; i++) confusion[place.get(label[i])!][place.get(decided[i])!]++
  const against = (k: number) => label.map(value => Number(value === classes[k]))
  const calibrated = task === 'binary' ? [1] : [...classes.keys()]
  return {
    classes: classNames,
    confusion,
    roc_auc: classes.map((_, k) => rankings(against(k), predicted[k]).roc_auc),
    calibration: calibrated.map(k => ({ name: classNames[k], bins: calibrationBins(predicted[k], against(k)) })),
  }
}

const BINS = 10

/** Mean prediction and observed share per tenth of the probability scale; empty bins are left out. */
function calibrationBins(p: Float32Array, happened: Float64Array): CalibrationBin[] {
  const bins = Array.from({ length: BINS }, () => ({ sum: 0, positive: 0, count: 0 }))
  for (let i = 0; i < p.length; i++) {
    const bin = bins[Math.min(BINS - 1, Math.floor(p[i] * BINS))]
    bin.sum += p[i]
    bin.positive += happened[i]
    bin.count++
  }
  return bins
    .filter(({ count }) => count > 0)
    .map(({ sum, positive, count }) => ({ mean: sum / count, observed: positive / count, count }))
}

const MOST_POINTS = 1000

function valueOutcome(label: Float64Array, predicted: Float32Array): ValueOutcome {
  const rows = label.length
  const step = Math.max(1, rows / MOST_POINTS)
  const order = Uint32Array.from(label.keys()).sort((i, j) => predicted[i] - predicted[j])
  const tenths = Array.from({ length: BINS }, (_, b) =>
    order.subarray(Math.round((b * rows) / BINS), Math.round(((b + 1) * rows) / BINS)),
  )
  return {
    points: Array.from({ length: Math.min(rows, MOST_POINTS) }, (_, i) => {
      const row = Math.floor(i * step)
      return [predicted[row], label[row]]
    }),
    tenths: tenths
      .filter(tenth => tenth.length)
      .map(tenth => ({
        predicted: mean(Float64Array.from(tenth, row => predicted[row])),
        actual: mean(Float64Array.from(tenth, row => label[row])),
        deviation: Math.sqrt(variance(Float64Array.from(tenth, row => label[row] - predicted[row]))),
        count: tenth.length,
      })),
  }
}

interface Words {
  /** What makes a row a prediction of a class. */
  decides: string
  /** Whether labels reach over several rows. */
  market: boolean
}

/** The sections of the report. */
export function describeOutcome(outcome: Outcome | null, words: Words): Html {
  if (!outcome)
    return section(
      'outcome',
      'Predicted and actual',
      'What was predicted, against what came.',
      html`<p>There is no test part to compare predictions with.</p>`,
    )
  if ('points' in outcome) return describeValues(outcome)
  return html`${describeClasses(outcome, words)}${calibration(outcome, words)}`
}

/** More classes make a matrix that nobody reads. */
const MOST_CLASSES = 12

function describeClasses({ classes, confusion, roc_auc }: ClassOutcome, { decides }: Words): Html {
  const claimed = classes.map((_, k) => confusion.reduce((total, row) => total + row[k], 0))
  const rows = classes.map((name, k) => {
    const actual = confusion[k].reduce((total, n) => total + n, 0)
    const { precision, recall, f1 } = shares(confusion[k][k], claimed[k], actual)
    return [name, actual, claimed[k], precision, recall, f1, roc_auc[k]]
  })
  const right = classes.reduce((total, _, k) => total + confusion[k][k], 0)
  const all = claimed.reduce((total, n) => total + n, 0)
  return section(
    'confusion',
    'Right and wrong',
    `On the test part. Which class was taken for which; ${decides}. Look for a heavy diagonal, and for a class that is never found.`,
    classes.length > MOST_CLASSES
      ? null
      : heatMap({
          caption: `Rows by actual class (down) and predicted class (across): ${figure(right)} of ${figure(all)} are right. The deeper, the more.`,
          corner: 'Actual',
          rows: classes,
          columns: classes,
          values: confusion,
          digits: 0,
        }),
    table('Every class against the rest', ['Class', 'Rows', 'Predicted', 'Precision', 'Recall', 'F1', 'ROC AUC'], rows),
  )
}

const shares = (hits: number, claimed: number, actual: number) => ({
  precision: claimed ? hits / claimed : null,
  recall: actual ? hits / actual : null,
  f1: actual ? (2 * hits) / (claimed + actual) : null,
})

/** Classes whose calibration is drawn; the others would only make the page long. */
const DRAWN_CLASSES = 6

function calibration({ calibration }: ClassOutcome, { market }: Words): Html {
  const several = calibration.length > 1
  const left = calibration.length - DRAWN_CLASSES
  return section(
    'calibration',
    'Calibration',
    `On the test part. Of all rows that were given 60 %, 60 % should turn out so. Look for points on the diagonal; the lines are 95 % intervals${market ? ', at their best, for overlapping labels are not independent' : ''}.`,
    calibration.slice(0, DRAWN_CLASSES).map(({ name, bins }) => calibrationOf(bins, several ? name : undefined)),
    left > 0 ? html`<p class="small">${count(left, 'further class', 'further classes')} left out.</p>` : null,
  )
}

function calibrationOf(bins: CalibrationBin[], name?: string): Html {
  const largest = Math.max(...bins.map(bin => bin.count))
  const off =
    bins.reduce((sum, { mean, observed, count }) => sum + count * Math.abs(mean - observed), 0) /
    bins.reduce((sum, { count }) => sum + count, 0)
  const of = name === undefined ? '' : ` of ${name}`
  return html`<div class="beside">${drawn(drawCalibration(bins), `Points: observed frequency${of} against predicted probability, with intervals.`, `Predicted and observed${of} differ by ${figure(off)} on average, weighted by rows.`)}
${table(
  `Rows by predicted probability${of}`,
  ['Predicted', 'Observed', 'Rows', 'To scale'],
  bins.map(({ mean, observed, count }) => [mean, observed, count, bar(count / largest)]),
)}</div>`
}

function describeValues({ points, tenths }: ValueOutcome): Html {
  const rows = tenths.reduce((total, { count }) => total + count, 0)
  const most = points.length < rows ? ` ${figure(points.length)} of ${figure(rows)} rows are shown.` : ''
  return section(
    'residuals',
    'Predicted and actual',
    'On the test part. Look for points along the dashed diagonal, and for residuals that are as wide on the left as on the right.',
    html`<div class="beside">${drawn(drawPredicted(points), 'Points: actual against predicted value of each row.', `Each point is a row; on the diagonal the prediction was right.${most}`)}
${table(
  'Rows by predicted value, a tenth each; the residual is actual - predicted, its spread a deviation',
  ['Predicted', 'Actual', 'Residual', 'Spread', 'Rows'],
  tenths.map(({ predicted, actual, deviation, count }) => [predicted, actual, actual - predicted, deviation, count]),
)}</div>`,
  )
}
