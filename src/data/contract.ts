// The rules of a schema, held to every row: whole numbers, bounds, allowed values, patterns, no value twice, and formulas over several columns.
import { usageError } from '../base/errors.ts'
import { evaluate, parseExpression } from '../base/expression.ts'
import { nearest } from '../base/nearest.ts'
import type { ColumnRule } from './columns.ts'
import type { Layout, LayoutColumn } from './layout.ts'
import { type Rows, refuse } from './rows.ts'
import type { Fault } from './schema.ts'

export interface Contract {
  layout: Layout
  /** Refuses the rows of a block that break a rule; `unique` holds over all blocks. */
  check(rows: Rows): void
}

type Value = number | string

/** Says what is wrong with a value that is there; undefined: nothing. */
type Check = (value: Value) => Fault | undefined

/** `rules` are formulas without lags. Errors (usage): BAD_SCHEMA where a rule does not go with the type of its column, or reads one that is not there. */
export function contractOf(layout: Layout, rules: string[] = []): Contract {
  const formulas = rules.map(rule => formulaOf(layout, rule))
  const checks = layout.columns.map(checksOf)
  const seen = layout.columns.map(({ rule }) => (rule?.unique ? new Set<Value>() : undefined))

  function checkColumn(rows: Rows, i: number): void {
    const values = rows.values[i]
    for (let row = 0; row < rows.count; row++) {
      const value = values[row]
      if (rows.fault[row] || value === null || Number.isNaN(value)) continue
      for (const check of checks[i]) {
        const fault = check(value)
        if (fault) refuse(rows, row, fault, i)
      }
      const known = seen[i]
      if (known?.has(value)) refuse(rows, row, 'NOT_UNIQUE', i)
      else if (!rows.fault[row]) known?.add(value)
    }
  }

  /** What is 0 or missing does not hold. */
  function checkRule(rows: Rows, k: number): void {
    const { root, places } = formulas[k]
    const columns = places.map(i => (rows.values[i] as Float64Array).subarray(0, rows.count))
    const holds = evaluate(root, columns, rows.count)
    for (let row = 0; row < rows.count; row++) if (!holds[row]) refuse(rows, row, 'RULE', layout.columns.length + k)
  }

  return {
    layout,
    check(rows) {
      for (const i of layout.columns.keys()) if (checks[i].length || seen[i]) checkColumn(rows, i)
      for (const k of formulas.keys()) checkRule(rows, k)
    },
  }
}

function formulaOf({ columns }: Layout, rule: string) {
  const { root, reads } = parseExpression(rule)
  const names = columns.map(({ name }) => name)
  const places = reads.map(read => {
    const place = names.indexOf(read)
    const close = nearest(read, names)
    const hint = close ? `did you mean ${close}?` : `there are ${names.join(', ')}`
    if (place < 0) throw usageError('BAD_SCHEMA', `the rule ${rule} reads ${read}, which is no column; ${hint}`)
    if (columns[place].type === 'string')
      throw usageError('BAD_SCHEMA', `the rule ${rule} reads ${read}, which holds text; a rule reads numbers and times`)
    return place
  })
  return { root, places }
}

function checksOf(column: LayoutColumn): Check[] {
  const { rule } = column
  if (!rule) return []
  const checks: Check[] = []
  const add = (fault: Fault, holds: (value: Value) => boolean) =>
    checks.push(value => (holds(value) ? undefined : fault))
  if (rule.type === 'integer') add('NOT_AN_INTEGER', value => Number.isInteger(value))
  if (rule.min !== undefined) add('BELOW_MINIMUM', atLeast(column, rule.min, 'min'))
  if (rule.max !== undefined) add('ABOVE_MAXIMUM', atMost(column, rule.max))
  if (rule.values) add('NOT_ALLOWED', allowed(column, rule.values))
  if (rule.pattern !== undefined) add('PATTERN', matching(column, rule.pattern))
  return checks
}

const atLeast = (column: LayoutColumn, given: Value, what: string) => {
  const bound = inMemory(column, given, what)
  return (value: Value) => value >= bound
}

const atMost = (column: LayoutColumn, given: Value) => {
  const bound = inMemory(column, given, 'max')
  return (value: Value) => value <= bound
}

function allowed(column: LayoutColumn, values: NonNullable<ColumnRule['values']>) {
  const known = new Set(
    values.map(value =>
      inMemory(
        column,
        typeof value === 'boolean' ? (column.type === 'string' ? String(value) : Number(value)) : value,
        'values',
      ),
    ),
  )
  return (value: Value) => known.has(value)
}

function matching({ name, type }: LayoutColumn, pattern: string) {
  if (type !== 'string') throw usageError('BAD_SCHEMA', `column ${name} holds no text, so it can have no pattern`)
  const whole = new RegExp(`^(?:${pattern})$`, 'v')
  return (value: Value) => whole.test(value as string)
}

/** A value of the config as the column has it: a time as ms. */
function inMemory({ name, type }: LayoutColumn, value: Value, what: string): Value {
  const found =
    type === 'time'
      ? typeof value === 'number'
        ? value
        : Date.parse(value)
      : type === 'string'
        ? String(value)
        : value
  if (type !== 'string' && (typeof found !== 'number' || Number.isNaN(found)))
    throw usageError(
      'BAD_SCHEMA',
      `${what} of column ${name} is ${JSON.stringify(value)}, and the column holds ${type === 'time' ? 'times (ISO dates)' : 'numbers'}`,
    )
  return found
}
