// Samples that read rows before their own. Every row that may be read lies once in a file, the rows of a symbol after each other; a sample is the place where its window ends.
import { readArrow, writeArrow } from '../base/arrow.ts'

export interface Sequence {
  /** Rows that a sample may read, its own the last. */
  length: number
  /** Arrow file with one column of fixed-size lists of float32: the features of each row. */
  path: string
  rows: number
}

type Symbols = (string | null)[] | undefined

/** Those of the rows that have at least `context` - 1 of their own symbol before them among the rows. */
export function withContext(rows: Int32Array, symbol: Symbols, context: number): Int32Array {
  const seen = new Map<string | null, number>()
  return rows.filter(row => {
    const name = symbol ? symbol[row] : null
    const before = seen.get(name) ?? 0
    seen.set(name, before + 1)
    return before >= context - 1
  })
}

/** Rows symbol by symbol in the order in which these first appear, and the place of each there. */
export function historyOf(rows: Int32Array, symbol: Symbols): { rows: Int32Array; place: Int32Array } {
  const of = new Map<string | null, number[]>()
  for (const row of rows) {
    const name = symbol ? symbol[row] : null
    const own = of.get(name)
    if (own) own.push(row)
    else of.set(name, [row])
  }
  const ordered = Int32Array.from([...of.values()].flat())
  const place = new Int32Array(rows.length ? rows[rows.length - 1] + 1 : 0).fill(-1)
  for (const [at, row] of ordered.entries()) place[row] = at
  return { rows: ordered, place }
}

const NAME = 'features'

/** Columns as the rows that they make. */
export function writeHistory(path: string, columns: Float32Array[]): Promise<void> {
  const width = columns.length
  const values = new Float32Array(width * columns[0].length)
  for (const [j, column] of columns.entries()) for (let i = 0; i < column.length; i++) values[i * width + j] = column[i]
  return writeArrow(path, [{ name: NAME, values, width }])
}

/** The rows as they were written, row-major. */
export async function readHistory({ path }: Sequence): Promise<Float32Array> {
  return (await readArrow(path)).get(NAME) as Float32Array
}
