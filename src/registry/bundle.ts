// A bundle is what is shipped: a folder with model.onnx, manifest.json, perhaps the native model, and signature.json.
// The signature covers the exact bytes of the manifest, the manifest covers every other file. Knows no versions and no aliases.
import { createHash, sign, verify } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { checkName, fileDigests, resolveInside, sha256, writeFolder } from '../base/blobs.ts'
import { dataError, messageOf, usageError } from '../base/errors.ts'
import { checkOnnx, type OnnxContract } from '../base/onnx.ts'
import { readingSchema } from '../data/schema.ts'
import type { SigningKey, TrustedKeys } from './keys.ts'

const MANIFEST = 'manifest.json'
const SIGNATURE = 'signature.json'
const MODEL = 'model.onnx'
/** Manifests are some kB; a bound keeps a wrong folder from filling the memory before anything is verified. */
const MANIFEST_LIMIT = 16 << 20

const object = z.record(z.string(), z.unknown())
const figures = z.record(z.string(), z.number().nullable())
const count = z.int().nonnegative()
const time = z.number().nullable()
/** A fit: the rows it learned from, and the SHA-256 of its graph. */
const fit = { dataset: z.string(), rows: count, from: time, to: time, model: z.string() }

const manifestSchema = z
  .object({
    format: z.literal(1),
    name: z.string(),
    version: z.int().positive(),
    /** Epoch milliseconds, as every time here. */
    created: z.number(),
    run: z.string().nullable(),
    task: z.enum(['binary', 'multiclass', 'regression']),
    /** What the model's columns stand for, in their order; empty for regression. */
    classes: z.array(z.union([z.number(), z.string()])),
    model: z.object({ kind: z.string(), params: object, seed: z.int(), iterations: count.nullable() }),
    input: z.object({
      name: z.literal('features'),
      /** Rows of a sequence, each with all features, oldest first; absent where a row is answered by itself. */
      length: z.int().min(2).optional(),
      /** `categories`: the words that the feature's codes are places of, sorted; numbers have none. */
      features: z
        .array(
          z.object({
            name: z.string().min(1),
            nullable: z.boolean(),
            categories: z.array(z.string()).min(1).refine(isSorted, 'categories are sorted, each once').optional(),
          }),
        )
        .min(1),
    }),
    output: z.enum(['probability', 'prediction']),
    decision: z.object({ threshold: z.number(), mode: z.enum(['long', 'long_short']) }).nullable(),
    features: z.array(object),
    timeframe: z.string().nullable(),
    label: object,
    /** `from` and `to` as the table's own manifest has them. */
    data: z.object({
      schema: z.enum(['candles', 'table']).default('candles'),
      table: z.string(),
      version: count,
      digest: z.string(),
      rows: count,
      from: z.string().nullable(),
      to: z.string().nullable(),
      /** Those of its columns that features are made of, and what their values are read as. */
      columns: z
        .array(z.object({ name: z.string(), type: z.enum(['number', 'boolean', 'string', 'time']) }))
        .default([]),
      /** How the files were written that it learned from, where a config said so: what is scored is read in the same way. */
      reading: readingSchema.optional(),
    }),
    /** The fit that stood before the gates, and the one in model.onnx. */
    proven: z.object(fit),
    shipped: z.object({ ...fit, refit: z.enum(['none', 'all']) }),
    metrics: z.object({ valid: figures, test: figures.nullable() }),
    backtest: figures.nullable(),
    benchmark: figures.nullable(),
    gates: z.array(
      z.object({
        name: z.string(),
        value: z.number().nullable(),
        bound: z.string(),
        pass: z.boolean(),
        shortfall: z.number().nullable().optional(),
        reason: z.string().nullable().optional(),
      }),
    ),
    test_looks: count,
    /** Largest differences between the native model and onnxruntime in Python and in Node. */
    parity: z.object({ native_python: z.number(), native_node: z.number(), rows: count }),
    engine: z.object({ versions: z.record(z.string(), z.string()) }),
    git: z.object({ commit: z.string().nullable(), dirty: z.boolean().nullable() }),
    files: z.array(z.object({ name: z.string(), sha256: z.string(), md5: z.string(), bytes: count })),
  })
  .superRefine(agreesWithItself)

/** Everything one has to know to serve, audit and repeat a model. */
export type BundleManifest = z.infer<typeof manifestSchema>

export interface BundleFile {
  name: string
  bytes: Uint8Array
}

export interface Bundle {
  manifest: BundleManifest
  /** The very bytes that were verified. */
  model: Uint8Array
  /** SHA-256 of manifest.json, which covers all the rest. */
  digest: string
}

/** Where a home keeps a version's bundle. */
export const bundleFolder = (home: string, name: string, version: number): string =>
  resolveInside(home, 'models', name, String(version))

