// GATE: the one look at the test part. The selected recipe's proven fit predicts it, the backtest and the gates judge.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from '../base/context.ts'
import { engineError } from '../base/errors.ts'
import { loadModel } from '../base/onnx.ts'
import { type Dataset, readDataset } from '../learn/dataset.ts'
import { indices, type Range, size } from '../learn/split.ts'
import { type Fit, fitOnce, rowsOf, scores, type Trained } from '../learn/train.ts'
import { type BacktestOptions, type Bars, backtest, buyAndHold } from './backtest.ts'
import { figuresOf, fixedYear, readPart, type Selected } from './contest.ts'
import { explainRefusal, type GateResult, type Gates, type Verdict as Judged, judge } from './gate.ts'
import { countLook, type Series } from './looks.ts'
import { excessSharpeProbability } from './luck.ts'
import type { Figures } from './metrics.ts'
import { signals } from './select.ts'

export interface Verdict {
  pass: boolean
  gates: GateResult[]
  /** In words: by how much each failed gate failed, and what would have to be true to pass. */
  explanation: string[]
  metrics: { valid: Figures; test: Figures }
  backtest: Figures
  benchmark: Figures
  /** The fit that was judged, exported. */
  proven: Fit
  parity: Parity
  /** How often test bars of this series that overlap these have been looked at, this time included. */
  test_looks: number
  /** Of Python and its libraries, which fitted the model. */
  engine: Record<string, string>
}

/** Largest differences of probabilities over `rows` rows. */
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

/** Trees compare exactly and add up; linear models multiply in another order. */
const PARITY_BOUND: Record<string, number> = { logistic: 1e-5 }
const TREE_BOUND = 1e-6

/** The fit that is judged, and that it is what it seems. */
type Proof = Pick<Verdict, 'proven' | 'parity' | 'engine'>

type Judgement = Omit<Verdict, keyof Proof>

/** Judges the selected recipe, fitted on the last fold's training rows, on the test part. Without a test part only `valid.` gates are held. */
export async function judgeSelected(
  dataset: Dataset,
  trained: Trained[],
  chosen: Selected,
  config: GateConfig,
  { run, seed, series }: { run: string; seed: number; series: Series },
  context: Context,
): Promise<Verdict> {
  const proof = await prove(dataset, trained, chosen, seed, context)
  const judgement = dataset.split.test.length
    ? await lookAtTest(dataset, chosen, proof, config, { run, ...series }, context)
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
  const proven = await fitOnce(dataset, { recipe: { kind, params, seed }, rows, export: true }, context)
  await checkReproduced(dataset, trained.find(candidate => candidate.id === id)!.fits.at(-1)!, proven)
  const parity = await measureParity(dataset, proven, kind, rows.predict)
  return { proven, parity, engine: await context.engine.versions() }
}

async function lookAtTest(
  dataset: Dataset,
  { selected, metrics }: Selected,
  { proven, parity }: Proof,
  config: GateConfig,
  looker: Series & { run: string },
  context: Context,
): Promise<Judgement> {
  const { test, folds } = dataset.split
  const part = await readPart(dataset, test)
  const test_looks = await countLook({ ...looker, from: part.bars.time[0], to: dataset.to }, context)
  const p = (await scores(proven, dataset)).subarray(size(folds.at(-1)!.valid))
  const options = fixedYear(config.backtest, dataset)
  const { figures, benchmark, returns, trades } = tested(part.bars, p, selected.threshold, options)
  const predicted = figuresOf(part, p, selected.threshold)
  const known = { ...predicted, ...figures, deflated_sharpe: metrics.deflated_sharpe, ...validated(metrics) }
  const verdict = withGates(judge(known, config.gates), failedParity(parity))
  return {
    ...verdict,
    explanation: explainRefusal(verdict, { returns, trades, periodsPerYear: options.periods_per_year }),
    metrics: { valid: metrics, test: predicted },
    backtest: figures,
    benchmark,
    test_looks,
  }
}

