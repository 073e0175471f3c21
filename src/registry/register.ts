// REGISTER: fits the selected recipe once more on every labelled row (refit: all), checks what is to be shipped, and signs it into a bundle.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sha256 } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import { SluiceError } from '../base/errors.ts'
import { checkOnnx } from '../base/onnx.ts'
import type { GitState } from '../base/runs.ts'
import { spearman } from '../base/statistics.ts'
import type { TableManifest } from '../data/manifest.ts'
import { type FileReading, readingSchema } from '../data/schema.ts'
import { featuresOn } from '../features/build.ts'
import type { FeatureSpec } from '../features/catalog.ts'
import { vocabularyOf } from '../learn/categories.ts'
import { type Dataset, readDataset } from '../learn/dataset.ts'
import { indices, type Range, size } from '../learn/split.ts'
import { type Fit, fitOnce, followed, predictions } from '../learn/train.ts'
import type { Selected } from '../prove/contest.ts'
import { type GateResult, judge } from '../prove/gate.ts'
import type { Predicted } from '../prove/select.ts'
import { measureParity, type Parity, standingGates, type Verdict } from '../prove/verdict.ts'
import { type BundleFile, type BundleManifest, bundleFolder, openBundle, writeBundle } from './bundle.ts'
import { signingKey, trustedKeys } from './keys.ts'
import { addVersion, nextVersion } from './versions.ts'

/** Spearman rank correlation that shipped and proven must have on the test rows, in every class: the same recipe, not another model. */
const RANK_AGREEMENT = 0.5

export interface Registered {
  name: string
  version: number
  /** SHA-256 of the bundle's manifest. */
  digest: string
  status: 'registered' | 'refused'
  /** Gates that the shipped fit failed, where the proven one had passed. */
  failed: GateResult[]
}

export interface Subject {
  name: string
  run: string
  seed: number
  refit: 'none' | 'all'
  mode: 'long' | 'long_short'
  features: FeatureSpec[]
  label: object
  table: TableManifest
  /** How its files were written. */
  reading?: FileReading
  git: GitState
}

/** Registers the selected recipe as the next version: `registered` when the verdict passed, else `refused` (kept, never an alias's target). */
export async function register(
  dataset: Dataset,
  chosen: Selected,
  verdict: Verdict,
  subject: Subject,
  context: Context,
): Promise<Registered> {
  const { shipped, parity, refit, failed } = await fitShipped(dataset, chosen, verdict, subject, context)
  const shipment = { shipped, parity, refit, gates: [...verdict.gates, ...failed] }
  const content = await describe(dataset, chosen, verdict, shipment, subject, context)
  const files = shipped.artefacts
    .filter(({ name }) => name.startsWith('model.'))
    .map(({ name }) => ({ name, bytes: readFileSync(join(shipped.folder, name)) }))
  const manifest = await writeNext(content, files, context)
  const { name, version } = manifest
  const { digest } = await openBundle(bundleFolder(context.home, name, version), trustedKeys(context.home))
  const status = verdict.pass && !failed.length ? 'registered' : 'refused'
  await addVersion(context.database, {
    name,
    version,
    digest,
    status,
    run: subject.run,
    manifest: JSON.stringify(manifest),
    created: manifest.created,
  })
  return { name, version, digest, status, failed }
}

type Content = Omit<BundleManifest, 'files' | 'format' | 'version'>

/** Writes the bundle of the next version. Where another run takes its number meanwhile, it is the one after that. */
async function writeNext(content: Content, files: BundleFile[], { database, home }: Context) {
  const key = signingKey(home)
  for (;;) {
    const manifest = { ...content, version: await nextVersion(database, home, content.name) }
    try {
      await writeBundle(bundleFolder(home, manifest.name, manifest.version), manifest, files, key)
      return manifest
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'BUNDLE_EXISTS') throw error
    }
  }
}

/** Whether a version's bundle still lies where it was put. */
export const isRegistered = ({ name, version }: Registered, home: string): boolean =>
  existsSync(join(bundleFolder(home, name, version), 'manifest.json'))

/** Whether the recipe is fitted once more. One that was refused is kept as it was judged. */
export const isRefitted = ({ pass }: Pick<Verdict, 'pass'>, { refit }: Pick<Subject, 'refit'>): boolean =>
  refit === 'all' && pass

/** What is to be shipped, and the gates that only it can fail. */
async function fitShipped(
  dataset: Dataset,
  { selected }: Selected,
  verdict: Verdict,
  subject: Subject,
  context: Context,
) {
  const { proven, parity } = verdict
  if (!isRefitted(verdict, subject)) return { shipped: proven, parity, refit: 'none' as const, failed: [] }
  const all: Range[] = [[0, dataset.rows]]
  const recipe = { kind: selected.kind, params: selected.params, seed: subject.seed }
  const rows = { train: all, stop: [], predict: all }
  const request = { recipe, rows, iterations: proven.iterations, export: true }
  const shipped = await fitOnce(dataset, request, context, followed(`${selected.id}/refit`, context))
  const again = await measureParity(dataset, shipped, selected.kind, all)
  return {
    shipped,
    parity: again,
    refit: 'all' as const,
    failed: [...standingGates(shipped, again), ...(await disagreement(dataset, proven, shipped))].filter(
      ({ pass }) => !pass,
    ),
  }
}

