// A CSV file as records of byte ranges, each with its line. Knows quotes and lines, no columns.
// Written here because every row must be accounted for by its physical line, and no reader at hand reports that for the rows it accepts.
import { isBlank, textBytes } from './text.ts'

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

export interface CsvFormat {
  /** One ASCII character. */
  delimiter: string
  encoding?: string
  /** ASCII character with which a line begins that is no record. */
  comment?: string
  /** Physical lines before the first record. */
  skip_lines?: number
}

/**
 * Calls `visit` for every record that is not blank, in file order, and yields now and then. Reads RFC 4180 with LF, CRLF or CR
 * line ends. Errors: those of text.ts.
 */
export async function* scanCsv(
  path: string,
  format: CsvFormat,
  visit: (record: CsvRecord) => void,
  signal?: AbortSignal,
): AsyncGenerator<void> {
  const scan = recordScanner(format, visit)
  let buffer = Buffer.allocUnsafe(2 * CHUNK)
  let filled = 0
  for await (const chunk of textBytes(path, format.encoding)) {
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

export const fieldText = (record: CsvRecord, i: number): string => {
  const text = record.bytes.toString('utf8', record.starts[i], record.ends[i])
  return text.includes('""') ? text.replaceAll('""', '"') : text
}

/** A value as a field: RFC 4180, quotes only where they are needed. */
export const csvCell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Visits the records of one buffer and returns how many bytes are done with; the rest comes again with the next buffer. */
function recordScanner(format: CsvFormat, visit: (record: CsvRecord) => void) {
  const delimiter = format.delimiter.charCodeAt(0)
  const comment = format.comment?.charCodeAt(0) ?? -1
  const skipped = format.skip_lines ?? 0
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
      for (; i < size; i++) {
        const byte = bytes[i]
        if (byte <= highest && stop[byte]) break
      }
      starts[fields] = start
      ends[fields] = end < 0 || broken ? i : end
      fields++
      if (i >= size || bytes[i] !== delimiter) break
    }
    const next = lineAfter(bytes, i, final)
    if (next < 0) return -1
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

  function skipLine(bytes: Buffer, at: number, final: boolean): number {
    let end = at
    while (end < bytes.length && bytes[end] !== LF && bytes[end] !== CR) end++
    const next = lineAfter(bytes, end, final)
    if (next >= 0) lines++
    return next
  }

  return function scan(bytes: Buffer, final: boolean): number {
    record.bytes = bytes
    let at = 0
    while (at < bytes.length) {
      const isRecord = bytes[at] !== comment && lines >= skipped
      const next = isRecord ? readRecord(bytes, at, final) : skipLine(bytes, at, final)
      if (next < 0) break
      at = next
      if (isRecord && !(record.fields === 1 && isBlank(bytes, record.from, record.to))) visit(record)
    }
    done += at
    return at
  }
}

/** Where the next line begins after a line end at `i`, or -1 if more bytes could change it: an LF after a CR, perhaps. */
function lineAfter(bytes: Buffer, i: number, final: boolean): number {
  const next = Math.min(bytes.length, i + (bytes[i] === CR && bytes[i + 1] === LF ? 2 : 1))
  return !final && (i >= bytes.length || (bytes[i] === CR && next === bytes.length)) ? -1 : next
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
