// Rows of JSON, objects or lists, as columns: `{"a": {"b": 1}}` has the column a.b.
import { dataError } from '../../base/errors.ts'
import { typeFinder } from '../infer.ts'
import { CANDLE_COLUMNS, type Fault, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import type { TypedColumn } from './typed.ts'

export interface Shape {
  columns: TypedColumn[]
  /** The first row has the names. */
  named: boolean
  value(record: unknown, column: number): unknown
  /** Why it is no row of this shape. */
  fault(record: unknown): Fault | undefined
}

/** Learns the columns from one row after another: the first decides whether rows are objects or lists. */
export interface ShapeFinder {
  add(record: unknown): void
  /** Errors: EMPTY_INPUT, MISSING_COLUMN where rows are lists without names. */
  shape(): Shape
}

/** `types`: also what type all values of a column have. */
export function shapeFinder(path: string, config: FileSource, types: boolean): ShapeFinder {
  const finder = typeFinder(config)
  const keys = new Map<string, { place: number; keys: string[] }>()
  let first: unknown
  let named = false

  function addObject(record: object, above: string[] = []): void {
    for (const [key, value] of Object.entries(record)) {
      const path = [...above, key]
      if (isObject(value)) {
        addObject(value, path)
        continue
      }
      const name = path.join('.')
      let column = keys.get(name)
      if (!column) keys.set(name, (column = { place: keys.size, keys: path }))
      if (types) finder.value(column.place, value)
    }
  }

  function add(record: unknown): void {
    const isFirst = first === undefined
    if (isFirst && (isObject(record) || Array.isArray(record))) {
      first = record
      named = config.header === true && Array.isArray(record) && record.every(cell => typeof cell === 'string')
      if (named) return
    }
    if (Array.isArray(first) && Array.isArray(record)) {
      if (types) for (const [i, value] of record.entries()) finder.value(i, value)
    } else if (isObject(first) && isObject(record)) addObject(record)
  }

  function columnsOf(names: string[]): TypedColumn[] {
    const found = finder.types(names.length)
    return names.map((name, i) => ({ name, type: found[i] }))
  }

  function shape(): Shape {
    if (first === undefined) throw dataError('EMPTY_INPUT', `${path} holds no row, which is an object or a list`)
    if (Array.isArray(first)) return listShape(columnsOf(listNames(first, named, config, path)), named, first.length)
    const paths = [...keys.values()].map(({ keys }) => keys)
    return {
      columns: columnsOf([...keys.keys()]),
      named: false,
      value: (record, column) => valueAt(record, paths[column]),
      fault: record => (isObject(record) ? undefined : 'TYPE_MISMATCH'),
    }
  }

  return { add, shape }
}

const listShape = (columns: TypedColumn[], named: boolean, width: number): Shape => ({
  columns,
  named,
  value: (record, column) => (record as unknown[])[column],
  fault: record => (!Array.isArray(record) ? 'TYPE_MISMATCH' : record.length === width ? undefined : 'COLUMN_COUNT'),
})

function listNames(first: unknown[], named: boolean, { header }: FileSource, path: string): string[] {
  if (named) return first.map(String)
  if (header === true)
    throw dataError('MISSING_COLUMN', `the rows of ${path} are lists, without names`, {
      next: 'header: false if they are time, open, high, low, close, volume, or header: [their names]',
      detail: { missing: ['time', ...VALUE_COLUMNS] },
    })
  return header === false ? CANDLE_COLUMNS.slice(0, 1 + VALUE_COLUMNS.length) : header
}

/** The value below these keys; undefined where there is none. */
export function valueAt(record: unknown, keys: string[]): unknown {
  let value = record
  for (const key of keys) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}

/** Undefined where a text is no JSON, or cut off. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where in a document lists are, of its first levels. */
export function listsIn(value: unknown, above: string[] = []): string[] {
  if (!isObject(value) || above.length > 3) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    Array.isArray(inner) ? [[...above, key].join('.')] : listsIn(inner, [...above, key]),
  )
}
