// Columns to and from Arrow IPC files: how data travels to the engine and back, and files of users. The only file that imports apache-arrow.
import { readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Data, DataType, RecordBatch, Vector } from 'apache-arrow'
import { writeAtomic } from './blobs.ts'
import { dataError, fileUnreadable, messageOf, SluiceError } from './errors.ts'
import { checkFrame } from './ipc.ts'
import { unlz4, unzstd } from './unpack.ts'

export type ArrowValues = Float64Array | Float32Array | Int32Array | Uint32Array | (string | null)[]

export interface ArrowColumn {
  name: string
  values: ArrowValues
  /** So many float32 values make one row, a list of fixed size. */
  width?: number
}

/** What a stage calls a column of its own beside those that a user has named, which begin with no space: a feature may be called close. */
export const own = (name: string): string => ` ${name}`

/** Writes columns of equal length as one record batch, whole or not at all. Two of one name are DUPLICATE_COLUMN. */
export async function writeArrow(path: string, columns: ArrowColumn[]): Promise<void> {
  const arrow = await import('apache-arrow')
  const vectors: Record<string, Vector> = Object.create(null) // a column may be called __proto__
  const written = new Set<ArrayBufferLike>()
  for (const { name, values, width } of columns) {
    if (Object.hasOwn(vectors, name))
      throw dataError('DUPLICATE_COLUMN', `${path} would have two columns named ${name}`)
    if (Array.isArray(values)) vectors[name] = arrow.vectorFromArray(values, new arrow.Utf8())
    else if (width !== undefined) vectors[name] = lists(arrow, values as Float32Array, width)
    else {
      // The library writes memory that two columns share once, and the file cannot be read.
      vectors[name] = arrow.makeVector(written.has(values.buffer) ? values.slice() : values)
      written.add(values.buffer)
    }
  }
  writeAtomic(path, arrow.tableToIPC(new arrow.Table(vectors), 'file'))
}

function lists(arrow: Arrow, values: Float32Array, width: number): Vector {
  const child = arrow.makeData({ type: new arrow.Float32(), length: values.length, data: values })
  const type = new arrow.FixedSizeList(width, new arrow.Field('item', child.type))
  return arrow.makeVector(arrow.makeData({ type, length: values.length / width, child }))
}

/** Reads every column; number columns without nulls are views of the file's bytes, and lists of a fixed size their values. A damaged file is CORRUPT_FILE. */
export async function readArrow(path: string): Promise<Map<string, ArrowValues>> {
  const arrow = await import('apache-arrow')
  try {
    const bytes = readFileSync(path)
    if (!isWhole(bytes)) throw new Error(`it does not begin and end with ${MAGIC}`)
    const table = arrow.tableFromIPC(bytes)
    return new Map(table.schema.fields.map(({ name }) => [name, valuesOf(table.getChild(name)!)]))
  } catch (cause) {
    throw dataError('CORRUPT_FILE', `${path} is no readable Arrow file: ${messageOf(cause)}`, { cause })
  }
}

const MAGIC = 'ARROW1'

/** The library reads what is cut off as a stream without batches, an empty table. */
const isWhole = (bytes: Buffer): boolean =>
  [0, bytes.length - MAGIC.length].every(at => at >= 0 && bytes.toString('latin1', at, at + MAGIC.length) === MAGIC)

function valuesOf(vector: Vector): ArrowValues {
  const lists = vector.getChildAt(0)
  if (lists) return lists.toArray() as Float32Array
  const values = vector.toArray()
  return ArrayBuffer.isView(values) ? (values as ArrowValues) : [...vector]
}

/** A column of any Arrow file. Times are ms: of UTC (`instant`), of a wall clock (`naive`) or of a day (`date`). */
export interface ArrowField {
  name: string
  type: 'number' | 'string' | 'instant' | 'naive' | 'date'
  /** What Arrow calls it. */
  stored: string
}

export interface ArrowBatch {
  rows: number
  /** Null, number, bigint, boolean, string; whatever a nested column has. */
  value(row: number, column: number): unknown
}

export interface ArrowFile {
  fields: ArrowField[]
  batches: AsyncGenerator<ArrowBatch>
  /** Lets go of the file, also of one that was not read to its end. */
  close(): Promise<unknown>
}

