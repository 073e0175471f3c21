// INIT: a config that runs as it stands, with a comment on every key. With a file of candles or a table it reads what it can from it.
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import { usageError } from './base/errors.ts'
import { nameOfFile } from './base/name.ts'
import { random } from './base/random.ts'
import { type Column, numbers, type Table } from './base/table.ts'
import { readCandles, readColumns, writeTable } from './data/files.ts'
import { inspectSeries } from './data/series.ts'
import type { Task } from './features/labels.ts'
import { MOST_WORDS } from './learn/categories.ts'
import { periodsPerYear } from './prove/backtest.ts'

/** Writes the files of a preset beside `sluice.yaml` and gives its text. */
type Preset = (folder: string, data?: string) => Promise<{ text: string; files: string[] }>

const PRESETS: Record<string, Preset> = {
  market: async (folder, data) => ({ text: marketConfig(await found(folder, data), GRID), files: [] }),
  deep: async (folder, data) => ({ text: marketConfig(await found(folder, data), NETWORKS), files: [] }),
  tabular: async (folder, data) => {
    const path = data === undefined ? await writeSample(folder) : resolve(data)
    if (!existsSync(path)) throw usageError('DATA', `there is no file ${path}`)
    const text = tabularConfig(await readColumns(path), path, folder)
    return { text, files: data === undefined ? [path] : [] }
  },
}

/** Writes `sluice.yaml` into `folder`, and data where a preset has none, and gives their paths. A file that is there already is left alone (EXISTS). */
export async function initialise(preset: string, folder: string, data?: string): Promise<string[]> {
  if (!Object.hasOwn(PRESETS, preset))
    throw usageError('PRESET', `there is no preset ${preset}; there are ${Object.keys(PRESETS).join(', ')}`)
  const file = join(folder, 'sluice.yaml')
  if (existsSync(file)) throw usageError('EXISTS', `${file} is there already`, { next: 'another folder, or remove it' })
  const { text, files } = await PRESETS[preset](folder, data)
  writeAtomic(file, text)
  return [file, ...files]
}

interface Found {
  name: string
  source: string
  timeframe: string
  periods: number
}

const simulated: Found = {
  name: 'market',
  source: '{ kind: simulated, bars: 5000, signal: { strength: 0.9 } }  # or { kind: file, path: candles.csv }',
  timeframe: '1d',
  periods: 365.25,
}

/** Trading days and hours a year, which annualised figures are quoted in. */
const USUAL_YEARS: [timeframe: string, least: number, most: number, quoted: number][] = [
  ['1d', 245, 260, 252],
  ['1d', 355, 366, 365],
]

const found = async (folder: string, data?: string): Promise<Found> =>
  data === undefined ? simulated : inspect(resolve(data), folder)

/** What a market's config asks to be fitted: how it is split, and the models. */
interface Asked {
  folds: string
  models: string
}

const GRID: Asked = {
  folds: '  folds: 5',
  models: `models:                          # 16 candidates: logistic, random_forest, xgboost, lightgbm, four of each
  - { kind: preset, name: grid_16 }`,
}

const NETWORKS: Asked = {
  folds: '  folds: 2                       # each is a training of every network',
  models: `models:                          # needs sluice engine install deep; docs/networks.md lists kinds and parameters
  - { kind: logistic }           # what a network has to beat
  - kind: cnn_gru                # or mlp, cnn, rnn, cnn_lstm, patchtst
    preset: fast                 # or balanced, quality: how much time a training may take
    params: { context: 30 }      # bars that a sample reads, its own the last
  # - { from: patchtst_2m.yaml, params: { learning_rate: 0.0003 } }   # a network in a file of its own

thermal: { warn: 85, stop: 95 }  # degrees C; from stop on a training is stopped with a checkpoint
# tracking: { mlflow: { url: "http://127.0.0.1:5000" } }              # what is measured also goes there`,
}

