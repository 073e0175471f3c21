// GATE: the one look at the test part. The selected recipe's proven fit predicts it; the backtest or the skill is held to the gates.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../base/context.ts'
import { engineError } from '../base/errors.ts'
import { loadModel } from '../base/onnx.ts'
import { variance } from '../base/statistics.ts'
import { endToEnd } from '../base/table.ts'
import { type Dataset, type DatasetRows, readDataset, vectors } from '../learn/dataset.ts'
import { isNetwork } from '../learn/networks.ts'
import { indices, type Range, size } from '../learn/split.ts'
import { type Fit, fitOnce, predictions, rowsOf, type Trained } from '../learn/train.ts'
import type { BacktestOptions } from './backtest.ts'
import { figuresOf, type Part, partOf, type Selected, trade, validPredictions } from './contest.ts'
import { type Evidence, explainRefusal, type GateResult, type Gates, type Verdict as Judged, judge } from './gate.ts'
import { countLook, type Looked } from './looks.ts'
import { excessSharpeProbability } from './luck.ts'
import type { Figures } from './metrics.ts'
import { type Market, poolBuyAndHold } from './pool.ts'
import type { Predicted } from './select.ts'
import { skill } from './skill.ts'

export interface Verdict {
  pass: boolean
  gates: GateResult[]
  /** In words: by how much each failed gate failed, and what would have to be true to pass. */
  explanation: string[]
  metrics: { valid: Figures; test: Figures }
  /** Both empty for a table. */
  backtest: Figures
  benchmark: Figures
  /** Of each symbol, where there are several. */
  symbols: SymbolFigures[]
  /** The fit that was judged, exported. */
  proven: Fit
  parity: Parity
  /** How often test rows that overlap these have been looked at, this time included. */
  test_looks: number
  /** Of Python and its libraries, which fitted the model. */
  engine: Record<string, string>
}

/** The test part of one symbol. */
export interface SymbolFigures {
  symbol: string
  rows: number
  metrics: Figures
  backtest: Figures
  benchmark: Figures
}

/** Largest differences in any column of the predictions over `rows` rows, relative above 1; of a network also above the deviation of the column. */
export interface Parity {
  native_python: number
  native_node: number
  bound: number
  rows: number
}

export interface GateConfig {
  gates: Gates
  backtest: BacktestOptions
}

/** Who looks at the test rows of what; `seed` is that of the fit and of the bootstrap. */
export interface Looker {
  run: string
  seed: number
  looked: Looked
}

/** Values that a model is handed at once. */
const VALUES_AT_ONCE = 1 << 22

/** Trees compare exactly and add up; all else multiplies, each library in its own order. */
const TREES = ['random_forest', 'xgboost', 'lightgbm', 'catboost']
const parityBound = (kind: string): number => (TREES.includes(kind) ? 1e-6 : 1e-5)

/** The fit that is judged, and that it is what it seems. */
type Proof = Pick<Verdict, 'proven' | 'parity' | 'engine'>

type Judgement = Omit<Verdict, keyof Proof>

/** Judges the selected recipe, fitted on the last fold's training rows, on the test part. Without a test part only `valid.` gates are held. */
export async function judgeSelected(
  dataset: Dataset,
  trained: Trained[],
  chosen: Selected,
  config: GateConfig,
  looker: Looker,
  context: Context,
): Promise<Verdict> {
  const proof = await prove(dataset, trained, chosen, looker.seed, context)
  const judgement = dataset.split.test.length
    ? await lookAtTest(dataset, chosen, proof, config, looker, context)
    : withoutTest(chosen, proof, config.gates)
  return { ...judgement, ...proof }
}

/** Fits the recipe once more, exports it, and holds the three ways to read it against each other. */
async function prove(
  dataset: Dataset,
  trained: Trained[],
  { selected: { kind, params, id } }: Selected,
  seed: number,
  context: Context,
): Promise<Proof> {
  const fold = dataset.split.folds.at(-1)!
  const rows = rowsOf(params, fold, [...fold.valid, ...dataset.split.test])
  const first = trained.find(candidate => candidate.id === id)!.fits.at(-1)!
  const again = { recipe: { kind, params, seed }, rows, export: true, ...(isNetwork(kind) && { trained: first }) }
  const proven = await fitOnce(dataset, again, context)
  await checkReproduced(dataset, first, proven)
  const parity = await measureParity(dataset, proven, kind, rows.predict)
  return { proven, parity, engine: await context.engine.versions() }
}