/** Holds the gates that need no test part. */
export function withoutTest(
  { metrics }: Pick<Selected, 'metrics'>,
  { parity }: Pick<Proof, 'parity'>,
  gates: Gates,
): Judgement {
  const held = Object.fromEntries(Object.entries(gates).filter(([name]) => name.startsWith('valid.')))
  const verdict = withGates(judge(validated(metrics), held), failedParity(parity))
  return {
    ...verdict,
    explanation: [
      'there is no test part (two ratios): gates on it cannot be held, so the model is registered at most',
      ...explainRefusal(verdict),
    ],
    metrics: { valid: metrics, test: {} },
    backtest: {},
    benchmark: {},
    test_looks: 0,
  }
}

/** The figures of the validation part as gates name them. */
const validated = (metrics: Figures): Figures =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`valid.${name}`, value]))

/** A verdict that holds more gates than the config's. */
const withGates = ({ pass, gates }: Judged, more: GateResult[]): Judged => ({
  pass: pass && more.every(gate => gate.pass),
  gates: [...gates, ...more],
})

function tested(bars: Bars, p: Float32Array, threshold: number, options: BacktestOptions) {
  const ours = backtest(bars, signals(p, threshold, options.mode), options)
  const market = buyAndHold(bars, options)
  const excess = excessSharpeProbability(ours.returns, market.returns, ours.meanPosition)
  return {
    figures: { ...ours.metrics, excess_sharpe_probability: excess },
    benchmark: market.metrics,
    returns: ours.returns,
    trades: ours.trades.length,
  }
}

/** The exported fit is a second one of the same recipe and rows: equal seeds must give equal bits. */
async function checkReproduced(dataset: Dataset, first: Fit, second: Fit): Promise<void> {
  const [a, b] = await Promise.all([first, second].map(fit => scores(fit, dataset)))
  const odd = a.findIndex((value, i) => value !== b[i])
  if (odd >= 0)
    throw engineError(
      'NOT_REPRODUCED',
      `the same recipe gave ${a[odd]} and then ${b[odd]} for validation row ${odd + 1}: the engine is not deterministic here`,
    )
}

/** How far native, onnxruntime in Python and onnxruntime in Node are apart on the rows that a fit predicted. */
export async function measureParity(dataset: Dataset, fit: Fit, kind: string, ranges: Range[]): Promise<Parity> {
  const [native, python] = await Promise.all([scores(fit, dataset), scores(fit, dataset, 'onnx')])
  const node = await predictOnnx(dataset, readFileSync(join(fit.folder, 'model.onnx')), ranges)
  return {
    native_python: distance(native, python),
    native_node: distance(native, node),
    bound: PARITY_BOUND[kind] ?? TREE_BOUND,
    rows: native.length,
  }
}

/** The gate that no config takes away: what is served must be what was judged. Shown only where it fails. */
export function failedParity({ native_python, native_node, bound }: Parity): GateResult[] {
  const worst = Math.max(native_python, native_node)
  return worst <= bound ? [] : judge({ parity: worst }, { parity: `<= ${bound}` }).gates
}

/** Probability of the last class for rows of a dataset, by onnxruntime in this process. */
async function predictOnnx(dataset: Dataset, bytes: Uint8Array, ranges: Range[]): Promise<Float32Array> {
  const model = await loadModel(bytes)
  try {
    const rows = indices(ranges)
    const { features } = await readDataset(dataset)
    const vectors = new Float32Array(rows.length * features.length)
    for (const [j, values] of features.entries())
      for (let i = 0; i < rows.length; i++) vectors[i * features.length + j] = values[rows[i]]
    const output = await model.run(vectors, rows.length)
    return Float32Array.from({ length: rows.length }, (_, i) => output[i * model.columns + model.columns - 1])
  } finally {
    await model.close()
  }
}

function distance(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let worst = 0
  // A NaN on either side is no agreement.
  for (let i = 0; i < a.length; i++)
    worst =
      a[i] === b[i]
        ? worst
        : Math.max(worst, Number.isNaN(a[i] - b[i]) ? Number.POSITIVE_INFINITY : Math.abs(a[i] - b[i]))
  return worst
}
