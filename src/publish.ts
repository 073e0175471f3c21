// What a run leaves in its folder: predictions, trades, equity and the report. All of it follows from the story; nothing is decided here.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import type { Context } from './base/context.ts'
import type { Run } from './base/runs.ts'
import { type Column, endToEnd, type Table } from './base/table.ts'
import type { Config } from './config.ts'
import { writeTable } from './data/files.ts'
import type { IngestResult } from './data/ingest.ts'
import { type Dataset, partSizes, readDataset } from './learn/dataset.ts'
import { indices, type Range, size } from './learn/split.ts'
import type { Fit, Trained } from './learn/train.ts'
import { partOf, type Selected, trade, validPredictions } from './prove/contest.ts'
import { historyOf } from './prove/history.ts'
import { outcomeOf } from './prove/outcome.ts'
import { type PooledBacktest, type PooledTrade, poolBuyAndHold } from './prove/pool.ts'
import { REPORT_FORMAT, type ReportData, renderReport } from './prove/report.ts'
import { robustnessOf } from './prove/robustness.ts'
import { act, decidedClasses, type Predicted } from './prove/select.ts'
import { testPredictions, type Verdict } from './prove/verdict.ts'
import type { Registered } from './registry/register.ts'

export type Status = 'deployed' | 'registered' | 'refused'

/** What a run was made of, for the files and the summary. */
export interface Story {
  config: Config
  run: Run
  table: IngestResult
  dataset: Dataset
  trained: Trained[]
  selected: Selected
  verdict: Verdict
  version: Registered
  status: Status
}

export interface RunFiles {
  report: string
  predictions: string
  trades: string
  equity: string
}

export const runFolder = (home: string, run: string): string => join(home, 'runs', run)

/** Writes predictions.parquet, trades.csv, equity.csv (both without rows for a table), report.json and report.html into the run's folder and gives their paths. */
export async function publish(story: Story, context: Context): Promise<RunFiles> {
  const folder = runFolder(context.home, story.run.id)
  mkdirSync(folder, { recursive: true })
  const files = {
    report: join(folder, 'report.html'),
    predictions: join(folder, 'predictions.parquet'),
    trades: join(folder, 'trades.csv'),
    equity: join(folder, 'equity.csv'),
  }
  const test = await testPart(story)
  await writeTable(await predictionTable(story), files.predictions)
  await writeTable(tradeTable(test?.traded?.ours.trades ?? [], story.table.symbols), files.trades)
  await writeTable(equityTable(test?.traded), files.equity)
  const data = await reportData(story, test, context)
  writeAtomic(join(folder, 'report.json'), JSON.stringify(data))
  writeAtomic(files.report, await renderReport(data))
  return files
}

type Test = NonNullable<Awaited<ReturnType<typeof testPart>>>

/** The test part as the verdict saw it, and what was traded on it. */
async function testPart({ dataset, verdict, selected, config }: Story) {
  const { test } = dataset.split
  if (!test.length) return null
  const { label, market } = partOf(dataset, await readDataset(dataset), test, config.backtest)
  const predicted = await testPredictions(dataset, verdict.proven)
  const traded = market && {
    time: market.time,
    ours: trade(dataset, market, predicted, selected.selected.threshold!, config.backtest),
    held: poolBuyAndHold(market, config.backtest),
  }
  return { label, predicted, traded }
}

interface Block {
  part: string
  fold: number
  ranges: Range[]
  predicted: Predicted
}

/** Every out-of-fold validation row, then every test row. */
async function blocksOf({ dataset, trained, selected, verdict }: Story): Promise<Block[]> {
  const { folds, test } = dataset.split
  const { fits } = trained.find(({ id }) => id === selected.selected.id)!
  const blocks = folds.map(async (fold, i) => ({
    part: 'valid',
    fold: i,
    ranges: fold.valid,
    predicted: await validPredictions(dataset, fits[i], i),
  }))
  const last = { part: 'test', fold: folds.length - 1, ranges: test }
  return [
    ...(await Promise.all(blocks)),
    ...(test.length ? [{ ...last, predicted: await testPredictions(dataset, verdict.proven) }] : []),
  ]
}

