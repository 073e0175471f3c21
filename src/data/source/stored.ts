// Candles from a Parquet file: its columns have types already, so that only times and texts are read.
import { dataError } from '../../base/errors.ts'
import { placeColumns, placeKept } from '../header.ts'
import { type NumberReader, numberFault, numberReader, parseNumber } from '../number.ts'
import { type ChunkColumn, type ParquetPlan, type StoredColumn, scanParquet } from '../parquet.ts'
import { addRow, type Rows, refuse, refuseValue, useSymbols } from '../rows.ts'
import { CANDLE_COLUMNS, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import { KIND, readTime, type TimeCell } from '../timestamp.ts'

/** Appends the file's rows to `rows`. Errors: TYPE_MISMATCH, and those of parquet.ts and header.ts. */
export async function readStored(
  path: string,
  file: number,
  config: FileSource,
  rows: Rows,
  signal?: AbortSignal,
): Promise<void> {
  await scanParquet(path, stored => planOf(stored, path, file, config, rows), { signal })
}

function planOf(stored: StoredColumn[], path: string, file: number, config: FileSource, rows: Rows): ParquetPlan {
  const names = stored.map(({ name }) => name)
  const places = placeColumns(names, config.columns, path)
  const ours = CANDLE_COLUMNS.filter(name => places[name] >= 0)
  const kept = placeKept(names, config.keep, path)
  const columns = [
    ...ours.map(name => typed(stored[places[name]], name, path)),
    ...kept.map((place, k) => typed(stored[place], config.keep[k], path)),
  ]
  const symbols = useSymbols(rows, places.symbol >= 0, file)
  const readNumber = numberReader({ decimal: config.decimal, thousands: config.thousands ?? null })
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  const values = [...VALUE_COLUMNS.map(name => ours.indexOf(name)), ...kept.map((_, k) => ours.length + k)]
  let line = 0

  function readCells(chunk: ChunkColumn[], i: number, row: number): void {
    storedTime(chunk[0][i], columns[0], readNumber, cell)
    rows.time[row] = cell.value
    rows.kind[row] = cell.kind
    if (cell.kind === KIND.invalid) refuse(rows, row, isMissing(chunk[0][i]) ? 'NULL_VALUE' : 'TIMESTAMP_INVALID')
    for (const [v, place] of values.entries()) {
      const stored = place < 0 ? 0 : chunk[place][i]
      const value = typeof stored === 'string' ? parseNumber(stored) : (stored ?? NaN)
      rows.values[v][row] = value
      if (!Number.isFinite(value))
        refuseValue(rows, row, v, numberFault(value, isMissing(stored) ? '' : String(stored)))
    }
    const symbol = symbols && String(chunk[ours.length - 1][i] ?? '').trim()
    if (symbol === '') refuse(rows, row, 'NULL_VALUE')
    if (symbol !== null) symbols?.push(symbol)
  }

  function visit(chunk: ChunkColumn[], count: number): void {
    for (let i = 0; i < count; i++) {
      const row = addRow(rows)
      rows.line[row] = ++line
      rows.file[row] = file
      readCells(chunk, i, row)
    }
  }
  return { columns, visit }
}

const isMissing = (stored: string | number | null): boolean => stored === null || Number.isNaN(stored)

/** A stored column as the type that ours needs. */
function typed(column: StoredColumn, ours: string, path: string): StoredColumn {
  if (ours === 'symbol') return { ...column, type: 'string' }
  const fits = column.type === 'number' || column.type === 'string' || (ours === 'time' && column.type !== 'other')
  if (!fits) throw dataError('TYPE_MISMATCH', `${path}: ${ours} (${column.name}) is a ${column.stored}`)
  return column
}

function storedTime(
  value: string | number | null,
  { type, stored }: StoredColumn,
  readNumber: NumberReader,
  cell: TimeCell,
): void {
  if (typeof value === 'string') {
    const bytes = Buffer.from(value)
    readTime(bytes, 0, bytes.length, readNumber, cell)
    return
  }
  cell.value = value ?? NaN
  if (isMissing(value)) cell.kind = KIND.invalid
  else if (type === 'number') cell.kind = KIND.epoch
  else if (type === 'date') cell.kind = KIND.date
  else cell.kind = stored.endsWith('TIME ZONE') ? KIND.instant : KIND.naive
}

/** The rows of these numbers (from 1, ascending), as the file's values with commas. */
export async function rowTexts(path: string, lines: number[]): Promise<string[]> {
  const texts: string[] = []
  const visit = (chunk: ChunkColumn[], count: number) => {
    for (let i = 0; i < count; i++) texts.push(chunk.map(values => values[i] ?? '').join(','))
  }
  const asText = (stored: StoredColumn[]) => stored.map(column => ({ ...column, type: 'string' as const }))
  await scanParquet(path, stored => ({ columns: asText(stored), visit }), { rows: lines.map(line => line - 1) })
  return texts
}
