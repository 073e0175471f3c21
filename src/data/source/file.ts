// Rows from files: a format is one file beside this one.
import { statSync } from 'node:fs'
import { dataError } from '../../base/errors.ts'
import { noVolume } from '../candles.ts'
import { cellReader } from '../cells.ts'
import type { DataSchema } from '../columns.ts'
import { type FileFormat, formatOf } from '../format.ts'
import { type AsIs, placer } from '../layout.ts'
import {
  BLOCK_ROWS,
  type Place,
  type Rows,
  type Source,
  type SourceContext,
  sourceFiles,
  type Warning,
} from '../rows.ts'
import type { FileFormatName, FileSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { arrow } from './arrow.ts'
import { avro } from './avro.ts'
import { delimited } from './delimited.ts'
import { json } from './json.ts'
import { jsonl } from './jsonl.ts'
import { stored } from './stored.ts'

const FORMATS: Record<FileFormatName, FileFormat> = { csv: delimited, json, jsonl, parquet: stored, avro, arrow }

/** Reads every file of the source, in order. Errors name the file: FORMAT, EMPTY_INPUT, CORRUPT_FILE, ENCODING, DELIMITER, and header.ts's. */
export function readFileSource(
  config: FileSource,
  schema: DataSchema | AsIs,
  { signal, now, watermark }: SourceContext,
): Source {
  const paths = config.paths ?? [config.path as string]
  const settler = timeSettler({ ...config, now: now() })
  const warnings: Warning[] = []
  const place = placer(schema, config.columns, config.keep)
  const cells = cellReader(config)

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
      const nothing = { code: 'EMPTY_INPUT', message: `${path} has no rows` }
      if (!found && !watermark) throw dataError(nothing.code, nothing.message)
      if (!found) warnings.push({ ...nothing, count: 1 }) // a table that is added to may well get nothing new
      count += found
    }
    if (schema === 'candles' && config.columns.volume === null) warnings.push(noVolume(count))
  }

  async function text(places: Place[]): Promise<string[]> {
    const texts: string[] = []
    for (const [file, path] of paths.entries()) {
      const wanted = places.filter(place => place.file === file)
      if (wanted.length) texts.push(...(await FORMATS[formatOf(path, config)].text(path, wanted, { config, signal })))
    }
    return texts
  }

  return {
    blocks: blocks(),
    warnings: () => [...settler.warnings(), ...warnings],
    paths,
    files: () => sourceFiles(paths),
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