/** Opens a file of any columns, packed or not, and reads a batch at a time. Errors: FILE_UNREADABLE, CORRUPT_FILE. */
export async function scanArrow(path: string): Promise<ArrowFile> {
  const arrow = await import('apache-arrow')
  arrow.compressionRegistry.set(arrow.CompressionType.LZ4_FRAME, { decode: unlz4 })
  arrow.compressionRegistry.set(arrow.CompressionType.ZSTD, { decode: unzstd })
  const unreadable = (cause: unknown) => {
    if (cause instanceof SluiceError) return cause
    if ((cause as NodeJS.ErrnoException).syscall) return fileUnreadable(path, cause)
    return dataError('CORRUPT_FILE', `${path} is not a whole Arrow file: ${messageOf(cause)}`, { cause })
  }
  const file = await open(path).catch(cause => {
    throw unreadable(cause)
  })
  const close = () => file.close()
  try {
    await checkFrame(file)
    const reader = await (await arrow.RecordBatchReader.from(file)).open()
    const fields = reader.schema.fields.map(({ name, type }) => ({
      name: name ?? '', // the library's type does not say that a damaged file has none
      type: kindOf(arrow, type),
      stored: String(type),
    }))
    async function* batches(): AsyncGenerator<ArrowBatch> {
      try {
        // One by one: going through them the library looks for a next batch without end where a message is none.
        for (let i = 0; i < reader.numRecordBatches; i++) {
          const batch = await reader.readRecordBatch(i)
          if (!batch) throw new Error(`its batch ${i + 1} is none`)
          yield checked(arrow, batch, unreadable)
        }
      } catch (cause) {
        throw unreadable(cause)
      }
    }
    return { fields, batches: batches(), close }
  } catch (cause) {
    await close()
    throw unreadable(cause)
  }
}

type Arrow = typeof import('apache-arrow')

function kindOf({ DataType }: Arrow, type: DataType): ArrowField['type'] {
  if (DataType.isTimestamp(type)) return type.timezone ? 'instant' : 'naive'
  if (DataType.isDate(type)) return 'date'
  if (DataType.isDictionary(type)) return kindOf({ DataType } as Arrow, type.dictionary)
  return DataType.isInt(type) || DataType.isFloat(type) || DataType.isDecimal(type) ? 'number' : 'string'
}

function checked(arrow: Arrow, batch: RecordBatch, unreadable: (cause: unknown) => unknown): ArrowBatch {
  const { children, length } = batch.data
  if (children.some(child => child.length !== length)) throw new Error('its columns are of unequal length')
  const getters = children.map(child => getter(arrow, child))
  return {
    rows: length,
    value(row, column) {
      try {
        return getters[column](row)
      } catch (cause) {
        throw unreadable(cause)
      }
    },
  }
}

/** The library's own reading of times and decimals throws on what a damaged or odd file may hold. */
function getter(arrow: Arrow, data: Data): (row: number) => unknown {
  const { type } = data
  const scaled =
    (ms: number, parts = 1n) =>
    (row: number) => {
      const value = data.getValid(row) ? data.values[row] : undefined
      return value === undefined ? null : ms * Number(parts > 1n ? floorDivide(value, parts) : value)
    }
  if (arrow.DataType.isTimestamp(type))
    return [scaled(1000), scaled(1), scaled(1, 1000n), scaled(1, 1_000_000n)][type.unit]
  if (arrow.DataType.isDate(type)) return scaled(type.unit === arrow.DateUnit.DAY ? 86_400_000 : 1)
  if (arrow.DataType.isDecimal(type)) return row => (data.getValid(row) ? decimal(data, row, type.scale) : null)
  const vector = arrow.makeVector(data)
  return row => vector.get(row)
}

/** Exactly, where a double would round first. */
const floorDivide = (value: bigint, by: bigint): bigint => value / by - (value % by < 0n ? 1n : 0n)

/** Little-endian two's complement of the unscaled value, in 32-bit words. */
function decimal({ values, stride }: Data, row: number, scale: number): number {
  const words = values.subarray(stride * row, stride * (row + 1)) as Uint32Array
  let unscaled = 0n
  for (let i = words.length - 1; i >= 0; i--) unscaled = (unscaled << 32n) | BigInt(words[i])
  return Number(`${BigInt.asIntN(32 * stride, unscaled)}e${-scale}`)
}
