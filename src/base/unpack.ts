// LZ4 and Zstandard frames and Snappy blocks, which columnar files are packed with and Node does not unpack. Every length is held to the bytes there are.
import { crc32 } from 'node:zlib'
import { decompress } from 'fzstd'

/** More than a packed buffer of a file may hold. */
const MOST_BYTES = 1 << 30

/** What was unpacked so far: the end of `bytes` is spare. */
interface Output {
  bytes: Uint8Array
  size: number
}

/** Throws an Error where the bytes are no whole Zstandard frame. */
export function unzstd(input: Uint8Array): Uint8Array {
  if (!input.length) throw new Error('no Zstandard frame')
  return decompress(input).slice() // aligned, as columns are
}

/** LZ4 frame format 1.6.4 (lz4_Frame_format.md); checksums are passed over. Throws an Error where the bytes are no whole frame. */
export function unlz4(input: Uint8Array): Uint8Array {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  if (view.getUint32(0, true) !== 0x184d2204) throw new Error('no LZ4 frame')
  const flags = input[4]
  const [checksums, sized, dictionary] = [flags & 16, flags & 8, flags & 1]
  if (flags >> 6 !== 1 || dictionary) throw new Error('an LZ4 frame of another version')
  let at = 7 + (sized ? 8 : 0)
  const output = { bytes: new Uint8Array(4 * input.length), size: 0 }
  for (;;) {
    const header = view.getUint32(at, true)
    const end = at + 4 + (header & 0x7fffffff)
    if (header === 0) break
    if (end > input.length) throw new Error('an LZ4 frame is cut')
    if (header >>> 31) append(output, input, at + 4, end)
    else unlz4Block(input, at + 4, end, output)
    at = end + (checksums ? 4 : 0)
  }
  if (sized && Number(view.getBigUint64(6, true)) !== output.size) throw new Error('an LZ4 frame of another size')
  return output.bytes.subarray(0, output.size)
}

function unlz4Block(input: Uint8Array, from: number, to: number, output: Output): void {
  let at = from
  const length = (nibble: number): number => {
    let size = nibble
    if (nibble === 15) for (let more = 255; more === 255; size += more) more = input[at++] ?? 0
    return size
  }
  while (at < to) {
    const token = input[at++]
    const literals = length(token >> 4)
    append(output, input, at, at + literals)
    at += literals
    if (at >= to) break // the last sequence has literals alone
    const offset = input[at] | (input[at + 1] << 8)
    at += 2
    repeat(output, offset, length(token & 15) + 4)
  }
  if (at !== to) throw new Error('an LZ4 block is cut')
}

/** Raw Snappy (format_description.txt), held to the CRC-32 of what it unpacks to. */
export function unsnappy(input: Uint8Array, checksum: number): Buffer {
  let at = 0
  const integer = (bytes: number): number => {
    let value = 0
    for (let i = 0; i < bytes; i++) value += (input[at++] ?? 0) * 256 ** i
    return value
  }
  let size = 0
  for (let scale = 1; ; scale *= 128) {
    const byte = integer(1)
    size += (byte & 127) * scale
    if (byte < 128) break
  }
  if (size > MOST_BYTES) throw new Error('a Snappy block of too many bytes')
  const output = { bytes: new Uint8Array(size), size: 0 }
  while (at < input.length) {
    const tag = integer(1)
    const kind = tag & 3
    const upper = tag >> 2
    if (kind === 0) {
      const literals = 1 + (upper < 60 ? upper : integer(upper - 59))
      append(output, input, at, at + literals)
      at += literals
    } else if (kind === 1) repeat(output, ((upper >> 3) << 8) | integer(1), 4 + (upper & 7))
    else repeat(output, integer(kind === 2 ? 2 : 4), 1 + upper)
  }
  const bytes = Buffer.from(output.bytes.buffer, 0, output.size)
  if (output.size !== size || crc32(bytes) !== checksum) throw new Error('a Snappy block fails its checksum')
  return bytes
}

function append(output: Output, input: Uint8Array, from: number, to: number): void {
  if (to > input.length) throw new Error('packed bytes are cut')
  reserve(output, to - from)
  output.bytes.set(input.subarray(from, to), output.size)
  output.size += to - from
}

/** Again what stands `offset` bytes before the end; it may run into itself. */
function repeat(output: Output, offset: number, length: number): void {
  if (offset < 1 || offset > output.size) throw new Error('packed bytes refer to none')
  reserve(output, length)
  const { bytes, size } = output
  if (offset >= length) bytes.copyWithin(size, size - offset, size - offset + length)
  else for (let i = size; i < size + length; i++) bytes[i] = bytes[i - offset]
  output.size += length
}

function reserve(output: Output, more: number): void {
  const need = output.size + more
  if (need > MOST_BYTES) throw new Error('packed bytes hold too many')
  if (need <= output.bytes.length) return
  const bytes = new Uint8Array(Math.min(MOST_BYTES, 2 * need))
  bytes.set(output.bytes.subarray(0, output.size))
  output.bytes = bytes
}
