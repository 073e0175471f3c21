// From rows to answers, by the manifest. The server and the `predict` command share every step, so that both give the same bits.
import { dataError, engineError, SluiceError } from '../base/errors.ts'
import type { OnnxModel } from '../base/onnx.ts'
import { type Column, endToEnd, type Table, type Values } from '../base/table.ts'
import { codeOf, encode } from '../learn/categories.ts'
import { signals } from '../prove/select.ts'
import type { BundleManifest } from '../registry/bundle.ts'

export type Prediction =
  | { probability: number; signal: number }
  | { class: number | string; probabilities: Record<string, number> }
  | { prediction: number; signal?: number }

/** What is wrong with one value of a request; `pointer` is a JSON pointer (RFC 6901) such as `/rows/0/rsi_14`. */
export interface Problem {
  code: 'WRONG_TYPE' | 'NOT_A_NUMBER' | 'OUT_OF_RANGE' | 'NULL_VALUE' | 'MISSING_FEATURE' | 'UNKNOWN_FEATURE'
  pointer: string
  message: string
}

type Contract = Pick<BundleManifest, 'input'>
type Feature = BundleManifest['input']['features'][number]

/** How many problems one answer names. */
const PROBLEMS = 20

/**
 * Rows of a request as float32 [rows, features], NaN for an allowed null. Nothing is coerced.
 * A row that breaks the contract is a data error with the first problem's code and the first 20 problems as `detail.problems`.
 */
export function vectorise({ input: { features } }: Contract, rows: unknown[]): Float32Array {
  const values = new Float32Array(rows.length * features.length)
  const problems: Problem[] = []
  for (let i = 0; i < rows.length && problems.length < PROBLEMS; i++) {
    const row = rows[i] as Record<string, unknown>
    if (!fill(values, i * features.length, features, row)) problems.push(...examine(features, row, `/rows/${i}`))
  }
  if (problems.length === 0) return values
  throw new SluiceError('data', problems[0].code, problems[0].message, {
    detail: { problems: problems.slice(0, PROBLEMS) },
  })
}

/** The fast path: true if the row holds exactly the features, each a float32, the word of a category, or an allowed null. */
function fill(values: Float32Array, start: number, features: Feature[], row: Record<string, unknown>): boolean {
  if (row === null || typeof row !== 'object' || Object.keys(row).length !== features.length) return false
  for (let j = 0; j < features.length; j++) {
    const { name, nullable, categories } = features[j]
    const value = row[name]
    if (value === null && nullable) values[start + j] = Number.NaN
    else if (categories) {
      if (typeof value !== 'string') return false
      values[start + j] = codeOf(categories, value)
    } else if (typeof value === 'number' && Number.isFinite(Math.fround(value))) values[start + j] = value
    else return false
  }
  return true
}

function examine(features: Feature[], row: unknown, at: string): Problem[] {
  if (row === null || typeof row !== 'object' || Array.isArray(row))
    return [{ code: 'WRONG_TYPE', pointer: at, message: `a row is an object of features, not ${nameOf(row)}` }]
  const known = new Set(features.map(feature => feature.name))
  const unknown = Object.keys(row).filter(name => !known.has(name))
  return [
    ...features.flatMap(feature => problemOf(feature, row, at) ?? []),
    ...unknown.map(name => problem('UNKNOWN_FEATURE', at, name, 'is no feature of this model')),
  ]
}

function problemOf({ name, nullable, categories }: Feature, row: object, at: string): Problem | undefined {
  if (!Object.hasOwn(row, name)) return problem('MISSING_FEATURE', at, name, 'is missing')
  const value = (row as Record<string, unknown>)[name]
  if (value === null) return nullable ? undefined : problem('NULL_VALUE', at, name, 'may not be null')
  if (categories)
    return typeof value === 'string' ? undefined : problem('WRONG_TYPE', at, name, `is ${nameOf(value)}, not a word`)
  if (typeof value !== 'number') return problem('WRONG_TYPE', at, name, `is ${nameOf(value)}, not a number`)
  if (Number.isNaN(value)) return problem('NOT_A_NUMBER', at, name, 'is NaN; write null where it may be missing')
  if (!Number.isFinite(Math.fround(value)))
    return problem('OUT_OF_RANGE', at, name, `is ${value}, beyond what float32 holds`)
}

