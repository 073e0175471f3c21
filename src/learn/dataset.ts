// A dataset: raw float32 features, label and split under one digest, written once as an Arrow file that the engine maps. Nothing is fitted here.
import { join } from 'node:path'
import { type ArrowColumn, own, readArrow, writeArrow } from '../base/arrow.ts'
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { besideOthers, type Column, jsonDigest, type Table, takeRows, takeValues, type Values } from '../base/table.ts'
import { writeTable } from '../data/files.ts'
import { type FeatureRows, type Features, readFeatures } from '../features/build.ts'
import type { Task } from '../features/labels.ts'
import { vocabularyOf } from './categories.ts'
import { alike, type Coded, chooseColumns, codeAll, codeLike, isMissing, missingColumns } from './columns.ts'
import { type Prepare, type PreprocessConfig, prepareOf } from './preprocess.ts'
import { historyOf, readHistory, type Sequence, withContext, writeHistory } from './sequence.ts'
import { shuffledSplit } from './shuffle.ts'
import { indices, type Range, type Split, type SplitConfig, size, split } from './split.ts'
import { type Target, target } from './target.ts'

export type { Task } from '../features/labels.ts'

const VERSION = 6
export interface Dataset {
  digest: string
  /** Arrow file with the columns of DatasetRows: every feature under its name, the others as `own` names them. */
  path: string
  rows: number
  features: string[]
  /** Features with a missing value in some row, or that the schema lets be missing: the only ones that may be null when served. */
  nullable: string[]
  task: Task
  /** Label values in the order of the predicted columns; none for regression. */
  classes: number[]
  /** What the classes stand for: the table's own words, or the numbers as text. */
  classNames: string[]
  /** Words of each category feature, sorted: a row holds the place of its word, their number for a word that is not among them, NaN where it is missing. */
  categories: Record<string, string[]>
  /** What is done to the values before a model sees them; null: what each kind of model does by itself. */
  prepare: Prepare | null
  /** Whether rows are bars with prices that can be traded. */
  market: boolean
  /** Whether rows have a time; else `time` and `end` are a row's number in the table, and rows lie shuffled. */
  timed: boolean
  horizon: number
  /** Times of the first and last row. */
  from: number
  to: number
  split: Split
  warnings: string[]
  /** Where samples are windows of rows: how many rows they may read, and the file that holds those (see sequence.ts). */
  sequence?: Sequence
}

/** The rows of a dataset: what was measured of a row as float64, what is learned from as float32. */
export interface DatasetRows extends Omit<FeatureRows, 'features'> {
  /** Time of the bar at which the label is known. */
  end: Float64Array
  features: Float32Array[]
  /** Where samples are windows: the row of the sequence that each ends with, and the rows of the sequence, row-major. */
  at?: Uint32Array
  history?: Float32Array
}

/** The sections of a config that decide on rows; `seed` is that of a shuffle. */
export interface DatasetConfig {
  task: Task
  split: SplitConfig
  preprocess: PreprocessConfig
  seed: number
  /** Only its rows. */
  symbol?: string
  /** Features that are left out where nothing can be learned from them. */
  optional?: string[]
  /** Rows that a sample must be able to read, its own the last (default 1). */
  context?: number
}

/** What a dataset is found by. */
export const datasetInputs = (
  built: Features,
  { task, split, preprocess, seed, symbol, optional, context = 1 }: DatasetConfig,
) => ({
  version: VERSION,
  features: built.digest,
  label: built.label,
  task,
  split,
  preprocess,
  ...(built.timed ? {} : { seed }),
  ...(symbol !== undefined && { symbol }),
  ...(optional?.length && { optional }),
  ...(context > 1 && { context }),
})

/**
 * Keeps the rows that have every feature's warm-up behind them and a label, as float32 and codes, and splits them.
 * Errors (exit 4): TOO_SHORT, CONSTANT_FEATURE, FLOAT32_RESOLUTION, TOO_MANY_WORDS, NO_FEATURES and those of target and split;
 * (usage) those of prepareOf.
 */
