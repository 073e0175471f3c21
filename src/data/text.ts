// The text of a file as UTF-8 bytes, whatever its encoding, gzipped or not. Knows no rows.
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { dataError, fileUnreadable, messageOf } from '../base/errors.ts'

const CHUNK = 1 << 20

/** Bytes of a file's text: `position` is the place of the first one. */
export interface TextRange {
  position: number
  size: number
}

/** The file's text as UTF-8 without BOM; a chunk is valid until the next one. Errors: FILE_UNREADABLE, CORRUPT_FILE, ENCODING. */
export async function* textBytes(path: string, encoding = 'auto'): AsyncGenerator<Buffer> {
  let decoder: InstanceType<typeof TextDecoder> | undefined
  let first = true
  for await (let chunk of plainBytes(path)) {
    if (first) {
      const found = encoding === 'auto' ? byteOrderMark(chunk) : normal(encoding)
      if (!found) refuseBinary(chunk, path)
      if (found && found !== 'utf-8') decoder = new TextDecoder(found)
      else if (byteOrderMark(chunk) === 'utf-8') chunk = chunk.subarray(3)
    }
    first = false
    yield decoder ? Buffer.from(decoder.decode(chunk, { stream: true })) : chunk
  }
  const rest = decoder?.decode()
  if (rest) yield Buffer.from(rest)
}

/** The text of byte ranges (ascending, apart) of the file's text. */
export async function cutText(path: string, ranges: TextRange[], encoding?: string): Promise<string[]> {
  const texts: string[] = []
  let done = 0
  let begun = Buffer.alloc(0)
  for await (const chunk of textBytes(path, encoding)) {
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

/** Calls `visit` for every line that is not blank: `bytes[from..to)`, without its line end. A line that has no end by `longest` bytes is CORRUPT_FILE. */
export async function* scanLines(
  path: string,
  { encoding, longest = 1 << 26 }: { encoding?: string; longest?: number },
  visit: (bytes: Buffer, from: number, to: number, line: number, position: number) => void,
): AsyncGenerator<void> {
  let rest = Buffer.alloc(0)
  let done = 0
  let line = 0
  const scan = (bytes: Buffer, final: boolean): number => {
    let at = 0
    while (at < bytes.length) {
      const end = bytes.indexOf(LF, at)
      if (end < 0 && !final) break
      const to = end < 0 ? bytes.length : end
      line++
      if (!isBlank(bytes, at, to)) visit(bytes, at, to, line, done + at)
      at = to + 1
    }
    return Math.min(at, bytes.length)
  }
  for await (const chunk of textBytes(path, encoding)) {
    const bytes = rest.length ? Buffer.concat([rest, chunk]) : chunk
    const used = scan(bytes, false)
    done += used
    rest = Buffer.from(bytes.subarray(used))
    if (rest.length > longest)
      throw dataError('CORRUPT_FILE', `line ${line + 1} of ${path} is longer than ${longest} bytes`)
    yield
  }
  scan(rest, true)
  yield
}

const [LF, CR, SPACE, TAB] = [10, 13, 32, 9]

export function isBlank(bytes: Buffer, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] !== SPACE && bytes[i] !== TAB && bytes[i] !== CR) return false
  return true
}

const normal = (encoding: string): string => new TextDecoder(encoding).encoding

function refuseBinary(head: Buffer, path: string): void {
  const known = MAGIC.find(([magic]) => head.toString('latin1', 0, magic.length) === magic)
  if (known) throw dataError('CORRUPT_FILE', `${path} is ${known[1]} file, not text`, { next: `format: ${known[2]}` })
  if (head.subarray(0, 64).includes(0))
    throw dataError('ENCODING', `${path} holds zero bytes: it is no UTF-8 text`, {
      next: 'encoding: utf-16le (or another), or save it as UTF-8',
    })
}

/** How files begin that are no text. */
const MAGIC = [
  ['PAR1', 'a Parquet', 'parquet'],
  ['ARROW1', 'an Arrow', 'arrow'],
  ['Obj\x01', 'an Avro', 'avro'],
]

/** The file's bytes, unpacked where they are gzip. */
export async function* plainBytes(path: string): AsyncGenerator<Buffer> {
  let gzip: boolean | undefined
  for await (const chunk of fileBytes(path)) {
    gzip ??= chunk[0] === 0x1f && chunk[1] === 0x8b
    if (gzip) break
    yield chunk
  }
  if (gzip) yield* unpacked(path)
}

async function* unpacked(path: string): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: CHUNK })
  const gunzip = createGunzip({ chunkSize: CHUNK })
  const corrupt = (why: string, cause?: unknown) =>
    dataError('CORRUPT_FILE', `${path} is a damaged or cut gzip file: ${why}`, { cause })
  try {
    yield* pipeline(file, gunzip, () => {}) as AsyncIterable<Buffer>
  } catch (cause) {
    throw corrupt(messageOf(cause), cause)
  } finally {
    file.destroy()
  }
  // What follows the last member is passed over in silence, also where it was a member before its first byte was damaged.
  const { size } = await stat(path)
  if (gunzip.bytesWritten < size) throw corrupt(`its data end at byte ${gunzip.bytesWritten} of ${size}`)
}

/** Into two buffers in turn, one filled while the other is read: a stream's fresh buffers cost as much as the scanning. */
async function* fileBytes(path: string): AsyncGenerator<Buffer> {
  const unreadable = (cause: unknown) => {
    throw fileUnreadable(path, cause)
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
