// BUILD: table -> features and label, a row per bar or per row of any other table, as one Arrow file found by its digest.
import { join } from 'node:path'
import { own, readArrow, writeArrow } from '../base/arrow.ts'
import type { Context } from '../base/context.ts'
import { dataError, usageError } from '../base/errors.ts'
import {
  besideOthers,
  type Column,
  findColumn,
  jsonDigest,
  numbers,
  rowsBySymbol,
  strings,
  type Table,
  type Values,
} from '../base/table.ts'
import { isoTime, parseTimeframe } from '../base/time.ts'
import type { DataSchema } from '../data/columns.ts'
import type { SchemaColumn, TableManifest } from '../data/manifest.ts'
import { VALUE_COLUMNS } from '../data/schema.ts'
import { loadTable } from '../data/tables.ts'
import {
  expandFeatures,
  type FeatureEntry,
  type FeatureSpec,
  joinedColumns,
  makeFeatures,
  ROW_KINDS,
} from './catalog.ts'
import { computeFeatures } from './compute.ts'
import type { Feature } from './feature.ts'
import { withJoined } from './join.ts'
import { computeLabel, type LabelConfig } from './labels.ts'
import { computePieces } from './pieces.ts'

const VERSION = 4

export interface Features {
  digest: string
  /** Arrow file with the columns of FeatureRows: every feature under its name, the others as `own` names them. */
  path: string
  rows: number
  /** Names in config order. */
  features: string[]
  /** One for each of them. */
  specs: FeatureSpec[]
  /** Those that the schema lets be missing. */
  nullable: string[]
  label: LabelConfig
  /** What the label's values are places in, where it is a column of words. */
  words: string[] | null
  horizon: number
  /** Bars before the first row that can have every feature. */
  warmup: number
  /** Whether rows are bars with prices that can be traded. */
  market: boolean
  /** Whether rows have a time, and so an order. */
  timed: boolean
}

/** A row per row of the table; float64, NaN where undefined. */
export interface FeatureRows {
  /** Epoch ms; where rows have no time, their number in the table, from 0. */
  time: Float64Array
  /** NaN where rows are no bars. */
  open: Float64Array
  close: Float64Array
  label: Float64Array
  /** Where the table has it, and a time. */
  symbol?: (string | null)[]
  /** In the order of their names; a category's are words. */
  features: Values[]
}

export interface FeatureConfig {
  features: FeatureSpec[]
  label: LabelConfig
  /** Rows are candles. */
  market: boolean
}

/** The sections of a config that say what is built; `schema` is that of `data`. */
interface Sections {
  features: FeatureEntry[]
  label: LabelConfig
  schema: DataSchema
}

/** What a config builds on a table: the set `columns` is every one but the label, time and symbol, the key, and what is personal. */
export function planFeatures(manifest: TableManifest, { features, label, schema }: Sections): FeatureConfig {
  const beside = isTimed(manifest) ? ['time', 'symbol'] : []
  const personal = manifest.schema.filter(({ rule }) => rule?.pii).map(({ name }) => name)
  const key = schema === 'candles' ? [] : (schema.key ?? [])
  const target = label.kind === 'column' ? label.name : 'label'
  const withheld = new Set([target, ...beside, ...personal, ...key])
  const free = manifest.schema.map(({ name }) => name).filter(name => !withheld.has(name))
  const specs = expandFeatures(features, free)
  if (!specs.length)
    throw usageError('NO_FEATURES', `the table has no column beside ${[...withheld].join(', ')} to learn from`)
  return { features: specs, label, market: manifest.candles }
}

type Described = Pick<TableManifest, 'schema'>

/** Whether the rows of a table have a time: a column of that name and type. */
export const isTimed = ({ schema }: Described): boolean =>
  schema.some(({ name, type }) => name === 'time' && type === 'time')

