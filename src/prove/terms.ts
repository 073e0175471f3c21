// What a config asks of selection and verdict where it does not say so itself, and what it may not ask: both go by its task and its market.
import { ALL_GATE_NAMES, ALL_PART_FIGURES, foreignFigure, gateNames, partFigures, type Scope } from './figures.ts'
import { defaultGates, type Gates } from './gate.ts'
import { type Thresholds, thresholdGrid } from './select.ts'

/** The sections of a config that depend on what is predicted. */
export interface Terms {
  thresholds: Thresholds
  select: { by: string }
  gates: Gates
}

interface Asked {
  thresholds?: Thresholds
  select: { by?: string }
  gates?: Gates
}

/** Every term, those that are asked for as they are. */
export const completeTerms = ({ thresholds, select, gates }: Asked, scope: Scope): Terms => ({
  thresholds: thresholds ?? defaultThresholds(scope),
  select: { by: select.by ?? (scope.market ? 'sharpe' : scope.task === 'regression' ? 'rmse' : 'log_loss') },
  gates: gates ?? defaultGates(scope),
})

function defaultThresholds({ task, market }: Scope): Thresholds {
  if (!market) return task === 'binary' ? [0.5] : []
  return task === 'regression'
    ? { from: 0.5, to: 0.95, steps: 10, quantiles: true }
    : { from: 0.3, to: 0.75, steps: 10, quantiles: false }
}

export interface Misfit {
  path: string[]
  message: string
}

/** What no run of this task and market could do; what no run at all could do is refused by the sections themselves. */
export function misfits(asked: Asked, scope: Scope, mode: 'long' | 'long_short'): Misfit[] {
  const { select, gates } = asked
  const foreign = (name: string, all: string[], own: string[]) => all.includes(name) && !own.includes(name)
  const by = select.by ?? ''
  return [
    ...thresholdMisfits(completeTerms(asked, scope).thresholds, scope, mode).map(message => ({
      path: ['thresholds'],
      message,
    })),
    ...(foreign(by, ALL_PART_FIGURES, partFigures(scope))
      ? [{ path: ['select', 'by'], message: foreignFigure(by, scope) }]
      : []),
    ...Object.keys(gates ?? {})
      .filter(name => foreign(name, ALL_GATE_NAMES, gateNames(scope)))
      .map(name => ({ path: ['gates', name], message: foreignFigure(name, scope) })),
  ]
}

function thresholdMisfits(thresholds: Thresholds, { task, market }: Scope, mode: 'long' | 'long_short'): string[] {
  const grid = thresholdGrid(thresholds)
  const decided = market || task === 'binary'
  if (!decided) return grid.length ? [`a ${task} task on a table decides nothing by a threshold`] : []
  if (!grid.length) return ['at least one threshold is needed']
  const quantiles = !Array.isArray(thresholds) && thresholds.quantiles
  if (quantiles && task !== 'regression') return ['quantiles are of predictions, so they need a regression task']
  const odd = task === 'regression' && !quantiles ? undefined : grid.find(value => value < 0 || value > 1)
  if (odd !== undefined)
    return [`a ${quantiles ? 'quantile' : 'probability'} lies between 0 and 1, and ${odd} does not`]
  if (market && mode === 'long_short' && task === 'binary' && grid[0] <= 0.5)
    return [`under long_short every threshold must exceed 0.5, and ${grid[0]} does not`]
  return []
}
