// Klines from files of data.binance.vision: SYMBOL-INTERVAL-DATE.csv, or .zip with such a file; with and without a header, times in ms or us.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32, inflateRawSync } from 'node:zlib'
import { fileSha256 } from '../../base/blobs.ts'
import { dataError, fileUnreadable, messageOf } from '../../base/errors.ts'
import type { DataSchema } from '../columns.ts'
import { BLOCK_ROWS, emptyRows, type Place, type Rows, type Source, type SourceContext, sourceFiles } from '../rows.ts'
import type { BinanceSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { klineTime, klineWriter, openBarWarning } from './kline.ts'

const NAME = /^(.+)-(\d+(?:s|m|h|d|w|mo))-\d{4}-\d{2}(?:-\d{2})?\.(?:csv|zip)$/
const LARGEST = 1 << 29

interface ArchiveFile {
  path: string
  symbol: string
}

/** Those files of the folder that are of the symbols and the timeframe; known ones are not read again. Errors: EMPTY_INPUT, CORRUPT_FILE, FILE_UNREADABLE. */
export function readArchive(config: BinanceSource, schema: DataSchema, context: SourceContext): Source {
  const files = findFiles(config, context.timeframe!)
  const settler = timeSettler({ unit: 'ms', now: context.now() })
  const writer = klineWriter(schema, config.keep)
  let open = 0

  function readInto(rows: Rows, text: string, symbol: string, file: number): void {
    for (const { line, cells } of linesOf(text)) {
      if (line === 1 && Number.isNaN(Number(cells[0]))) continue // a header
      if (klineTime(cells, 6) >= context.now()) open++
      else writer.add(rows, cells, symbol, { file, line })
    }
  }

  async function* blocks(): AsyncGenerator<Rows> {
    let rows = emptyRows(writer.layout)
    for (const [file, { path, symbol }] of files.entries()) {
      context.signal.throwIfAborted()
      if (context.known?.size && context.known.has(await fileSha256(path))) continue
      readInto(rows, csvOf(path), symbol, file)
      if (rows.count < BLOCK_ROWS) continue
      settler.settle(rows)
      yield rows
      rows = emptyRows(writer.layout)
    }
    settler.settle(rows)
    if (rows.count) yield rows
  }

  function textOf(path: string, places: Place[]): string[] {
    const wanted = new Set(places.map(({ line }) => line))
    return [...linesOf(csvOf(path))].flatMap(({ line, cells }) => (wanted.has(line) ? [cells.join(',')] : []))
  }

  const paths = files.map(({ path }) => path)
  return {
    blocks: blocks(),
    warnings: () => openBarWarning(open),
    paths,
    files: () => sourceFiles(paths),
    text: async places =>
      paths.flatMap((path, i) =>
        textOf(
          path,
          places.filter(({ file }) => file === i),
        ),
      ),
  }
}

/** In the order of their names, so of time for each symbol. */
function findFiles({ archive, symbols }: BinanceSource, timeframe: string): ArchiveFile[] {
  const folder = archive!
  const interval = timeframe.replace('M', 'mo')
  const names = statSync(folder).isDirectory()
    ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(name => join(folder, name))
    : [folder]
  const found = names.sort().flatMap(path => {
    const [, symbol, length] = NAME.exec(basename(path)) ?? []
    return symbols.includes(symbol) && length === interval ? [{ path, symbol }] : []
  })
  const missing = symbols.filter(symbol => !found.some(file => file.symbol === symbol))
  if (missing.length)
    throw dataError('EMPTY_INPUT', `${folder} has no file of ${missing.join(', ')} in ${timeframe}`, {
      next: `files are named as data.binance.vision does: ${missing[0]}-${interval}-2024-01.zip`,
    })
  return found
}

function* linesOf(text: string): Generator<{ line: number; cells: string[] }> {
  for (let at = 0, line = 1; at < text.length; line++) {
    const found = text.indexOf('\n', at)
    const end = found < 0 ? text.length : found
    const record = text.slice(at, end).trimEnd()
    at = end + 1
    if (record) yield { line, cells: record.split(',') }
  }
}

function csvOf(path: string): string {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (cause) {
    throw fileUnreadable(path, cause)
  }
  return (path.endsWith('.zip') ? unzip(bytes, path) : bytes).toString('utf8')
}

/** The only file of an archive (PKWARE APPNOTE 4.3), checked by its CRC. */
function unzip(bytes: Buffer, path: string): Buffer {
  const corrupt = (what: string) =>
    dataError('CORRUPT_FILE', `${path} is no whole zip archive: ${what}`, {
      next: `download ${basename(path)} again into ${dirname(path)}`,
    })
  const end = bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  if (end < 0 || end + 22 > bytes.length) throw corrupt('it has no directory')
  if (bytes.readUInt16LE(end + 10) !== 1) throw corrupt(`it holds ${bytes.readUInt16LE(end + 10)} files, not one`)
  try {
    const entry = bytes.readUInt32LE(end + 16)
    const [method, crc, packed] = [
      bytes.readUInt16LE(entry + 10),
      bytes.readUInt32LE(entry + 16),
      bytes.readUInt32LE(entry + 20),
    ]
    const local = bytes.readUInt32LE(entry + 42)
    const from = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28)
    const content = bytes.subarray(from, from + packed)
    const text = method === 0 ? content : inflateRawSync(content, { maxOutputLength: LARGEST })
    if (crc32(text) === crc) return text
  } catch (cause) {
    throw corrupt(messageOf(cause))
  }
  throw corrupt('its checksum is another')
}