/** The gate of a refit, which may rank the test rows otherwise than the fit that was judged. A constant prediction has no ranks to disagree on. */
async function disagreement(dataset: Dataset, proven: Fit, shipped: Fit): Promise<GateResult[]> {
  const { test, folds } = dataset.split
  if (!test.length) return []
  const [before, after] = await Promise.all([proven, shipped].map(fit => predictions(fit, dataset)))
  const agreement = rankAgreement(
    before.map(column => column.subarray(size(folds.at(-1)!.valid))),
    after.map(column => Float32Array.from(indices(test), row => column[row])),
  )
  return agreement === null
    ? []
    : judge({ refit_agreement: agreement }, { refit_agreement: `>= ${RANK_AGREEMENT}` }).gates
}

/** The least Spearman correlation of any class's probabilities, or that of the predictions; null where all of them are constant. */
export function rankAgreement(before: Predicted, after: Predicted): number | null {
  const columns = before.map((column, k) => spearman(column, after[k])).filter(found => found !== null)
  return columns.length ? Math.min(...columns) : null
}

interface Shipment {
  shipped: Fit
  parity: Parity
  refit: 'none' | 'all'
  gates: GateResult[]
}

async function describe(
  dataset: Dataset,
  { selected }: Selected,
  verdict: Verdict,
  { shipped, parity, refit, gates }: Shipment,
  { name, run, seed, mode, features, label, table, reading, git }: Subject,
  context: Context,
): Promise<Content> {
  const { train } = dataset.split
  const model = (fit: Fit) => readFileSync(join(fit.folder, 'model.onnx'))
  const modelDigest = (fit: Fit) => sha256(model(fit))
  const { length } = checkOnnx(model(shipped))
  const everything = { dataset: dataset.digest, rows: dataset.rows, ...(await span(dataset, [[0, dataset.rows]])) }
  const learned = { dataset: dataset.digest, rows: size(train), ...(await span(dataset, train)) }
  return {
    name,
    created: context.now(),
    run,
    task: dataset.task,
    classes: classesOf(dataset),
    model: { kind: selected.kind, params: selected.params, seed, iterations: shipped.iterations },
    input: {
      name: 'features',
      ...(length > 1 && { length }),
      features: dataset.features.map(name => {
        const categories = vocabularyOf(dataset.categories, name)
        return { name, nullable: dataset.nullable.includes(name), ...(categories && { categories }) }
      }),
    },
    output: dataset.task === 'regression' ? 'prediction' : 'probability',
    // What is no bar to trade and no yes or no has nothing to decide.
    decision: selected.threshold === null ? null : { threshold: selected.threshold, mode },
    features,
    timeframe: table.timeframe,
    label: label as Record<string, unknown>,
    data: {
      schema: dataset.market ? 'candles' : 'table',
      table: table.table,
      version: table.version,
      digest: table.digest,
      rows: table.rows,
      from: table.from,
      to: table.to,
      columns: columnsRead(table, features),
      ...(reading && { reading: readingSchema.parse(reading) }),
    },
    proven: { ...learned, model: modelDigest(verdict.proven) },
    shipped: { ...(refit === 'all' ? everything : learned), refit, model: modelDigest(shipped) },
    metrics: verdict.metrics,
    backtest: verdict.backtest,
    benchmark: verdict.benchmark,
    gates,
    test_looks: verdict.test_looks,
    parity: { native_python: parity.native_python, native_node: parity.native_node, rows: parity.rows },
    engine: { versions: verdict.engine },
    git,
  }
}

/** A whole number is a number: that it is whole was a rule of the table. */
function columnsRead(table: TableManifest, specs: FeatureSpec[]): Content['data']['columns'] {
  const read = new Set(featuresOn(table, specs).flatMap(({ reads }) => reads))
  return table.schema
    .filter(({ name }) => read.has(name))
    .map(({ name, type, rule }) => ({ name, type: rule?.type === 'boolean' ? 'boolean' : type }))
}

/** Words where the classes are words, else the label's own values. */
const classesOf = ({ classes, classNames }: Dataset): (number | string)[] =>
  classNames.every((name, k) => name === String(classes[k])) ? classes : classNames

/** Times of the first and last of some rows in order; null where rows have none. */
async function span(dataset: Dataset, ranges: Range[]): Promise<{ from: number | null; to: number | null }> {
  if (!dataset.timed) return { from: null, to: null }
  const { time } = await readDataset(dataset)
  return { from: time[ranges[0][0]], to: time[ranges.at(-1)![1] - 1] }
}
