// Rows from a Parquet file: its columns have types already, so that only times and texts are read.
import { dataError } from '../../base/errors.ts'
import type { CellReader } from '../cells.ts'
import type { FileFormat, FileReader } from '../format.ts'
import type { LayoutColumn, Placed } from '../layout.ts'
import { type ChunkColumn, COLUMN_TYPES, type StoredColumn, scanParquet } from '../parquet.ts'
import { addRow, BLOCK_ROWS, emptyRows, type Place, type Rows } from '../rows.ts'
import { KIND } from '../timestamp.ts'

/** Errors: TYPE_MISMATCH, and those of parquet.ts and header.ts. */
const readStored: FileReader = async function* (path, file, { placer, cells, capacity, signal }) {
  let rows: Rows | undefined
  let placed: Placed | undefined
  const plan = (stored: StoredColumn[]) => {
    const header = stored.map(({ name }) => name)
    placed = placer.place(
      header,
      path,
      stored.map(({ type }) => COLUMN_TYPES[type]),
    )
    if (placed.parts.length)
      throw dataError('TYPE_MISMATCH', `${path} is Parquet, in which a time is one column, not several`)
    rows = emptyRows(placed.layout, capacity)
    const columns = placed.places.flatMap((place, i) =>
      place < 0 ? [] : [typed(stored[place], placed!.layout.columns[i], path)],
    )
    const add = rowReader(placed, columns, cells, file)
    return { columns, visit: (chunk: ChunkColumn[], count: number) => add(rows!, chunk, count) }
  }
  for await (const _ of scanParquet(path, plan, { signal })) {
    if (rows!.count < BLOCK_ROWS) continue
    yield rows!
    rows = emptyRows(placed!.layout, capacity)
  }
  if (rows!.count) yield rows!
}

/** A stored column as the type that ours needs. */
function typed(column: StoredColumn, { name, type }: LayoutColumn, path: string): StoredColumn {
  if (type === 'string') return { ...column, type: 'string' }
  const fits = column.type === 'number' || column.type === 'string' || (type === 'time' && column.type !== 'other')
  if (!fits && column.stored === 'BOOLEAN') return { ...column, type: 'string' }
  if (!fits) throw dataError('TYPE_MISMATCH', `${path}: ${name} (${column.name}) is a ${column.stored}`)
  return column
}

/** A function that appends a chunk to rows. */
function rowReader({ places }: Placed, columns: StoredColumn[], cells: CellReader, file: number) {
  let line = 0
  let next = 0
  const from = places.map(place => (place < 0 ? -1 : next++))
  const kinds = columns.map(kindOf)

  function readCell(rows: Rows, row: number, i: number, chunk: ChunkColumn[], at: number): void {
    const value = from[i] < 0 ? null : chunk[from[i]][at]
    const kind = kinds[from[i]]
    if (from[i] < 0) cells.absent(rows, row, i)
    else if (kind === undefined || Number.isNaN(value)) cells.value(rows, row, i, value)
    else cells.time(rows, row, i, value as number, kind)
  }

  return (rows: Rows, chunk: ChunkColumn[], count: number): void => {
    for (let at = 0; at < count; at++) {
      const row = addRow(rows)
      rows.line[row] = ++line
      rows.file[row] = file
      for (let i = 0; i < places.length; i++) readCell(rows, row, i, chunk, at)
    }
  }
}

/** How a column that is stored as a time was written; undefined for any other. */
function kindOf({ type, stored }: StoredColumn): number | undefined {
  if (type === 'date') return KIND.date
  if (type !== 'timestamp') return undefined
  return stored.endsWith('TIME ZONE') ? KIND.instant : KIND.naive
}

/** The rows of these places, as the file's values with commas. */
async function storedText(path: string, places: Place[], signal?: AbortSignal): Promise<string[]> {
  const texts: string[] = []
  const visit = (chunk: ChunkColumn[], count: number) => {
    for (let i = 0; i < count; i++) texts.push(chunk.map(values => values[i] ?? '').join(','))
  }
  const asText = (stored: StoredColumn[]) => stored.map(column => ({ ...column, type: 'string' as const }))
  const plan = (stored: StoredColumn[]) => ({ columns: asText(stored), visit })
  for await (const _ of scanParquet(path, plan, { signal, rows: places.map(({ line }) => line - 1) }))
    signal?.throwIfAborted()
  return texts
}

export const stored: FileFormat = {
  read: readStored,
  text: (path, places, { signal }) => storedText(path, places, signal),
}
