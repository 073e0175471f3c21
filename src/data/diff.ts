// How two versions of a table differ: rows by key, columns and their types, the distribution of every column.
import type { Context } from '../base/context.ts'
import { kolmogorovSmirnov, mean } from '../base/statistics.ts'
import {
  type Column,
  type ColumnType,
  findColumn,
  isSame,
  joinTables,
  type Table,
  timesOf,
  type Values,
} from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import type { Partition, SchemaColumn, TableManifest } from './manifest.ts'
import { readColumn, readPartition } from './tables.ts'

type Cell = string | number | null
type Cells = Record<string, Cell>

export interface Shift {
  column: string
  /** Two-sample Kolmogorov-Smirnov, of the values that are there; null where one side has none. */
  statistic: number | null
  pvalue: number | null
  mean: [before: number | null, after: number | null]
  missing: [before: number, after: number]
}

export interface TableDiff {
  from: Side
  to: Side
  /** What rows are found again by; none: only equal rows are, and none is revised. */
  key: string[]
  rows: { added: number; removed: number; revised: number }
  /** In how many revised rows a column has another value. */
  changed: Record<string, number>
  /** The first ones; values of personal columns are left out. */
  examples: { added: Cells[]; removed: Cells[]; revised: { key: Cells; before: Cells; after: Cells }[] }
  columns: {
    added: TypedName[]
    removed: TypedName[]
    retyped: { name: string; from: ColumnType; to: ColumnType }[]
  }
  /** Of every column of numbers that both have. */
  shifts: Shift[]
}

type Side = Pick<TableManifest, 'table' | 'version' | 'rows' | 'digest'>
type TypedName = Pick<SchemaColumn, 'name' | 'type'>
type Reading = Pick<Context, 'home' | 'signal'>

/** Of two verified versions; partitions that both have are not read. */
export async function diffTables(from: TableManifest, to: TableManifest, context: Reading): Promise<TableDiff> {
  const columns = compareSchemas(from.schema, to.schema)
  const shared = sharedColumns(from.schema, to.schema)
  const names = new Set(shared.map(({ name }) => name))
  const key = to.key.length && [...from.key, ...to.key].every(name => names.has(name)) ? to.key : []
  const before = await readParts(from, unlike(from.partitions, to.partitions), context)
  const after = await readParts(to, unlike(to.partitions, from.partitions), context)
  return {
    from: sideOf(from),
    to: sideOf(to),
    key,
    ...compareRows(before, after, key, shared),
    columns,
    shifts: from.digest === to.digest ? [] : await shiftsOf(from, to, shared, context),
  }
}

const sideOf = ({ table, version, rows, digest }: TableManifest): Side => ({ table, version, rows, digest })

const typed = ({ name, type }: SchemaColumn): TypedName => ({ name, type })

function compareSchemas(from: SchemaColumn[], to: SchemaColumn[]): TableDiff['columns'] {
  const old = new Map(from.map(column => [column.name, column.type]))
  const has = (list: SchemaColumn[], name: string) => list.some(column => column.name === name)
  return {
    added: to.filter(({ name }) => !old.has(name)).map(typed),
    removed: from.filter(({ name }) => !has(to, name)).map(typed),
    retyped: to.flatMap(({ name, type }) =>
      old.has(name) && old.get(name) !== type ? [{ name, from: old.get(name)!, to: type }] : [],
    ),
  }
}

/** Columns of one type in both; personal where either says so. */
export function sharedColumns(from: SchemaColumn[], to: SchemaColumn[]) {
  return to.flatMap(({ name, type, rule }) => {
    const other = from.find(column => column.name === name && column.type === type)
    return other ? [{ name, type, pii: Boolean(rule?.pii || other.rule?.pii) }] : []
  })
}

type Shared = ReturnType<typeof sharedColumns>

/** Equal digests are equal rows. */
const unlike = (partitions: Partition[], others: Partition[]): Partition[] =>
  partitions.filter(({ id, digest }) => !others.some(other => other.id === id && other.digest === digest))

async function readParts(manifest: TableManifest, partitions: Partition[], context: Reading): Promise<Table> {
  const parts = []
  for (const partition of partitions) parts.push(await readPartition(manifest, partition, context))
  return parts.length ? joinTables(parts) : { rows: 0, columns: manifest.schema.map(emptyColumn) }
}

const emptyColumn = ({ name, type }: SchemaColumn): Column => ({
  name,
  type,
  values: type === 'string' ? [] : new Float64Array(0),
})

