// Candles from files: a format is one file beside this one. The contract's rules are candles.ts.
import { statSync } from 'node:fs'
import { fileDigests } from '../../base/blobs.ts'
import { dataError } from '../../base/errors.ts'
import { cutCsv } from '../csv.ts'
import { emptyRows, type Rows, type SourceContext, type Sourced, settleTimes } from '../rows.ts'
import type { FileSource } from '../schema.ts'
import { readDelimited } from './delimited.ts'
import { readStored, rowTexts } from './stored.ts'

/** Reads every file of the source, in order. Errors name the file: FORMAT, EMPTY_INPUT, CORRUPT_FILE, ENCODING, DELIMITER, and header.ts's. */
export async function readFileSource(config: FileSource, { signal, now }: SourceContext): Promise<Sourced> {
  const paths = config.paths ?? [config.path as string]
  const rows = emptyRows(likelyRows(paths), config.keep)
  for (const [file, path] of paths.entries()) {
    const before = rows.count
    if (formatOf(path, config) === 'csv') await readDelimited(path, file, config, rows, signal)
    else await readStored(path, file, config, rows, signal)
    if (rows.count === before) throw dataError('EMPTY_INPUT', `${path} has no rows`)
  }
  const warnings = settleTimes(rows, { unit: config.unit, zone: config.zone, now: now() })
  if (config.columns.volume === null)
    warnings.push({ code: 'NO_VOLUME', message: 'there is no volume; it is 0', count: rows.count })
  return {
    rows,
    warnings,
    paths,
    files: () => Promise.all(paths.map(async path => ({ path, ...(await fileDigests(path)) }))),
    text: list => textsOf(paths, config, rows, list),
  }
}

const BYTES_PER_ROW = 40

/** Room for the rows of candles in text, so that arrays seldom grow: growing costs as much as reading. */
function likelyRows(paths: string[]): number {
  const sizes = paths.map(path => statSync(path, { throwIfNoEntry: false })?.size ?? 0)
  return Math.max(1024, Math.ceil(sizes.reduce((sum, size) => sum + size, 0) / BYTES_PER_ROW))
}

export type Format = 'csv' | 'parquet'

/** The format of a file by its name, unless the config says it. FORMAT is an error of the data where a file is read. */
export function formatOf(path: string, { format }: { format?: Format } = {}, refuse = dataError): Format {
  if (format) return format
  if (/\.(csv|txt|tsv)(\.gz)?$/i.test(path)) return 'csv'
  if (/\.(parquet|pq)$/i.test(path)) return 'parquet'
  throw refuse('FORMAT', `${path} is neither .csv (.csv.gz) nor .parquet`, {
    next: 'give it one of these names; a config can say format: csv or parquet instead',
  })
}

/** Goes through the files once more for the text of a few rows (ascending): the first reading keeps none. */
async function textsOf(paths: string[], config: FileSource, rows: Rows, wanted: number[]): Promise<string[]> {
  const texts = await Promise.all(
    paths.map((path, file) => {
      const list = wanted.filter(row => rows.file[row] === file)
      if (!list.length) return []
      if (formatOf(path, config) === 'parquet')
        return rowTexts(
          path,
          list.map(row => rows.line[row]),
        )
      return cutCsv(
        path,
        list.map(row => ({ position: rows.position[row], size: rows.size[row] })),
      )
    }),
  )
  return texts.flat()
}
