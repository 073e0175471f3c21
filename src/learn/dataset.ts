// A dataset: raw float32 features, label and split under one digest, written once as an Arrow file that the engine maps. Nothing is fitted here.
import { join } from 'node:path'
import { own, readArrow, writeArrow } from '../base/arrow.ts'
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { kolmogorovSmirnov } from '../base/statistics.ts'
import { jsonDigest, type Table, takeRows } from '../base/table.ts'
import { writeTable } from '../data/files.ts'
import { type FeatureRows, type Features, readFeatures } from '../features/build.ts'
import { indices, type Range, type Split, type SplitConfig, size, split } from './split.ts'

const VERSION = 3
/** A feature whose float32 rounding exceeds this share of its own deviation would be another feature. */
const RESOLUTION = 1e-3
/** Two parts that agree better than this are suspiciously alike. The limit p-value is exact enough to warn by. */
const KS_ALIKE = 0.8

export type Task = 'binary' | 'multiclass' | 'regression'

export interface Dataset {
  digest: string
  /** Arrow file with the columns of DatasetRows: every feature under its name, the others as `own` names them. */
  path: string
  rows: number
  features: string[]
  /** Features with a missing value in some row: the only ones that may be null when served. */
  nullable: string[]
  task: Task
  /** Label values in the order of the predicted columns; none for regression. */
  classes: number[]
  /** What the classes stand for: the table's own words, or the numbers as text. */
  classNames: string[]
  /** Words of each category feature, sorted: a row holds the place of its word, their number for a word that is not among them, NaN where it is missing. */
  categories: Record<string, string[]>
  /** Whether rows are bars with prices that can be traded. */
  market: boolean
  horizon: number
  /** Times of the first and last row. */
  from: number
  to: number
  split: Split
  warnings: string[]
}

/** The rows of a dataset: what was measured of a bar as float64, what is learned from as float32. */
export interface DatasetRows extends Omit<FeatureRows, 'features'> {
  /** Time of the bar at which the label is known. */
  end: Float64Array
  features: Float32Array[]
}

/** What a dataset is found by. */
export const datasetInputs = (built: Features, config: SplitConfig) => ({
  version: VERSION,
  features: built.digest,
  label: built.label,
  split: config,
})

/**
 * Keeps the rows that have every feature's warm-up behind them and a label, as float32, and splits them.
 * Errors (exit 4): TOO_SHORT, CONSTANT_FEATURE, FLOAT32_RESOLUTION, ONE_CLASS, TOO_FEW_ROWS, LABEL_NOT_BINARY.
 */
export async function freeze(built: Features, config: SplitConfig, context: Context): Promise<Dataset> {
  const { time, open, close, label, symbol, features } = await readFeatures(built)
  const ready = warm(features, symbol, label.length)
  const kept = Int32Array.from(ready.filter(row => !Number.isNaN(label[row])))
  if (kept.length === 0)
    throw dataError(
      'TOO_SHORT',
      `${label.length} bars leave no row: ${describeShortage(label.length, ready.length, built)}`,
      {
        next: 'more bars, shorter windows or a shorter horizon',
      },
    )

  const take = (values: Float64Array) => Float64Array.from(kept, row => values[row])
  const rounded = features.map((values, i) => toFloat32(built.features[i], take(values)))
  const rows = { time: take(time), end: take(labelEnds(time, symbol, built.horizon)), label: take(label) }
  checkBinary(rows.label, built.label)
  const parts = split(rows, config)
  const digest = jsonDigest(datasetInputs(built, config))
  const path = join(context.home, 'cache', 'datasets', `${digest}.arrow`)
  await writeArrow(path, [
    ...Object.entries({ ...rows, open: take(open), close: take(close) }).map(([name, values]) => ({
      name: own(name),
      values,
    })),
    ...(symbol ? [{ name: own('symbol'), values: Array.from(kept, row => symbol[row]) }] : []),
    ...rounded.map((values, i) => ({ name: built.features[i], values })),
  ])
  return {
    digest,
    path,
    rows: kept.length,
    features: built.features,
    nullable: built.features.filter((_, i) => rounded[i].some(Number.isNaN)),
    task: 'binary',
    classes: [0, 1],
    classNames: ['0', '1'],
    categories: {},
    market: true,
    horizon: built.horizon,
    from: rows.time[0],
    to: rows.time[kept.length - 1],
    split: parts,
    warnings: [...parts.warnings, ...alike(built.features, rounded, parts)],
  }
}

/** Rows of each symbol from the first one on at which every feature has had a value. */
export function warm(features: Float64Array[], symbol: (string | null)[] | undefined, rows: number): Int32Array {
  const waiting = new Map<string | null, Set<number>>()
  const ready: number[] = []
  for (let row = 0; row < rows; row++) {
    const name = symbol ? symbol[row] : null
    let open = waiting.get(name)
    if (!open) waiting.set(name, (open = new Set(features.keys())))
    for (const i of open) if (!Number.isNaN(features[i][row])) open.delete(i)
    if (open.size === 0) ready.push(row)
  }
  return Int32Array.from(ready)
}