/** The features of a config on a table: its columns and its bar length decide what they can read. */
export function featuresOn(
  { schema, timeframe }: Pick<TableManifest, 'schema' | 'timeframe'>,
  specs: FeatureSpec[],
): Feature[] {
  if (timeframe === null && specs.some(spec => 'timeframe' in spec))
    throw dataError('TIMEFRAME', 'the bars have no fixed length, so higher timeframes cannot be built from them', {
      next: 'set data.timeframe',
    })
  const columns = [...schema.map(({ name }) => name), ...joinedColumns(specs)]
  const features = makeFeatures(specs, parseTimeframe(timeframe ?? '1d'), columns)
  const back = features.find(({ warmup }, i) => warmup > 0 || !ROW_KINDS.includes(specs[i].kind))
  if (back && !isTimed({ schema }))
    throw usageError('NO_ORDER', `${back.name} looks back over rows, and rows without a time have no order`, {
      next: 'use features of kind column, or expr without lag',
    })
  return features
}

/** What a build is found by: the table's content, the specs and the versions of the formulas. */
export function buildInputs(manifest: TableManifest, { features, label, market }: FeatureConfig): object {
  const formulas = featuresOn(manifest, features).map(({ name, version }) => [name, version])
  const { digest, timeframe } = manifest
  const categories = passedThrough(manifest, features, isCategory)
  const nullable = passedThrough(manifest, features, mayBeMissing)
  return { version: VERSION, table: digest, timeframe, features, label, market, formulas, categories, nullable }
}

/**
 * Computes features and label for every row of a table version.
 * Errors (exit 4): NAN_INPUT where a price is not a number, TOO_SHORT where no symbol has warm-up + horizon + 1 bars;
 * (usage): HORIZON where the label looks ahead and rows have no time, or the other way round; NO_ORDER.
 */
export async function build(manifest: TableManifest, config: FeatureConfig, context: Context): Promise<Features> {
  const loaded = await loadTable(manifest.table, manifest.version, context)
  const table = await withJoined(loaded.table, manifest.timeframe, config.features, context)
  const timed = isTimed(manifest)
  checkLabel(config.label, timed)
  if (config.market) checkFinite(table)
  const made = featuresOn(manifest, config.features)
  const warmup = Math.max(0, ...made.map(feature => feature.warmup))
  const label = computeLabel(table, config.label)
  if (timed) checkLength(table, made, warmup, label.horizon)
  const numeric = numericOf(table, manifest, config.features, made)
  const columns = await computePieces(table, { manifest, ...numeric }, context)
  const values = withWords(table, config.features, made, numeric.features, columns)
  const digest = jsonDigest(buildInputs(manifest, config))
  const path = join(context.home, 'cache', 'features', `${digest}.arrow`)
  const symbol = timed && findColumn(table, 'symbol') && strings(table, 'symbol')
  const beside = ['time', 'open', 'close'].slice(0, config.market ? 3 : timed ? 1 : 0)
  await writeArrow(path, [
    ...beside.map(name => ({ name: own(name), values: numbers(table, name) })),
    { name: own('label'), values: label.values },
    ...(symbol ? [{ name: own('symbol'), values: symbol }] : []),
    ...made.map(({ name }, i) => ({ name, values: values[i] })),
  ])
  const features = made.map(({ name }) => name)
  const { words, horizon } = label
  const { market, features: specs } = config
  const nullable = passedThrough(manifest, specs, mayBeMissing)
  const what = { features, specs, nullable, label: config.label, words, horizon, warmup, market, timed }
  return { digest, path, rows: table.rows, ...what }
}

/** Values of every feature: words of a category as they are, all others computed. */
export function computeValues(table: Table, described: Described, specs: FeatureSpec[], made: Feature[]): Values[] {
  const numeric = numericOf(table, described, specs, made)
  return withWords(table, specs, made, numeric.features, computeFeatures(table, numeric.features).columns)
}

/** The features that are computed: all but categories. */
function numericOf(table: Table, described: Described, specs: FeatureSpec[], made: Feature[]) {
  const isNumeric = specs.map(spec => !categoryColumn(table, described, spec))
  return { specs: specs.filter((_, i) => isNumeric[i]), features: made.filter((_, i) => isNumeric[i]) }
}

const withWords = (table: Table, specs: FeatureSpec[], made: Feature[], numeric: Feature[], columns: Float64Array[]) =>
  made.map((feature, i) => columns[numeric.indexOf(feature)] ?? wordsOf(findColumn(table, String(specs[i].name))!))

