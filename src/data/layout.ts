// Which columns a table has, and where a source has them.
import { dataError, usageError } from '../base/errors.ts'
import type { ColumnType } from '../base/table.ts'
import type { ColumnRule, DataSchema, TableSchema } from './columns.ts'
import { nameOf, placeColumns, placeNamed, placeParts } from './header.ts'
import { type ColumnNames, VALUE_COLUMNS } from './schema.ts'

export interface LayoutColumn {
  name: string
  type: ColumnType
  /** A missing value is no fault. */
  nullable: boolean
  /** What a row has where the source has no such column; default: a missing value. */
  fill?: number
  /** Of the config, where it says more than that. */
  rule?: ColumnRule
}

/** The columns of a table, in its order. */
export interface Layout {
  columns: LayoutColumn[]
  /** Place of the column by which rows are sorted; -1: rows have no time and keep the order of the source. */
  time: number
  /** Place of `symbol`; -1 where there is one series, or none. */
  symbol: number
  /** Places of the columns of which no two rows have the same values; none: rows are not compared. */
  key: number[]
  /** Rows are held to the candle contract. */
  candles: boolean
}

/** A layout and the place of each of its columns in a source; -1 is a column that it does not have. */
export interface Placed {
  layout: Layout
  places: number[]
  /** Places of the columns that together are the text of `time`; none where it is one. */
  parts: number[]
}

/** Places the columns of one file after another: the first decides what there is, the others must have the same. */
export interface Placer {
  /** The schema leaves types open, so the file's own are needed. */
  readonly open: boolean
  /** Errors: those of header.ts. */
  place(header: string[], path: string, types?: ColumnType[]): Placed
}

/** What a column's values are read as. */
export type ReadType = NonNullable<ColumnRule['type']>

/** A table as its file has it: rows in their order, none compared, every column as these types say, or as its values are. */
export interface AsIs {
  types: ReadonlyMap<string, ReadType>
}

/** Of candles, or of a table whose columns the config names or leaves to the source. */
export function placer(schema: DataSchema | AsIs, columns: ColumnNames, keep: string[]): Placer {
  if (schema === 'candles') return candlePlacer(columns, keep)
  return 'types' in schema ? tablePlacer({}, columns, schema) : tablePlacer(schema, columns)
}

function candlePlacer(names: ColumnNames, keep: string[]): Placer {
  let symbols: boolean | undefined
  return {
    open: false,
    place(header, path) {
      const places = placeColumns(header, names, path)
      const has = places.symbol >= 0
      symbols ??= has
      if (has !== symbols)
        throw dataError('MISSING_COLUMN', 'only some of the files have a symbol column', {
          next: 'columns: {symbol: null} reads all of them without it',
        })
      const parts = placeParts(header, names, path)
      const kept = keep.map(name => placeNamed(header, names, name, path))
      return {
        layout: candleLayout({ keep, symbols }),
        places: [places.time, ...VALUE_COLUMNS.map(name => places[name]), ...kept, ...(has ? [places.symbol] : [])],
        parts,
      }
    },
  }
}

/** The columns of candles: CANDLE_COLUMNS, with further columns of numbers before the symbol. */
export function candleLayout({ keep = [], symbols = false }: { keep?: string[]; symbols?: boolean } = {}): Layout {
  const columns: LayoutColumn[] = [
    { name: 'time', type: 'time', nullable: false },
    ...VALUE_COLUMNS.map(name => ({
      name,
      type: 'number' as const,
      nullable: false,
      ...(name === 'volume' && { fill: 0 }),
    })),
    ...keep.map(name => ({ name, type: 'number' as const, nullable: true })),
    ...(symbols ? [{ name: 'symbol', type: 'string' as const, nullable: false }] : []),
  ]
  const symbol = symbols ? columns.length - 1 : -1
  return { columns, time: 0, symbol, key: symbols ? [0, symbol] : [0], candles: true }
}

/** What the types of the config are in memory. */
const STORED: Record<ReadType, ColumnType> = {
  number: 'number',
  integer: 'number',
  boolean: 'number',
  string: 'string',
  time: 'time',
}

/** A rule for every column of a source that the config says nothing of. */
const anyColumn = (name: string, type?: ReadType): Rule => ({ name, type, nullable: true, required: true })