/**
 * Writes and signs a bundle that appears whole or not at all, and gives its digest.
 * `files` holds model.onnx and perhaps native files. A folder that exists is `BUNDLE_EXISTS`; what `openBundle` would refuse is refused here.
 */
export async function writeBundle(
  folder: string,
  content: Omit<BundleManifest, 'files' | 'format'>,
  files: BundleFile[],
  key: SigningKey,
): Promise<string> {
  if (existsSync(folder)) throw exists(folder)
  const manifest = parseManifest({ format: 1, ...content, files: files.map(describe) })
  const model = files.find(file => file.name === MODEL)
  if (!model) throw dataError('BUNDLE_FILES', `a bundle needs ${MODEL}`)
  checkModel(manifest, model.bytes)
  const bytes = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)
  try {
    await writeFolder(folder, async temporary => {
      for (const { name, bytes } of files) writeFileSync(join(temporary, name), bytes)
      writeFileSync(join(temporary, SIGNATURE), signatureText(key.fingerprint, sign(null, bytes, key.privateKey)))
      writeFileSync(join(temporary, MANIFEST), bytes)
    })
  } catch (error) {
    throw existsSync(folder) ? exists(folder) : error // another process has put its own there meanwhile
  }
  return sha256(bytes)
}

const exists = (folder: string) => usageError('BUNDLE_EXISTS', `${folder} exists already`)

/**
 * Verifies a bundle before anything of it is loaded: signature by a trusted key, every file's size and SHA-256, no file more or less,
 * and that the graph is what the manifest says. Refusals: `UNSIGNED`, `UNTRUSTED_KEY`, `BAD_SIGNATURE`, `BUNDLE_FILES`, `BUNDLE_MANIFEST`, `BUNDLE_MODEL` and those of `checkOnnx`.
 */
export async function openBundle(folder: string, trusted: TrustedKeys): Promise<Bundle> {
  const present = listFiles(folder)
  if (!present.includes(MANIFEST)) throw dataError('BUNDLE_FILES', `${folder} holds no ${MANIFEST}`)
  if (!present.includes(SIGNATURE)) throw dataError('UNSIGNED', `the bundle ${folder} is not signed`)
  const bytes = readBounded(join(folder, MANIFEST))
  verifySignature(bytes, readBounded(join(folder, SIGNATURE)).toString(), trusted)
  const manifest = parseManifest(parseJson(bytes))
  checkPresence(manifest, present)
  for (const file of manifest.files) if (file.name !== MODEL) await checkFile(folder, file)
  const model = readModel(folder, manifest)
  checkModel(manifest, model)
  return { manifest, model, digest: sha256(bytes) }
}

/** The bundle of a registered version: it must be the very one that the row was written for, not another signed one put in its place. */
export async function openRegistered(
  home: string,
  row: { name: string; version: number; digest: string },
  trusted: TrustedKeys,
): Promise<Bundle> {
  const bundle = await openBundle(bundleFolder(home, row.name, row.version), trusted)
  if (bundle.digest !== row.digest)
    throw dataError('BUNDLE_REPLACED', `the bundle of ${row.name}@${row.version} is not the one that was registered`)
  return bundle
}

function describe({ name, bytes }: BundleFile): BundleManifest['files'][number] {
  return {
    name: checkName(name, 'the file'),
    sha256: sha256(bytes),
    md5: createHash('md5').update(bytes).digest('hex'),
    bytes: bytes.length,
  }
}

function listFiles(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true })
    const odd = entries.find(entry => !entry.isFile())
    if (odd) throw dataError('BUNDLE_FILES', `${odd.name} in ${folder} is no plain file`)
    return entries.map(entry => entry.name)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === undefined || (cause as Error).name === 'SluiceError') throw cause
    throw dataError('BUNDLE_FILES', `cannot read the bundle ${folder}: ${messageOf(cause)}`, { cause })
  }
}

function readBounded(path: string): Buffer {
  const { size } = statSync(path)
  if (size > MANIFEST_LIMIT) throw dataError('BUNDLE_FILES', `${path} has ${size} bytes, more than ${MANIFEST_LIMIT}`)
  return readFileSync(path)
}

/** One spelling only, so that no byte of it can change unseen. */
const signatureText = (fingerprint: string, signature: Buffer): string =>
  `${JSON.stringify({ algorithm: 'ed25519', fingerprint, signature: signature.toString('base64') })}\n`

function verifySignature(manifest: Buffer, text: string, trusted: TrustedKeys): void {
  const { fingerprint, signature } = parseSignature(text)
  const key = trusted.get(fingerprint)
  if (!key)
    throw dataError('UNTRUSTED_KEY', `the bundle is signed by the key ${fingerprint}, which is not trusted`, {
      next: 'add its public key to registry.trusted_keys if you trust whoever holds it',
      detail: { fingerprint },
    })
  if (!verify(null, manifest, key, signature))
    throw dataError('BAD_SIGNATURE', `${MANIFEST} is not what the key ${fingerprint} signed`)
}

