// Scores a whole file with a registered model: candles or rows of a table, from which the features are computed, or the feature columns themselves.
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { loadModel } from '../base/onnx.ts'
import {
  type Column,
  findColumn,
  rowsBySymbol,
  strings,
  type Table,
  takeRows,
  takeValues,
  timesOf,
  type Values,
} from '../base/table.ts'
import { readCandles, readColumns, writeTable } from '../data/files.ts'
import { type FileReading, isCandleColumn } from '../data/schema.ts'
import { computeValues, featuresOn, wordsOf } from '../features/build.ts'
import type { FeatureSpec } from '../features/catalog.ts'
import { withJoined } from '../features/join.ts'
import { warm } from '../learn/dataset.ts'
import { type Bundle, openRegistered } from '../registry/bundle.ts'
import { trustedKeys } from '../registry/keys.ts'
import { resolveVersion } from '../registry/versions.ts'
import { predictTable } from './predict.ts'

/** Writes a row per input row: time and symbol where the input has them, then the answer; empty where there is none. Gives how many rows, and how many without an answer. */
export async function predictFile(
  model: string,
  input: string,
  out: string,
  trusted: string[],
  context: Context,
): Promise<{ rows: number; unanswered: number }> {
  const bundle = await openRegistered(
    context.home,
    await resolveVersion(context.database, model),
    trustedKeys(context.home, trusted),
  )
  const { scored, whole } = await readInput(bundle, input, context)
  const values = bundle.manifest.input.features.map(feature => valuesOf(scored, feature))
  // While a feature warms up there is no answer, as there was no training row. A row that is given whole is judged by itself.
  const warming = !whole && bundle.manifest.label.horizon !== undefined
  const rows = warming
    ? warm(values, symbolsOf(scored), scored.rows)
    : Int32Array.from({ length: scored.rows }, (_, i) => i)
  const session = await loadModel(bundle.model)
  try {
    const given = values.map(column => takeValues(column, rows))
    const series = session.length > 1 ? seriesOf(scored, rows) : []
    const answered = await predictTable(bundle.manifest, session, given, series)
    await writeTable(spread(scored, rows, answered.table), out, context.signal)
    return { rows: scored.rows, unanswered: scored.rows - rows.length + answered.unanswered }
  } finally {
    await session.close()
  }
}

interface Input {
  /** With a column for each feature. */
  scored: Table
  /** Whether the file has them itself. */
  whole: boolean
}

/** Where a header is not that of the source. */
const ANOTHER_HEADER = ['DELIMITER', 'MISSING_COLUMN', 'UNKNOWN_COLUMN']

/** A file is written as those were that the model learned from; what we write ourselves, such as the features of every bar, is plain. */
async function readInput(bundle: Bundle, input: string, context: Context): Promise<Input> {
  const { reading } = bundle.manifest.data
  const read = (as: FileReading) => readAs(as, bundle, input, context)
  if (!reading) return read({})
  return read(reading).catch(error => {
    if (!ANOTHER_HEADER.includes(error.code)) throw error
    return read({}).catch(() => {
      throw error
    })
  })
}

async function readAs(reading: FileReading, bundle: Bundle, input: string, context: Context): Promise<Input> {
  const { features } = bundle.manifest.input
  const { columns } = bundle.manifest.data
  // As they were read when the model learned: 01 may be a word.
  const types = new Map(columns.map(({ name, type }) => [name, type]))
  const table = await readColumns(input, { types, reading, signal: context.signal })
  const missing = features.map(({ name }) => name).filter(name => !findColumn(table, name))
  if (!missing.length) return { scored: table, whole: true }
  return { scored: await withFeatures(bundle, { path: input, reading, table, missing }, context), whole: false }
}

/** What was read of a file, and the features that it has no column of. */
interface Lacking {
  path: string
  reading: FileReading
  table: Table
  missing: string[]
}

type Feature = Bundle['manifest']['input']['features'][number]

/** A feature's column, a category's always as words. */
function valuesOf(table: Table, { name, categories }: Feature): Values {
  const column = findColumn(table, name)!
  return categories ? wordsOf(column) : column.values
}

const withFeatures = (bundle: Bundle, lacking: Lacking, context: Context) =>
  (bundle.manifest.data.schema === 'candles' ? fromCandles : fromTable)(bundle, lacking, context)

