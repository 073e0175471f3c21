// The report of a run: one HTML file that answers a reader's questions in their order. Plain data in, text out; it computes no verdict.
import { type Breakdown, describeFolds, describeSymbols } from './breakdown.ts'
import { drawEquity, type Epoch, type EquityCurve } from './charts.ts'
import { MEANING } from './glossary.ts'
import { describeHistory } from './history.ts'
import type { Figures } from './metrics.ts'
import { describeOutcome, type Outcome } from './outcome.ts'
import {
  bar,
  count,
  drawn,
  figure,
  fixed,
  type Html,
  html,
  type Part,
  page,
  percent,
  section,
  table,
  UNDEFINED,
  when,
} from './page.ts'
import type { Effect, Robustness } from './robustness.ts'
import { describeSearch, parameters, type Search, TOP } from './search.ts'

/** Raised when report.json says something else than before. */
export const REPORT_FORMAT = 1

export interface ReportData extends Search, Breakdown {
  format: typeof REPORT_FORMAT
  run: string
  name: string
  /** Epoch ms, as every time here. */
  created: number
  status: 'deployed' | 'registered' | 'refused'
  /** Of the model in the registry. */
  version?: number
  data: {
    table: string
    version: number
    digest: string
    rows: number
    /** Null where rows have no time. */
    from: number | null
    to: number | null
    symbols: string[]
    timeframe: string
  }
  rows: { train: number; valid: number; test: number; purged: number }
  refit: 'none' | 'all'
  mode: 'long' | 'long_short'
  /** Equity and buy-and-hold at every close of the test part; null for a table. */
  test: EquityCurve | null
  /** Of the test part. */
  outcome: Outcome | null
  /** Shares that add up to 1. */
  importances: Record<string, number> | null
  /** Absent in what earlier versions wrote, like `history`. */
  robustness?: Robustness | null
  /** Of the proven fit, where it learned in epochs. */
  history?: Epoch[] | null
  verdict: {
    pass: boolean
    gates: { name: string; value: number | null; bound: string; pass: boolean; reason?: string }[]
    explanation: string[]
    test_looks: number
  }
  backtest: Figures
  benchmark: Figures
  lineage: { name: string; value: string }[]
  stages: { name: string; seconds: number; cached: boolean; peak_memory_mb: number | null }[]
  warnings: string[]
}

/** One self-contained HTML document, below 1 MB however long the series: no script, nothing loaded. Equal data gives equal bytes. */
export async function renderReport(data: ReportData): Promise<string> {
  return page(
    `${data.name}: ${headline(data)}`,
    html`${opening(data)}
<main>
${gates(data)}${data.market ? equity(data) : null}${describeSymbols(data)}${describeSearch(data)}${describeFolds(data)}${describeOutcome(data.outcome, { decides: decides(data), market: data.market })}${importances(data)}${robustness(data)}${describeHistory(data.history)}${everyFigure(data)}${origin(data)}${stages(data)}</main>
${closing(data)}`,
  )
}

/** The verdict in one sentence. */
export function headline({ status, version, verdict, rows }: ReportData): string {
  if (status === 'refused') return refusal(verdict)
  const champion = status === 'deployed' ? 'champion' : 'registered'
  const standing = `is ${champion}${version === undefined ? '' : `, version ${version}`}`
  const n = verdict.gates.length
  if (n) return `Passed ${n > 1 ? `all ${n} gates` : 'its only gate'} and ${standing}`
  return `Judged by no gate${rows.test ? '' : ', for there is no test part'}; it ${standing}`
}

function refusal({ gates, explanation }: ReportData['verdict']): string {
  const [first, ...rest] = gates.filter(gate => !gate.pass)
  if (!first) return `Refused: ${explanation[0] ?? 'every gate passed, but a later check did not'}`
  const value = first.value === null ? 'is undefined' : decisive(first.value, first.bound)
  const more = rest.length ? `, and ${count(rest.length, 'more gate')} ${rest.length > 1 ? 'fail' : 'fails'}` : ''
  return `Refused: ${first.name} ${value} where ${first.bound} is asked${more}`
}

