// INGEST: a source's rows, held to the schema, as the next version of a table. Nothing is filled, swapped or guessed.
import { rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileSha256, temporaryName } from '../base/blobs.ts'
import type { Context } from '../base/context.ts'
import { dataError, type SluiceError, usageError } from '../base/errors.ts'
import type { Table } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import { type Adjuster, adjuster, factorPaths } from './factors.ts'
import type { Gap } from './gaps.ts'
import { type Gathered, gather } from './gather.ts'
import { checkNames } from './layout.ts'
import { type TableManifest, tableFolder } from './manifest.ts'
import { type Broken, brokenText, hint } from './quarantine.ts'
import type { Source, SourceFile, Warning } from './rows.ts'
import type { DataConfig } from './schema.ts'
import { type SeriesReport, seriesInspector } from './series.ts'
import { openSource } from './sources.ts'
import { currentTable, type Saved, saveTable } from './tables.ts'

export interface IngestResult {
  table: string
  version: number
  digest: string
  /** Of each file of the table, DVC's digest. */
  md5: string[]
  /** False when the current version already had these rows. */
  created: boolean
  /** read = accepted + rejected + duplicates. */
  read: number
  accepted: number
  rejected: number
  duplicates: number
  /** Of the accepted rows: those with a key that the table did not have, and those that replaced a row of the version before. */
  added: number
  revised: number
  gaps: number
  /** The first 1,000 of them. */
  gap_list: { symbol?: string; start: string; end: string; bars: number }[]
  /** Rows (for GAP: gaps) for each reason code, those of warnings included. */
  reasons: Record<string, number>
  /** The rejected rows by column or rule and code, with where the first ones stand. */
  broken: Broken[]
  /** Path of the CSV with the rejected rows. */
  quarantine: string | null
  warnings: Warning[]
  rows: number
  timeframe: string | null
  /** Times of the first and last row; null where rows have no time. */
  from: string | null
  to: string | null
  symbols: string[]
}

const GAPS_LISTED = 1000
/** Raised when equal files would be taken otherwise than before. */
const VERSION = 5

/** What an ingest is found by: the section of the config and, for files, what is in them. */
export async function ingestInputs(config: DataConfig): Promise<object> {
  const { source, adjust } = config
  const paths = source.kind === 'file' ? (source.paths ?? [source.path!]) : []
  const factors = adjust.factors === undefined ? [] : factorPaths(adjust.factors)
  const files = await Promise.all([...paths, ...factors].map(fileSha256))
  return { version: VERSION, config, files }
}

const LIVE = new Set<string>(['http', 'postgres', 'binance', 'feargreed'])

/** Whether the source may have more rows the next time. */
const isLive = ({ source }: DataConfig): boolean => LIVE.has(source.kind)

const isIncremental = (config: DataConfig): boolean => (config.load ? config.load === 'incremental' : isLive(config))

/** Whether equal inputs give equal tables, so that an ingest that was done is not done again. */
export const isRepeatable = (config: DataConfig): boolean => !isLive(config) && !isIncremental(config)

