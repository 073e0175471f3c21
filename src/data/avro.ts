// Avro object container files (Avro 1.12 specification): the only file that imports avsc, which reads the records;
// the container is read here, since every byte of a block must be accounted for.
import { constants, inflateRawSync } from 'node:zlib'
import type { Type } from 'avsc'
import { dataError, messageOf, type SluiceError } from '../base/errors.ts'
import { unsnappy, unzstd } from '../base/unpack.ts'
import { plainBytes } from './text.ts'

/** The JSON of a type: its name, or an object with it, or a list of which one holds. */
export type AvroType = string | AvroType[] | { type: AvroType; [key: string]: unknown }

export interface AvroField {
  name: string
  type: AvroType
}

export type AvroRecord = Record<string, unknown>

export interface AvroFile {
  fields: AvroField[]
  /** A block of records at a time; a value of a union is null or under the name of its type: `{double: 1.5}`. */
  blocks: AsyncGenerator<AvroRecord[]>
  /** Lets go of the file, also of one that was not read to its end. */
  close(): Promise<unknown>
}

const MAGIC = Buffer.from('Obj\x01')
const SYNC = 16
/** Blocks are small by their nature; more than this is a damaged length. */
const LARGEST_BLOCK = 1 << 28

/** Opens a file, gzipped or not. Errors: FILE_UNREADABLE, CORRUPT_FILE, AVRO_CODEC, TYPE_MISMATCH where its rows are no records. */
export async function openAvro(path: string): Promise<AvroFile> {
  const avsc = (await import('avsc')).default
  const corrupt = (why: string, cause?: unknown) =>
    dataError('CORRUPT_FILE', `${path} is not a whole Avro file: ${why}`, { cause })
  const input = byteReader(path, corrupt)
  const { type, fields, unpack, sync } = await readHeader(input, path, avsc, corrupt).catch(async cause => {
    await input.close()
    throw cause
  })

  async function* blocks(): AsyncGenerator<AvroRecord[]> {
    while (await input.more()) {
      const count = await input.long()
      const packed = await input.take(await input.length())
      let records: AvroRecord[]
      try {
        records = decode(type, unpack(packed), count)
      } catch (cause) {
        throw corrupt(messageOf(cause), cause)
      }
      if (!(await input.take(SYNC)).equals(sync)) throw corrupt('a block does not end where it should')
      yield records
    }
  }
  return { fields, blocks: blocks(), close: input.close }
}

type Avsc = typeof import('avsc')
type Corrupt = (why: string, cause?: unknown) => SluiceError

async function readHeader(input: ByteReader, path: string, avsc: Avsc, corrupt: Corrupt) {
  if (!(await input.take(MAGIC.length)).equals(MAGIC)) throw corrupt('it does not begin as one')
  const meta = await readMeta(input, corrupt)
  const sync = Buffer.from(await input.take(SYNC))
  const unpack = codecOf(String(meta.get('avro.codec') ?? 'null'), path)
  const { type, schema } = parseSchema(avsc, String(meta.get('avro.schema')), corrupt)
  if (schema.type !== 'record')
    throw dataError('TYPE_MISMATCH', `${path} holds ${JSON.stringify(schema.type)}, not records`)
  return { type, fields: schema.fields as AvroField[], unpack, sync }
}

function parseSchema(avsc: Avsc, text: string, corrupt: Corrupt) {
  try {
    const schema = JSON.parse(text) as { type: string; fields?: AvroField[] }
    // Longs beyond 2^53 (nanoseconds) as bigints; avsc alone refuses them.
    const long = avsc.types.LongType.__with({
      fromBuffer: (bytes: Buffer) => exact(bytes.readBigInt64LE()),
      toBuffer: (value: number | bigint) => {
        const bytes = Buffer.alloc(8)
        bytes.writeBigInt64LE(BigInt(value))
        return bytes
      },
      fromJSON: Number,
      toJSON: Number,
      isValid: (value: unknown) => typeof value === 'number' || typeof value === 'bigint',
      compare: (a: number, b: number) => Number(a) - Number(b),
    })
    const type = avsc.Type.forSchema(schema as never, { registry: { long }, wrapUnions: true })
    return { type, schema }
  } catch (cause) {
    throw corrupt(`its schema cannot be read: ${messageOf(cause)}`, cause)
  }
}