const problem = (code: Problem['code'], at: string, name: string, what: string): Problem => ({
  code,
  pointer: `${at}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
  message: `${name} ${what}`,
})

const nameOf = (value: unknown): string =>
  value === null
    ? 'null'
    : Array.isArray(value)
      ? 'an array'
      : typeof value === 'object'
        ? 'an object'
        : `a ${typeof value}`

type Decided = Pick<BundleManifest, 'task' | 'classes' | 'decision'>

/** The model's output [rows, K] as answers: binary probability and signal, multiclass class and probabilities, regression prediction and, with a threshold, signal. */
export function answers(manifest: Decided, output: Float32Array): Prediction[] {
  const { task, classes } = manifest
  if (task === 'multiclass') {
    const best = likeliest(output, classes.length)
    return Array.from(best, (k, row) => ({
      class: classes[k],
      probabilities: Object.fromEntries(classes.map((name, j) => [name, output[row * classes.length + j]])),
    }))
  }
  const { score, signal } = decide(manifest, output)
  const name = nameOfScore(task)
  return Array.from(score, (value, i) => ({ [name]: value, ...(signal && { signal: signal[i] }) })) as Prediction[]
}

/** The probability of the second class, or the prediction, of every row, and what to do about it by the rule that selection used. */
function decide({ task, decision }: Decided, output: Float32Array): { score: Float32Array; signal?: Int8Array } {
  checkFinite(output)
  const score = task === 'regression' ? output : output.filter((_, i) => i % 2 === 1)
  if (!decision) return { score }
  return { score, signal: signals(score, decision.threshold, decision.mode, task === 'regression' ? task : 'binary') }
}

const nameOfScore = (task: Decided['task']) => (task === 'binary' ? 'probability' : 'prediction')

/** The column of the largest probability of every row, the first on ties. */
function likeliest(output: Float32Array, columns: number): Uint32Array {
  checkFinite(output)
  return Uint32Array.from({ length: output.length / columns }, (_, row) => {
    const probabilities = output.subarray(row * columns, (row + 1) * columns)
    return probabilities.indexOf(Math.max(...probabilities))
  })
}

function checkFinite(output: Float32Array): void {
  const odd = output.find(value => !Number.isFinite(value))
  if (odd !== undefined) throw engineError('NOT_FINITE', `the model answered ${odd}`)
}

/** Rows of one run over a file: large enough to be fast, small enough to stay in the cache. */
const CHUNK = 4096

/**
 * Predictions for columns of features in the manifest's order, words for categories: `probability, signal`, or `class, probability_NAME...`, or `prediction, signal`.
 * A row in which a feature that may not be missing is NaN has no prediction (NaN or null) and is counted in `unanswered`; infinite values are `OUT_OF_RANGE`.
 */
export async function predictTable(
  manifest: BundleManifest,
  model: Pick<OnnxModel, 'run'>,
  given: Values[],
): Promise<{ table: Table; unanswered: number }> {
  const { features } = manifest.input
  if (given.length !== features.length)
    throw dataError('MISSING_COLUMN', `${given.length} columns are not the model's ${features.length} features`)
  const columns = given.map((values, j) => numbersOf(features[j], values))
  const rows = columns[0].length
  const answered = completeRows(features, columns, rows)
  const outputs: Float32Array[] = []
  for (let from = 0; from < answered.length; from += CHUNK) {
    const chunk = answered.subarray(from, from + CHUNK)
    outputs.push(await model.run(gather(columns, chunk), chunk.length))
  }
  const found = columnsOf(manifest, endToEnd(outputs))
  return {
    table: { rows, columns: found.map(column => scatter(column, answered, rows)) },
    unanswered: rows - answered.length,
  }
}

/** A column as numbers: the codes of a category's words. */
function numbersOf({ name, categories }: Feature, values: Values): Float64Array | Float32Array {
  if (categories && !(values instanceof Float64Array)) return encode(categories, values)
  if (!categories && values instanceof Float64Array) return values
  const [holds, needs] = categories ? ['numbers', 'words'] : ['words', 'numbers']
  throw dataError('TYPE_MISMATCH', `the column ${name} holds ${holds}, the model needs ${needs}`)
}

function completeRows(features: Feature[], columns: (Float64Array | Float32Array)[], rows: number): Uint32Array {
  const complete = new Uint8Array(rows).fill(1)
  for (const [j, values] of columns.entries()) {
    for (let i = 0; i < rows; i++) {
      if (Number.isNaN(values[i])) complete[i] &= features[j].nullable ? 1 : 0
      else if (!Number.isFinite(Math.fround(values[i])))
        throw dataError(
          'OUT_OF_RANGE',
          `${features[j].name} is ${values[i]} in row ${i + 1}, beyond what float32 holds`,
        )
    }
  }
  return Uint32Array.from(complete.keys()).filter(i => complete[i] === 1)
}

function gather(columns: (Float64Array | Float32Array)[], rows: Uint32Array): Float32Array {
  const values = new Float32Array(rows.length * columns.length)
  for (const [j, column] of columns.entries())
    for (let i = 0; i < rows.length; i++) values[i * columns.length + j] = column[rows[i]]
  return values
}

function columnsOf(manifest: Decided, output: Float32Array): Column[] {
  const { task, classes } = manifest
  if (task === 'multiclass') {
    const names = Array.from(likeliest(output, classes.length), k => String(classes[k]))
    return [
      { name: 'class', type: 'string', values: names },
      ...classes.map((name, k) =>
        numberColumn(
          `probability_${name}`,
          output.filter((_, i) => i % classes.length === k),
        ),
      ),
    ]
  }
  const { score, signal } = decide(manifest, output)
  const named = numberColumn(nameOfScore(task), score)
  return signal ? [named, numberColumn('signal', signal)] : [named]
}

const numberColumn = (name: string, values: Float32Array | Int8Array): Column => ({
  name,
  type: 'number',
  values: Float64Array.from(values),
})

/** A column of the answered rows, laid out over all rows. */
function scatter({ name, type, values }: Column, answered: Uint32Array, rows: number): Column {
  const spread =
    values instanceof Float64Array ? new Float64Array(rows).fill(Number.NaN) : new Array<string | null>(rows).fill(null)
  for (let i = 0; i < answered.length; i++) spread[answered[i]] = values[i]
  return { name, type, values: spread }
}
