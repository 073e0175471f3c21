// The verdict: each gate a figure and a bound. A figure that is null fails; a refusal says by how much, and what would have passed.
import { z } from 'zod'
import { usageError } from '../base/errors.ts'
import { ALL_GATE_NAMES, type Scope, unknownFigure } from './figures.ts'
import { minimumTrackRecord, requiredSharpe, shapeOf } from './luck.ts'
import { METRICS } from './metrics.ts'

const BOUND = /^\s*(>=|<=|>|<)\s*(-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*$/i

/** A bound for each name, such as `{ sharpe: '> 1.0' }`. */
export type Gates = Record<string, string>

/** The gates of a run whose config has none. */
export const defaultGates = ({ market }: Pick<Scope, 'market'>): Gates =>
  market ? { ...MARKET_GATES } : { skill: '> 0' }

/** Of no-skill positions 5-20 % passed the first three in a simulation; 0.3 % passed all. */
const MARKET_GATES: Gates = {
  sharpe: '> 1.0',
  max_drawdown: '< 0.30',
  win_rate: '> 0.50',
  trades: '>= 20',
  probabilistic_sharpe: '> 0.95',
  excess_sharpe_probability: '> 0.90',
}

/** The `gates` section of the config; where it is given, no default gate is added. */
export const gatesSchema = z
  .record(z.string(), z.string().regex(BOUND, 'a bound is > >= < or <= and a number, such as "> 1.0"'))
  .superRefine((gates, issues) => {
    for (const name of Object.keys(gates))
      if (!ALL_GATE_NAMES.includes(name))
        issues.addIssue({ code: 'custom', path: [name], message: unknownFigure(name, ALL_GATE_NAMES) })
  })

export interface GateResult {
  name: string
  value: number | null
  /** As in the config: `> 1.0`. */
  bound: string
  pass: boolean
  /** How far the value is on the wrong side; 0 when it passes, null when there is no value. */
  shortfall: number | null
  /** Null when it passes. */
  reason: string | null
}

export interface Verdict {
  pass: boolean
  gates: GateResult[]
}

/**
 * Holds the figures to the gates. `values` are those of the test part by name, and of the validation part as `valid.NAME`.
 * A gate on a name that is not there is a usage error (UNKNOWN_GATE) with the nearest one that is.
 */
export function judge(values: Record<string, number | null>, gates: Gates): Verdict {
  const results = Object.entries(gates).map(([name, bound]) => {
    if (!Object.hasOwn(values, name)) throw usageError('UNKNOWN_GATE', unknownFigure(name, Object.keys(values)))
    return judgeOne(name, values[name], bound)
  })
  return { pass: results.every(({ pass }) => pass), gates: results }
}

function judgeOne(name: string, value: number | null, bound: string): GateResult {
  if (value === null || Number.isNaN(value))
    return {
      name,
      value: null,
      bound,
      pass: false,
      shortfall: null,
      reason: `${name} is undefined, and must be ${bound}`,
    }
  const { operator, limit } = parseBound(bound)
  if (COMPARE[operator](value, limit)) return { name, value, bound, pass: true, shortfall: 0, reason: null }
  const shortfall = Math.abs(value - limit)
  const reason = shortfall
    ? `${name} is ${show(value)}, and must be ${bound}: ${show(shortfall)} too ${operator[0] === '>' ? 'low' : 'high'}`
    : `${name} is exactly ${show(value)}, and must be ${bound}`
  return { name, value, bound, pass: false, shortfall, reason }
}

type Operator = '>' | '>=' | '<' | '<='

const COMPARE: Record<Operator, (value: number, limit: number) => boolean> = {
  '>': (value, limit) => value > limit,
  '>=': (value, limit) => value >= limit,
  '<': (value, limit) => value < limit,
  '<=': (value, limit) => value <= limit,
}

interface Bound {
  operator: Operator
  limit: number
}

function parseBound(bound: string): Bound {
  const match = BOUND.exec(bound)
  if (!match) throw usageError('BAD_BOUND', `${bound} is no bound; write > >= < or <= and a number, such as "> 1.0"`)
  return { operator: match[1] as Operator, limit: Number(match[2]) }
}

/** What the words of a refusal can draw on where a test part was traded. */
export interface Evidence {
  /** The returns of the test part, one per bar. */
  returns: ArrayLike<number>
  /** The number of closed trades on it. */
  trades: number
  /** For annualised figures. */
  periodsPerYear: number
}

/** For each gate that failed: by how much, and what would have to be true to pass. */
export function explainRefusal({ gates }: Verdict, evidence?: Evidence): string[] {
  return gates
    .filter(({ pass }) => !pass)
    .map(gate => {
      const remedy = WITHOUT_EVIDENCE[gate.name] ?? (evidence && remedyFor(gate, evidence))
      return remedy ? `${gate.reason}; ${remedy}` : `${gate.reason}`
    })
}

/** Whatever bound and evidence: `skill` is the lower end of an interval. */
const WITHOUT_EVIDENCE: Record<string, string> = {
  skill: 'the predictions must beat a guess from the training labels more surely, on these rows or on more',
  int8_loss_change: 'in 8 bits the network is another; without int8 it is what was trained',
}

/** Figures of the validation part, and those that need no trade. */
const VALIDATED = /^(valid\.|deflated_sharpe$)/
const PREDICTED = new Set<string>(Object.values(METRICS).flat())

function remedyFor({ name, value, bound }: GateResult, evidence: Evidence): string | undefined {
  // The evidence is of the test part.
  if (VALIDATED.test(name)) return undefined
  if (value === null) return whyUndefined(name, evidence)
  const parsed = parseBound(bound)
  // The words are those of the natural direction of the figure.
  const natural = name === 'max_drawdown' ? '<' : '>'
  return parsed.operator[0] === natural ? REMEDIES[name]?.(parsed, value, evidence) : undefined
}

function whyUndefined(name: string, { trades, returns }: Evidence): string {
  if (trades === 0 && !PREDICTED.has(name)) return `there was no trade in ${returns.length} bars`
  if (name === 'profit_factor') return 'no trade lost'
  if (name === 'excess_sharpe_probability') return 'the returns do not differ from holding the market'
  return 'docs/gates.md says when a figure is undefined'
}

type Remedy = (bound: Bound, value: number, evidence: Evidence) => string

/** What would have to be true. A name without a row here is explained by its shortfall alone. */
const REMEDIES: Record<string, Remedy> = {
  sharpe: ({ limit }, value) =>
    value > 0
      ? `it would pass with ${show(limit / value)} times the mean return at the same volatility`
      : 'the mean return is not above zero',
  max_drawdown: ({ limit }) => `equity must never stand more than ${percent(limit)} below its peak`,
  win_rate: (bound, value, { trades }) =>
    `${Math.round(value * trades)} of ${trades} trades won, and ${neededWins(bound, trades)} would have to`,
  trades: ({ limit }, value, { returns }) =>
    value > 0
      ? `at this rate it takes about ${Math.ceil((limit / value) * returns.length)} bars, and there were ${returns.length}`
      : `there was no trade in ${returns.length} bars`,
  probabilistic_sharpe: ({ limit }, _, evidence) => trackRecord(limit, evidence),
  excess_sharpe_probability: () => 'the returns must beat holding the market at the same mean exposure more surely',
}

/** The fewest wins whose share passes; 1e-9 takes the rounding error out of limit x trades. */
function neededWins({ operator, limit }: Bound, trades: number): number {
  const wins = Math.ceil(limit * trades - 1e-9)
  return COMPARE[operator](wins / trades, limit) ? wins : wins + 1
}

/** The minimum track record length at this Sharpe, and the Sharpe that this many bars need. */
function trackRecord(probability: number, { returns, periodsPerYear }: Evidence): string {
  const shape = shapeOf(returns)
  if (!shape || !(probability > 0.5 && probability < 1)) return 'the returns must show a higher Sharpe, or longer'
  const year = Math.sqrt(periodsPerYear)
  const sharpe = show(requiredSharpe(shape, probability) * year)
  const onThese = `${shape.n} bars of these tails need a Sharpe of ${sharpe} a year, and show ${show(shape.sharpe * year)}`
  const bars = minimumTrackRecord(shape, probability)
  return Number.isFinite(bars) ? `${onThese}; at that Sharpe it takes ${Math.ceil(bars)} bars` : onThese
}

const show = (value: number): string => String(Number(value.toPrecision(3)))
const percent = (value: number): string => `${show(value * 100)} %`
