// The frame of an Arrow IPC file, held to the lengths that it claims. Knows no columns.
// apache-arrow believes every length, so that one damaged byte costs rows in silence, or all memory.
import type { FileHandle } from 'node:fs/promises'

const MAGIC = 'ARROW1'
/** Before the first message: the magic, padded. */
const START = 8
/** After the footer: its length and the magic. */
const TAIL = 4 + MAGIC.length
const LARGEST_MESSAGE = 1 << 30
const HEADER = { schema: 1, dictionary: 2, batch: 3 } as const

/** Where a message is: its metadata with the eight bytes before them, then its body. */
interface Block {
  offset: number
  meta: number
  body: number
}

/** Throws an Error where the file is not whole: its messages follow each other to the footer, which lists each batch at its place. */
export async function checkFrame(file: FileHandle): Promise<void> {
  const { size } = await file.stat()
  const footer = await readFooter(file, size)
  const found: Record<number, Block[]> = { [HEADER.dictionary]: [], [HEADER.batch]: [] }
  for (let at = START; at < footer.at; ) {
    const { meta, length } = await readMeta(file, at, footer.at)
    if (!meta) break
    const { kind, body } = checkMessage(meta)
    if (!(body >= 0 && body <= LARGEST_MESSAGE && at + length + body <= footer.at)) throw new Error('a message is cut')
    found[kind]?.push({ offset: at, meta: length, body })
    at += length + body
  }
  if (
    JSON.stringify([found[HEADER.dictionary], found[HEADER.batch]]) !==
    JSON.stringify([footer.dictionaries, footer.batches])
  )
    throw new Error('its footer does not list what is in it')
}

async function readFooter(
  file: FileHandle,
  size: number,
): Promise<{ at: number; dictionaries: Block[]; batches: Block[] }> {
  const head = (await readBytes(file, 0, Math.min(size, MAGIC.length))).toString('latin1')
  if (head.startsWith('FEA1'))
    throw new Error('it is Feather of version 1; write_feather(..., version=2) writes the other')
  if (head !== MAGIC) throw new Error(`it does not begin with ${MAGIC}`)
  const tail = size < START + TAIL ? Buffer.alloc(TAIL) : await readBytes(file, size - TAIL, TAIL)
  if (tail.toString('latin1', 4) !== MAGIC) throw new Error(`it does not end with ${MAGIC}`)
  const length = tail.readInt32LE(0)
  const at = size - TAIL - length
  if (length <= 0 || at < START) throw new Error('its footer is cut')
  const footer = rootOf(await readBytes(file, at, length))
  checkSchema(footer.table(1))
  return { at, dictionaries: footer.blocks(2), batches: footer.blocks(3) }
}

/** The metadata of the message at `at`, and how far its body is from there; none at the end. */
async function readMeta(file: FileHandle, at: number, end: number): Promise<{ meta?: Buffer; length: number }> {
  const prefix = await readBytes(file, at, 8)
  if (prefix.readUInt32LE(0) !== 0xffffffff) throw new Error('a message does not begin where it should')
  const length = prefix.readInt32LE(4)
  if (length === 0) return { length }
  if (length < 0 || at + 8 + length > end) throw new Error('a message is cut')
  return { meta: await readBytes(file, at + 8, length), length: 8 + length }
}

async function readBytes(file: FileHandle, at: number, size: number): Promise<Buffer> {
  if (size > LARGEST_MESSAGE) throw new Error(`a message of ${size} bytes`)
  const bytes = Buffer.alloc(size)
  const { bytesRead } = await file.read(bytes, 0, size, at)
  if (bytesRead < size) throw new Error('it is cut')
  return bytes
}

function checkMessage(meta: Buffer): { kind: number; body: number } {
  const message = rootOf(meta)
  const kind = message.byte(1)
  const header = message.table(2)
  if (kind === HEADER.schema) checkSchema(header)
  else if (kind === HEADER.batch) checkBatch(header)
  else if (kind === HEADER.dictionary) checkBatch(header.table(1))
  else throw new Error(`a message of kind ${kind}`)
  return { kind, body: message.long(3) }
}

function checkSchema(schema: Table): void {
  schema.tables(2)
  for (const field of schema.tables(1)) checkField(field, 0)
}

function checkField(field: Table, depth: number): void {
  if (depth > 16) throw new Error('columns within columns without end')
  field.tables(6)
  for (const child of field.tables(5)) checkField(child, depth + 1)
}

function checkBatch(batch: Table): void {
  const rows = batch.long(0)
  const [first = rows] = batch.lengths(1)
  // The library fills up columns that are shorter than the batch claims to be.
  if (first !== rows || rows < 0) throw new Error(`a batch of ${rows} rows has ${first} values`)
  batch.vector(2, 16)
  batch.vector(4, 8)
}

/** A FlatBuffers table: fields by their slot, an absent one is 0 or empty. */
interface Table {
  byte(slot: number): number
  long(slot: number): number
  table(slot: number): Table
  tables(slot: number): Table[]
  /** Of elements of so many bytes. */
  vector(slot: number, size: number): { at: number; length: number }
  /** Of the columns of a batch, those within others included. */
  lengths(slot: number): number[]
  blocks(slot: number): Block[]
}

const rootOf = (bytes: Buffer): Table => tableAt(bytes, bytes.readUInt32LE(0))

/** Buffer's readers throw where they would leave the bytes. */
function tableAt(bytes: Buffer, at: number): Table {
  const slots = at - bytes.readInt32LE(at)
  const [known, size] = [bytes.readUInt16LE(slots), bytes.readUInt16LE(slots + 2)]
  // apache-arrow reads both as signed, and would see a table without fields.
  if (Math.max(known, size) > 0x7fff) throw new Error('a part of a message is longer than it can be')
  const place = (slot: number): number => {
    const offset = 4 + 2 * slot < known ? bytes.readUInt16LE(slots + 4 + 2 * slot) : 0
    if (offset >= size && offset) throw new Error('a field lies outside its message')
    return offset && at + offset
  }
  const target = (place: number): number => place + bytes.readUInt32LE(place)
  function vector(slot: number, size: number) {
    const start = place(slot)
    if (!start) return { at: 0, length: 0 }
    const length = bytes.readUInt32LE(target(start))
    if (target(start) + 4 + length * size > bytes.length) throw new Error('a list is longer than its message')
    return { at: target(start) + 4, length }
  }
  return {
    byte: slot => (place(slot) ? bytes.readUInt8(place(slot)) : 0),
    long: slot => (place(slot) ? Number(bytes.readBigInt64LE(place(slot))) : 0),
    table: slot => tableAt(bytes, target(place(slot))),
    tables: slot => {
      const { at, length } = vector(slot, 4)
      return Array.from({ length }, (_, i) => tableAt(bytes, target(at + 4 * i)))
    },
    vector,
    lengths: slot => {
      const { at, length } = vector(slot, 16)
      return Array.from({ length }, (_, i) => Number(bytes.readBigInt64LE(at + 16 * i)))
    },
    blocks: slot => {
      const { at, length } = vector(slot, 24)
      return Array.from({ length }, (_, i) => ({
        offset: Number(bytes.readBigInt64LE(at + 24 * i)),
        meta: bytes.readInt32LE(at + 24 * i + 8),
        body: Number(bytes.readBigInt64LE(at + 24 * i + 16)),
      }))
    },
  }
}