const EXAMPLES = 5

/** Rows of equal time stand together, so a time at a time is compared; without times all rows at once. */
export function compareRows(before: Table, after: Table, key: string[], shared: Shared) {
  const [old, fresh] = [valuesOf(before, shared), valuesOf(after, shared)]
  const by = key.length ? shared.flatMap(({ name }, i) => (key.includes(name) ? [i] : [])) : [...shared.keys()]
  const rows = { added: 0, removed: 0, revised: 0 }
  const changed: Record<string, number> = {}
  const examples: TableDiff['examples'] = { added: [], removed: [], revised: [] }
  const cells = (values: Values[], row: number, columns: Iterable<number>): Cells =>
    Object.fromEntries(
      [...columns].flatMap(i => (shared[i].pii ? [] : [[shared[i].name, written(values[i][row], shared[i].type)]])),
    )

  function revise(a: number, b: number): void {
    const others = shared.flatMap((_, i) => (isSame(old[i][a], fresh[i][b]) ? [] : [i]))
    if (!others.length) return
    rows.revised++
    for (const i of others) changed[shared[i].name] = (changed[shared[i].name] ?? 0) + 1
    if (examples.revised.length < EXAMPLES)
      examples.revised.push({ key: cells(fresh, b, by), before: cells(old, a, others), after: cells(fresh, b, others) })
  }

  const note = (what: 'added' | 'removed', values: Values[], row: number) => {
    rows[what]++
    if (examples[what].length < EXAMPLES) examples[what].push(cells(values, row, shared.keys()))
  }

  for (const [a, b] of groups(before, after)) {
    const waiting = new Map<string, number[]>()
    for (let row = a.from; row < a.to; row++) {
      const name = keyText(old, row, by)
      const list = waiting.get(name)
      if (list) list.push(row)
      else waiting.set(name, [row])
    }
    for (let row = b.from; row < b.to; row++) {
      const found = waiting.get(keyText(fresh, row, by))?.shift()
      if (found === undefined) note('added', fresh, row)
      else revise(found, row)
    }
    for (const list of waiting.values()) for (const row of list) note('removed', old, row)
  }
  return { rows, changed, examples }
}

const valuesOf = (table: Table, shared: Shared): Values[] => shared.map(({ name }) => findColumn(table, name)!.values)

const keyText = (values: Values[], row: number, columns: number[]): string =>
  columns.length === 1 ? String(values[columns[0]][row]) : JSON.stringify(columns.map(i => values[i][row]))

const written = (value: number | string | null, type: ColumnType): Cell =>
  typeof value !== 'number' ? value : Number.isNaN(value) ? null : type === 'time' ? isoTime(value) : value

interface Stretch {
  from: number
  to: number
}

function* groups(before: Table, after: Table): Generator<[Stretch, Stretch]> {
  const [x, y] = [timesOf(before), timesOf(after)]
  if (!x || !y)
    return yield [
      { from: 0, to: before.rows },
      { from: 0, to: after.rows },
    ]
  const end = (times: Float64Array, from: number, time: number) => {
    let to = from
    while (to < times.length && times[to] === time) to++
    return to
  }
  for (let a = 0, b = 0; a < x.length || b < y.length; ) {
    const time = Math.min(x[a] ?? Number.POSITIVE_INFINITY, y[b] ?? Number.POSITIVE_INFINITY)
    const [c, d] = [end(x, a, time), end(y, b, time)]
    yield [
      { from: a, to: c },
      { from: b, to: d },
    ]
    a = c
    b = d
  }
}

/** The exact p-value costs the product of the sizes; beyond this the limit is as good for the eye. */
const EXACT_UP_TO = 1000

async function shiftsOf(from: TableManifest, to: TableManifest, shared: Shared, context: Reading): Promise<Shift[]> {
  const shifts: Shift[] = []
  for (const { name, type, pii } of shared) {
    if (type !== 'number' || pii) continue
    const all = [await readColumn(from, name, context), await readColumn(to, name, context)] as Float64Array[]
    const [a, b] = all.map(values => values.filter(value => !Number.isNaN(value)))
    const { statistic, pvalue } = kolmogorovSmirnov(a, b, { exactUpTo: EXACT_UP_TO })
    shifts.push({
      column: name,
      statistic: finite(statistic),
      pvalue: finite(pvalue),
      mean: [finite(mean(a)), finite(mean(b))],
      missing: [all[0].length - a.length, all[1].length - b.length],
    })
  }
  return shifts
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)
