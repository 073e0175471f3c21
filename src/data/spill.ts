// Sorted rows that do not fit in memory, on disk: a file per column, of which any stretch can be read back.
import { closeSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { lowerBound } from '../base/statistics.ts'
import type { Layout } from './layout.ts'
import { emptyRows, type Rows } from './rows.ts'

/** Rows sorted by time, on disk. */
export interface Spilled {
  rows: number
  /** Time of every STRIDE-th row. */
  sample: Float64Array
  /** Number of rows before `time`. */
  before(time: number): number
  /** Rows [from, to), each with its place in the source. */
  read(from: number, to: number): Rows
  close(): void
}

const STRIDE = 4096

type Numbers = Float64Array | Uint32Array | Uint16Array

/** Words of the text columns: a row has the number of its word. */
export interface Words {
  list: string[]
  numbers: Map<string, number>
}

/** Writes the rows of `order` into a folder of their own. */
export function spill(rows: Rows, order: Int32Array, folder: string, words: Words): Spilled {
  mkdirSync(folder, { recursive: true })
  const time = rows.values[rows.layout.time] as Float64Array
  const sample = Float64Array.from({ length: Math.ceil(order.length / STRIDE) }, (_, i) => time[order[i * STRIDE]])
  return spilled(rows.layout, writeColumns(rows, order, folder, words), sample, order.length, words)
}

/** One column at a time, so that no more than one is in memory twice. */
function writeColumns(rows: Rows, order: Int32Array, folder: string, words: Words): ColumnFile[] {
  const columns = [...rows.values, rows.line, rows.position, rows.size, rows.file]
  return columns.map((values, i) =>
    columnFile(join(folder, String(i)), Array.isArray(values) ? numbered(values, order, words) : taken(values, order)),
  )
}

function taken<T extends Numbers>(from: T, order: Int32Array): T {
  const values = new (from.constructor as new (length: number) => T)(order.length)
  for (let i = 0; i < order.length; i++) values[i] = from[order[i]]
  return values
}

/** Apart from what is written, lest what can be read back keeps it in memory. */
const spilled = (layout: Layout, files: ColumnFile[], sample: Float64Array, rows: number, words: Words): Spilled => ({
  rows,
  sample,
  ...readers(layout, files, sample, rows, words),
  close() {
    for (const file of files) file.close()
  },
})

function readers(layout: Layout, files: ColumnFile[], sample: Float64Array, count: number, words: Words) {
  function before(time: number): number {
    const block = lowerBound(sample, time) - 1
    if (block < 0) return 0
    const from = block * STRIDE
    const times = new Float64Array(Math.min(STRIDE, count - from))
    files[layout.time].read(times, from)
    return from + lowerBound(times, time)
  }

  function read(from: number, to: number): Rows {
    const rows = emptyRows(layout, to - from)
    rows.count = to - from
    rows.values = rows.values.map((values, i) => {
      if (values instanceof Float64Array) return files[i].read(values, from)
      const codes = files[i].read(new Uint32Array(to - from), from)
      return Array.from(codes, code => (code === MISSING ? null : words.list[code]))
    })
    const places = files.slice(layout.columns.length)
    for (const [i, name] of (['line', 'position', 'size', 'file'] as const).entries()) places[i].read(rows[name], from)
    return rows
  }
  return { before, read }
}

const MISSING = 0xffffffff

function numbered(values: (string | null)[], order: Int32Array, { list, numbers }: Words): Uint32Array {
  return Uint32Array.from(order, row => {
    const word = values[row]
    if (word === null) return MISSING
    let number = numbers.get(word)
    if (number === undefined) {
      number = list.push(word) - 1
      numbers.set(word, number)
    }
    return number
  })
}

interface ColumnFile {
  /** Fills `into` with the values from number `at` on. */
  read<T extends Numbers>(into: T, at: number): T
  close(): void
}

function columnFile(path: string, values: Numbers): ColumnFile {
  const file = openSync(path, 'wx+')
  const { BYTES_PER_ELEMENT } = values
  const bytes = bytesOf(values)
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, Math.min(LARGEST, bytes.length - at), at)
  return {
    read(into, at) {
      const bytes = bytesOf(into)
      for (let done = 0; done < bytes.length; )
        done += readSync(file, bytes, done, Math.min(LARGEST, bytes.length - done), at * BYTES_PER_ELEMENT + done)
      return into
    },
    close: () => closeSync(file),
  }
}

/** Of one call. */
const LARGEST = 1 << 30

const bytesOf = ({ buffer, byteOffset, byteLength }: Numbers) => new Uint8Array(buffer, byteOffset, byteLength)