/** As many digits as it takes to tell the value from its bound: 0.9996 is not 1.000. */
function decisive(value: number | null, bound: string): string {
  const limit = Number(bound.replace(/^[^\d.-]*/, ''))
  let digits = 3
  while (value !== null && value !== limit && digits < 12 && value.toFixed(digits) === limit.toFixed(digits)) digits++
  return figure(value, digits)
}

function opening(data: ReportData): Html {
  const { run, name, created, status, verdict, warnings } = data
  return html`<header class="verdict ${status}">
<p class="origin">${name} · run ${run} · ${when(created)} UTC</p>
<h1>${headline(data)}</h1>
${list(verdict.explanation)}${recipe(data)}${highlights(data)}
</header>
${warnings.length ? html`<aside class="lead" aria-label="Warnings"><p class="fail">! ${count(warnings.length, 'warning')}</p>${list(warnings)}</aside>` : null}`
}

function recipe(data: ReportData): Html {
  const { selected, refit, status } = data
  const shipped =
    status === 'refused'
      ? 'It is kept as refused and serves nothing.'
      : refit === 'all'
        ? 'The verdict is the recipe’s: the shipped model was fitted once more on all rows with the same recipe.'
        : 'The shipped model is the proven one.'
  return html`<p class="lead">The model is <strong>${selected.id}</strong>${acting(data)}.
${shipped} Every figure here belongs to the proven fit, which saw none of the rows it is judged on.</p>`
}

function acting({ selected: { threshold, quantile }, task, market, mode, outcome }: ReportData): string {
  if (threshold === null) return task === 'regression' ? '' : ', which says the likeliest class'
  const from = quantile === undefined ? '' : ` (quantile ${quantile} of its predictions in training)`
  if (task === 'multiclass')
    return `, which acts on the likeliest class when its probability is at least ${figure(threshold)}`
  const yes = outcome && 'classes' in outcome ? outcome.classes[1] : 'yes'
  if (!market) return `, which says ${yes} when its probability is at least ${figure(threshold)}`
  const [what, lowest] = task === 'regression' ? ['prediction', -threshold] : ['probability', 1 - threshold]
  const short = mode === 'long_short' ? `, and sells short when it is at most ${figure(lowest)}` : ''
  return `, which ${short ? 'buys' : 'acts'} when its ${what} is at least ${figure(threshold)}${from}${short}`
}

/** What makes a row a prediction of a class. */
const decides = ({ task, selected, outcome }: ReportData): string =>
  task === 'binary' && outcome && 'classes' in outcome
    ? `${outcome.classes[1]} is predicted where its probability is at least ${figure(selected.threshold)}`
    : 'the likeliest class is predicted'

/** The four figures that are asked for most. */
function highlights({ backtest, metrics, benchmark }: ReportData): Html | null {
  const known = { ...metrics.test, ...backtest }
  const names = [
    'total_return',
    'sharpe',
    'max_drawdown',
    'trades',
    'skill',
    'accuracy',
    'roc_auc',
    'log_loss',
    'rmse',
    'mae',
    'r2',
  ]
  const shown = names.filter(name => known[name] !== undefined).slice(0, 4)
  const format = (name: string, value: number | null) =>
    name === 'total_return' || name === 'max_drawdown' ? percent(value) : figure(value, 2)
  const beside = (name: string) =>
    benchmark[name] === undefined || name === 'trades'
      ? null
      : html`<span>buy and hold ${format(name, benchmark[name])}</span>`
  if (!shown.length) return null
  return html`<dl>${shown.map(name => html`<div><dt>${LABELS[name] ?? name}</dt><dd>${format(name, known[name])}${beside(name)}</dd></div>`)}</dl>`
}

const LABELS: Record<string, string> = {
  total_return: 'Return, test part',
  sharpe: 'Sharpe',
  max_drawdown: 'Max. drawdown',
  trades: 'Trades',
  skill: 'Skill, at least',
  accuracy: 'Accuracy, test part',
  roc_auc: 'ROC AUC',
  log_loss: 'Log loss',
  rmse: 'RMSE, test part',
  mae: 'Mean error',
  r2: 'R²',
}

