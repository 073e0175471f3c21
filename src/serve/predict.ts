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

/** What is wrong with a request in one place; `pointer` is a JSON pointer (RFC 6901) such as `/rows/0/rsi_14`. */
export interface Problem {
  code:
    | 'WRONG_TYPE'
    | 'NOT_A_NUMBER'
    | 'OUT_OF_RANGE'
    | 'NULL_VALUE'
    | 'MISSING_FEATURE'
    | 'UNKNOWN_FEATURE'
    | 'ROW_LENGTH'
    | 'SEQUENCE_LENGTH'
    | 'KEY_REQUIRED'
    | 'NO_SEQUENCE_MODEL'
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
  for (let i = 0; i < rows.length && problems.length < PROBLEMS; i++)
    if (!fill(values, i * features.length, features, rows[i]))
      problems.push(...examine(features, rows[i], `/rows/${i}`))
  return checked(values, problems)
}

/** Sequences of a request as float32 [sequences, length, features]: a row is an object as above, or its values in the manifest's order. `at` points to a sequence. */
export function vectoriseSequences(
  { input: { features, length = 1 } }: Contract,
  sequences: unknown[],
  at: (sequence: number) => string,
): Float32Array {
  // Memory is asked for what is there: empty lists are short, and would ask for whole sequences of it.
  const problems: Problem[] = []
  for (let i = 0; i < sequences.length && problems.length < PROBLEMS; i++)
    problems.push(...misshapen(sequences[i], length, at(i)))
  if (problems.length) refuse(problems)
  const values = new Float32Array(sequences.length * length * features.length)
  for (let i = 0; i < sequences.length && problems.length < PROBLEMS; i++)
    problems.push(...fillSequence(values, i * length, features, sequences[i] as unknown[], at(i)))
  return checked(values, problems)
}

function misshapen(rows: unknown, length: number, at: string): Problem[] {
  if (!Array.isArray(rows)) return [wrongType(at, `a sequence is an array of rows, not ${nameOf(rows)}`)]
  const message = `${rows.length} rows are not the ${length} of this model`
  return rows.length === length ? [] : [{ code: 'SEQUENCE_LENGTH', pointer: at, message }]
}

function fillSequence(values: Float32Array, before: number, features: Feature[], rows: unknown[], at: string) {
  const problems: Problem[] = []
  for (let i = 0; i < rows.length && problems.length < PROBLEMS; i++) {
    const start = (before + i) * features.length
    const row = rows[i]
    if (Array.isArray(row)) {
      if (!fillFrom(values, start, features, row)) problems.push(...examineList(features, row, `${at}/${i}`))
    } else if (!fill(values, start, features, row)) problems.push(...examine(features, row, `${at}/${i}`))
  }
  return problems
}

function checked(values: Float32Array, problems: Problem[]): Float32Array {
  return problems.length === 0 ? values : refuse(problems)
}

function refuse(problems: Problem[]): never {
  throw new SluiceError('data', problems[0].code, problems[0].message, {
    detail: { problems: problems.slice(0, PROBLEMS) },
  })
}

/** The fast path: true if the row holds exactly the features, and each fits. */
function fill(values: Float32Array, start: number, features: Feature[], row: unknown): boolean {
  if (row === null || typeof row !== 'object' || Object.keys(row).length !== features.length) return false
  for (let j = 0; j < features.length; j++)
    if (!put(values, start + j, features[j], (row as Record<string, unknown>)[features[j].name])) return false
  return true
}

/** The same of a row's values in the features' order. */
function fillFrom(values: Float32Array, start: number, features: Feature[], row: unknown[]): boolean {
  if (row.length !== features.length) return false
  for (let j = 0; j < features.length; j++) if (!put(values, start + j, features[j], row[j])) return false
  return true
}

/** Whether the value is a float32, the word of a category, or an allowed null; then it is put. */
function put(values: Float32Array, at: number, { nullable, categories }: Feature, value: unknown): boolean {
  if (value === null && nullable) values[at] = Number.NaN
  else if (categories) {
    if (typeof value !== 'string') return false
    values[at] = codeOf(categories, value)
  } else if (typeof value === 'number' && Number.isFinite(Math.fround(value))) values[at] = value
  else return false
  return true
}

function examine(features: Feature[], row: unknown, at: string): Problem[] {
  if (row === null || typeof row !== 'object' || Array.isArray(row))
    return [wrongType(at, `a row is an object of features, not ${nameOf(row)}`)]
  const known = new Set(features.map(feature => feature.name))
  const unknown = Object.keys(row).filter(name => !known.has(name))
  const of = (feature: Feature) => {
    const pointer = `${at}/${escaped(feature.name)}`
    if (!Object.hasOwn(row, feature.name))
      return { code: 'MISSING_FEATURE' as const, pointer, message: `${feature.name} is missing` }
    return problemOf(feature, (row as Record<string, unknown>)[feature.name], pointer)
  }
  return [
    ...features.flatMap(feature => of(feature) ?? []),
    ...unknown.map((name): Problem => {
      const pointer = `${at}/${escaped(name)}`
      return { code: 'UNKNOWN_FEATURE', pointer, message: `${name} is no feature of this model` }
    }),
  ]
}