/** Reads, checks, sorts and saves. Errors: BAD_ROW under `on_bad_row: fail`, EMPTY_INPUT when no row is left, and those of the source and the tables. */
export async function ingest(config: DataConfig, context: Context): Promise<IngestResult> {
  const { home, signal, now, log, env } = context
  const current = isIncremental(config) ? await currentTable(config.table, context) : undefined
  const source = openSource(config.source, config.schema, {
    ...{ signal, now, log, env },
    timeframe: config.timeframe,
    downloads: join(home, 'cache', 'downloads'),
    watermark: current?.watermark,
    known: new Set(current?.source.files.map(({ sha256 }) => sha256)),
  })
  const scratch = temporaryName(tableFolder(home, config.table, 'spill'))
  try {
    const gathered = await gather(source, { scratch, signal, rules: rulesOf(config) })
    if (!gathered && !current) throw dataError('EMPTY_INPUT', 'the source has no rows')
    if (gathered) checkNames(gathered.layout)
    const onto = gathered && !isWhole(gathered, config) ? current : undefined
    if (gathered && onto) checkSchema(gathered, onto)
    const result = gathered ? await save(gathered, source, onto, config, context) : unchanged(source, current!)
    if (result.rejected) log.warn(`${result.table}: rows set aside: ${result.rejected}; ${brokenText(result.broken)}`)
    for (const { message } of result.warnings) log.warn(`${result.table}: ${message}`)
    source.done?.()
    return result
  } finally {
    await source.close?.()
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Rows without a key come as a whole again, and added to those that are known they would all be there twice. */
const isWhole = ({ layout }: Gathered, { load }: DataConfig): boolean => !layout.key.length && load === undefined

const rulesOf = ({ schema, rules }: DataConfig): string[] => [
  ...(schema === 'candles' ? [] : (schema.rules ?? [])),
  ...rules,
]

async function save(
  gathered: Gathered,
  source: Source,
  current: TableManifest | undefined,
  config: DataConfig,
  context: Context,
): Promise<IngestResult> {
  const jump = gathered.layout.candles ? config.adjust.report_jumps : null
  const inspector = gathered.layout.time < 0 ? undefined : seriesInspector(config.timeframe, jump)
  const adjusting = adjusterOf(config)
  const { refused } = gathered
  // A reading of their own, beside that of the rows.
  const files = source.files()
  files.catch(() => {})
  let report: Report | undefined

  const remarks = async () => {
    const bad = refused.error()
    if (bad && config.on_bad_row === 'fail') throw bad
    const quarantine = bad ? await refused.write(tableFolder(context.home, config.table, 'quarantine')) : null
    const series = inspector?.report() ?? { timeframe: null, gaps: [], warnings: [] }
    report = { ...countsOf(gathered, series, [...source.warnings(), ...(adjusting?.warnings() ?? [])]), quarantine }
    if (!report.accepted && !current) throw nothingLeft(report)
    const earlier = current?.source.files ?? []
    const seen = new Set(earlier.map(({ sha256 }) => sha256))
    const found = (await files).filter(({ sha256 }) => !seen.has(sha256))
    const { timeframe } = series
    return {
      timeframe: current?.timeframe ?? timeframe,
      report,
      source: {
        kind: config.source.kind,
        files: [...earlier, ...found],
        ...(await factorFiles(adjusting, current)),
      },
    }
  }
  const rows = {
    table: config.table,
    layout: gathered.layout,
    tables: adjusted(gathered.tables(), adjusting, table => inspector?.add(table)),
    onto: current,
    partition_rows: config.partition_rows,
  }
  const saved = await saveTable(rows, remarks, context)
  return resultOf(config.table, saved, report!)
}

type Report = Pick<
  IngestResult,
  | 'read'
  | 'accepted'
  | 'rejected'
  | 'duplicates'
  | 'reasons'
  | 'broken'
  | 'gaps'
  | 'gap_list'
  | 'warnings'
  | 'quarantine'
>

function resultOf(table: string, { manifest, created, added, revised }: Saved, report: Report): IngestResult {
  const { version, digest, rows, from, to, symbols, timeframe } = manifest
  const md5 = manifest.partitions.map(partition => partition.md5)
  return { table, version, digest, md5, created, ...report, added, revised, rows, timeframe, from, to, symbols }
}

async function* adjusted(
  tables: AsyncIterable<Table>,
  adjusting: Adjuster | undefined,
  look: (table: Table) => void,
): AsyncGenerator<Table> {
  for await (const raw of tables) {
    const table = adjusting ? adjusting.adjust(raw) : raw
    look(table)
    yield table
  }
}

/** Days are those of the source's clock. */
function adjusterOf({ adjust, source, schema }: DataConfig): Adjuster | undefined {
  const { factors } = adjust
  if (factors === undefined) return undefined
  if (schema !== 'candles') throw usageError('FACTORS', 'factor files adjust candles, and the schema is another')
  return adjuster({ ...adjust, factors }, 'zone' in source ? source.zone : undefined)
}

/** The factor files that were used, those of before included. Errors: FACTORS_CHANGED where rows that stay were adjusted otherwise. */
async function factorFiles(adjusting: Adjuster | undefined, current: TableManifest | undefined) {
  const files = await adjusting?.files()
  const earlier = current?.source.factors
  const isOf = (a: SourceFile, b: SourceFile) => basename(a.path) === basename(b.path)
  const changed = files?.some(file => earlier?.some(other => isOf(file, other) && other.sha256 !== file.sha256))
  if (changed || (current && !earlier !== !files))
    throw dataError(
      'FACTORS_CHANGED',
      `the rows that ${current!.table} has were adjusted by other factors, and new rows would not go with them`,
      { next: 'load: full, which adjusts all of them anew' },
    )
  if (!files) return {}
  return { factors: [...(earlier ?? []).filter(other => !files.some(file => isOf(file, other))), ...files] }
}

/** The source had nothing new. */
function unchanged(source: Source, current: TableManifest): IngestResult {
  const warnings = source.warnings()
  const counts = { read: 0, accepted: 0, rejected: 0, duplicates: 0, gaps: 0 }
  const report = { ...counts, reasons: countsByCode(warnings), broken: [], gap_list: [], warnings, quarantine: null }
  return resultOf(current.table, { manifest: current, created: false, added: 0, revised: 0 }, report)
}

/** Rows can only be added to a table of the same columns. */
function checkSchema({ layout }: Gathered, { table, schema }: TableManifest): void {
  const words = (columns: { name: string; type: string }[]) =>
    columns.map(({ name, type }) => `${name} (${type})`).join(', ')
  if (words(layout.columns) !== words(schema))
    throw dataError(
      'SCHEMA_CHANGED',
      `the table ${table} has the columns ${words(schema)}, and the source ${words(layout.columns)}`,
      { next: 'another name for the table, or load: full to replace it' },
    )
}

/** What is said of the rows, once all are read. */
export function countsOf(
  { read, counts, refused }: Gathered,
  series: SeriesReport,
  more: Warning[],
): Omit<Report, 'quarantine'> {
  const { accepted, duplicates, outOfOrder } = counts
  const warnings = [...more, ...orderWarnings(duplicates, outOfOrder), ...series.warnings]
  return {
    read,
    accepted,
    rejected: refused.count(),
    duplicates,
    reasons: { ...refused.reasons(), ...countsByCode(warnings) },
    broken: refused.broken(),
    gaps: series.gaps.length,
    gap_list: series.gaps.slice(0, GAPS_LISTED).map(withIsoTimes),
    warnings,
  }
}

function countsByCode(warnings: Warning[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { code, count } of warnings) counts[code] = (counts[code] ?? 0) + count
  return counts
}

function nothingLeft({ read, reasons, broken, quarantine }: Report): SluiceError {
  return dataError('EMPTY_INPUT', `none of the ${read} rows can be taken: ${brokenText(broken)}; see ${quarantine}`, {
    next: hint(reasons),
    detail: { read, reasons, broken, quarantine },
  })
}

function orderWarnings(duplicates: number, outOfOrder: number): Warning[] {
  const found = [
    { code: 'DUPLICATE_TIMESTAMP', message: `exact duplicates dropped: ${duplicates}`, count: duplicates },
    {
      code: 'OUT_OF_ORDER',
      message: `rows out of place in time: ${outOfOrder}; the table is sorted`,
      count: outOfOrder,
    },
  ]
  return found.filter(({ count }) => count > 0)
}

const withIsoTimes = (gap: Gap) => ({ ...gap, start: isoTime(gap.start), end: isoTime(gap.end) })
