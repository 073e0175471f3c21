// INGEST: a source's rows, held to the candle contract, as the next version of a table. Nothing is filled, swapped or guessed.

import { fileDigests } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import { dataError, type SluiceError } from '../base/errors.ts'
import type { Table } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { arrange, candleTable, checkValues, inspectSeries } from './candles.ts'
import type { Gap } from './gaps.ts'
import { badRows, faultCounts, hint, writeQuarantine } from './quarantine.ts'
import type { Sourced, Warning } from './rows.ts'
import type { DataConfig } from './schema.ts'
import { readSource } from './sources.ts'
import { saveTable, tableFolder } from './tables.ts'

export interface IngestResult {
  table: string
  version: number
  digest: string
  /** False when the current version already had these rows. */
  created: boolean
  /** read = accepted + rejected + duplicates. */
  read: number
  accepted: number
  rejected: number
  duplicates: number
  gaps: number
  /** The first 1,000 of them. */
  gap_list: { symbol?: string; start: string; end: string; bars: number }[]
  /** Rows (for GAP: gaps) for each reason code, those of warnings included. */
  reasons: Record<string, number>
  /** Path of the CSV with the rejected rows. */
  quarantine: string | null
  warnings: Warning[]
  rows: number
  timeframe: string | null
  from: string
  to: string
  symbols: string[]
}

const GAPS_LISTED = 1000
/** Raised when equal files would be taken otherwise than before. */
const VERSION = 1

/** What an ingest is found by: the section of the config and, for files, what is in them. */
export async function ingestInputs(config: DataConfig): Promise<object> {
  const { source } = config
  const paths = source.kind === 'file' ? (source.paths ?? [source.path!]) : []
  const files = await Promise.all(paths.map(async path => (await fileDigests(path)).sha256))
  return { version: VERSION, config, files }
}

/** Reads, checks, sorts and saves. Errors: BAD_ROW under `on_bad_row: fail`, EMPTY_INPUT when no row is left, and those of the source and the tables. */
export async function ingest(config: DataConfig, context: Context): Promise<IngestResult> {
  const { table, sourced, timeframe, counts, bad } = await examine(config, context)
  if (bad && config.on_bad_row === 'fail') throw bad
  const quarantine = bad ? await writeQuarantine(tableFolder(context.home, config.table, 'quarantine'), sourced) : null
  if (!table.rows) throw nothingLeft(counts, quarantine)

  const source = { kind: config.source.kind, files: sourced.files }
  const about = { table: config.table, timeframe, source, report: { ...counts, quarantine } }
  const { manifest, created } = await saveTable(table, about, context)
  for (const { message } of counts.warnings) context.log.warn(`${config.table}: ${message}`)
  const { version, digest, rows, from, to, symbols } = manifest
  return { table: config.table, version, digest, created, ...counts, quarantine, rows, timeframe, from, to, symbols }
}

export type Counts = Pick<
  IngestResult,
  'read' | 'accepted' | 'rejected' | 'duplicates' | 'reasons' | 'gaps' | 'gap_list' | 'warnings'
>

export interface Examined {
  /** The accepted rows, by time, then symbol. */
  table: Table
  timeframe: string | null
  counts: Counts
  /** Names the first rejected rows; undefined where none is. */
  bad: SluiceError | undefined
  sourced: Sourced
}

/** What an ingest would accept and report, without writing anything. */
export async function examine(config: DataConfig, { signal, now }: Pick<Context, 'signal' | 'now'>): Promise<Examined> {
  const sourced = await readSource(config.source, { signal, now, timeframe: config.timeframe })
  const { rows } = sourced
  checkValues(rows)
  const { order, duplicates, winners, outOfOrder } = arrange(rows)
  const table = candleTable(rows, order)
  const series = inspectSeries(table, config.timeframe)
  const warnings = [...sourced.warnings, ...orderWarnings(duplicates, outOfOrder), ...series.warnings]
  const counts = {
    read: rows.count,
    accepted: table.rows,
    rejected: rows.count - table.rows - duplicates,
    duplicates,
    reasons: { ...faultCounts(rows), ...Object.fromEntries(warnings.map(({ code, count }) => [code, count])) },
    gaps: series.gaps.length,
    gap_list: series.gaps.slice(0, GAPS_LISTED).map(withIsoTimes),
    warnings,
  }
  return { table, timeframe: series.timeframe, counts, bad: badRows(rows, winners, sourced.paths), sourced }
}

function nothingLeft({ read, reasons }: Counts, quarantine: string | null): SluiceError {
  const list = Object.entries(reasons).map(([code, count]) => `${count} ${code}`)
  return dataError('EMPTY_INPUT', `none of the ${read} rows can be taken: ${list.join(', ')}; see ${quarantine}`, {
    next: hint(reasons),
    detail: { read, reasons, quarantine },
  })
}

function orderWarnings(duplicates: number, outOfOrder: number): Warning[] {
  const found = [
    { code: 'DUPLICATE_TIMESTAMP', message: `${duplicates} exact duplicates dropped`, count: duplicates },
    {
      code: 'OUT_OF_ORDER',
      message: `${outOfOrder} rows out of place in time; the table is sorted`,
      count: outOfOrder,
    },
  ]
  return found.filter(({ count }) => count > 0)
}

const withIsoTimes = (gap: Gap) => ({ ...gap, start: isoTime(gap.start), end: isoTime(gap.end) })
