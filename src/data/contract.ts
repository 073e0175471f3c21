// The rules of a schema, held to every row: whole numbers, bounds, allowed values, patterns, no value twice.
import { usageError } from '../base/errors.ts'
import type { Layout, LayoutColumn } from './layout.ts'
import { type Rows, refuse } from './rows.ts'
import type { ColumnRule, Fault } from './schema.ts'

export interface Contract {
  layout: Layout
  /** Refuses the rows of a block that break a rule; `unique` holds over all blocks. */
  check(rows: Rows): void
}

type Value = number | string

/** Says what is wrong with a value that is there; undefined: nothing. */
type Check = (value: Value) => Fault | undefined

/** Errors (usage): BAD_SCHEMA where a rule does not go with the type of its column. */
export function contractOf(layout: Layout): Contract {
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

  return {
    layout,
    check(rows) {
      for (const i of layout.columns.keys()) if (checks[i].length || seen[i]) checkColumn(rows, i)
    },
  }
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