function parseSignature(text: string): { fingerprint: string; signature: Buffer } {
  const parts = /^\{"algorithm":"ed25519","fingerprint":"([0-9a-f]{64})","signature":"([A-Za-z0-9+/=]{88})"\}\n$/.exec(
    text,
  )
  const signature = Buffer.from(parts?.[2] ?? '', 'base64')
  if (!parts || signatureText(parts[1], signature) !== text)
    throw dataError('BAD_SIGNATURE', `${SIGNATURE} is no ed25519 signature`)
  return { fingerprint: parts[1], signature }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw dataError('BUNDLE_MANIFEST', `${MANIFEST} is no JSON: ${messageOf(cause)}`, { cause })
  }
}

function parseManifest(value: unknown): BundleManifest {
  const result = manifestSchema.safeParse(value)
  if (result.success) return result.data
  const [{ path, message }] = result.error.issues
  throw dataError('BUNDLE_MANIFEST', `${MANIFEST}, ${path.join('.') || 'top'}: ${message}`)
}

function agreesWithItself(manifest: BundleManifest, context: z.RefinementCtx): void {
  const require = (holds: boolean, path: string, message: string) => {
    if (!holds) context.addIssue({ code: 'custom', path: [path], message })
  }
  const { task, classes, output, decision, input, files } = manifest
  require(output === (task === 'regression' ? 'prediction' : 'probability'), 'output', `not that of ${task}`)
  if (task === 'binary') require(classes.length === 2, 'classes', 'binary has two')
  if (task === 'multiclass') require(classes.length >= 2, 'classes', 'multiclass has two or more')
  if (task === 'regression') require(classes.length === 0, 'classes', 'regression has none')
  require(task !== 'binary' || decision !== null, 'decision', 'binary needs a threshold')
  const twoSided = task === 'binary' && decision?.mode === 'long_short'
  require(!twoSided || decision.threshold > 0.5, 'decision', 'under long_short a threshold must exceed 0.5')
  require(distinct(classes.map(String)), 'classes', 'a class stands twice')
  require(distinct(input.features.map(feature => feature.name)), 'input', 'a feature stands twice')
  require(distinct([MANIFEST, SIGNATURE, ...files.map(file => file.name)]), 'files', 'a file stands twice')
}

function isSorted(words: string[]): boolean {
  return words.every((word, i) => i === 0 || words[i - 1] < word)
}

const distinct = (values: string[]): boolean => new Set(values).size === values.length

function checkPresence(manifest: BundleManifest, present: string[]): void {
  const listed = [MANIFEST, SIGNATURE, ...manifest.files.map(file => checkName(file.name, 'the file'))]
  const missing = listed.find(name => !present.includes(name))
  if (missing) throw dataError('BUNDLE_FILES', `the bundle lacks ${missing}`)
  const extra = present.find(name => !listed.includes(name))
  if (extra) throw dataError('BUNDLE_FILES', `the bundle holds ${extra}, which its manifest does not list`)
}

async function checkFile(folder: string, listed: BundleManifest['files'][number]): Promise<void> {
  const { sha256, bytes } = await fileDigests(join(folder, listed.name))
  if (bytes !== listed.bytes || sha256 !== listed.sha256) throw changed(listed.name)
}

function readModel(folder: string, manifest: BundleManifest): Uint8Array {
  const listed = manifest.files.find(file => file.name === MODEL)
  if (!listed) throw dataError('BUNDLE_FILES', `${MANIFEST} does not list ${MODEL}`)
  if (statSync(join(folder, MODEL)).size !== listed.bytes) throw changed(MODEL)
  const model = readFileSync(join(folder, MODEL))
  if (sha256(model) !== listed.sha256) throw changed(MODEL)
  return model
}

const changed = (name: string) => dataError('BUNDLE_FILES', `${name} is not the file that was signed`)

function checkModel({ task, classes, input, output }: BundleManifest, bytes: Uint8Array): void {
  const columns = task === 'regression' ? 1 : classes.length
  const promised = { output, length: input.length ?? 1, features: input.features.length, columns }
  const [is, says] = [checkOnnx(bytes), promised].map(shapeOf)
  if (is !== says) throw dataError('BUNDLE_MODEL', `the graph gives ${is}, the manifest says ${says}`)
}

const shapeOf = ({ output, length, features, columns }: OnnxContract): string =>
  `${output} [N, ${columns}] of ${length > 1 ? `${length} rows of ` : ''}${features} features`