function gates({ verdict, benchmark, market }: ReportData): Html {
  const rows = verdict.gates.map(({ name, value, bound, pass, reason }) => [
    named(name),
    decisive(value, bound),
    bound,
    html`${mark(pass)}${reason ? html` ${reason}` : null}`,
    ...(market ? [benchmark[name]] : []),
  ])
  const noun = market ? 'bars' : 'rows'
  const looks =
    verdict.test_looks > 1
      ? `These test ${noun} have now been looked at ${verdict.test_looks} times; each look makes luck likelier, and what passes proves less.`
      : `This was the first look at these test ${noun}.`
  return section(
    'gates',
    'Gate by gate',
    `Measured once, on the test part, after everything was chosen. A figure that is undefined fails. ${looks}`,
    rows.length
      ? table(
          market ? 'Gates on the test part, beside buy-and-hold with the same fees' : 'Gates on the test part',
          ['Gate', 'Value', 'Asked', 'Verdict', ...(market ? ['Buy and hold'] : [])],
          rows,
        )
      : html`<p>No gate was asked for.</p>`,
  )
}

function equity({ test, symbols }: ReportData): Html {
  if (!test?.time.length)
    return section(
      'equity',
      'Equity and drawdown',
      'What the money would have done.',
      html`<p>There is no test part to trade on.</p>`,
    )
  const ends = [test.equity, test.benchmark].map(values => percent(values.at(-1)! / test.cash - 1))
  const says = `From ${when(test.time[0])} to ${when(test.time.at(-1)!)} the strategy returned ${ends[0]} and buy-and-hold ${ends[1]}, fees paid.${symbols.length ? ` Both hold ${symbols.length} symbols in equal shares.` : ''}`
  return section(
    'equity',
    'Equity and drawdown',
    'On the test part. Above, what one unit of money became; below, how far it stood under its best so far. Look for a lead that is earned all along, not in one stretch.',
    drawn(drawEquity(test), 'Lines: equity and drawdown of the strategy and of buy-and-hold over time.', says),
  )
}

function importances({ importances, selected }: ReportData): Html {
  const reading =
    'What the model leaned on, as shares of 1. Look for a few features that make sense; one that carries all may be a leak.'
  if (!importances)
    return section('importances', 'Importances', reading, html`<p>${selected.kind} gives no importances.</p>`)
  const sorted = Object.entries(importances).sort((a, b) => b[1] - a[1])
  const rest = sorted.slice(TOP)
  const largest = sorted[0]?.[1] ?? 0
  const left = rest.length
    ? html`<p class="small">${count(rest.length, 'further feature')} together: ${figure(rest.reduce((sum, [, share]) => sum + share, 0))}.</p>`
    : null
  return section(
    'importances',
    'Importances',
    reading,
    table(
      `Features of ${selected.id}`,
      ['Feature', 'Share', 'To scale'],
      sorted.slice(0, TOP).map(([name, share]) => [name, share, bar(share / largest)]),
    ),
    left,
  )
}

function robustness({ robustness: found }: ReportData): Html | null {
  if (!found) return null
  const { metric, rows, of, baseline, noise, missing, missing_mean, missing_tried, shifted } = found
  const ranked = metric === 'log_loss'
  const row = (what: string, { value, change, roc_auc }: Effect): Part[] => [
    what,
    value,
    change === null ? null : fixed(100 * change, 1),
    ...(ranked ? [roc_auc] : []),
  ]
  const taken =
    rows < of
      ? `${figure(rows)} of the ${figure(of)} validation rows of the last fold, evenly taken`
      : `${count(rows, 'validation row')} of the last fold`
  return section(
    'robustness',
    'Robustness',
    'The proven fit on validation rows whose inputs were disturbed; no test row is read for it. Look for changes near 0. Where noise of 1 % costs much, or one feature costs far more than the others, the model leans on what may not hold.',
    table(
      `${taken}; up is worse`,
      ['Disturbed', metric, 'Change, %', ...(ranked ? ['ROC AUC'] : [])],
      [
        row('nothing', baseline),
        ...noise.map(one => row(`noise of ${figure(100 * one.share)} % of a deviation`, one)),
        ...missing.map(one => row(`without ${one.feature}${one.as === 'mean' ? ', at its mean' : ''}`, one)),
        row(`without one feature, mean of ${figure(missing_tried)}`, missing_mean),
        ...shifted.map(one => row(`every number ${shiftOf(one)}`, one)),
      ],
    ),
  )
}

