// What a format of files is: a file in source/ each, and a row of the table in source/file.ts.
import type { CellReader } from './cells.ts'
import type { Placer } from './layout.ts'
import type { Place, Rows } from './rows.ts'
import type { FileSource } from './schema.ts'

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
  /** Of the names of its files. */
  name: RegExp
  read: FileReader
  /** The text of rows, in the order of `places`, which ascend. */
  text(path: string, places: Place[], signal: AbortSignal): Promise<string[]>
}