type Rule = Pick<ColumnRule, 'name' | 'type' | 'nullable' | 'required'> & Partial<ColumnRule>

function tablePlacer({ columns: rules, key }: TableSchema, names: ColumnNames, asIs?: AsIs): Placer {
  let layout: Layout | undefined
  return {
    open: rules === undefined || rules.some(({ type }) => type === undefined),
    place(header, path, types = []) {
      const placeIn = ({ name, required }: Rule) => placeNamed(header, names, name, path, !required)
      if (!rules) checkNamed(header, names, path)
      const wanted = rules ?? ownNames(header, names).map(name => anyColumn(name, asIs?.types.get(name)))
      const places = wanted.map(placeIn)
      layout ??= tableLayout(
        wanted.map((rule, i) => ({
          name: rule.name,
          // A time that the config points to may be written as numbers.
          type: rule.type
            ? STORED[rule.type]
            : rule.name === 'time' && names.time
              ? 'time'
              : (types[places[i]] ?? 'string'),
          nullable: rule.nullable,
          ...((rules || rule.type) && { rule: rule as ColumnRule }),
        })),
        { key, sorted: !asIs },
      )
      const { columns } = layout
      const all = columns.map(({ name, rule }) => placeIn(rule ?? anyColumn(name)))
      return { layout, places: all, parts: placeParts(header, names, path) }
    },
  }
}

/** Errors: MISSING_COLUMN where the config names a column of theirs that there is not. */
function checkNamed(header: string[], names: ColumnNames, path: string): void {
  for (const [ours, theirs] of Object.entries(names))
    if (typeof theirs === 'string') placeNamed(header, names, ours, path)
}

/** The columns of a source by our names for them; of several that are the time, the first. */
function ownNames(header: string[], names: ColumnNames): string[] {
  const ours = new Map(Object.keys(names).map(name => [nameOf(names, name), name]))
  const further: string[] = Array.isArray(names.time) ? names.time.slice(1) : []
  return header
    .map(name => name.trim())
    .filter(name => !further.includes(name))
    .map(name => ours.get(name) ?? name)
}

function tableLayout(columns: LayoutColumn[], { key, sorted }: { key?: string[]; sorted: boolean }): Layout {
  const place = (name: string, type: ColumnType) =>
    columns.findIndex(column => column.name === name && column.type === type)
  const time = sorted ? place('time', 'time') : -1
  const symbol = time < 0 ? -1 : place('symbol', 'string')
  if (time >= 0) columns[time].nullable = false // rows are sorted by it
  if (symbol >= 0) columns[symbol].nullable = false
  const byTime = [time, symbol].filter(column => column >= 0)
  return { columns, time, symbol, key: key ? keyPlaces(key, columns, time) : byTime, candles: false }
}

/** A table is kept as Parquet, which is read by SQL, and that tells names apart without regard to case. Errors: UNNAMED_COLUMN, DUPLICATE_COLUMN. */
export function checkNames({ columns }: Pick<Layout, 'columns'>): void {
  const seen = new Map<string, string>()
  for (const [i, { name }] of columns.entries()) {
    if (!name)
      throw dataError('UNNAMED_COLUMN', `column ${i + 1} has no name`, {
        next: 'name it in the header, or list the columns that you want under data.schema.columns',
      })
    const other = seen.get(name.toLowerCase())
    if (other !== undefined)
      throw dataError('DUPLICATE_COLUMN', `the columns ${other} and ${name} differ in nothing but case`, {
        next: `rename one: data.source.columns: {another_name: ${name}}`,
      })
    seen.set(name.toLowerCase(), name)
  }
}

/** Errors (usage): BAD_SCHEMA where the key names what is not there, or leaves out the time by which rows are sorted. */
function keyPlaces(key: string[], columns: LayoutColumn[], time: number): number[] {
  const places = key.map(name => columns.findIndex(column => column.name === name))
  const unknown = key.find((_, i) => places[i] < 0)
  if (unknown !== undefined)
    throw usageError(
      'BAD_SCHEMA',
      `the key has the column ${unknown}, and there are ${columns.map(({ name }) => name).join(', ')}`,
    )
  if (time >= 0 && !places.includes(time))
    throw usageError('BAD_SCHEMA', `the rows have times, so the key needs time besides ${key.join(', ')}`, {
      next: `key: [time, ${key.join(', ')}], or give the column time another name`,
    })
  return places
}
