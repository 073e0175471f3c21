// A home with a signed bundle around one of the models in test/models.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { openDatabase } from '../../src/base/database.ts'
import type { Fit } from '../../src/learn/train.ts'
import type { Verdict } from '../../src/prove/verdict.ts'
import { type BundleFile, type BundleManifest, bundleFolder, writeBundle } from '../../src/registry/bundle.ts'
import { signingKey } from '../../src/registry/keys.ts'
import { addVersion } from '../../src/registry/versions.ts'

const MODELS = new URL('../models/', import.meta.url)

export type Kind = 'logistic' | 'trees' | 'multiclass' | 'linear'
export type SequenceKind = 'gru' | 'lstm' | 'attention' | 'convolution' | 'quantized'

export const modelFile = (name: string): Uint8Array => readFileSync(new URL(`${name}.onnx`, MODELS))

/** A verdict that passed, on a fit, with nothing else in it. */
export const passed = (proven: Fit, parity: Verdict['parity']): Verdict => ({
  pass: true,
  gates: [],
  explanation: [],
  metrics: { valid: {}, test: {} },
  backtest: {},
  benchmark: {},
  symbols: [],
  proven,
  parity,
  test_looks: 1,
  engine: {},
})

/** What the library that fitted a model answers for rows; null is a missing value. */
export const expected: Record<Kind, { rows: (number | null)[][]; answer: number[][] }> = JSON.parse(
  readFileSync(new URL('expected.json', MODELS), 'utf8'),
)

/** What onnxruntime in Python answers for sequences of rows; null is a missing value. */
export const expectedSequences: Record<SequenceKind, { sequences: (number | null)[][][]; answer: number[][] }> =
  JSON.parse(readFileSync(new URL('sequences.json', MODELS), 'utf8'))

export const isSequence = (kind: string): kind is SequenceKind => kind in expectedSequences

const TASKS = {
  logistic: { task: 'binary', classes: [0, 1], output: 'probability' },
  trees: { task: 'binary', classes: [0, 1], output: 'probability' },
  multiclass: { task: 'multiclass', classes: ['down', 'flat', 'up'], output: 'probability' },
  linear: { task: 'regression', classes: [], output: 'prediction' },
  gru: { task: 'binary', classes: [0, 1], output: 'probability' },
  lstm: { task: 'regression', classes: [], output: 'prediction' },
  attention: { task: 'multiclass', classes: ['down', 'flat', 'up'], output: 'probability' },
  convolution: { task: 'binary', classes: [0, 1], output: 'probability' },
  quantized: { task: 'regression', classes: [], output: 'prediction' },
} as const

export type Content = Omit<BundleManifest, 'files' | 'format'>

export function content(kind: Kind | SequenceKind, changes: Partial<Content> = {}): Content {
  const { task, classes, output } = TASKS[kind]
  const [row] = isSequence(kind) ? expectedSequences[kind].sequences[0] : expected[kind].rows
  const nullable = isSequence(kind) || kind === 'trees' || kind === 'multiclass'
  const fit = { dataset: 'd', rows: 400, from: 0, to: 1, model: 'm' }
  return {
    name: 'demo',
    version: 1,
    created: 1_700_000_000_000,
    run: null,
    task,
    classes: [...classes],
    model: { kind, params: {}, seed: 7, iterations: null },
    input: {
      name: 'features',
      ...(isSequence(kind) && { length: expectedSequences[kind].sequences[0].length }),
      features: row.map((_, i) => ({ name: `f${i}`, nullable })),
    },
    output,
    decision: task === 'multiclass' ? null : { threshold: 0.5, mode: 'long' },
    features: [],
    timeframe: '1d',
    label: { kind: 'touch', horizon: 5, threshold: 0.01 },
    data: { schema: 'candles', table: 'demo', version: 1, digest: 'd', rows: 400, from: null, to: null, columns: [] },
    proven: fit,
    shipped: { ...fit, refit: 'none' },
    metrics: { valid: { roc_auc: 0.9 }, test: null },
    backtest: null,
    benchmark: null,
    gates: [],
    test_looks: 1,
    parity: { native_python: 0, native_node: 0, rows: 0 },
    engine: { versions: {} },
    git: { commit: null, dirty: null },
    ...changes,
  }
}

export const filesOf = (kind: string): BundleFile[] => [{ name: 'model.onnx', bytes: modelFile(kind) }]

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A home with an empty store in memory. */
export function openHome() {
  const home = temporaryFolder()
  const database = openDatabase(':memory:')
  onTestFinished(() => database.destroy())
  return { home, database, now: () => 1_700_000_000_000 }
}

type Home = Pick<ReturnType<typeof openHome>, 'home' | 'database'>

/** Signs a bundle with the home's key and adds its row. */
export async function register(
  { home, database }: Home,
  kind: Kind | SequenceKind,
  changes: Partial<Content> = {},
  status: 'registered' | 'refused' = 'registered',
) {
  const manifest = content(kind, changes)
  const { name, version, created, run } = manifest
  const digest = await writeBundle(bundleFolder(home, name, version), manifest, filesOf(kind), signingKey(home))
  return addVersion(database, { name, version, digest, status, run, manifest: JSON.stringify(manifest), created })
}

/** Row objects as a request has them. */
export const rowsOf = (kind: Kind): Record<string, number | null>[] =>
  expected[kind].rows.map(row => Object.fromEntries(row.map((value, i) => [`f${i}`, value])))
