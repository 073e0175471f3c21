// INIT: a config that runs as it stands, with a comment on every key. With a file of candles it reads what it can from it.
import { existsSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import { usageError } from './base/errors.ts'
import { nameOfFile } from './base/name.ts'
import { numbers } from './base/table.ts'
import { readCandles } from './data/files.ts'
import { inspectSeries } from './data/series.ts'
import { periodsPerYear } from './prove/backtest.ts'

const PRESETS = ['market']

/** Writes `sluice.yaml` into `folder` and gives its path. A file that is there already is left alone (EXISTS). */
export async function initialise(preset: string, folder: string, data?: string): Promise<string[]> {
  if (!PRESETS.includes(preset))
    throw usageError('PRESET', `there is no preset ${preset}; there is ${PRESETS.join(', ')}`)
  const file = join(folder, 'sluice.yaml')
  if (existsSync(file)) throw usageError('EXISTS', `${file} is there already`, { next: 'another folder, or remove it' })
  const found = data === undefined ? simulated : await inspect(resolve(data), folder)
  writeAtomic(file, marketConfig(found))
  return [file]
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

const marketConfig = ({
  name,
  source,
  timeframe,
  periods,
}: Found): string => `# A model for ${name}. Run it: sluice run -c sluice.yaml
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
  folds: 5

models:                          # 16 candidates: logistic, random_forest, xgboost, lightgbm, four of each
  - { kind: preset, name: grid_16 }

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
