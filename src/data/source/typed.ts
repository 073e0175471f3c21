// Rows from formats whose values have types: a format opens a file as columns and batches, the rest is the same for all of them.
import { dataError, SluiceError } from '../../base/errors.ts'
import type { ColumnType } from '../../base/table.ts'
import { isoTime } from '../../base/time.ts'
import type { CellReader } from '../cells.ts'
import type { FileFormat, Reading } from '../format.ts'
import { spelledAs } from '../header.ts'
import type { Placed, Placer } from '../layout.ts'
import { addRow, BLOCK_ROWS, emptyRows, type Place, type Rows, refuse } from '../rows.ts'
import type { Fault } from '../schema.ts'

/** Ms from 1970 on that a date can have in JavaScript (ECMA-262, time values). */
const LAST_DATE = 8.64e15

export interface TypedColumn {
  name: string
  type: ColumnType
  /** How its times were written (KIND); its values are then UTC or wall-clock ms. */
  kind?: number
  /** What the format calls its type, for messages. */
  stored?: string
}

/** Some rows of a file, in its order. */
export interface Batch {
  rows: number
  /** null, a number, bigint, boolean, string or Date; anything else is no value. */
  value(row: number, column: number): unknown
  /** Why a row is none. */
  fault?(row: number): Fault | undefined
  /** Where its text stands; default: its number in the file. */
  place?(row: number): Omit<Place, 'file'>
  /** As the quarantine shows it; default: the values with commas. */
  text?(row: number): string
}

export interface TypedFile {
  columns: TypedColumn[]
  batches: AsyncIterable<Batch>
  /** Lets go of the file, also of one that was not read to its end. */
  close?(): Promise<unknown>
}

/** `types`: the columns need the types that all their values have; else only their names count, where the format has no types. */
export type Open = (
  path: string,
  reading: Pick<Reading, 'config' | 'signal'> & { types: boolean },
) => Promise<TypedFile>

/** Errors are those of `open` and of header.ts. */
export const typed = (open: Open): FileFormat => ({
  async *read(path, file, { config, placer, cells, capacity, signal }) {
    const { columns, batches, close } = await open(path, { config, signal, types: placer.open })
    try {
      const placed = placeTyped(placer, columns, path)
      const add = rowReader(placed, columns, cells, file)
      let rows = emptyRows(placed.layout, capacity)
      for await (const batch of batches) {
        signal.throwIfAborted()
        for (let at = 0; at < batch.rows; at++) add(rows, batch, at)
        if (rows.count < BLOCK_ROWS) continue
        yield rows
        rows = emptyRows(placed.layout, capacity)
      }
      if (rows.count) yield rows
    } finally {
      await close?.()
    }
  },
  async text(path, places, reading) {
    const { columns, batches, close } = await open(path, { ...reading, types: false })
    const texts: string[] = []
    let before = 0
    try {
      for await (const batch of batches) {
        while (texts.length < places.length && places[texts.length].line <= before + batch.rows) {
          const row = places[texts.length].line - before - 1
          texts.push(batch.text?.(row) ?? columns.map((_, i) => textOf(batch.value(row, i))).join(','))
        }
        before += batch.rows
      }
    } finally {
      await close?.()
    }
    return texts
  },
})

/** Of a file that lacks columns, what else is not as it should be. */
function placeTyped(placer: Placer, columns: TypedColumn[], path: string): Placed {
  try {
    return placer.place(
      columns.map(({ name }) => name),
      path,
      columns.map(({ type }) => type),
    )
  } catch (error) {
    const missing = (error as { detail?: { missing?: string[] } }).detail?.missing
    if (!(error instanceof SluiceError) || !missing) throw error
    const text = columns.filter(({ name, stored, type }) => stored && type === 'string' && isCandleValue(name))
    if (!text.length) throw error
    const list = text.map(({ name, stored }) => `${name} (${stored})`).join(', ')
    throw dataError(error.code, `${error.message}; no numbers or times are ${list}`, {
      next: error.next,
      detail: { missing, reasons: { MISSING_COLUMN: missing.length, TYPE_MISMATCH: text.length } },
      cause: error,
    })
  }
}

const isCandleValue = (name: string): boolean => !['symbol', undefined].includes(spelledAs(name))

/** A function that appends a row of a batch. */
function rowReader({ layout, places, parts }: Placed, columns: TypedColumn[], cells: CellReader, file: number) {
  const joined = parts.length ? layout.columns.findIndex(({ name }) => name === 'time') : -1
  let line = 0

  function readCell(rows: Rows, row: number, i: number, batch: Batch, at: number): void {
    const place = places[i]
    const kind = columns[place]?.kind
    const { type } = layout.columns[i]
    const value = i === joined ? together(batch, at) : place < 0 ? undefined : batch.value(at, place)
    if (place < 0) cells.absent(rows, row, i)
    else if (kind !== undefined && type === 'time' && typeof value === 'number') cells.time(rows, row, i, value, kind)
    else if (kind !== undefined && type === 'string' && typeof value === 'number') {
      if (Math.abs(value) <= LAST_DATE) cells.value(rows, row, i, isoTime(value))
      else refuse(rows, row, 'OUT_OF_RANGE', i, String(value))
    } else cells.value(rows, row, i, type === 'string' ? plain(value) : value)
  }

  const together = (batch: Batch, at: number) => parts.map(part => textOf(batch.value(at, part))).join(' ')

  return (rows: Rows, batch: Batch, at: number): void => {
    const row = addRow(rows)
    line++
    rows.file[row] = file
    rows.line[row] = line
    if (batch.place) {
      const place = batch.place(at)
      rows.line[row] = place.line
      rows.position[row] = place.position
      rows.size[row] = place.size
    }
    const fault = batch.fault?.(at)
    if (fault) refuse(rows, row, fault)
    else for (let i = 0; i < places.length; i++) readCell(rows, row, i, batch, at)
  }
}

/** What is no single value, as text. */
const plain = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !(value instanceof Date)
    ? JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner))
    : value

const textOf = (value: unknown): string => String(plain(value) ?? '')
