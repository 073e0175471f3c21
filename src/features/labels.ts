// What is to be predicted: the only thing that looks forward, and over a stated number of rows of its own symbol.
import { z } from 'zod'
import { findColumn, numbers, rowsBySymbol, type Table } from '../base/table.ts'
import { feature } from './feature.ts'
import { maxSize, rollingMax } from './window.ts'

const horizon = z.int().min(1).max(100_000)
const distance = z.number().positive().max(10)

export const labelSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('touch'), horizon, threshold: distance }),
  z.strictObject({ kind: z.literal('direction'), horizon }),
  z.strictObject({ kind: z.literal('forward_return'), horizon }),
  z.strictObject({ kind: z.literal('triple_barrier'), horizon, up: distance, down: distance.lt(1) }),
  z.strictObject({ kind: z.literal('column'), name: z.string().min(1), horizon: horizon.optional() }),
])

export type LabelConfig = z.infer<typeof labelSchema>

export type Task = 'binary' | 'multiclass' | 'regression'

/** The task that a kind of label is for; a column does for each. */
export const LABEL_TASK: Record<string, Task> = {
  touch: 'binary',
  direction: 'binary',
  triple_barrier: 'multiclass',
  forward_return: 'regression',
}

export interface Label {
  /** As long as the table; NaN where the rows ahead are missing, which the last `horizon` rows of every symbol are. */
  values: Float64Array
  /** Rows of the same symbol that a label looks ahead; 0 where rows have no time. */
  horizon: number
  /** Sorted, where the label is a column of words: `values` are places among them. */
  words: string[] | null
}

/** The label of every row; windows are inclusive: with horizon h, row t is told by the closes of t + 1 .. t + h. */
export function computeLabel(table: Table, spec: LabelConfig): Label {
  const { values: source, words } = labelSource(table, spec)
  if (spec.horizon === undefined) return { values: source.map(finite), horizon: 0, words }
  const ahead = spec.horizon
  const values = new Float64Array(table.rows)
  for (const rows of rowsBySymbol(table).values()) {
    const label = labelSeries(
      Float64Array.from(rows, row => source[row]),
      spec,
    )
    for (let t = 0; t < rows.length; t++) values[rows[t]] = t + ahead < rows.length ? label[t] : Number.NaN
  }
  return { values, horizon: ahead, words }
}

function labelSource(table: Table, spec: LabelConfig): Pick<Label, 'values' | 'words'> {
  const name = spec.kind === 'column' ? spec.name : 'close'
  const values = findColumn(table, name)?.values
  if (!values || values instanceof Float64Array) return { values: numbers(table, name), words: null }
  const words = [...new Set(values)].filter(word => word !== null).sort()
  const places = new Map<string | null, number>(words.map((word, place) => [word, place]))
  return { values: Float64Array.from(values, word => places.get(word) ?? Number.NaN), words }
}

function labelSeries(close: Float64Array, spec: LabelConfig): Float64Array {
  if (spec.kind === 'touch') return touch(close, spec.horizon, spec.threshold)
  if (spec.kind === 'triple_barrier') return tripleBarrier(close, spec)
  if (spec.kind === 'column') return close.map(finite)
  const ahead = close.subarray(spec.horizon)
  if (spec.kind === 'forward_return') return ahead.map((later, t) => finite(later / close[t] - 1))
  return ahead.map((later, t) => (known(later - close[t]) ? Number(later > close[t]) : Number.NaN))
}

const known = (x: number): boolean => !Number.isNaN(x)
const finite = (x: number): number => (Number.isFinite(x) ? x : Number.NaN)

/** 1 where the highest of the next h closes is at least close x (1 + threshold), else 0. */
function touch(close: Float64Array, h: number, threshold: number): Float64Array {
  const highest = new Float64Array(close.length)
  const shape = { name: 'highest', reads: ['close'], warmup: h - 1, size: maxSize(h) }
  const rolling = feature(shape, (state, [x], out) => rollingMax(state, h, 1, x, out))
  rolling.advance(new Float64Array(rolling.size), [close], highest, 0, close.length)
  return highest
    .subarray(h)
    .map((top, t) => (known(top) && known(close[t]) ? Number(top >= close[t] * (1 + threshold)) : Number.NaN))
}

/** Which barrier the next h closes reach first (Lopez de Prado 2018): 1 the upper, -1 the lower, 0 none. */
function tripleBarrier(close: Float64Array, spec: { horizon: number; up: number; down: number }): Float64Array {
  const out = new Float64Array(close.length)
  for (let t = 0; t + spec.horizon < close.length; t++) out[t] = firstBarrier(close, t, spec)
  return out
}

function firstBarrier(
  close: Float64Array,
  t: number,
  { horizon: h, up, down }: { horizon: number; up: number; down: number },
): number {
  const upper = close[t] * (1 + up)
  const lower = close[t] * (1 - down)
  for (let ahead = t + 1; ahead <= t + h; ahead++) {
    if (close[ahead] >= upper) return 1
    if (close[ahead] <= lower) return -1
    if (!known(close[ahead] - close[t])) return Number.NaN
  }
  return 0
}
