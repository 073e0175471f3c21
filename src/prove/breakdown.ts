// Where the figures of a run come from, for the report: fold by fold and symbol by symbol.
import { drawFolds } from './charts.ts'
import type { Selected } from './contest.ts'
import type { Task } from './metrics.ts'
import { count, drawn, type Html, html, section, table, when } from './page.ts'
import type { SymbolFigures } from './verdict.ts'

export interface Breakdown {
  task: Task
  /** The metric of selection. */
  by: string
  /** Out-of-fold validation blocks of the selected candidate, and how their figures scatter. */
  folds: Selected['folds']
  spread: Selected['spread']
  symbols: SymbolFigures[]
}

const MOST_SYMBOLS = 100

/** The test part of each symbol, where there are several. */
export function describeSymbols({ symbols, task }: Breakdown): Html | null {
  if (!symbols.length) return null
  const name = task === 'regression' ? 'rmse' : 'log_loss'
  const left = symbols.length - MOST_SYMBOLS
  return section(
    'symbols',
    'Symbol by symbol',
    'The test part of each symbol, traded by itself. Look for a figure that many symbols share; one that carries all is luck, or another market.',
    table(
      'Each symbol beside its own buy-and-hold',
      [
        'Symbol',
        'Bars',
        'Return',
        'Buy and hold',
        'Sharpe',
        'Buy and hold',
        'Max. drawdown',
        'Trades',
        'Win rate',
        name,
      ],
      symbols
        .slice(0, MOST_SYMBOLS)
        .map(({ symbol, rows, metrics, backtest, benchmark }) => [
          symbol,
          rows,
          backtest.total_return,
          benchmark.total_return,
          backtest.sharpe,
          benchmark.sharpe,
          backtest.max_drawdown,
          backtest.trades,
          backtest.win_rate,
          metrics[name],
        ]),
    ),
    left > 0 ? html`<p class="small">${count(left, 'further symbol')} left out.</p>` : null,
  )
}

/** What guessing gives, where that is one number. */
const NEUTRAL: Record<string, number> = { sharpe: 0, r2: 0, roc_auc: 0.5 }

/** The chosen recipe on every block that its fit had not seen. */
export function describeFolds({ folds, spread, by, task }: Breakdown): Html {
  const names = [...new Set([by, 'roc_auc', 'log_loss', 'accuracy', 'sharpe', 'rmse', 'r2'])].filter(name =>
    folds.some(fold => fold.metrics[name] !== undefined),
  )
  const chart = foldChart(folds, names.slice(0, 3), task)
  return section(
    'folds',
    chart ? 'Folds over time' : 'Folds',
    `The chosen recipe, fitted without each block and measured on it. Look for figures that hold in every block${chart ? '; dashed is what guessing gives' : ''}.`,
    chart,
    folds.length ? foldTable(folds, names, chart !== null) : html`<p>There are no folds: no block was held out.</p>`,
    folds.length > 1 ? spreadTable(spread, names) : null,
  )
}

/** Null where blocks are no stretches of time. */
function foldChart(folds: Breakdown['folds'], names: string[], task: Task): Html | null {
  const spans = folds.flatMap(({ from, to }): [number, number][] =>
    from !== null && to !== null && to > from ? [[from, to]] : [],
  )
  if (!names.length || !spans.length || spans.length < folds.length) return null
  const panels = names.map(name => ({
    name,
    neutral: name === 'log_loss' && task === 'binary' ? Math.LN2 : NEUTRAL[name],
    values: folds.map(fold => fold.metrics[name] ?? null),
  }))
  const list = names.join(', ')
  return drawn(
    drawFolds(spans, panels),
    `Lines: ${list} of each fold over time.`,
    `${list} of each fold; a gap is undefined.`,
  )
}

const foldTable = (folds: Breakdown['folds'], names: string[], inTime: boolean): Html =>
  table(
    'Out-of-fold validation blocks of the chosen model',
    ['Fold', ...(inTime ? ['From', 'To'] : []), 'Rows', ...names],
    folds.map(({ index, from, to, rows, metrics }) => [
      `${index + 1}`,
      ...(inTime ? [when(from!), when(to!)] : []),
      rows,
      ...names.map(name => metrics[name] ?? null),
    ]),
  )

const spreadTable = (spread: Breakdown['spread'], names: string[]): Html =>
  table(
    'How the folds scatter',
    ['Figure', 'Mean', 'Deviation', 'Lowest', 'Highest', 'Folds'],
    names
      .filter(name => spread[name])
      .map(name => {
        const { mean, deviation, min, max, folds } = spread[name]
        return [name, mean, deviation, min, max, folds]
      }),
  )
