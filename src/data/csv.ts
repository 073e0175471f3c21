// A CSV file as records of byte ranges, each with its line. Knows the file's bytes (gzip, encoding, quotes), no columns.
// Written here because every row must be accounted for by its physical line, and no reader at hand reports that for the rows it accepts.
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { dataError, messageOf } from '../base/errors.ts'

/** One record, valid until the next one: field i is `bytes[starts[i]..ends[i])`, without its quotes. */
export interface CsvRecord {
  bytes: Buffer
  /** The whole record is `bytes[from..to)`, without its line end; `position` is the place of its first byte in the file's text. */
  from: number
  to: number
  position: number
  /** Physical line of its first byte, from 1. */
  line: number
  fields: number
  starts: Int32Array
  ends: Int32Array
  /** Some field stood in quotes, and may hold doubled ones. */
  quoted: boolean
  /** A quote is not closed, or text follows a closing quote: the fields mean nothing. */
  broken: boolean
}

const QUOTE = 34
const LF = 10
const CR = 13
const CHUNK = 1 << 20
/** A quoted field longer than this was never closed: its line alone is lost, not the rest of the file. */
const LONGEST_QUOTED = 1 << 16
const MOST_FIELDS = 4096

/**
 * Calls `visit` for every record that is not blank, in file order, and yields now and then. Reads RFC 4180 with LF, CRLF or CR
 * line ends, gzip, UTF-8 with or without BOM, and UTF-16 with its BOM. Errors: FILE_UNREADABLE, CORRUPT_FILE, ENCODING.
 */
export async function* scanCsv(
  path: string,
  delimiter: string,
  visit: (record: CsvRecord) => void,
  signal?: AbortSignal,
): AsyncGenerator<void> {
  const scan = recordScanner(delimiter.charCodeAt(0), visit)
  let buffer = Buffer.allocUnsafe(2 * CHUNK)
  let filled = 0
  for await (const chunk of textBytes(path)) {
    signal?.throwIfAborted()
    if (filled + chunk.length > buffer.length) buffer = Buffer.concat([buffer], 2 * (filled + chunk.length))
    filled += chunk.copy(buffer, filled)
    const done = scan(buffer.subarray(0, filled), false)
    buffer.copyWithin(0, done, filled)
    filled -= done
    yield
  }
  scan(buffer.subarray(0, filled), true)
  yield
}

/** The text of byte ranges (ascending, apart) of the file's text. */
export async function cutCsv(path: string, ranges: { position: number; size: number }[]): Promise<string[]> {
  const texts: string[] = []
  let done = 0
  let begun = Buffer.alloc(0)
  for await (const chunk of textBytes(path)) {
    for (; texts.length < ranges.length; begun = Buffer.alloc(0)) {
      const { position, size } = ranges[texts.length]
      const end = position + size - done
      begun = Buffer.concat([begun, chunk.subarray(Math.max(0, position - done), Math.max(0, end))])
      if (end > chunk.length) break
      texts.push(begun.toString('utf8'))
    }
    done += chunk.length
  }
  return texts
}

export const fieldText = (record: CsvRecord, i: number): string => {
  const text = record.bytes.toString('utf8', record.starts[i], record.ends[i])
  return text.includes('""') ? text.replaceAll('""', '"') : text
}

/** A value as a field: RFC 4180, quotes only where they are needed. */
export const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Visits the records of one buffer and returns how many bytes are done with; the rest comes again with the next buffer. */
function recordScanner(delimiter: number, visit: (record: CsvRecord) => void) {
  const stop = new Uint8Array(256)
  stop[delimiter] = stop[LF] = stop[CR] = 1
  // Most bytes are letters and digits, above every stop: one comparison for them.
  const highest = Math.max(delimiter, CR)
  const starts = new Int32Array(MOST_FIELDS)
  const ends = new Int32Array(MOST_FIELDS)
  const record: CsvRecord = {
    ...{ bytes: Buffer.alloc(0), from: 0, to: 0, position: 0, line: 0, fields: 0 },
    ...{ starts, ends, quoted: false, broken: false },
  }
  let done = 0
  let lines = 0

  /** Fills `record` from the bytes at `at` and returns where the next one begins, or -1 if more bytes could change it. */
  function readRecord(bytes: Buffer, at: number, final: boolean): number {
    const size = bytes.length
    let i = at
    let fields = 0
    let quotes = false
    let broken = false
    for (; ; i++) {
      let start = i
      let end = -1
      if (bytes[i] === QUOTE && !broken) {
        quotes = true
        end = closingQuote(bytes, i)
        if (!final && end < 0 && size - i < LONGEST_QUOTED) return -1
        if (!final && end + 1 === size) return -1 // the first half of "", perhaps
        broken = end < 0 || (end + 1 < size && !stop[bytes[end + 1]])
        if (!broken) {
          start++
          i = end + 1
        }
      }
      while (i < size && (bytes[i] > highest || !stop[bytes[i]])) i++
      starts[fields] = start
      ends[fields] = end < 0 || broken ? i : end
      fields++
      if (i >= size || bytes[i] !== delimiter) break
    }
    const next = Math.min(size, i + (bytes[i] === CR && bytes[i + 1] === LF ? 2 : 1))
    if (!final && (i >= size || (bytes[i] === CR && next === size))) return -1 // an LF after the CR, perhaps
    record.from = at
    record.to = i
    record.position = done + at
    record.line = lines + 1
    record.fields = fields
    record.quoted = quotes
    record.broken = broken || fields > MOST_FIELDS
    lines += 1 + (quotes ? newlines(bytes, at, i) : 0)
    return next
  }

  return function scan(bytes: Buffer, final: boolean): number {
    record.bytes = bytes
    let at = 0
    while (at < bytes.length) {
      const next = readRecord(bytes, at, final)
      if (next < 0) break
      at = next
      if (!isBlank(record)) visit(record)
    }
    done += at
    return at
  }
}

