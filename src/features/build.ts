// BUILD: table -> features and label, a row per bar, as one Arrow file found by its digest.
import { join } from 'node:path'
import { own, readArrow, writeArrow } from '../base/arrow.ts'
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { findColumn, jsonDigest, numbers, rowsBySymbol, strings, type Table } from '../base/table.ts'
import { isoTime, parseTimeframe } from '../base/time.ts'
import { VALUE_COLUMNS } from '../data/schema.ts'
import { loadTable, type TableManifest } from '../data/tables.ts'
import { type FeatureSpec, makeFeatures } from './catalog.ts'
import { computeFeatures } from './compute.ts'
import type { Feature } from './feature.ts'
import { computeLabel, type LabelConfig } from './labels.ts'

const VERSION = 2

export interface Features {
  digest: string
  /** Arrow file with the columns of FeatureRows: every feature under its name, the others as `own` names them. */
  path: string
  rows: number
  /** Names in config order. */
  features: string[]
  label: LabelConfig
  horizon: number
  /** Bars before the first row that can have every feature. */
  warmup: number
}

/** A row per bar; float64, NaN where undefined. */
export interface FeatureRows {
  time: Float64Array
  open: Float64Array
  close: Float64Array
  label: Float64Array
  /** Where the table has it. */
  symbol?: (string | null)[]
  /** In the order of their names. */
  features: Float64Array[]
}

export interface FeatureConfig {
  features: FeatureSpec[]
  label: LabelConfig
}

/** The features of a config on a table: its columns and its bar length decide what they can read. */
export function featuresOn(
  { schema, timeframe }: Pick<TableManifest, 'schema' | 'timeframe'>,
  specs: FeatureSpec[],
): Feature[] {
  if (timeframe === null && specs.some(spec => 'timeframe' in spec))
    throw dataError('TIMEFRAME', 'the bars have no fixed length, so higher timeframes cannot be built from them', {
      next: 'set data.timeframe',
    })
  return makeFeatures(
    specs,
    parseTimeframe(timeframe ?? '1d'),
    schema.map(({ name }) => name),
  )
}

/** What a build is found by: the table's content, the specs and the versions of the formulas. */
export function buildInputs(manifest: TableManifest, { features, label }: FeatureConfig): object {
  const formulas = featuresOn(manifest, features).map(({ name, version }) => [name, version])
  return { version: VERSION, table: manifest.digest, timeframe: manifest.timeframe, features, label, formulas }
}

/**
 * Computes features and label for every bar of a table version.
 * Errors (exit 4): NAN_INPUT where a price is not a number, TOO_SHORT where no symbol has warm-up + horizon + 1 bars.
 */
export async function build(manifest: TableManifest, config: FeatureConfig, context: Context): Promise<Features> {
  const { table } = await loadTable(manifest.table, manifest.version, context)
  checkFinite(table)
  const made = featuresOn(manifest, config.features)
  const warmup = Math.max(0, ...made.map(feature => feature.warmup))
  const label = computeLabel(table, config.label)
  checkLength(table, made, warmup, label.horizon)
  const { columns } = computeFeatures(table, made)
  const digest = jsonDigest(buildInputs(manifest, config))
  const path = join(context.home, 'cache', 'features', `${digest}.arrow`)
  const symbol = findColumn(table, 'symbol') && strings(table, 'symbol')
  await writeArrow(path, [
    ...['time', 'open', 'close'].map(name => ({ name: own(name), values: numbers(table, name) })),
    { name: own('label'), values: label.values },
    ...(symbol ? [{ name: own('symbol'), values: symbol }] : []),
    ...made.map(({ name }, i) => ({ name, values: columns[i] })),
  ])
  const features = made.map(({ name }) => name)
  return { digest, path, rows: table.rows, features, label: config.label, horizon: label.horizon, warmup }
}

export async function readFeatures({ path, features }: Features): Promise<FeatureRows> {
  const columns = await readArrow(path)
  const numbers = (name: string) => columns.get(name) as Float64Array
  const [time, open, close, label] = ['time', 'open', 'close', 'label'].map(name => numbers(own(name)))
  const symbol = columns.get(own('symbol')) as (string | null)[] | undefined
  return { time, open, close, label, symbol, features: features.map(numbers) }
}

/** The table that `build --out` writes: time, symbol where there is one, features in config order, label. */
export async function featureTable(built: Features): Promise<Table> {
  const { time, symbol, features, label } = await readFeatures(built)
  const number = (name: string, values: Float64Array) => ({ name, type: 'number' as const, values })
  return {
    rows: built.rows,
    columns: [
      { name: 'time', type: 'time', values: time },
      ...(symbol ? [{ name: 'symbol', type: 'string' as const, values: symbol }] : []),
      ...features.map((values, i) => number(built.features[i], values)),
      number('label', label),
    ],
  }
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
