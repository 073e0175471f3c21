// What a format of files is: a name here, a file in source/, and a row of the table in source/file.ts. Light: nothing here opens a file.
import { dataError } from '../base/errors.ts'
import type { CellReader } from './cells.ts'
import type { Placer } from './layout.ts'
import type { Place, Rows } from './rows.ts'
import { FILE_FORMATS, type FileFormatName, type FileSource } from './schema.ts'

/** What the reader of a format is given besides the file. */
export interface Reading {
  config: FileSource
  placer: Placer
  cells: CellReader
  /** Rows to make room for at first. */
  capacity: number
  signal: AbortSignal
}

/** Reads file number `file` as blocks of about BLOCK_ROWS rows. Errors name the file. */
export type FileReader = (path: string, file: number, reading: Reading) => AsyncGenerator<Rows>

export interface FileFormat {
  read: FileReader
  /** The text of rows, in the order of `places`, which ascend. */
  text(path: string, places: Place[], reading: Pick<Reading, 'config' | 'signal'>): Promise<string[]>
}

/** What the files of each format are called. */
const NAMES: Record<FileFormatName, RegExp> = {
  csv: /\.(csv|txt|tsv)(\.gz)?$/i,
  json: /\.json(\.gz)?$/i,
  jsonl: /\.(jsonl|ndjson)(\.gz)?$/i,
  parquet: /\.(parquet|pq)$/i,
  avro: /\.avro(\.gz)?$/i,
  arrow: /\.(arrow|feather|ipc)$/i,
}

export const formatByName = (path: string): FileFormatName | undefined =>
  FILE_FORMATS.find(name => NAMES[name].test(path))

/** The format of a file by its name, unless the config says it. FORMAT is an error of the data where a file is read. */
export function formatOf(
  path: string,
  { format }: Pick<FileSource, 'format'> = {},
  refuse = dataError,
): FileFormatName {
  const found = format ?? formatByName(path)
  if (found) return found
  throw refuse('FORMAT', `${path} is of none of the formats ${FILE_FORMATS.join(', ')}`, {
    next: 'give it the ending of its format, such as .csv or .csv.gz; a config can say format: csv instead',
  })
}
