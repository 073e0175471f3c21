// Rows from files: a format is one file beside this one.
import { statSync } from 'node:fs'
import { fileDigests } from '../../base/blobs.ts'
import { dataError } from '../../base/errors.ts'
import { cellReader } from '../cells.ts'
import type { FileFormat } from '../format.ts'
import { placer } from '../layout.ts'
import { BLOCK_ROWS, type Place, type Rows, type Source, type SourceContext, type Warning } from '../rows.ts'
import type { DataSchema, FileSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { delimitedText, readDelimited } from './delimited.ts'
import { readStored, storedText } from './stored.ts'

const FORMATS: Record<NonNullable<FileSource['format']>, FileFormat> = {
  csv: { name: /\.(csv|txt|tsv)(\.gz)?$/i, read: readDelimited, text: delimitedText },
  parquet: { name: /\.(parquet|pq)$/i, read: readStored, text: storedText },
}

/** Reads every file of the source, in order. Errors name the file: FORMAT, EMPTY_INPUT, CORRUPT_FILE, ENCODING, DELIMITER, and header.ts's. */
export function readFileSource(
  config: FileSource,
  schema: DataSchema | 'as_is',
  { signal, now }: SourceContext,
): Source {
  const paths = config.paths ?? [config.path as string]
  const settler = timeSettler({ unit: config.unit, zone: config.zone, now: now() })
  const warnings: Warning[] = []
  const place = placer(schema, config.columns, config.keep)
  const cells = cellReader({ decimal: config.decimal, thousands: config.thousands ?? null })

  async function* blocks(): AsyncGenerator<Rows> {
    let count = 0
    for (const [file, path] of paths.entries()) {
      let found = 0
      const reading = { config, placer: place, cells, capacity: likelyRows(path), signal }
      for await (const rows of FORMATS[formatOf(path, config)].read(path, file, reading)) {
        settler.settle(rows)
        found += rows.count
        yield rows
      }
      if (!found) throw dataError('EMPTY_INPUT', `${path} has no rows`)
      count += found
    }
    if (schema === 'candles' && config.columns.volume === null)
      warnings.push({ code: 'NO_VOLUME', message: 'there is no volume; it is 0', count })
  }

  async function text(places: Place[]): Promise<string[]> {
    const texts: string[] = []
    for (const [file, path] of paths.entries()) {
      const wanted = places.filter(place => place.file === file)
      if (wanted.length) texts.push(...(await FORMATS[formatOf(path, config)].text(path, wanted, signal)))
    }
    return texts
  }

  return {
    blocks: blocks(),
    warnings: () => [...settler.warnings(), ...warnings],
    paths,
    files: () => Promise.all(paths.map(async path => ({ path, ...(await fileDigests(path)) }))),
    text,
  }
}

const BYTES_PER_ROW = 40
/** A reader looks at the size of its block now and then. */
const MOST_AT_FIRST = BLOCK_ROWS + (1 << 16)

/** Room for the rows of candles in text, so that arrays seldom grow: growing costs as much as reading. */
function likelyRows(path: string): number {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return Math.min(MOST_AT_FIRST, Math.max(1024, Math.ceil(bytes / BYTES_PER_ROW)))
}

export type Format = keyof typeof FORMATS

/** The format of a file by its name, unless the config says it. FORMAT is an error of the data where a file is read. */
export function formatOf(path: string, { format }: { format?: Format } = {}, refuse = dataError): Format {
  if (format) return format
  const found = (Object.keys(FORMATS) as Format[]).find(name => FORMATS[name].name.test(path))
  if (found) return found
  throw refuse('FORMAT', `${path} is of none of the formats ${Object.keys(FORMATS).join(', ')}`, {
    next: 'name it .csv (.csv.gz) or .parquet; a config can say format: csv or parquet instead',
  })
}