/** A table with a column per feature that is computed of its others. */
async function fromTable({ manifest }: Bundle, { path, table, missing }: Lacking, context: Context): Promise<Table> {
  const wanted = new Set(manifest.input.features.map(({ name }) => name))
  const specs = (manifest.features as FeatureSpec[]).filter(
    ({ kind, name }) => kind !== 'column' || wanted.has(String(name)),
  )
  const passed = specs.find(({ kind, name }) => kind === 'column' && missing.includes(String(name)))
  if (passed) throw dataError('MISSING_COLUMN', `${path} has no column ${passed.name}`)
  return compute(table, manifest, specs, context)
}

/** Other tables are read as they are now: what is scored may be younger than the model. */
async function compute(
  given: Table,
  { timeframe }: Bundle['manifest'],
  specs: FeatureSpec[],
  context: Context,
): Promise<Table> {
  const table = await withJoined(
    given,
    timeframe,
    specs.map(({ version: _, ...spec }) => spec as FeatureSpec),
    context,
  )
  const schema = table.columns.map(({ name, type }) => ({ name, type }))
  const features = featuresOn({ schema, timeframe }, specs)
  const values = computeValues(table, { schema }, specs, features)
  const made = features.map(({ name }, i) => columnOf(name, values[i]))
  return {
    rows: table.rows,
    columns: [...table.columns.filter(({ name }) => !made.some(column => column.name === name)), ...made],
  }
}

const columnOf = (name: string, values: Values): Column => ({
  name,
  type: values instanceof Float64Array ? 'number' : 'string',
  values,
})

const symbolsOf = (table: Table) => (findColumn(table, 'symbol') ? strings(table, 'symbol') : undefined)

/** Places in `rows` of each symbol in time order: what sequences are cut from. Without times the order of the file is the order. */
function seriesOf(scored: Table, rows: Int32Array): Int32Array[] {
  const identity = scored.columns.filter(({ name }) => name === 'time' || name === 'symbol')
  const table = takeRows({ rows: scored.rows, columns: identity }, rows)
  const series = [...rowsBySymbol(table)]
  const time = timesOf(table)
  if (!time) return series.map(([, places]) => places)
  return series.map(([symbol, places]) => inOrder(places, time, symbol))
}

/** Two rows of one time have no order, and a row without one has no place. */
function inOrder(places: Int32Array, time: Float64Array, symbol: string): Int32Array {
  const sorted = places.slice().sort((a, b) => time[a] - time[b] || a - b)
  const of = symbol && ` of ${symbol}`
  for (const [i, place] of sorted.entries()) {
    if (Number.isNaN(time[place])) throw dataError('ROW_TIME', `a row${of} has no time, so it is in no sequence`)
    if (i > 0 && time[place] === time[sorted[i - 1]])
      throw dataError('ROW_TIME', `two rows${of} have the time ${new Date(time[place]).toISOString()}`)
  }
  return sorted
}

/** Candles with a column per feature; input that is neither is told what is missing. */
async function fromCandles(
  { manifest }: Bundle,
  { path, reading, table, missing }: Lacking,
  context: Context,
): Promise<Table> {
  const specs = manifest.features as FeatureSpec[]
  const passed = new Set(specs.flatMap(({ kind, name }) => (kind === 'column' ? [name] : [])))
  const computed = new Set(manifest.input.features.map(({ name }) => name).filter(name => !passed.has(name)))
  // A feature may read any further column of numbers.
  const further = table.columns.filter(
    ({ name, type }) => type === 'number' && !isCandleColumn(name) && !computed.has(name),
  )
  const keep = further.map(({ name }) => name)
  const candles = await readCandles(path, {
    reading: { ...reading, keep },
    signal: context.signal,
    now: context.now,
  }).catch(cause => {
    if (cause.code !== 'MISSING_COLUMN') throw cause
    throw dataError(
      'MISSING_COLUMN',
      `${path} is neither candles (${cause.message}) nor has it the features ${missing.slice(0, 5).join(', ')}`,
      { cause },
    )
  })
  return compute(candles, manifest, specs, context)
}

/** The answers at their rows, beside what identifies a row. */
function spread(table: Table, rows: Int32Array, answers: Table): Table {
  const kept = table.columns.filter(({ name }) => name === 'time' || name === 'symbol')
  const placed = answers.columns.map(({ name, type, values }): Column => {
    const whole =
      values instanceof Float64Array
        ? new Float64Array(table.rows).fill(Number.NaN)
        : new Array<string | null>(table.rows).fill(null)
    for (let i = 0; i < rows.length; i++) whole[rows[i]] = values[i]
    return { name, type, values: whole }
  })
  return { rows: table.rows, columns: [...kept, ...placed] }
}
