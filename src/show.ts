// What a command prints for a person: short tables, one fact a line. The same facts are in its JSON.
import type { Row } from './base/database.ts'
import type { SeriesSummary } from './base/points.ts'
import { isoTime } from './base/time.ts'
import type { TableDiff } from './data/diff.ts'
import type { IngestResult } from './data/ingest.ts'
import type { TableProfile } from './data/profile.ts'
import { brokenText } from './data/quarantine.ts'
import type { Inspection } from './data/verify.ts'
import type { EachResult } from './each.ts'
import type { RunResult } from './pipeline.ts'
import type { Check } from './prove/audit.ts'
import type { Figures } from './prove/metrics.ts'
import { differing, parameters } from './prove/search.ts'

type Cell = string | number | boolean | null | undefined | number[]

/** Rows as aligned columns, numbers to the right. */
export function table(rows: Record<string, Cell>[]): string {
  if (!rows.length) return 'nothing yet'
  const names = Object.keys(rows[0])
  const cells = [names, ...rows.map(row => names.map(name => text(row[name])))]
  const widths = names.map((_, i) => Math.max(...cells.map(row => row[i].length)))
  const right = names.map(name => rows.every(row => typeof row[name] !== 'string'))
  return cells
    .map(row =>
      row
        .map((cell, i) => (right[i] ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function text(value: Cell): string {
  if (value === null || value === undefined) return '–'
  return typeof value === 'number' ? number(value) : String(value)
}

const number = (value: number): string =>
  Number.isInteger(value) || Math.abs(value) >= 1e6
    ? String(Math.round(value))
    : Number(value.toPrecision(4)).toString()

export const figures = (values: Figures): string =>
  table(Object.entries(values).map(([name, value]) => ({ figure: name, value })))

export const backtested = (ours: Figures, market: Figures): string =>
  table(Object.keys(ours).map(name => ({ figure: name, strategy: ours[name], 'buy and hold': market[name] })))

export function ingested({
  table: name,
  version,
  read,
  accepted,
  rejected,
  duplicates,
  from,
  to,
  timeframe,
  reasons,
  broken,
  quarantine,
  created,
}: IngestResult): string {
  return [
    `${name}@${version}${created ? '' : ' (unchanged)'}: ${accepted} rows${timeframe ? ` of ${timeframe}` : ''}${from === null ? '' : `, ${from} to ${to}`}`,
    `read ${read} = accepted ${accepted} + rejected ${rejected} + duplicates ${duplicates}`,
    ...Object.entries(reasons).map(([code, n]) => `  ${code}: ${n}`),
    ...(broken.length ? [`rejected: ${brokenText(broken)}`] : []),
    ...(quarantine ? [`rejected rows are in ${quarantine}`] : []),
  ].join('\n')
}

/** Series listed; all are counted. */
const SERIES_SHOWN = 20

export function profiled({ table: name, version, digest, rows, timeframe, columns, series }: TableProfile): string {
  const shown = columns.map(({ name, type, pii, missing, distinct, min, max, mean, std, quantiles, top }) => ({
    ...{ column: name, type: pii ? `${type}, personal` : type, missing, distinct, min, max, mean, std },
    median: quantiles?.p50,
    'most frequent':
      top?.length && type !== 'time' ? top.map(({ value, rows }) => `${value} (${rows})`).join(', ') : '',
  }))
  const more = series.length > SERIES_SHOWN ? [`and ${series.length - SERIES_SHOWN} more symbols`] : []
  return [
    `${name}@${version}: ${rows} rows${timeframe ? ` of ${timeframe}` : ''}, digest ${digest.slice(0, 12)}`,
    '',
    table(shown),
    ...(series.length ? ['', table(series.slice(0, SERIES_SHOWN).map(row => ({ ...row }))), ...more] : []),
  ].join('\n')
}

export function compared({ from, to, key, rows, changed, examples, columns, shifts }: TableDiff): string {
  const json = (cells: object) => JSON.stringify(cells)
  const typed = (list: { name: string; type: string }[]) => list.map(({ name, type }) => `${name} (${type})`).join(', ')
  return [
    `${from.table}@${from.version} (${from.rows} rows) -> ${to.table}@${to.version} (${to.rows} rows), by ${key.join(', ') || 'whole rows'}`,
    `rows: ${rows.added} added, ${rows.removed} removed, ${rows.revised} revised`,
    ...Object.entries(changed).map(([column, n]) => `  ${column}: other values in ${n}`),
    ...(columns.added.length ? [`columns added: ${typed(columns.added)}`] : []),
    ...(columns.removed.length ? [`columns removed: ${typed(columns.removed)}`] : []),
    ...columns.retyped.map(({ name, from, to }) => `column ${name}: ${from} is now ${to}`),
    ...examples.added.map(cells => `+ ${json(cells)}`),
    ...examples.removed.map(cells => `- ${json(cells)}`),
    ...examples.revised.map(({ key, before, after }) => `~ ${json(key)}: ${json(before)} -> ${json(after)}`),
    ...(shifts.length ? ['', table(shifts.map(shiftRow))] : []),
  ].join('\n')
}

const shiftRow = ({ column, statistic, pvalue, mean, missing }: TableDiff['shifts'][number]) => ({
  ...{ column, 'K-S': statistic, p: pvalue, 'mean before': mean[0], after: mean[1] },
  ...{ 'missing before': missing[0], now: missing[1] },
})

export const verified = ({ versions, files, problems }: Inspection): string =>
  problems.length
    ? [
        ...problems.map(({ table, version, code, message }) => `${table}@${version} ${code}: ${message}`),
        'next: remove the folder of what is damaged; if it was the newest: sluice ingest -c CONFIG --set data.load=full',
      ].join('\n')
    : versions
      ? `${versions} versions, ${files} files: all are what was written`
      : 'no tables yet'

export const built = ({
  rows,
  features,
  label,
  warmup,
  horizon,
  seconds,
  out,
}: {
  rows: number
  features: string[]
  label: string
  warmup: number
  horizon: number
  seconds: number
  out?: unknown
}): string =>
  [
    `${rows} rows x ${features.length} features in ${seconds} s; label ${label}${horizon ? ` over ${horizon} rows, warm-up ${warmup}` : ''}`,
    features.join(' '),
    ...(out ? [`written to ${out}`] : []),
  ].join('\n')

export const frozen = ({
  digest,
  rows,
  parts,
  folds,
  warnings,
  files,
}: {
  digest: string
  rows: number
  parts: Record<string, number>
  folds: number
  warnings: string[]
  files: string[]
}): string =>
  [
    `dataset ${digest.slice(0, 12)}: ${rows} rows = train ${parts.train} + valid ${parts.valid} + test ${parts.test} + purged ${parts.purged}; ${folds} folds`,
    ...warnings.map(warning => `warning: ${warning}`),
    ...files,
  ].join('\n')

interface Configured {
  kind: string
  params: Record<string, Cell>
}

interface Judged extends Configured {
  id: string
  metrics: Figures
}

/** Candidates with the parameters in which they differ. */
export function trained(candidates: Judged[]): string {
  const names = ['accuracy', 'roc_auc', 'log_loss', 'brier', 'rmse', 'mae', 'r2']
  return table(
    candidates.map(({ id, kind, params, metrics }) => ({
      candidate: id,
      ...pick(metrics, names),
      parameters: parameters(differing({ kind, params }, candidates)),
    })),
  )
}

const pick = (values: Figures, names: string[]) =>
  Object.fromEntries(names.filter(name => name in values).map(name => [name, values[name]]))

/** The verdict gate by gate beside buy-and-hold, then where everything is. */
export function ran({
  run,
  status,
  market,
  seconds,
  rows,
  folds,
  combinations,
  selected,
  leaderboard,
  spread,
  gates,
  benchmark,
  symbols,
  explanation,
  model,
  files,
  stages,
  test_looks,
}: RunResult): string {
  const verdict = {
    deployed: 'passed every gate and is champion',
    registered: 'registered, not deployed',
    refused: 'refused',
  }[status]
  return [
    table(
      stages.map(({ name, seconds, cached, peak_memory_mb }) => ({
        stage: name,
        seconds,
        'memory MB': Math.round(peak_memory_mb),
        found: cached ? 'yes' : '',
      })),
    ),
    '',
    `train ${rows.train}, validation ${rows.valid}, test ${rows.test}, purged ${rows.purged} rows; ${folds} folds; ${combinations} combinations tried`,
    '',
    board(leaderboard),
    `selected ${selected.id}${selected.threshold === null ? '' : ` at threshold ${number(selected.threshold)}`}`,
    ...(folds > 1 ? ['', table(scattered(spread))] : []),
    '',
    table(
      gates.map(({ name, value, bound, pass }) => ({
        gate: name,
        value,
        bound,
        verdict: pass ? 'pass' : 'FAIL',
        ...(market ? { 'buy and hold': benchmark[name] } : {}),
      })),
    ),
    ...(symbols.length ? ['', table(symbols.slice(0, MOST_SYMBOLS).map(symbolRow))] : []),
    '',
    `${model.name}@${model.version} ${verdict} (run ${run}, ${seconds.toFixed(1)} s, look ${test_looks} at these test ${market ? 'bars' : 'rows'})`,
    ...explanation.map(line => `  ${line}`),
    `report  ${files.report}`,
  ].join('\n')
}

/** A line for each symbol, and what all of them earned together. */
export function ranEach({ run, status, seconds, symbols, backtest, benchmark, files }: EachResult): string {
  const figures = ['total_return', 'sharpe', 'max_drawdown', 'trades']
  return [
    table(
      symbols.map(({ symbol, status, model, selected, ...one }) => ({
        symbol,
        model: `${model.name}@${model.version}`,
        status,
        selected: selected.id,
        ...pick(one.backtest, figures),
        'buy and hold': one.benchmark.total_return,
        report: one.files.report,
      })),
    ),
    '',
    ...(Object.keys(backtest).length
      ? [
          table([
            { together: 'models', ...pick(backtest, figures) },
            { together: 'buy and hold', ...pick(benchmark, figures) },
          ]),
          '',
        ]
      : []),
    ...symbols.flatMap(({ symbol, explanation }) => explanation.map(line => `  ${symbol}: ${line}`)),
    `${symbols.length} models, the worst of them ${status} (run ${run}, ${seconds.toFixed(1)} s)`,
    `equity  ${files.equity}`,
  ].join('\n')
}

const BOARD = 5
const MOST_SYMBOLS = 20

/** What a person asks for first, of whatever a task has. */
const FIRST = ['sharpe', 'max_drawdown', 'trades', 'accuracy', 'roc_auc', 'log_loss', 'rmse', 'mae', 'r2']

const scattered = (spread: RunResult['spread']) =>
  FIRST.filter(name => spread[name]).map(name => {
    const { mean, deviation, min, max } = spread[name]
    return { 'over the folds': name, mean, deviation, min, max }
  })

const symbolRow = ({ symbol, rows, backtest, benchmark }: RunResult['symbols'][number]) => ({
  symbol,
  bars: rows,
  ...pick(backtest, ['total_return', 'sharpe', 'max_drawdown', 'trades']),
  'buy and hold': benchmark.total_return,
})

/** The best candidates, each at its best threshold, on validation. */
function board(leaderboard: RunResult['leaderboard']): string {
  const rows = leaderboard.slice(0, BOARD).map(({ id, kind, params, threshold, metrics }) => ({
    candidate: id,
    ...(threshold === null ? {} : { threshold }),
    ...pick(metrics, FIRST),
    parameters: parameters(differing({ kind, params }, leaderboard)),
  }))
  return table(rows)
}

export const audited = (checks: Check[]): string =>
  table(checks.map(({ name, ok, worst, detail }) => ({ check: name, ok: ok ? 'ok' : 'FAIL', worst, detail })))

export const examined = (checks: { name: string; ok: boolean; detail: string; fix: string | null }[]): string =>
  table(checks.map(({ name, ok, detail, fix }) => ({ check: name, ok: ok ? 'ok' : 'FAIL', detail, fix: fix ?? '' })))

const iso = (time: number | null): string | null => (time === null ? null : isoTime(time))

export function runSummary({
  id,
  name,
  command,
  status,
  started,
  finished,
  git_commit,
  git_dirty,
  error,
}: Row<'runs'>) {
  return {
    run: id,
    name,
    command,
    status,
    started: iso(started),
    finished: iso(finished),
    seconds: finished === null ? null : (finished - started) / 1000,
    git_commit,
    git_dirty: git_dirty === null ? null : Boolean(git_dirty),
    reason: error === null ? null : `${JSON.parse(error).code}: ${JSON.parse(error).message}`,
  }
}

export function stepSummary({
  stage,
  status,
  cached,
  seconds,
  cpu_seconds,
  peak_memory_mb,
  digest,
  error,
}: Row<'steps'>) {
  return {
    stage,
    status,
    cached: Boolean(cached),
    seconds,
    cpu_seconds,
    peak_memory_mb,
    digest,
    error: error === null ? null : JSON.parse(error),
  }
}

/** Quantities listed; all are in the JSON. */
const MEASURED_SHOWN = 30

export function runDetail({
  steps,
  result,
  config,
  error,
  measured,
  points,
  ...summary
}: ReturnType<typeof runSummary> & {
  steps: ReturnType<typeof stepSummary>[]
  measured: SeriesSummary[]
  points?: string
  result: unknown
  config: unknown
  error: unknown
}): string {
  const lines = Object.entries(summary).map(([name, value]) => `${name.padEnd(11)} ${value ?? '–'}`)
  const shown = steps.map(({ stage, status, cached, seconds, cpu_seconds, peak_memory_mb }) => ({
    stage,
    status,
    found: cached ? 'yes' : '',
    seconds,
    cpu_seconds,
    peak_memory_mb,
  }))
  const more = measured.length > MEASURED_SHOWN ? [`and ${measured.length - MEASURED_SHOWN} more`] : []
  return [
    ...[...lines, '', table(shown)],
    ...(measured.length ? ['', table(measured.slice(0, MEASURED_SHOWN).map(row => ({ ...row }))), ...more] : []),
    ...(points ? [`points  ${points}`] : []),
  ].join('\n')
}
