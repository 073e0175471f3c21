// The types of a source's columns where the schema leaves them open: that which every value of a column has.
import type { ColumnType } from '../base/table.ts'
import type { CellFormat } from './cells.ts'
import { isNull, numberReader } from './number.ts'
import { KIND, type TimeCell, timeReader } from './timestamp.ts'

/** Looks at one value after another of column `i`. */
export interface TypeFinder {
  /** UTF-8 text. */
  text(i: number, bytes: Buffer, from: number, to: number): void
  /** A value that has a type already; its text is looked at as text. */
  value(i: number, value: unknown): void
  /** A column without values holds numbers. */
  types(columns: number): ColumnType[]
}

export function typeFinder(format: CellFormat): TypeFinder {
  const readNumber = numberReader(format)
  const readTime = timeReader(readNumber, format.dates)
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  const found: (ColumnType | undefined)[] = []

  function typeOf(bytes: Buffer, from: number, to: number): ColumnType | undefined {
    if (!Number.isNaN(readNumber(bytes, from, to))) return 'number'
    if (isNull(bytes.toString('utf8', from, to))) return undefined
    readTime(bytes, from, to, cell)
    return cell.kind === KIND.invalid ? 'string' : 'time'
  }

  const note = (i: number, type: ColumnType | undefined) => {
    if (type) found[i] = found[i] === undefined || found[i] === type ? type : 'string'
  }

  function text(i: number, bytes: Buffer, from: number, to: number): void {
    if (found[i] !== 'string') note(i, typeOf(bytes, from, to))
  }

  function value(i: number, given: unknown): void {
    if (given === null || given === undefined) return
    if (typeof given === 'string') {
      const bytes = Buffer.from(given)
      text(i, bytes, 0, bytes.length)
    } else
      note(
        i,
        given instanceof Date ? 'time' : typeof given === 'number' || typeof given === 'bigint' ? 'number' : 'string',
      )
  }

  return { text, value, types: columns => Array.from({ length: columns }, (_, i) => found[i] ?? 'number') }
}