/** Position of the quote that closes the field opened at `open`, or -1. */
function closingQuote(bytes: Buffer, open: number): number {
  const end = Math.min(bytes.length, open + LONGEST_QUOTED)
  for (let i = open + 1; i < end; i++) {
    if (bytes[i] !== QUOTE) continue
    if (bytes[i + 1] !== QUOTE) return i
    i++
  }
  return -1
}

function newlines(bytes: Buffer, from: number, to: number): number {
  let count = 0
  for (let i = from; i < to; i++) if (bytes[i] === LF || (bytes[i] === CR && bytes[i + 1] !== LF)) count++
  return count
}

function isBlank({ bytes, from, to, fields }: CsvRecord): boolean {
  if (fields > 1) return false
  for (let i = from; i < to; i++) if (bytes[i] !== 32 && bytes[i] !== 9) return false
  return true
}

/** The file's text as UTF-8 without BOM; a chunk is valid until the next one. */
async function* textBytes(path: string): AsyncGenerator<Buffer> {
  let decoder: InstanceType<typeof TextDecoder> | undefined
  let first = true
  for await (const chunk of plainBytes(path)) {
    const encoding = first ? byteOrderMark(chunk) : undefined
    if (encoding && encoding !== 'utf-8') decoder = new TextDecoder(encoding)
    if (first && !encoding) refuseBinary(chunk, path)
    if (decoder) yield Buffer.from(decoder.decode(chunk, { stream: true }))
    else yield encoding ? chunk.subarray(3) : chunk
    first = false
  }
}

function refuseBinary(head: Buffer, path: string): void {
  if (head.toString('latin1', 0, 4) === 'PAR1')
    throw dataError('CORRUPT_FILE', `${path} is a Parquet file, not CSV`, { next: 'name it .parquet' })
  if (head.subarray(0, 64).includes(0))
    throw dataError('ENCODING', `${path} holds zero bytes: it is no UTF-8 text`, { next: 'save it as UTF-8' })
}

async function* plainBytes(path: string): AsyncGenerator<Buffer> {
  let gzip: boolean | undefined
  for await (const chunk of fileBytes(path)) {
    gzip ??= chunk[0] === 0x1f && chunk[1] === 0x8b
    if (gzip) break
    yield chunk
  }
  if (!gzip) return
  const file = createReadStream(path, { highWaterMark: CHUNK })
  try {
    yield* pipeline(file, createGunzip({ chunkSize: CHUNK }), () => {}) as AsyncIterable<Buffer>
  } catch (cause) {
    throw dataError('CORRUPT_FILE', `${path} is a damaged or cut gzip file: ${messageOf(cause)}`, { cause })
  } finally {
    file.destroy()
  }
}

/** Into two buffers in turn, one filled while the other is read: a stream's fresh buffers cost as much as the scanning. */
async function* fileBytes(path: string): AsyncGenerator<Buffer> {
  const unreadable = (cause: unknown) => {
    throw dataError('FILE_UNREADABLE', `cannot read ${path}: ${messageOf(cause)}`, { cause })
  }
  const file = await open(path).catch(unreadable)
  const fill = (buffer: Buffer) => file.read(buffer, 0, CHUNK).then(({ bytesRead }) => buffer.subarray(0, bytesRead))
  let [buffer, other] = [Buffer.allocUnsafe(CHUNK), Buffer.allocUnsafe(CHUNK)]
  let ahead = fill(buffer)
  try {
    for (;;) {
      const chunk = await ahead.catch(unreadable)
      if (chunk.length === 0) return
      ;[buffer, other] = [other, buffer]
      ahead = fill(buffer)
      yield chunk
    }
  } finally {
    await ahead.catch(() => {}) // a reader that stops early leaves one under way
    await file.close()
  }
}

function byteOrderMark(bytes: Buffer): 'utf-8' | 'utf-16le' | 'utf-16be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le'
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return 'utf-16be'
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) return 'utf-8'
  return undefined
}
