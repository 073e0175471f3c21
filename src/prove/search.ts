// What was tried and what came of it, for the report: the leader board and the heat map of thresholds.
import { variance } from '../base/statistics.ts'
import { expectedMaximumSharpe } from './luck.ts'
import type { Figures } from './metrics.ts'
import { count, extent, figure, fixed, type Html, heatMap, html, section, table, UNDEFINED } from './page.ts'

type Params = Record<string, unknown>

/** A candidate at a threshold; null where nothing is decided by one. */
export interface Chosen {
  id: string
  kind: string
  params: Params
  threshold: number | null
  quantile?: number
}

/** Every combination of a candidate and a threshold, and the one that was chosen. */
export interface Search {
  selected: Chosen & { iterations: number | null }
  /** Whether rows are bars that were traded. */
  market: boolean
  /** The metric of selection. */
  by: string
  /** Best threshold of each candidate, best first, on validation. */
  leaderboard: (Chosen & { metrics: Figures })[]
  /** `by` on validation, [candidate][threshold]; the thresholds may be given as quantiles of the training predictions. */
  grid: { candidates: string[]; thresholds: number[]; quantiles: boolean; values: (number | null)[][] }
  /** Of the chosen one. */
  metrics: { valid: Figures; test: Figures }
}

/** The leader board and the heat map of thresholds, with a word on how much of the best figure is luck. */
export function describeSearch(data: Search): Html {
  const { leaderboard, grid, by, market } = data
  const decided = grid.thresholds.length > 0
  const models = count(grid.candidates.length, 'model')
  const best = leaderboard.length > TOP ? `best ${TOP} of ${leaderboard.length}` : figure(leaderboard.length)
  const combinations = grid.candidates.length * grid.thresholds.length
  return section(
    'tried',
    'What was tried',
    html`${decided ? `${models} × ${count(grid.thresholds.length, 'threshold')}` : models}, compared by ${by} on validation ${market ? 'bars' : 'rows'} that no fit had seen. ${luck(data)}`,
    table(
      decided
        ? `The ${best} models, each at its best threshold of ${count(combinations, 'combination')}`
        : `The ${best} models, the best first`,
      ['Model', 'Parameters that differ', ...(decided ? ['Threshold'] : []), ...boardMetrics(data)],
      leaderboard
        .slice(0, TOP)
        .map(entry => [
          entry.id,
          parameters(differing(entry, leaderboard)) || 'none',
          ...(decided ? [entry.threshold] : []),
          ...boardMetrics(data).map(name => entry.metrics[name] ?? null),
        ]),
    ),
    grid.thresholds.length > 1 ? heat(data) : null,
  )
}

export const TOP = 20

/** What skill-less models would have reached: the more was tried, the more of the best figure is luck. */
function luck({ by, grid, metrics, market }: Search): string {
  const values = grid.values.flat()
  const known = values.filter(value => value !== null)
  const lucky = by === 'sharpe' && known.length > 1 ? expectedMaximumSharpe(values.length, variance(known, 1)) : null
  const deflated = metrics.valid.deflated_sharpe
  return [
    'The best of so many is partly luck',
    lucky
      ? `: without any skill, figures that scatter like these would show a best sharpe of about ${lucky.toFixed(2)}`
      : '',
    typeof deflated === 'number' ? ` (probability that the chosen one is better than luck: ${figure(deflated)})` : '',
    `. So the verdict comes from other ${market ? 'bars' : 'rows'}.`,
  ].join('')
}

function boardMetrics({ by, leaderboard }: Search): string[] {
  const known = new Set(leaderboard.flatMap(entry => Object.keys(entry.metrics)))
  const wanted = ['sharpe', 'max_drawdown', 'trades', 'accuracy', 'roc_auc', 'log_loss', 'rmse', 'mae', 'r2']
  return [by, ...wanted.filter(name => name !== by)].filter(name => known.has(name)).slice(0, 6)
}

interface Configured {
  kind: string
  params: Params
}

/** Parameters that are not the same in every model of the kind. */
export function differing({ kind, params }: Configured, all: Configured[]): Params {
  const others = all.filter(other => other.kind === kind)
  const differ = Object.entries(params).filter(([name, value]) =>
    others.some(other => text(other.params[name]) !== text(value)),
  )
  return Object.fromEntries(differ)
}

export const parameters = (params: Params): string =>
  Object.entries(params)
    .map(([name, value]) => `${name} ${text(value)}`)
    .join(', ')

const text = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? UNDEFINED))

const HEAT_ROWS = 60
const HEAT_COLUMNS = 16

/** The models in the order of the leader board; of too many thresholds every k-th, the chosen one among them. */
function heat({ grid, by, leaderboard, selected, market }: Search): Html {
  const rank = new Map(leaderboard.map(({ id }, i) => [id, i]))
  const rankOf = (i: number) => rank.get(grid.candidates[i]) ?? grid.candidates.length + i
  const order = grid.candidates.map((_, i) => i).sort((a, b) => rankOf(a) - rankOf(b))
  const rows = order.slice(0, HEAT_ROWS)
  const step = Math.ceil(grid.thresholds.length / HEAT_COLUMNS)
  const chosen = grid.thresholds.indexOf(selected.quantile ?? selected.threshold!)
  const columns = grid.thresholds.map((_, j) => j).filter(j => (j - Math.max(chosen, 0)) % step === 0)
  const [low, high] = extent(grid.values)
  const caption = [
    `${by} on validation by model (best first) and ${grid.quantiles ? 'threshold, as a quantile of the training predictions' : 'threshold'}${low <= high ? `, from ${figure(low)} to ${figure(high)}` : ''};`,
    low < 0 && high > 0 ? 'blue above zero, orange below.' : 'the deeper, the higher.',
    'The frame marks the chosen one: look for good figures all around it, since a lone peak is luck.',
    step > 1 ? `One threshold in ${step} is shown.` : '',
    order.length > HEAT_ROWS ? `${count(order.length - HEAT_ROWS, 'further model')} left out.` : '',
    `${UNDEFINED} has no figure${market ? ', mostly because nothing traded' : ''}.`,
  ]
  return heatMap({
    caption: caption.filter(Boolean).join(' '),
    corner: 'Model',
    rows: rows.map(i => grid.candidates[i]),
    columns: columns.map(j => fixed(grid.thresholds[j], Math.abs(grid.thresholds.at(-1)!) < 0.1 ? 4 : 2)),
    values: rows.map(i => columns.map(j => grid.values[i][j])),
    chosen: { row: rows.findIndex(i => grid.candidates[i] === selected.id), column: columns.indexOf(chosen) },
  })
}