export async function freeze(built: Features, config: DatasetConfig, context: Context): Promise<Dataset> {
  const { preprocess, task, optional = [], context: length = 1 } = config
  const source = await readFeatures(built)
  const { rows, ready, dropped } = labelledRows(built, source, config)
  const aim = target(takeValues(source.label, rows), task, built.words)
  const ends = labelEnds(source.time, source.symbol, built.horizon)
  const times = { time: takeValues(source.time, rows), end: takeValues(ends, rows) }
  const { order, split } = partition({ ...times, ...aim }, built, config)
  const placed = order ? Int32Array.from(order, i => rows[i]) : rows
  const learned = indices(split.train)
  const chosen = chooseColumns(built.features, source.features, placed, split, preprocess)
  const { columns, warnings: useless } = codeAll(chosen, learned, optional)
  const features = columns.map(({ name }) => name)
  const categories = Object.fromEntries(columns.flatMap(({ name, words }) => (words ? [[name, words]] : [])))
  const prepare = prepareOf(preprocess, features, categories)
  const digest = jsonDigest(datasetInputs(built, config))
  const path = join(context.home, 'cache', 'datasets', `${digest}.arrow`)
  const label = order ? takeValues(aim.label, order) : aim.label
  const history = length > 1 ? historyOf(ready, source.symbol) : undefined
  const at = history && { name: own('at'), values: Uint32Array.from(placed, row => history.place[row]) }
  await writeRows(path, placed, { ...source, end: ends }, label, columns, built.market, at)
  const sequence = history && {
    length,
    path: join(context.home, 'cache', 'datasets', `${digest}.rows.arrow`),
    rows: history.rows.length,
  }
  const read = history ? codedRows(columns, built.features, source.features, history.rows) : undefined
  if (sequence) await writeHistory(sequence.path, read!)
  const { market, timed, horizon } = built
  const { classes, classNames } = aim
  // Who leaves rows out that lack something has no use for their answers.
  const allowed = new Set(preprocess.missing === 'drop_rows' ? [] : built.nullable)
  return {
    digest,
    path,
    rows: rows.length,
    features,
    nullable: columns
      .filter(({ name, values }, j) => allowed.has(name) || [values, read?.[j]].some(part => part?.some(Number.isNaN)))
      .map(({ name }) => name),
    task,
    classes,
    classNames,
    categories,
    prepare,
    market,
    timed,
    horizon,
    ...span(times.time),
    split,
    ...(sequence && { sequence }),
    warnings: [
      ...dropped,
      ...missingColumns(
        built.features,
        chosen.map(({ name }) => name),
      ),
      ...useless,
      ...split.warnings,
      ...(timed ? alike(columns, split) : []),
    ],
  }
}

/** The rows that samples read, coded as the columns are. */
function codedRows(columns: Coded[], names: string[], features: Values[], rows: Int32Array): Float32Array[] {
  const place = new Map(names.map((name, i) => [name, i]))
  return columns.map(column => codeLike(column, takeValues(features[place.get(column.name)!], rows)))
}

/** Writes the rows of a source that are placed in the dataset; their label and their features are given in that order. */
function writeRows(
  path: string,
  placed: Int32Array,
  { time, end, open, close, symbol }: Omit<FeatureRows, 'features'> & { end: Float64Array },
  label: Float64Array,
  columns: Coded[],
  market: boolean,
  at?: ArrowColumn,
): Promise<void> {
  const measured = Object.entries({ time, end, ...(market && { open, close }) })
  return writeArrow(path, [
    ...measured.map(([name, values]) => ({ name: own(name), values: takeValues(values, placed) })),
    { name: own('label'), values: label },
    ...(symbol ? [{ name: own('symbol'), values: Array.from(placed, row => symbol[row]) }] : []),
    ...(at ? [at] : []),
    ...columns.map(({ name, values }) => ({ name, values })),
  ])
}

