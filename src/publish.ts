// What a run leaves in its folder: predictions, trades, equity and the report. All of it follows from the story; nothing is decided here.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import type { Context } from './base/context.ts'
import type { Run } from './base/runs.ts'
import type { Table } from './base/table.ts'
import type { Config } from './config.ts'
import { writeTable } from './data/files.ts'
import type { IngestResult } from './data/ingest.ts'
import { type Dataset, partSizes, readDataset } from './learn/dataset.ts'
import { indices, type Range, size } from './learn/split.ts'
import { type Fit, scores, type Trained } from './learn/train.ts'
import { backtest, buyAndHold, type Trade } from './prove/backtest.ts'
import { fixedYear, readPart, type Selected } from './prove/contest.ts'
import { type ReportData, renderReport } from './prove/report.ts'
import { signals } from './prove/select.ts'
import type { Verdict } from './prove/verdict.ts'
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

/** Writes predictions.parquet, trades.csv, equity.csv, report.json and report.html into the run's folder and gives their paths. */
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
  await writeTable(tradeTable(test?.ours.trades ?? []), files.trades)
  await writeTable(equityTable(test), files.equity)
  const data = await reportData(story, test, context)
  writeAtomic(join(folder, 'report.json'), JSON.stringify(data))
  writeAtomic(files.report, await renderReport(data))
  return files
}

type Test = NonNullable<Awaited<ReturnType<typeof testPart>>>

/** The backtest of the test part, as the verdict saw it. */
async function testPart({ dataset, verdict, selected, config }: Story) {
  const { test, folds } = dataset.split
  if (!test.length) return null
  const { bars, label } = await readPart(dataset, test)
  const p = (await scores(verdict.proven, dataset)).subarray(size(folds.at(-1)!.valid))
  const options = fixedYear(config.backtest, dataset)
  const ours = backtest(bars, signals(p, selected.selected.threshold, options.mode), options)
  return { bars, label, p, ours, market: buyAndHold(bars, options) }
}

/** Every out-of-fold validation row, then every test row. */
async function predictionTable({ dataset, trained, selected, verdict, config }: Story): Promise<Table> {
  const { folds, test } = dataset.split
  const fits = trained.find(({ id }) => id === selected.selected.id)!.fits
  const blocks: { part: string; fold: number; ranges: Range[]; p: Float32Array }[] = []
  for (const [i, fold] of folds.entries())
    blocks.push({ part: 'valid', fold: i, ranges: fold.valid, p: await probability(dataset, fits[i]) })
  const proven = (await probability(dataset, verdict.proven)).subarray(size(folds.at(-1)!.valid))
  if (test.length) blocks.push({ part: 'test', fold: folds.length - 1, ranges: test, p: proven })

  const { time, label, symbol } = await readDataset(dataset)
  const rows = blocks.flatMap(({ ranges }) => [...indices(ranges)])
  const take = (values: Float64Array) => Float64Array.from(rows, row => values[row])
  const each = <T>(value: (block: (typeof blocks)[number], i: number) => T) =>
    blocks.flatMap(block => Array.from(block.p, (_, i) => value(block, i)))
  const { threshold } = selected.selected
  const acted = blocks.flatMap(({ p }) => [...signals(p, threshold, config.backtest.mode)])
  return {
    rows: rows.length,
    columns: [
      { name: 'time', type: 'time', values: take(time) },
      { name: 'symbol', type: 'string', values: rows.map(row => symbol?.[row] ?? null) },
      { name: 'part', type: 'string', values: each(({ part }) => part) },
      { name: 'fold', type: 'number', values: Float64Array.from(each(({ fold }) => fold)) },
      { name: 'y', type: 'number', values: take(label) },
      { name: 'p', type: 'number', values: Float64Array.from(each(({ p }, i) => p[i])) },
      { name: 'signal', type: 'number', values: Float64Array.from(acted) },
    ],
  }
}

const probability = (dataset: Dataset, fit: Fit) => scores(fit, dataset)

export function tradeTable(trades: Trade[]): Table {
  const number = (name: keyof Trade, type: 'time' | 'number' = 'number') => ({
    name,
    type,
    values: Float64Array.from(trades, trade => trade[name]),
  })
  return {
    rows: trades.length,
    columns: [
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

function equityTable(test: Test | null): Table {
  const number = (name: string, values: Float64Array) => ({ name, type: 'number' as const, values })
  const none = new Float64Array(0)
  return {
    rows: test?.bars.time.length ?? 0,
    columns: [
      { name: 'time', type: 'time', values: test?.bars.time ?? none },
      number('equity', test?.ours.equity ?? none),
      number('benchmark', test?.market.equity ?? none),
    ],
  }
}

async function reportData(story: Story, test: Test | null, context: Context): Promise<ReportData> {
  const { run, config, table, dataset, selected, verdict, version, status } = story
  const { proven, parity } = verdict
  return {
    run: run.id,
    name: config.name,
    created: context.now(),
    status,
    version: version.version,
    task: dataset.task,
    data: {
      table: table.table,
      version: table.version,
      digest: table.digest,
      rows: table.rows,
      from: dataset.from,
      to: dataset.to,
      symbols: table.symbols,
      timeframe: table.timeframe ?? 'irregular',
    },
    rows: partSizes(dataset.split),
    refit: config.refit,
    selected: { ...selected.selected, iterations: proven.iterations },
    by: config.select.by,
    leaderboard: selected.leaderboard,
    grid: selected.grid,
    folds: selected.folds,
    test: test && {
      cash: config.backtest.cash,
      time: [...test.bars.time],
      equity: [...test.ours.equity],
      benchmark: [...test.market.equity],
    },
    calibration: test ? calibration(test.p, test.label) : [],
    importances: proven.importances,
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
      ...Object.entries(verdict.engine).map(([name, value]) => ({ name, value })),
    ],
    stages: run.stages,
    warnings: [...table.warnings.map(({ message }) => message), ...dataset.warnings],
  }
}

const BINS = 10

/** Mean prediction and observed share per tenth of the probability scale; empty bins are left out. */
function calibration(p: Float32Array, label: Float64Array): ReportData['calibration'] {
  const bins = Array.from({ length: BINS }, () => ({ sum: 0, positive: 0, count: 0 }))
  for (let i = 0; i < p.length; i++) {
    const bin = bins[Math.min(BINS - 1, Math.floor(p[i] * BINS))]
    bin.sum += p[i]
    bin.positive += label[i]
    bin.count++
  }
  return bins
    .filter(({ count }) => count > 0)
    .map(({ sum, positive, count }) => ({ mean: sum / count, observed: positive / count, count }))
}