function describeShortage(bars: number, ready: number, built: Features): string {
  if (ready) return `the label looks ${built.horizon} bars ahead and ${ready} rows have features`
  return `the features need ${built.warmup} bars before their first value${bars > built.warmup ? ', and one of them never has one' : ''}`
}

/** Time of bar t + horizon of the row's own symbol; Infinity where there is none. */
function labelEnds(time: Float64Array, symbol: (string | null)[] | undefined, horizon: number): Float64Array {
  const end = new Float64Array(time.length).fill(Number.POSITIVE_INFINITY)
  const recent = new Map<string | null, number[]>()
  for (let row = 0; row < time.length; row++) {
    const name = symbol ? symbol[row] : null
    const rows = recent.get(name) ?? []
    recent.set(name, rows)
    rows.push(row)
    if (rows.length > horizon) end[rows[rows.length - 1 - horizon]] = time[row]
  }
  return end
}

function toFloat32(name: string, values: Float64Array): Float32Array {
  const rounded = new Float32Array(values.length)
  let [n, mean, squares, worst] = [0, 0, 0, 0]
  for (let i = 0; i < values.length; i++) {
    // What is not finite is missing: no model family agrees with another on infinity.
    const value = Number.isFinite(values[i]) ? values[i] : Number.NaN
    rounded[i] = value
    if (Number.isNaN(value)) continue
    const delta = value - mean
    mean += delta / ++n
    squares += delta * (value - mean)
    worst = Math.max(worst, Math.abs(rounded[i] - value))
  }
  const deviation = Math.sqrt(squares / n)
  if (!(deviation > 0))
    throw dataError(
      'CONSTANT_FEATURE',
      `feature ${name} is ${n ? `${mean} in every row` : 'never defined'}: nothing can be learned from it`,
      {
        next: `take ${name} out of features`,
      },
    )
  if (worst > RESOLUTION * deviation)
    throw dataError(
      'FLOAT32_RESOLUTION',
      `feature ${name} varies by ${deviation.toPrecision(3)}, but float32 rounds it by up to ${worst.toPrecision(3)}`,
      {
        next: `use a difference or a ratio of ${name}`,
      },
    )
  return rounded
}

function checkBinary(label: Float64Array, spec: object): void {
  const odd = label.find(value => value !== 0 && value !== 1)
  if (odd !== undefined)
    throw dataError(
      'LABEL_NOT_BINARY',
      `the label ${JSON.stringify(spec)} has the value ${odd}; a binary task needs 0 and 1`,
      {
        next: 'a label of kind touch or direction',
      },
    )
}

/** Kolmogorov-Smirnov between training and validation rows: a warning where they are too much alike. */
function alike(names: string[], columns: Float32Array[], parts: Split): string[] {
  const of = (ranges: Range[], values: Float32Array) =>
    Float64Array.from(indices(ranges), row => values[row]).filter(value => !Number.isNaN(value))
  const found = names.filter((_, i) => {
    const [train, valid] = [of(parts.train, columns[i]), of(parts.valid, columns[i])]
    return train.length > 0 && valid.length > 0 && kolmogorovSmirnov(train, valid, { exactUpTo: 0 }).pvalue > KS_ALIKE
  })
  if (!found.length) return []
  return [
    `train and validation are distributed alike (K-S p > ${KS_ALIKE}) in ${found.length} of ${names.length} features (${found.slice(0, 5).join(', ')}): make sure that no row stands in both`,
  ]
}

export async function readDataset({ path, features }: Pick<Dataset, 'path' | 'features'>): Promise<DatasetRows> {
  const columns = await readArrow(path)
  const [time, end, open, close, label] = ['time', 'end', 'open', 'close', 'label'].map(
    name => columns.get(own(name)) as Float64Array,
  )
  const symbol = columns.get(own('symbol')) as (string | null)[] | undefined
  return { time, end, open, close, label, symbol, features: features.map(name => columns.get(name) as Float32Array) }
}

/** Writes train.parquet, val.parquet and test.parquet: time, symbol where there are several, the float32 features and the label. */
export async function writeParts(dataset: Dataset, folder: string, context: Context): Promise<string[]> {
  const { time, symbol, features, label } = await readDataset(dataset)
  const whole: Table = {
    rows: dataset.rows,
    columns: [
      { name: 'time', type: 'time', values: time },
      ...(symbol ? [{ name: 'symbol', type: 'string' as const, values: symbol }] : []),
      ...features.map((values, i) => ({
        name: dataset.features[i],
        type: 'number' as const,
        values: Float64Array.from(values),
      })),
      { name: 'label', type: 'number', values: label },
    ],
  }
  const { train, valid, test } = dataset.split
  const parts = Object.entries({ train, val: valid, test }).filter(([, ranges]) => ranges.length)
  const write = async ([name, ranges]: [string, Range[]]) => {
    const path = join(folder, `${name}.parquet`)
    await writeTable(takeRows(whole, indices(ranges)), path, context.signal)
    return path
  }
  return Promise.all(parts.map(write))
}

/** Rows per part, as reported. */
export const partSizes = ({ train, valid, test, purged }: Split) => ({
  train: size(train),
  valid: size(valid),
  test: size(test),
  purged,
})