async function inspect(path: string, folder: string): Promise<Found> {
  if (!existsSync(path)) throw usageError('DATA', `there is no file ${path}`)
  const candles = await readCandles(path)
  const timeframe = inspectSeries(candles).timeframe ?? '1d'
  const mean = periodsPerYear(numbers(candles, 'time'))
  const usual = USUAL_YEARS.find(([name, least, most]) => name === timeframe && mean >= least && mean <= most)
  return {
    name: nameOfFile(path) ?? 'market',
    source: `{ kind: file, path: ${JSON.stringify(relative(folder, path))} }`,
    timeframe,
    periods: usual?.[3] ?? Math.round(mean),
  }
}

const marketConfig = (
  { name, source, timeframe, periods }: Found,
  { folds, models }: Asked,
): string => `# A model for ${name}. Run it: sluice run -c sluice.yaml
# Every key but data and label has a default; sluice config show -c sluice.yaml shows them all.
name: ${JSON.stringify(name)}
seed: 42                         # equal seeds give equal models, bit for bit
task: binary

data:
  schema: candles                # time, open, high, low, close, volume, and perhaps symbol
  source: ${source}
  timeframe: ${timeframe}
  on_bad_row: quarantine         # or fail: stop at the first bad row

features:                        # computed from present and past bars only; docs/features.md lists every kind
  - { kind: set, name: stationary_20 }
  # - { kind: sma, n: [7, 14, 30] }                               # a list is one feature each
  # - { kind: expr, name: close_to_sma, expr: "close / sma_30 - 1" }
  # - { kind: rsi, n: 14, timeframe: 1w }

label: { kind: touch, horizon: 5, threshold: 0.01 }  # will a close within 5 bars be 1 % higher?

split:                           # train, validation and test in time order; horizon and embargo are purged between them
  kind: walk_forward
  ratios: [0.70, 0.15, 0.15]
${folds}

${models}

thresholds: { from: 0.30, to: 0.75, steps: 10 }   # a candidate acts when its probability is at or above
select: { by: sharpe }           # on out-of-fold validation bars only

backtest:
  fill: next_open                # a signal known at the close is filled at the next open
  fee: 0.0005                    # of the filled value, each side
  slippage: 0.0002
  mode: long
  periods_per_year: ${periods}

gates:                           # all must hold on the test part, or the model does not flow on
  sharpe: "> 1.0"
  max_drawdown: "< 0.30"
  win_rate: "> 0.50"
  trades: ">= 20"
  probabilistic_sharpe: "> 0.95"
  excess_sharpe_probability: "> 0.90"

refit: all                       # ship the recipe fitted once more on every labelled row
deploy: auto                     # or manual: register, and promote by hand
`

/** What a column that is to be predicted is often called; else it is the last one. */
const LABELS = ['label', 'target', 'class', 'y', 'outcome']
/** Whole numbers of few values are classes. */
const FEW = 10

interface Guess {
  label: string
  task: Task
  /** Whether rows have a time, and the label so a horizon. */
  timed: boolean
  /** Columns that no model can learn from: of words that name rows instead of describing them, or of one value. */
  useless: string[]
}

function guess({ rows, columns }: Table): Guess {
  const timed = columns.some(({ name, type }) => name === 'time' && type === 'time')
  const free = columns.filter(({ name }) => !timed || name !== 'time')
  const label = free.find(({ name }) => LABELS.includes(name.toLowerCase())) ?? free.at(-1)
  if (!label) throw usageError('DATA', 'the table has no column to predict')
  const useless = free.filter(column => {
    const { size } = valuesOf(column)
    return column !== label && (size < 2 || (column.type === 'string' && size > Math.min(rows / 2, MOST_WORDS)))
  })
  return { label: label.name, task: taskOf(label), timed, useless: useless.map(({ name }) => name) }
}

const valuesOf = ({ values }: Column) =>
  new Set<unknown>([...values].filter(value => value !== null && !Number.isNaN(value)))

function taskOf(label: Column): Task {
  const values = valuesOf(label)
  if (values.size === 2) return 'binary'
  const classes = label.type === 'string' || (values.size <= FEW && [...values].every(Number.isInteger))
  return classes && values.size > 2 ? 'multiclass' : 'regression'
}