/**
 * Rows with a label, and with every feature's warm-up and the rest of their context behind them where rows follow each other; under
 * drop_rows with every feature. `ready`: the rows that may be read, labelled or not.
 */
function labelledRows(
  built: Features,
  { label, symbol, features: all }: FeatureRows,
  { preprocess: { missing }, symbol: only, optional = [], context = 1 }: DatasetConfig,
): { rows: Int32Array; ready: Int32Array; dropped: string[] } {
  // A column that nobody named and that is empty is waited for by none.
  const features = all.filter(
    (values, i) =>
      !optional.includes(built.features[i]) || values.some((value: number | string | null) => !isMissing(value)),
  )
  const ready = built.timed
    ? warm(features, symbol, label.length)
    : Int32Array.from({ length: label.length }, (_, row) => row)
  const own = only === undefined ? ready : ready.filter(row => symbol?.[row] === only)
  const reaching = context > 1 ? withContext(own, symbol, context) : own
  const labelled = reaching.filter(row => !Number.isNaN(label[row]))
  const whole =
    missing === 'drop_rows' ? labelled.filter(row => !features.some(values => isMissing(values[row]))) : labelled
  if (whole.length === 0)
    throw dataError(
      'TOO_SHORT',
      `${label.length} ${built.timed ? 'bars' : 'rows'} leave no row: ${describeShortage(label.length, reaching.length, labelled.length, built, context)}`,
      { next: labelled.length ? 'preprocess.missing: impute' : 'more bars, shorter windows or a shorter horizon' },
    )
  return {
    rows: whole,
    ready: own,
    dropped: [
      ...(built.timed ? [] : counted(own.length - labelled.length, 'without a label')),
      ...counted(labelled.length - whole.length, 'with a missing value (preprocess.missing: drop_rows)'),
    ],
  }
}

const counted = (rows: number, which: string): string[] =>
  rows ? [`${rows} ${rows === 1 ? 'row' : 'rows'} ${which} left out`] : []

/** Parts by time, or by a shuffle, after which the rows stand in another order. */
function partition(
  { time, end, ...aim }: { time: Float64Array; end: Float64Array } & Target,
  { timed }: Features,
  { split: config, seed, task }: DatasetConfig,
): { order?: Uint32Array; split: Split } {
  const classes = task === 'regression' ? {} : aim
  return timed ? { split: split({ time, end, ...classes }, config) } : shuffledSplit(time.length, classes, config, seed)
}

function span(time: Float64Array): { from: number; to: number } {
  const reach = { from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY }
  for (const value of time) {
    if (value < reach.from) reach.from = value
    if (value > reach.to) reach.to = value
  }
  return reach
}

/** Rows of each symbol from the first one on at which every feature has had a value. */
export function warm(features: Values[], symbol: (string | null)[] | undefined, rows: number): Int32Array {
  const waiting = new Map<string | null, Set<number>>()
  const ready: number[] = []
  for (let row = 0; row < rows; row++) {
    const name = symbol ? symbol[row] : null
    let open = waiting.get(name)
    if (!open) waiting.set(name, (open = new Set(features.keys())))
    for (const i of open) if (!isMissing(features[i][row])) open.delete(i)
    if (open.size === 0) ready.push(row)
  }
  return Int32Array.from(ready)
}

