// Sorted rows that do not fit in memory, on disk: a file per column, of which any stretch can be read back.
import { closeSync, mkdirSync, openSync, readSync, write } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { lowerBound } from '../base/statistics.ts'
import type { Layout } from './layout.ts'
import { emptyRows, type Rows } from './rows.ts'

/** Rows sorted by time, on disk. */
export interface Spilled {
  rows: number
  /** Time of every STRIDE-th row. */
  sample: Float64Array
  /** When all of them are on disk; nothing is read before. */
  written: Promise<void>
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

/** Writes the rows of `order` into a folder of their own, while the caller goes on. */
export function spill(rows: Rows, order: Int32Array, folder: string, words: Words): Spilled {
  mkdirSync(folder, { recursive: true })
  const time = rows.values[rows.layout.time] as Float64Array
  const sample = Float64Array.from({ length: Math.ceil(order.length / STRIDE) }, (_, i) => time[order[i * STRIDE]])
  const columns = [...rows.values, rows.line, rows.position, rows.size, rows.file]
  const files = columns.map((_, i) => columnFile(join(folder, String(i))))
  const written = writeColumns(columns, order, files, words)
  written.catch(() => {}) // told to who waits for it
  return spilled(rows.layout, files, sample, order.length, words, written)
}

type Values = Rows['values'][number] | Numbers

/** One column at a time, so that no more than one is in memory twice. */
async function writeColumns(columns: Values[], order: Int32Array, files: ColumnFile[], words: Words): Promise<void> {
  for (const [i, values] of columns.entries())
    await files[i].write(Array.isArray(values) ? numbered(values, order, words) : taken(values, order))
}

function taken<T extends Numbers>(from: T, order: Int32Array): T {
  const values = new (from.constructor as new (length: number) => T)(order.length)
  for (let i = 0; i < order.length; i++) values[i] = from[order[i]]
  return values
}

/** Apart from what is written, lest what can be read back keeps it in memory. */
const spilled = (
  layout: Layout,
  files: ColumnFile[],
  sample: Float64Array,
  rows: number,
  words: Words,
  written: Promise<void>,
): Spilled => ({
  rows,
  sample,
  written,
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
  write(values: Numbers): Promise<void>
  /** Fills `into` with the values from number `at` on. */
  read<T extends Numbers>(into: T, at: number): T
  close(): void
}

const writeSome = promisify(write)

function columnFile(path: string): ColumnFile {
  const file = openSync(path, 'wx+')
  return {
    async write(values) {
      const bytes = bytesOf(values)
      for (let at = 0; at < bytes.length; )
        at += (await writeSome(file, bytes, at, Math.min(LARGEST, bytes.length - at), at)).bytesWritten
    },
    read(into, at) {
      const bytes = bytesOf(into)
      for (let done = 0; done < bytes.length; )
        done += readSync(file, bytes, done, Math.min(LARGEST, bytes.length - done), at * into.BYTES_PER_ELEMENT + done)
      return into
    },
    close: () => closeSync(file),
  }
}

/** Of one call. */
const LARGEST = 1 << 30

const bytesOf = ({ buffer, byteOffset, byteLength }: Numbers) => new Uint8Array(buffer, byteOffset, byteLength)