/** The column that a feature passes through as a category: text, or numbers that the schema calls so. */
const categoryColumn = (table: Table, described: Described, spec: FeatureSpec) =>
  passedThrough(described, [spec], isCategory).length ? findColumn(table, String(spec.name)) : undefined

const isCategory = ({ type, rule }: SchemaColumn): boolean => type === 'string' || Boolean(rule?.categorical)
const mayBeMissing = ({ rule }: SchemaColumn): boolean => Boolean(rule?.nullable)

/** The features that are columns of the table as they are, of such a kind. */
const passedThrough = ({ schema }: Described, specs: FeatureSpec[], of: (column: SchemaColumn) => boolean): string[] =>
  specs
    .filter(({ kind, timeframe }) => kind === 'column' && timeframe === undefined)
    .map(({ name }) => String(name))
    .filter(name => schema.some(column => column.name === name && of(column)))

/** A column as words: a number is the shortest text that reads back as it. */
export const wordsOf = ({ values }: Pick<Column, 'values'>): (string | null)[] =>
  values instanceof Float64Array ? Array.from(values, value => (Number.isNaN(value) ? null : String(value))) : values

export async function readFeatures({ path, features, rows }: Features): Promise<FeatureRows> {
  const columns = await readArrow(path)
  const values = (name: string) => columns.get(name) as Values
  const given = (name: string, otherwise: (row: number) => number) =>
    (columns.get(own(name)) as Float64Array | undefined) ??
    Float64Array.from({ length: rows }, (_, row) => otherwise(row))
  const none = () => Number.NaN
  return {
    time: given('time', row => row),
    open: given('open', none),
    close: given('close', none),
    label: given('label', none),
    symbol: columns.get(own('symbol')) as (string | null)[] | undefined,
    features: features.map(values),
  }
}

/** The table that `build --out` writes: time and symbol where there are such, features in config order, label. */
export async function featureTable(built: Features): Promise<Table> {
  const { time, symbol, features, label } = await readFeatures(built)
  const { words } = built
  const named = words ? Array.from(label, place => words[place] ?? null) : label
  return {
    rows: built.rows,
    columns: [
      ...(built.timed ? [{ name: 'time', type: 'time' as const, values: time }] : []),
      ...(symbol ? [{ name: 'symbol', type: 'string' as const, values: symbol }] : []),
      ...features.map((values, i) => columnOf(built.features[i], values)),
      columnOf(besideOthers('label', built.features), named),
    ],
  }
}

const columnOf = (name: string, values: Values): Column => ({
  name,
  type: values instanceof Float64Array ? 'number' : 'string',
  values,
})

function checkLabel({ kind, horizon }: LabelConfig, timed: boolean): void {
  if (timed && horizon === undefined)
    throw usageError('HORIZON', 'rows with a time need a label with a horizon: how many rows ahead is it known?', {
      next: 'set label.horizon, or take the column time out of the table',
    })
  if (!timed && horizon !== undefined)
    throw usageError('HORIZON', `rows have no time, so a label cannot look ${horizon} of them ahead`, {
      next: kind === 'column' ? 'remove label.horizon' : 'use a label of kind column',
    })
}

function checkFinite(table: Table): void {
  for (const name of VALUE_COLUMNS) {
    const row = numbers(table, name).findIndex(value => !Number.isFinite(value))
    if (row >= 0)
      throw dataError(
        'NAN_INPUT',
        `${name} of the bar at ${isoTime(numbers(table, 'time')[row])} is ${numbers(table, name)[row]}`,
        {
          next: 'sluice ingest again: it puts such rows into quarantine',
        },
      )
  }
}

function checkLength(table: Table, features: Feature[], warmup: number, horizon: number): void {
  const longest = Math.max(0, ...[...rowsBySymbol(table).values()].map(rows => rows.length))
  if (longest > warmup + horizon) return
  const slowest = features.find(feature => feature.warmup === warmup)
  throw dataError(
    'TOO_SHORT',
    `${longest} bars are too few: ${slowest?.name ?? 'the features'} needs ${warmup} before its first value and the label looks ${horizon} ahead`,
    {
      next: 'more bars, shorter windows or a shorter horizon',
    },
  )
}