const exact = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

/** Exactly `count` records that fill the block: a length that was damaged shows here. */
function decode(type: Type, block: Buffer, count: number): AvroRecord[] {
  if (!(count >= 0 && count <= block.length)) throw new Error(`a block of ${block.length} bytes with ${count} records`)
  const records: AvroRecord[] = []
  let at = 0
  for (let i = 0; i < count; i++) {
    const { value, offset } = type.decode(block, at)
    if (!(offset > at)) throw new Error('a record is cut')
    records.push(value)
    at = offset
  }
  if (at !== block.length) throw new Error(`${count} records end before their block does`)
  return records
}

function codecOf(name: string, path: string): (bytes: Buffer) => Buffer {
  if (name === 'null') return bytes => bytes
  if (name === 'deflate')
    return bytes => inflateRawSync(bytes, { maxOutputLength: LARGEST_BLOCK, finishFlush: constants.Z_FINISH })
  if (name === 'zstandard') return bytes => Buffer.from(unzstd(bytes))
  if (name === 'snappy') return bytes => unsnappy(bytes.subarray(0, -4), bytes.readUInt32BE(bytes.length - 4))
  throw dataError(
    'AVRO_CODEC',
    `${path} is packed with ${name}; what can be read is null, deflate, snappy and zstandard`,
    {
      next: 'write it with the codec deflate',
    },
  )
}

async function readMeta(input: ByteReader, corrupt: Corrupt): Promise<Map<string, Buffer>> {
  const meta = new Map<string, Buffer>()
  for (let count = await input.long(); count !== 0; count = await input.long()) {
    if (count < 0) {
      count = -count
      await input.length() // of the entries together
    }
    for (; count > 0; count--) {
      const key = String(await input.take(await input.length()))
      meta.set(key, Buffer.from(await input.take(await input.length())))
    }
  }
  if (!meta.has('avro.schema')) throw corrupt('it has no schema')
  return meta
}

interface ByteReader {
  more(): Promise<boolean>
  /** Valid until the next call. */
  take(size: number): Promise<Buffer>
  /** Zigzag, of at most 53 bits. */
  long(): Promise<number>
  /** A long that can be a number of bytes. */
  length(): Promise<number>
  close(): Promise<unknown>
}

function byteReader(path: string, corrupt: Corrupt): ByteReader {
  const chunks = plainBytes(path)
  let held = Buffer.alloc(0)

  async function fill(size: number): Promise<boolean> {
    const parts = [held]
    let have = held.length
    while (have < size) {
      const { done, value } = await chunks.next()
      if (done) break
      parts.push(Buffer.from(value))
      have += value.length
    }
    if (parts.length > 1) held = Buffer.concat(parts)
    return have >= size
  }

  async function take(size: number): Promise<Buffer> {
    if (held.length < size && !(await fill(size))) throw corrupt('it is cut')
    const taken = held.subarray(0, size)
    held = held.subarray(size)
    return taken
  }

  async function long(): Promise<number> {
    let [value, scale] = [0, 1]
    for (;;) {
      const [byte] = await take(1)
      value += (byte & 127) * scale
      if (byte < 128) break
      scale *= 128
      if (scale > 2 ** 49) throw corrupt('a number is too long')
    }
    return value % 2 ? -(value + 1) / 2 : value / 2
  }

  async function length(): Promise<number> {
    const size = await long()
    if (!(size >= 0 && size <= LARGEST_BLOCK)) throw corrupt(`a length of ${size} bytes`)
    return size
  }

  return { more: async () => held.length > 0 || fill(1), take, long, length, close: () => chunks.return(undefined) }
}
