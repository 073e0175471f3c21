// What a table holds, column by column and series by series. One column at a time is in memory.
import type { Context } from '../base/context.ts'
import { mean, sortedQuantile, variance } from '../base/statistics.ts'
import { type ColumnType, joinTables, numbers, rowsBySymbol, takeValues, type Values } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { findGaps } from './gaps.ts'
import type { SchemaColumn, TableManifest } from './manifest.ts'
import { readColumn, readPartition } from './tables.ts'

export const QUANTILES = { p01: 0.01, p05: 0.05, p25: 0.25, p50: 0.5, p75: 0.75, p95: 0.95, p99: 0.99 }

/** Times are ISO. What is not defined, and every value of a personal column, is null. */
export interface ColumnProfile {
  name: string
  type: ColumnType
  pii: boolean
  rows: number
  missing: number
  distinct: number
  min: number | string | null
  max: number | string | null
  mean: number | null
  /** Over n - 1. */
  std: number | null
  quantiles: Record<keyof typeof QUANTILES, number> | null
  /** The most frequent values, of those that come more than once. */
  top: { value: number | string; rows: number }[] | null
}

export interface SeriesProfile {
  symbol: string | null
  rows: number
  from: string
  to: string
  /** Null where the table has no timeframe. */
  gaps: number | null
  bars_missing: number | null
}

export interface TableProfile {
  table: string
  version: number
  digest: string
  rows: number
  timeframe: string | null
  columns: ColumnProfile[]
  /** One for each symbol; empty where rows have no time. */
  series: SeriesProfile[]
}

type Reading = Pick<Context, 'home' | 'signal'>

/** Of a verified table. */
export async function profileTable(manifest: TableManifest, context: Reading): Promise<TableProfile> {
  const { table, version, digest, rows, timeframe, schema } = manifest
  const columns: ColumnProfile[] = []
  for (const column of schema) columns.push(profileColumn(column, await readColumn(manifest, column.name, context)))
  return { table, version, digest, rows, timeframe, columns, series: await profileSeries(manifest, context) }
}

const NO_VALUES = { min: null, max: null, mean: null, std: null, quantiles: null, top: null }

export function profileColumn({ name, type, rule }: SchemaColumn, values: Values): ColumnProfile {
  const { counted, missing } = values instanceof Float64Array ? ofNumbers(values, type) : ofTexts(values)
  const { distinct, ...shown } = counted
  const pii = rule?.pii ?? false
  return { name, type, pii, rows: values.length, missing, distinct, ...(pii ? NO_VALUES : shown) }
}

function ofNumbers(values: Float64Array, type: ColumnType) {
  const sorted = values.filter(value => !Number.isNaN(value)).sort()
  const missing = values.length - sorted.length
  const written = (value: number) => (type === 'time' ? isoTime(value) : value)
  const tally = tallyOf(sorted)
  const counted = {
    ...NO_VALUES,
    distinct: tally.distinct,
    ...(sorted.length && { min: written(sorted[0]), max: written(sorted[sorted.length - 1]) }),
    top: tally.top.map(({ value, rows }) => ({ value: written(value), rows })),
  }
  if (type === 'time' || !sorted.length) return { counted, missing }
  const quantiles = Object.fromEntries(Object.entries(QUANTILES).map(([name, q]) => [name, sortedQuantile(sorted, q)]))
  const std = sorted.length > 1 ? Math.sqrt(variance(sorted, 1)) : null
  return {
    counted: { ...counted, mean: mean(sorted), std, quantiles: quantiles as ColumnProfile['quantiles'] },
    missing,
  }
}

function ofTexts(values: (string | null)[]) {
  const present = values.filter(value => value !== null).sort()
  const { distinct, top } = tallyOf(present)
  const ends = present.length ? { min: present[0], max: present[present.length - 1] } : {}
  return { counted: { ...NO_VALUES, ...ends, distinct, top }, missing: values.length - present.length }
}

const TOP = 5

/** How often ascending values come: the most frequent first, of equally frequent ones the smaller. */
function tallyOf<T extends number | string>(sorted: ArrayLike<T>) {
  const top: { value: T; rows: number }[] = []
  let distinct = 0
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    while (to < sorted.length && sorted[to] === sorted[from]) to++
    distinct++
    if (to - from === 1 || (top.length === TOP && to - from <= top[TOP - 1].rows)) continue
    const place = top.findIndex(({ rows }) => rows < to - from)
    top.splice(place < 0 ? top.length : place, 0, { value: sorted[from], rows: to - from })
    top.splice(TOP)
  }
  return { distinct, top }
}

async function profileSeries(manifest: TableManifest, context: Reading): Promise<SeriesProfile[]> {
  const { partitions, timeframe, symbols, from } = manifest
  if (from === null) return []
  const names = symbols.length ? ['time', 'symbol'] : ['time']
  const parts = []
  for (const partition of partitions) parts.push(await readPartition(manifest, partition, context, names))
  const table = joinTables(parts)
  const time = numbers(table, 'time')
  return [...rowsBySymbol(table)].map(([symbol, rows]) => {
    const times = takeValues(time, rows)
    const gaps = timeframe === null ? null : findGaps(times, timeframe)
    return {
      symbol: symbols.length ? symbol : null,
      rows: rows.length,
      from: isoTime(times[0]),
      to: isoTime(times[times.length - 1]),
      gaps: gaps?.length ?? null,
      bars_missing: gaps?.reduce((sum, { bars }) => sum + bars, 0) ?? null,
    }
  })
}