const shiftOf = ({ factor, offset }: { factor: number; offset: number }): string =>
  offset === 0 ? `× ${factor}` : `${offset > 0 ? '+' : '−'} half a deviation`

function everyFigure({ metrics, backtest, benchmark, market }: ReportData): Html {
  const test = { ...metrics.test, ...backtest }
  const names = [...new Set([...Object.keys(test), ...Object.keys(metrics.valid)])]
  return section(
    'figures',
    'Every figure',
    'Validation chose the model, so its figures flatter; the test part did not. A wide gap between the two is what overfitting looks like.',
    table(
      market ? 'The chosen model beside buy-and-hold on the test part' : 'The chosen model',
      ['Figure', 'Validation', 'Test', ...(market ? ['Buy and hold'] : [])],
      names.map(name => [named(name), metrics.valid[name], test[name], ...(market ? [benchmark[name]] : [])]),
    ),
  )
}

function origin({ data, rows, selected, lineage, market }: ReportData): Html {
  const timed = data.from !== null
  const { train, valid, test, purged } = rows
  const symbols = data.symbols.filter(Boolean)
  const shown = symbols.slice(0, 12)
  const more = symbols.length - shown.length
  const facts: [string, Part][] = [
    [
      'table',
      `${data.table}, version ${data.version}: ${count(data.rows, 'row')}${data.timeframe ? ` of ${data.timeframe}` : ''}${data.from === null || data.to === null ? '' : `, ${when(data.from)} to ${when(data.to)}`}`,
    ],
    ...(market
      ? [
          ['symbols', shown.length ? `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}` : UNDEFINED] as [
            string,
            Part,
          ],
        ]
      : []),
    ['table digest', html`<code>${data.digest}</code>`],
    [
      'model',
      `${selected.kind}: ${parameters(selected.params)}${selected.iterations === null ? '' : `, iterations ${selected.iterations}`}`,
    ],
    ...lineage.map(({ name, value }): [string, Part] => [name, html`<code>${value}</code>`]),
  ]
  return section(
    'origin',
    'Data and lineage',
    `Where each row went, and all it takes to make this model again.${timed ? ' Purged rows are in no part: their labels reach into the next one.' : ''}`,
    html`<div class="parts">${Object.entries({ train, validation: valid, test }).map(([name, n]) => (n ? html`<span style="flex:${n} 1 0">${name} ${figure(n)}</span>` : null))}</div>
<p class="small">${timed ? `${count(purged, 'row')} purged between the parts. Rows without a label or still warming up are in none.` : 'Rows without a label are in none.'}</p>`,
    table('Lineage', ['What', 'Value'], facts),
  )
}

function stages({ stages }: ReportData): Html {
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0)
  const longest = Math.max(...stages.map(stage => stage.seconds))
  return section(
    'stages',
    'Time and memory',
    'What each stage took. A stage from the cache was done by an earlier run on the same input.',
    table(
      `${seconds.toFixed(1)} seconds in all`,
      ['Stage', 'Seconds', 'To scale', 'Done', 'Peak memory, MB'],
      stages.map(({ name, seconds, cached, peak_memory_mb: memory }) => [
        name,
        seconds,
        bar(seconds / longest),
        cached ? 'from the cache' : 'now',
        memory === null ? null : Math.round(memory),
      ]),
    ),
  )
}

const closing = ({ run, market }: ReportData): Html =>
  html`<footer class="small"><p>Made by Sluice from run ${run}. Times are UTC. ${market ? 'Returns are after fees; they describe the past and promise nothing.' : 'Figures describe the rows that were held out, and promise nothing for others.'}</p></footer>
`

const mark = (pass: boolean): Html =>
  pass ? html`<span class="pass">✓ pass</span>` : html`<span class="fail">✗ fail</span>`

const list = (lines: string[]): Html | null =>
  lines.length
    ? html`<ul class="lead">${lines.slice(0, 30).map(line => html`<li>${line}</li>`)}${lines.length > 30 ? html`<li>and ${lines.length - 30} more</li>` : null}</ul>`
    : null

/** A metric with its meaning below. */
function named(name: string): Html {
  const meaning = MEANING.get(name.replace(/^valid\./, ''))
  return html`${name}${meaning ? html`<span>${meaning}</span>` : null}`
}
