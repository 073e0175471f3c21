// Columns to and from uncompressed Arrow IPC files: how data travels to the engine and back. The only file that imports apache-arrow.
import { readFileSync } from 'node:fs'
import type { Vector } from 'apache-arrow'
import { writeAtomic } from './blobs.ts'
import { dataError, messageOf } from './errors.ts'

export type ArrowValues = Float64Array | Float32Array | Int32Array | Uint32Array | (string | null)[]

export interface ArrowColumn {
  name: string
  values: ArrowValues
}

/** What a stage calls a column of its own beside those that a user has named: a feature may be called close. */
export const own = (name: string): string => `#${name}`

/** Writes columns of equal length as one record batch, whole or not at all. Two of one name are DUPLICATE_COLUMN. */
export async function writeArrow(path: string, columns: ArrowColumn[]): Promise<void> {
  const arrow = await import('apache-arrow')
  const vectors: Record<string, Vector> = {}
  const written = new Set<ArrayBufferLike>()
  for (const { name, values } of columns) {
    if (Object.hasOwn(vectors, name))
      throw dataError('DUPLICATE_COLUMN', `${path} would have two columns named ${name}`)
    if (Array.isArray(values)) vectors[name] = arrow.vectorFromArray(values, new arrow.Utf8())
    else {
      // The library writes memory that two columns share once, and the file cannot be read.
      vectors[name] = arrow.makeVector(written.has(values.buffer) ? values.slice() : values)
      written.add(values.buffer)
    }
  }
  writeAtomic(path, arrow.tableToIPC(new arrow.Table(vectors), 'file'))
}

/** Reads every column; number columns without nulls are views of the file's bytes. A damaged file is CORRUPT_FILE. */
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
  const values = vector.toArray()
  return ArrayBuffer.isView(values) ? (values as ArrowValues) : [...vector]
}