async function lookAtTest(
  dataset: Dataset,
  { selected: { threshold }, metrics }: Selected,
  { proven, parity }: Proof,
  config: GateConfig,
  { run, seed, looked }: Looker,
  context: Context,
): Promise<Judgement> {
  const data = await readDataset(dataset)
  const part = partOf(dataset, data, dataset.split.test, config.backtest)
  const span = dataset.timed ? { from: data.time[dataset.split.test[0][0]], to: dataset.to } : EVERY_ROW
  const test_looks = await countLook({ run, ...looked, ...span }, context)
  const predicted = await testPredictions(dataset, proven)
  const figures = figuresOf(dataset, part.label, predicted, threshold)
  const found = part.market
    ? onMarket(dataset, { ...part, market: part.market }, predicted, threshold!, config.backtest)
    : { metrics: { skill: skillOf(dataset, data, part, predicted, seed) }, backtest: {}, benchmark: {}, symbols: [] }
  const test = { ...figures, ...found.metrics }
  const known = { ...test, ...found.backtest, ...deflated(metrics), ...validated(metrics) }
  const verdict = withGates(judge(known, config.gates), standingGates(proven, parity))
  return {
    ...verdict,
    explanation: explainRefusal(verdict, found.evidence),
    metrics: { valid: metrics, test },
    backtest: found.backtest,
    benchmark: found.benchmark,
    symbols: found.symbols,
    test_looks,
  }
}

/** Rows without a time are drawn into parts: any two looks at their table overlap. */
const EVERY_ROW = { from: 0, to: Number.MAX_SAFE_INTEGER }

/** What the proven fit says of the test rows, which it predicted after those of the last validation block. */
export async function testPredictions(dataset: Dataset, proven: Fit): Promise<Predicted> {
  const before = size(dataset.split.folds.at(-1)!.valid)
  return (await predictions(proven, dataset)).map(column => column.subarray(before))
}

interface Found extends Pick<Judgement, 'backtest' | 'benchmark' | 'symbols'> {
  /** Figures of the test part that are neither of the backtest nor among the metrics of the task. */
  metrics: Figures
  evidence?: Evidence
}

function onMarket(
  dataset: Dataset,
  { label, market }: Required<Part>,
  predicted: Predicted,
  threshold: number,
  options: BacktestOptions,
): Found {
  const ours = trade(dataset, market, predicted, threshold, options)
  const held = poolBuyAndHold(market, options)
  const excess = excessSharpeProbability(ours.returns, held.returns, ours.meanPosition)
  const figuresOfSymbol = ({ symbol, rows }: Market['series'][number], i: number): SymbolFigures => ({
    symbol,
    rows: rows.length,
    metrics: figuresOf(
      dataset,
      Float64Array.from(rows, row => label[row]),
      predicted.map(column => Float32Array.from(rows, row => column[row])),
      threshold,
    ),
    backtest: ours.symbols[i].backtest.metrics,
    benchmark: held.symbols[i].backtest.metrics,
  })
  return {
    metrics: {},
    backtest: { ...ours.metrics, excess_sharpe_probability: excess },
    benchmark: held.metrics,
    symbols: market.series.length > 1 ? market.series.map(figuresOfSymbol) : [],
    evidence: { returns: ours.returns, trades: ours.trades.length, periodsPerYear: market.perYear },
  }
}

/** The lower end of the skill against a guess that knows the training rows of the proven fit. */
function skillOf(dataset: Dataset, data: DatasetRows, { label }: Part, predicted: Predicted, seed: number) {
  const { task, classes, split } = dataset
  const learned = Float64Array.from(indices(split.folds.at(-1)!.train), row => data.label[row])
  return skill({ task, classes, learned, label, predicted }, { seed }).lower
}

/** Holds the gates that need no test part. */
export function withoutTest(
  { metrics }: Pick<Selected, 'metrics'>,
  { proven, parity }: Pick<Proof, 'proven' | 'parity'>,
  gates: Gates,
): Judgement {
  const held = Object.fromEntries(Object.entries(gates).filter(([name]) => name.startsWith('valid.')))
  const verdict = withGates(judge(validated(metrics), held), standingGates(proven, parity))
  return {
    ...verdict,
    explanation: [
      'there is no test part (two ratios): gates on it cannot be held, so the model is registered at most',
      ...explainRefusal(verdict),
    ],
    metrics: { valid: metrics, test: {} },
    backtest: {},
    benchmark: {},
    symbols: [],
    test_looks: 0,
  }
}

