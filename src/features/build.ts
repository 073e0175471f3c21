// BUILD: table -> features and label, a row per bar, as one Arrow file found by its digest.
import { join } from 'node:path'
import { readArrow, writeArrow } from '../base/arrow.ts'
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

const VERSION = 1

export interface Features {
  digest: string
  /** Arrow file with a row per bar: `time`, `open`, `close`, `label`, every feature (float64, NaN where undefined), `symbol` where the table has it. */
  path: string
  rows: number
  /** Names in config order. */
  features: string[]
  label: LabelConfig
  horizon: number
  /** Bars before the first row that can have every feature. */
  warmup: number
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
    ...['time', 'open', 'close'].map(name => ({ name, values: numbers(table, name) })),
    ...(symbol ? [{ name: 'symbol', values: symbol }] : []),
    { name: 'label', values: label.values },
    ...made.map(({ name }, i) => ({ name, values: columns[i] })),
  ])
  const features = made.map(({ name }) => name)
  return { digest, path, rows: table.rows, features, label: config.label, horizon: label.horizon, warmup }
}

/** The table that `build --out` writes: time, symbol where there is one, features in config order, label. */
export async function featureTable(built: Features): Promise<Table> {
  const columns = await readArrow(built.path)
  const symbol = columns.get('symbol') as (string | null)[] | undefined
  const number = (name: string) => ({ name, type: 'number' as const, values: columns.get(name) as Float64Array })
  return {
    rows: built.rows,
    columns: [
      { name: 'time', type: 'time', values: columns.get('time') as Float64Array },
      ...(symbol ? [{ name: 'symbol', type: 'string' as const, values: symbol }] : []),
      ...built.features.map(number),
      number('label'),
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
