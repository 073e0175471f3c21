// Which figures a run has: its task says what predictions can be measured by, its market whether anything is traded.
import { nearest } from '../base/nearest.ts'
import { BACKTEST_METRICS } from './backtest.ts'
import { METRICS, type Task } from './metrics.ts'

/** What a run predicts, and whether its rows are bars that can be traded. */
export interface Scope {
  task: Task
  market: boolean
}

/** Figures of one combination on one part: what can be selected by. */
export const partFigures = ({ task, market }: Scope): string[] => [
  ...(market ? BACKTEST_METRICS : []),
  ...METRICS[task],
]

/** Every name that a gate may have: of the test part, and `valid.NAME` of the validation part. */
export function gateNames(scope: Scope): string[] {
  const both = [...partFigures(scope), ...(scope.market ? ['deflated_sharpe'] : [])]
  return [...both, scope.market ? 'excess_sharpe_probability' : 'skill', ...both.map(name => `valid.${name}`)]
}

const SCOPES: Scope[] = (['binary', 'multiclass', 'regression'] as const).flatMap(task => [
  { task, market: true },
  { task, market: false },
])

/** Of any run: a name that is not among these is misspelt. */
export const ALL_PART_FIGURES = [...new Set(SCOPES.flatMap(partFigures))]
export const ALL_GATE_NAMES = [...new Set(SCOPES.flatMap(gateNames))]

export const unknownFigure = (name: string, known: readonly string[]): string => {
  const close = nearest(name, known)
  return `there is no figure ${name}${close ? `; did you mean ${close}?` : ''}`
}

/** Why a figure that other runs have is none of this one. */
export const foreignFigure = (name: string, { task, market }: Scope): string =>
  market
    ? `${name} is no figure of a ${task} task`
    : `${name} is no figure of a ${task} task on a table, which has no backtest`