/**
 * `p` is the probability of class 1, the highest of several classes, or the prediction; several classes have `p_NAME` each and the `predicted` one.
 * What a table does not have (a time, a symbol, a signal) is empty; without a time `row` is a row's number in the table.
 */
async function predictionTable(story: Story): Promise<Table> {
  const { dataset, selected, config } = story
  const { time, label, symbol } = await readDataset(dataset)
  const blocks = await blocksOf(story)
  const rows = blocks.flatMap(({ ranges }) => [...indices(ranges)])
  const whole = blocks[0].predicted.map((_, k) => endToEnd(blocks.map(({ predicted }) => predicted[k])))
  const each = <T>(value: (block: Block) => T) =>
    blocks.flatMap(block => new Array<T>(size(block.ranges)).fill(value(block)))
  const number = (name: string, values: Iterable<number>) => ({
    name,
    type: 'number' as const,
    values: Float64Array.from(values),
  })
  const none = new Float64Array(rows.length).fill(Number.NaN)
  const when = Float64Array.from(rows, row => time[row])
  const { threshold } = selected.selected
  const signal = dataset.market ? act(dataset, whole, threshold!, config.backtest.mode) : none
  return {
    rows: rows.length,
    columns: [
      { name: 'time', type: 'time', values: dataset.timed ? when : none },
      { name: 'symbol', type: 'string', values: rows.map(row => symbol?.[row] ?? null) },
      { name: 'part', type: 'string', values: each(({ part }) => part) },
      number(
        'fold',
        each(({ fold }) => fold),
      ),
      labelColumn(
        'y',
        dataset,
        Float64Array.from(rows, row => label[row]),
      ),
      number('p', dataset.task === 'multiclass' ? highest(whole) : whole.at(-1)!),
      number('signal', signal),
      ...(dataset.timed ? [] : [number('row', when)]),
      ...(dataset.task === 'multiclass'
        ? [
            labelColumn('predicted', dataset, decidedClasses(dataset, whole)),
            ...whole.map((column, k) => number(`p_${dataset.classNames[k]}`, column)),
          ]
        : []),
    ],
  }
}

/** Labels as the table has them: numbers, or the words that classes stand for. */
function labelColumn(name: string, { classes, classNames }: Dataset, values: Float64Array): Column {
  if (classes.every((value, k) => String(value) === classNames[k])) return { name, type: 'number', values }
  const words = new Map(classes.map((value, k) => [value, classNames[k]]))
  return { name, type: 'string', values: Array.from(values, value => words.get(value)!) }
}

const highest = (predicted: Predicted) => predicted[0].map((_, i) => Math.max(...predicted.map(column => column[i])))

/** `symbols` are those of the table: with one there is no column that says which. */
export function tradeTable(trades: PooledTrade[], symbols: string[]): Table {
  const number = (name: Exclude<keyof PooledTrade, 'symbol'>, type: 'time' | 'number' = 'number') => ({
    name,
    type,
    values: Float64Array.from(trades, trade => trade[name]),
  })
  return {
    rows: trades.length,
    columns: [
      ...(symbols.length > 1
        ? [{ name: 'symbol', type: 'string' as const, values: trades.map(({ symbol }) => symbol) }]
        : []),
      number('entry_bar'),
      number('exit_bar'),
      number('entry_time', 'time'),
      number('exit_time', 'time'),
      number('entry_price'),
      number('exit_price'),
      number('units'),
      number('pnl'),
      number('return'),
    ],
  }
}

/** What was traded together, and the same market held. */
export interface Traded {
  time: Float64Array
  ours: PooledBacktest
  held: PooledBacktest
}