function describeShortage(bars: number, ready: number, labelled: number, built: Features, context: number): string {
  if (labelled) return `each of ${labelled} has a feature that is missing`
  if (!built.timed) return 'none of them has a label'
  if (ready) return `the label looks ${built.horizon} bars ahead and ${ready} rows have features`
  if (context > 1) return `the features need ${built.warmup} bars, and a sample reads ${context} rows`
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

/** What a dataset holds; the rows before its own only where a context asks for them. */
export async function readDataset(
  { path, features, sequence }: Pick<Dataset, 'path' | 'features' | 'sequence'>,
  context = 1,
): Promise<DatasetRows> {
  const columns = await readArrow(path)
  const [time, end, label] = ['time', 'end', 'label'].map(name => columns.get(own(name)) as Float64Array)
  const price = (name: string) =>
    (columns.get(own(name)) as Float64Array | undefined) ?? new Float64Array(label.length).fill(Number.NaN)
  const symbol = columns.get(own('symbol')) as (string | null)[] | undefined
  const values = features.map(name => columns.get(name) as Float32Array)
  const at = columns.get(own('at')) as Uint32Array | undefined
  const history = context > 1 ? { at, history: await readHistory(sequence!) } : {}
  return { time, end, open: price('open'), close: price('close'), label, symbol, features: values, ...history }
}

/** Rows as a model of this context reads them: row-major float32 [rows, context, features], NaN for missing. */
export function vectors(
  { features: { length: count } }: Pick<Dataset, 'features'>,
  { features, at, history }: Pick<DatasetRows, 'features' | 'at' | 'history'>,
  rows: ArrayLike<number>,
  context = 1,
): Float32Array {
  const width = count * context
  const values = new Float32Array(rows.length * width)
  if (context === 1) {
    for (const [j, column] of features.entries())
      for (let i = 0; i < rows.length; i++) values[i * width + j] = column[rows[i]]
    return values
  }
  for (let i = 0; i < rows.length; i++) {
    const end = (at![rows[i]] + 1) * count
    values.set(history!.subarray(end - width, end), i * width)
  }
  return values
}

/** How many columns the engine makes of the features at most: for what no training row has, a word or that it is missing, it makes none. */
export function mostColumns({
  features,
  categories,
  nullable,
  prepare,
  task,
  classes,
}: Pick<Dataset, 'features' | 'categories' | 'nullable' | 'prepare' | 'task' | 'classes'>): number {
  const columnsOf = (name: string): number => {
    const words = vocabularyOf(categories, name)
    const own = prepare?.columns[name]
    const missing = Number(nullable.includes(name))
    if (!words) return 1 + Number(own?.indicator ?? prepare?.numbers.indicator ?? false) * missing
    const { encode = 'one_hot', impute } = { ...prepare?.categories, ...own }
    if (encode === 'one_hot') return words.length + Number(impute === 'own') * missing
    return encode === 'target' && task === 'multiclass' ? classes.length : 1
  }
  return features.reduce((sum, name) => sum + columnsOf(name), 0)
}

/** Writes train.parquet, val.parquet and test.parquet: time (or the number of the row in the table, from 0), symbol where there are several, the float32 features and the label; words as words. */
export async function writeParts(dataset: Dataset, folder: string, context: Context): Promise<string[]> {
  const { time, symbol, features, label } = await readDataset(dataset)
  const { categories, classes, classNames } = dataset
  const called = (name: string) => besideOthers(name, dataset.features)
  const worded = classNames.some((name, k) => name !== String(classes[k]))
  const whole: Table = {
    rows: dataset.rows,
    columns: [
      dataset.timed
        ? { name: called('time'), type: 'time', values: time }
        : { name: called('row'), type: 'number', values: time },
      ...(symbol ? [{ name: called('symbol'), type: 'string' as const, values: symbol }] : []),
      ...features.map((values, i) =>
        columnOf(dataset.features[i], values, vocabularyOf(categories, dataset.features[i])),
      ),
      worded
        ? columnOf(
            called('label'),
            label.map(value => classes.indexOf(value)),
            classNames,
          )
        : columnOf(called('label'), label),
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

/** Numbers, or the words that they are places of: one that is in no training row is none of them, and empty. */
const columnOf = (name: string, values: Float32Array | Float64Array, words?: string[]): Column =>
  words
    ? { name, type: 'string', values: Array.from(values, place => words[place] ?? null) }
    : { name, type: 'number', values: Float64Array.from(values) }

/** Rows per part, as reported. */
export const partSizes = ({ train, valid, test, purged }: Split) => ({
  train: size(train),
  valid: size(valid),
  test: size(test),
  purged,
})