/** A table to begin with: bolts of three makes, of which one is stronger than its size tells. */
async function writeSample(folder: string): Promise<string> {
  const path = join(folder, 'bolts.csv')
  if (existsSync(path)) throw usageError('EXISTS', `${path} is there already`, { next: 'another folder, or remove it' })
  const rows = 400
  const { next, normal } = random(7)
  const length = Float64Array.from({ length: rows }, () => Math.round(400 + 80 * normal()) / 10)
  const thread = Float64Array.from({ length: rows }, () =>
    next() < 0.05 ? Number.NaN : Math.round(60 + 10 * normal()) / 10,
  )
  const make = Array.from({ length: rows }, () => ['brass', 'iron', 'steel'][Math.floor(3 * next())])
  const holds = Array.from(thread, (width, row) =>
    (Number.isNaN(width) ? 6 : width) - 0.05 * length[row] + (make[row] === 'steel' ? 2 : 0) + 0.5 * normal() > 4.7
      ? 'yes'
      : 'no',
  )
  const number = (name: string, values: Float64Array): Column => ({ name, type: 'number', values })
  const words = (name: string, values: string[]): Column => ({ name, type: 'string', values })
  const columns = [number('length', length), number('thread', thread), words('make', make), words('holds', holds)]
  await writeTable({ rows, columns }, path)
  return path
}

function tabularConfig(table: Table, path: string, folder: string): string {
  const { label, task, timed, useless } = guess(table)
  const name = nameOfFile(path) ?? 'table'
  const quoted = (text: string) => JSON.stringify(text)
  const free = table.columns
    .map(column => column.name)
    .filter(column => ![label, ...(timed ? ['time', 'symbol'] : []), ...useless].includes(column))
  const listed = useless.length > 0 && free.length > 0
  const features = listed
    ? free.map(column => `  - { kind: column, name: ${quoted(column)} }`).join('\n')
    : '  - { kind: set, name: columns }'
  const why = listed
    ? `without ${useless.join(', ')}: names of rows, or always the same`
    : 'every column but the label; words are categories'
  const split = timed ? 'walk_forward' : task === 'regression' ? 'kfold' : 'stratified'
  return `# A model for ${name}, a table. Run it: sluice run -c sluice.yaml
# Every key but data and label has a default; sluice config show -c sluice.yaml shows them all.
name: ${quoted(name)}
seed: 42                         # equal seeds give equal parts and equal models, bit for bit
task: ${task}${' '.repeat(27 - task.length)}# binary: one of two classes; multiclass: one of more; regression: a number

data:
  schema: table                  # every column, with the type that all its values have
  source: { kind: file, path: ${quoted(relative(folder, path))} }
  on_bad_row: quarantine         # or fail: stop at the first bad row

features:                        # ${why}
${features}

label: { kind: column, name: ${quoted(label)}${timed ? ', horizon: 1' : ''} }${timed ? '  # known so many rows later' : ''}

split:                           # ${timed ? 'train, validation and test in time order' : 'a shuffle; no row plays two parts'}
  kind: ${split}
  ratios: [0.70, 0.15, 0.15]
  folds: 5

preprocess:                      # learned from training rows, and part of the model
  missing: impute                # or drop_rows, drop_columns
  categories: { encode: one_hot, impute: most_frequent }

models:                          # 16 candidates: ${task === 'regression' ? 'ridge' : 'logistic'}, random_forest, xgboost, lightgbm, four of each
  - { kind: preset, name: grid_16 }

select: { by: ${task === 'regression' ? 'rmse' : 'log_loss'} }            # on out-of-fold validation rows only

gates:                           # must hold on the test part, or the model does not flow on
  skill: "> 0"                   # better than the ${task === 'regression' ? 'mean' : 'class frequencies'} of the training rows, surely

refit: ${timed ? 'all ' : 'none'}                      # none: ship the model that was judged; all: its recipe, fitted on every row
deploy: auto                     # or manual: register, and promote by hand
`
}