/** The figures of the validation part as gates name them. */
const validated = (metrics: Figures): Figures =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`valid.${name}`, value]))

/** Of validation, and gated on by its own name. */
const deflated = ({ deflated_sharpe }: Figures): Figures => (deflated_sharpe === undefined ? {} : { deflated_sharpe })

/** A verdict that holds more gates than the config's. */
const withGates = ({ pass, gates }: Judged, more: GateResult[]): Judged => ({
  pass: pass && more.every(gate => gate.pass),
  gates: [...gates, ...more],
})

/** The exported fit is a second one of the same recipe and rows: equal seeds must give equal bits. */
async function checkReproduced(dataset: Dataset, first: Fit, second: Fit): Promise<void> {
  const last = dataset.split.folds.length - 1
  const [a, b] = await Promise.all([first, second].map(fit => validPredictions(dataset, fit, last)))
  for (const [k, column] of a.entries()) {
    const odd = column.findIndex((value, i) => value !== b[k][i])
    if (odd >= 0)
      throw engineError(
        'NOT_REPRODUCED',
        `the same recipe gave ${column[odd]} and then ${b[k][odd]} for validation row ${odd + 1}: the engine is not deterministic here`,
      )
  }
}

/** How far native, onnxruntime in Python and onnxruntime in Node are apart on the rows that a fit predicted. */
export async function measureParity(dataset: Dataset, fit: Fit, kind: string, ranges: Range[]): Promise<Parity> {
  const [native, python] = await Promise.all([predictions(fit, dataset), predictions(fit, dataset, 'onnx')])
  const node = await predictOnnx(dataset, readFileSync(join(fit.folder, 'model.onnx')), ranges)
  // What a network says near 0 of a wide column was computed in float32 at the column's size.
  const unitOf = (column: Float32Array) => (isNetwork(kind) ? Math.max(1, Math.sqrt(variance(column))) : 1)
  return {
    native_python: distance(native, python, unitOf),
    native_node: distance(native, node, unitOf),
    bound: parityBound(kind),
    rows: native[0].length,
  }
}

/** The gates that no config takes away: what is served must be what was judged, and 8 bits must not cost more than they are worth. Parity is shown only where it fails. */
export function standingGates({ metrics }: Fit, { native_python, native_node, bound }: Parity): GateResult[] {
  const worst = Math.max(native_python, native_node)
  const parity = worst <= bound ? [] : judge({ parity: worst }, { parity: `<= ${bound}` }).gates
  const { int8_loss_change: change } = metrics
  return change === undefined ? parity : [...parity, ...judge({ int8_loss_change: change }, INT8).gates]
}

/** How much larger the loss in 8 bits may be than that of the network as it was trained. */
const INT8: Gates = { int8_loss_change: '<= 0.01' }

/** Every column of the predictions for rows of a dataset, by onnxruntime in this process. */
async function predictOnnx(dataset: Dataset, bytes: Uint8Array, ranges: Range[]): Promise<Predicted> {
  const model = await loadModel(bytes)
  try {
    const { columns, length, features } = model
    const data = await readDataset(dataset, length)
    const all = indices(ranges)
    const block = Math.max(1, Math.floor(VALUES_AT_ONCE / (length * features)))
    const made: Float32Array[] = []
    for (let from = 0; from < all.length; from += block) {
      const rows = all.subarray(from, from + block)
      made.push(await model.run(vectors(dataset, data, rows, length), rows.length))
    }
    const output = endToEnd(made)
    return Array.from({ length: columns }, (_, k) => Float32Array.from(all, (_, i) => output[i * columns + k]))
  } finally {
    await model.close()
  }
}

/** The largest difference of a parity, relative above the unit of a column; infinite where the shapes differ, or one side has no value. */
export function distance(a: Predicted, b: Predicted, unitOf: (column: Float32Array) => number = () => 1): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  return a.reduce((worst, column, k) => Math.max(worst, columnDistance(column, b[k], unitOf(column))), 0)
}

function columnDistance(a: Float32Array, b: Float32Array, unit: number): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let worst = 0
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i]) continue
    const apart = Math.abs(a[i] - b[i]) / Math.max(unit, Math.abs(a[i]))
    // A NaN on either side is no agreement.
    worst = Math.max(worst, Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart)
  }
  return worst
}