function examineList(features: Feature[], row: unknown[], at: string): Problem[] {
  if (row.length !== features.length)
    return [
      {
        code: 'ROW_LENGTH',
        pointer: at,
        message: `${row.length} values are not the model's ${features.length} features`,
      },
    ]
  return features.flatMap((feature, j) => problemOf(feature, row[j], `${at}/${j}`) ?? [])
}

function problemOf({ name, nullable, categories }: Feature, value: unknown, pointer: string): Problem | undefined {
  const problem = (code: Problem['code'], what: string) => ({ code, pointer, message: `${name} ${what}` })
  if (value === null) return nullable ? undefined : problem('NULL_VALUE', 'may not be null')
  if (categories)
    return typeof value === 'string' ? undefined : problem('WRONG_TYPE', `is ${nameOf(value)}, not a word`)
  if (typeof value !== 'number') return problem('WRONG_TYPE', `is ${nameOf(value)}, not a number`)
  if (Number.isNaN(value)) return problem('NOT_A_NUMBER', 'is NaN; write null where it may be missing')
  if (!Number.isFinite(Math.fround(value))) return problem('OUT_OF_RANGE', `is ${value}, beyond what float32 holds`)
}

const wrongType = (pointer: string, message: string): Problem => ({ code: 'WRONG_TYPE', pointer, message })

/** A key as a JSON pointer writes it (RFC 6901). */
export const escaped = (key: string): string => key.replaceAll('~', '~0').replaceAll('/', '~1')

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

/** Rows of one run over a file, those of its sequences counted: large enough to be fast, small enough to stay in the cache. */
const CHUNK = 4096

/**
 * Predictions for columns of features in the manifest's order, words for categories: `probability, signal`, or `class, probability_NAME...`, or `prediction, signal`.
 * A row in which a feature that may not be missing is NaN has no prediction (NaN or null) and is counted in `unanswered`; infinite values are `OUT_OF_RANGE`.
 * For a sequence model `series` has the row numbers of each series in order: a row is answered where a whole sequence of answerable rows ends at it.
 */
export async function predictTable(
  manifest: BundleManifest,
  model: Pick<OnnxModel, 'run'>,
  given: Values[],
  series: Int32Array[] = [],
): Promise<{ table: Table; unanswered: number }> {
  const { features, length = 1 } = manifest.input
  if (given.length !== features.length)
    throw dataError('MISSING_COLUMN', `${given.length} columns are not the model's ${features.length} features`)
  const columns = given.map((values, j) => numbersOf(features[j], values))
  const rows = columns[0].length
  const complete = completeRows(features, columns, rows)
  const sequences = length > 1 ? sequencesOf(complete, series, length) : undefined
  const answered = sequences?.ends ?? rowsIn(complete)
  const outputs: Float32Array[] = []
  const count = Math.max(1, Math.floor(CHUNK / length))
  for (let from = 0; from < answered.length; from += count) {
    const chunk = answered.subarray(from, from + count)
    const steps = sequences ? stepsOf(chunk, sequences.previous, length) : chunk
    outputs.push(await model.run(gather(columns, steps), chunk.length))
  }
  const found = columnsOf(manifest, endToEnd(outputs))
  return {
    table: { rows, columns: found.map(column => scatter(column, answered, rows)) },
    unanswered: rows - answered.length,
  }
}

/** Rows at which a sequence of complete rows ends, and of every row the one before it in its series. */
function sequencesOf(complete: Uint8Array, series: Int32Array[], length: number) {
  const previous = new Int32Array(complete.length).fill(-1)
  const ending = new Uint8Array(complete.length)
  for (const rows of series) {
    let whole = 0
    for (let i = 0; i < rows.length; i++) {
      if (i > 0) previous[rows[i]] = rows[i - 1]
      whole = complete[rows[i]] ? whole + 1 : 0
      if (whole >= length) ending[rows[i]] = 1
    }
  }
  return { previous, ends: rowsIn(ending) }
}

/** The rows of the sequences that end at some rows, oldest first, end to end. */
function stepsOf(ends: Uint32Array, previous: Int32Array, length: number): Uint32Array {
  const steps = new Uint32Array(ends.length * length)
  for (let i = 0; i < ends.length; i++)
    for (let step = length - 1, row = ends[i]; step >= 0; step--, row = previous[row]) steps[i * length + step] = row
  return steps
}

/** A column as numbers: the codes of a category's words. */
function numbersOf({ name, categories }: Feature, values: Values): Float64Array | Float32Array {
  if (categories && !(values instanceof Float64Array)) return encode(categories, values)
  if (!categories && values instanceof Float64Array) return values
  const [holds, needs] = categories ? ['numbers', 'words'] : ['words', 'numbers']
  throw dataError('TYPE_MISMATCH', `the column ${name} holds ${holds}, the model needs ${needs}`)
}

function completeRows(features: Feature[], columns: (Float64Array | Float32Array)[], rows: number): Uint8Array {
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
  return complete
}

/** The numbers of the marked rows. */
const rowsIn = (marked: Uint8Array): Uint32Array => Uint32Array.from(marked.keys()).filter(row => marked[row] === 1)

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