export function equityTable(traded: Traded | undefined): Table {
  const none = new Float64Array(0)
  const time = traded?.time ?? none
  return {
    rows: time.length,
    columns: [
      { name: 'time', type: 'time', values: time },
      { name: 'equity', type: 'number', values: traded?.ours.equity ?? none },
      { name: 'benchmark', type: 'number', values: traded?.held.equity ?? none },
    ],
  }
}

/** What a network's export took, and what 8 bits cost it. */
function exported({ metrics }: Fit): { name: string; value: string }[] {
  const { export_seconds: seconds, float32_loss: before, int8_loss: after } = metrics
  const lines: { name: string; value: string }[] = []
  if (typeof seconds === 'number') lines.push({ name: 'export', value: `${seconds.toFixed(1)} s` })
  if (typeof before === 'number' && typeof after === 'number')
    lines.push({ name: 'loss in 8 bits', value: `${after.toPrecision(4)}, as trained ${before.toPrecision(4)}` })
  return lines
}

async function reportData(story: Story, test: Test | null, context: Context): Promise<ReportData> {
  const { run, config, table, dataset, selected, verdict, version, status } = story
  const { proven, parity } = verdict
  return {
    format: REPORT_FORMAT,
    run: run.id,
    name: config.name,
    created: context.now(),
    status,
    version: version.version,
    task: dataset.task,
    market: dataset.market,
    mode: config.backtest.mode,
    data: {
      table: table.table,
      version: table.version,
      digest: table.digest,
      rows: table.rows,
      from: dataset.timed ? dataset.from : null,
      to: dataset.timed ? dataset.to : null,
      symbols: table.symbols,
      timeframe: dataset.timed ? (table.timeframe ?? 'irregular') : '',
    },
    rows: partSizes(dataset.split),
    refit: config.refit,
    selected: { ...selected.selected, iterations: proven.iterations },
    by: config.select.by,
    leaderboard: selected.leaderboard,
    grid: selected.grid,
    folds: selected.folds,
    spread: selected.spread,
    test: test?.traded
      ? {
          cash: config.backtest.cash,
          time: [...test.traded.time],
          equity: [...test.traded.ours.equity],
          benchmark: [...test.traded.held.equity],
        }
      : null,
    outcome: test && outcomeOf(dataset, test.label, test.predicted, selected.selected.threshold),
    symbols: verdict.symbols,
    importances: proven.importances,
    robustness: await robustnessOf(dataset, proven, config.seed, context),
    history: historyOf(proven),
    verdict: {
      pass: verdict.pass && !version.failed.length,
      gates: [...verdict.gates, ...version.failed].map(({ name, value, bound, pass, reason }) => ({
        name,
        value,
        bound,
        pass,
        reason: reason ?? undefined,
      })),
      explanation: verdict.explanation,
      test_looks: verdict.test_looks,
    },
    metrics: verdict.metrics,
    backtest: verdict.backtest,
    benchmark: verdict.benchmark,
    lineage: [
      { name: 'run', value: run.id },
      {
        name: 'git commit',
        value: run.git.commit
          ? `${run.git.commit}${run.git.dirty ? ' (with uncommitted changes)' : ''}`
          : 'not in a git repository',
      },
      { name: 'table', value: `${table.table}@${table.version} ${table.digest}` },
      { name: 'dataset', value: dataset.digest },
      { name: 'model', value: `${version.name}@${version.version} ${version.digest}` },
      { name: 'seed', value: String(config.seed) },
      {
        name: 'parity over rows',
        value: `${parity.rows}: native to ONNX ${parity.native_python.toExponential(1)} in Python, ${parity.native_node.toExponential(1)} in Node`,
      },
      ...exported(proven),
      ...Object.entries(verdict.engine).map(([name, value]) => ({ name, value })),
    ],
    stages: run.stages,
    warnings: [...table.warnings.map(({ message }) => message), ...dataset.warnings],
  }
}
