// One cell of a source, text or typed, into its column of the rows: the same for every format.
import type { LayoutColumn } from './layout.ts'
import { isNull, type NumberFormat, numberFault, numberReader } from './number.ts'
import { type Rows, refuse } from './rows.ts'
import { type DateOrder, KIND, type TimeCell, timeReader } from './timestamp.ts'

export interface CellFormat extends NumberFormat {
  dates?: DateOrder
}

/** UTF-8 text, without quotes. */
export type TextReader = (rows: Rows, row: number, i: number, bytes: Buffer, from: number, to: number) => void

/** Each puts a cell into column `i` of a row of its own, and refuses the row where it cannot be. */
export interface CellReader {
  text: TextReader
  /** The same for the cells of one column, whose type is then not asked for at each of them. */
  textOf(column: LayoutColumn): TextReader
  /** What a typed format or JSON has: null, number, bigint, boolean, string or Date. */
  value(rows: Rows, row: number, i: number, value: unknown): void
  /** Ms as `kind` says. */
  time(rows: Rows, row: number, i: number, ms: number, kind: number): void
  /** The source has no such column. */
  absent(rows: Rows, row: number, i: number): void
}

const TRUE = new Set(['true', 't', 'yes', 'y', '1'])
const FALSE = new Set(['false', 'f', 'no', 'n', '0'])

export function cellReader(format: CellFormat): CellReader {
  const readNumber = numberReader(format)
  const readTime = timeReader(readNumber, format.dates)
  const cell: TimeCell = { value: Number.NaN, kind: KIND.invalid }
  /** The same text is one string in memory, however many rows have it. */
  const known = new Map<string, string>()

  const put = (rows: Rows, row: number, i: number, value: number) => {
    ;(rows.values[i] as Float64Array)[row] = value
  }

  function blank(rows: Rows, row: number, i: number): void {
    if (rows.layout.columns[i].type === 'string') (rows.values[i] as (string | null)[])[row] = null
    else put(rows, row, i, Number.NaN)
  }

  function missing(rows: Rows, row: number, i: number): void {
    blank(rows, row, i)
    if (!rows.layout.columns[i].nullable) refuse(rows, row, 'NULL_VALUE', i)
  }

  function notFinite(rows: Rows, row: number, i: number, value: number, said: string): void {
    const fault = numberFault(value, said)
    if (fault === 'NULL_VALUE') missing(rows, row, i)
    else refuse(rows, row, fault, i, said)
  }

  function numberText(rows: Rows, row: number, i: number, bytes: Buffer, from: number, to: number): void {
    const value = readNumber(bytes, from, to)
    put(rows, row, i, value)
    if (!Number.isFinite(value)) notFinite(rows, row, i, value, bytes.toString('utf8', from, to))
  }

  function truth(rows: Rows, row: number, i: number, text: string): void {
    const word = text.trim().toLowerCase()
    if (isNull(word)) missing(rows, row, i)
    else if (TRUE.has(word)) put(rows, row, i, 1)
    else if (FALSE.has(word)) put(rows, row, i, 0)
    else refuse(rows, row, 'NOT_A_BOOLEAN', i, text)
  }

  function words(rows: Rows, row: number, i: number, given: string): void {
    const text = given.trim()
    if (text.includes('\uFFFD')) refuse(rows, row, 'ENCODING', i, text)
    // A ticker may be called NA.
    if (i === rows.layout.symbol ? text === '' : isNull(text)) missing(rows, row, i)
    else (rows.values[i] as (string | null)[])[row] = known.get(text) ?? remember(text)
  }

  function remember(text: string): string {
    if (known.size < MOST_WORDS) known.set(text, text)
    return text
  }

  function time(rows: Rows, row: number, i: number, ms: number, kind: number): void {
    put(rows, row, i, ms)
    rows.kinds[i]![row] = kind
  }

  function timeText(rows: Rows, row: number, i: number, bytes: Buffer, from: number, to: number): void {
    readTime(bytes, from, to, cell)
    time(rows, row, i, cell.value, cell.kind)
    if (cell.kind !== KIND.invalid) return
    const said = bytes.toString('utf8', from, to)
    if (isNull(said)) missing(rows, row, i)
    else refuse(rows, row, 'TIMESTAMP_INVALID', i, said)
  }

  const wordsText: TextReader = (rows, row, i, bytes, from, to) => words(rows, row, i, bytes.toString('utf8', from, to))
  const truthText: TextReader = (rows, row, i, bytes, from, to) => truth(rows, row, i, bytes.toString('utf8', from, to))

  function textOf({ type, rule }: LayoutColumn): TextReader {
    if (type === 'time') return timeText
    if (type === 'string') return wordsText
    return rule?.type === 'boolean' ? truthText : numberText
  }

  const text: TextReader = (rows, row, i, bytes, from, to) =>
    textOf(rows.layout.columns[i])(rows, row, i, bytes, from, to)

  function value(rows: Rows, row: number, i: number, given: unknown): void {
    const { type, rule } = rows.layout.columns[i]
    if (given === null || given === undefined || Number.isNaN(given)) missing(rows, row, i)
    else if (typeof given === 'string') {
      const bytes = Buffer.from(given)
      text(rows, row, i, bytes, 0, bytes.length)
    } else if (given instanceof Date && type === 'time') time(rows, row, i, given.getTime(), KIND.instant)
    else if (typeof given === 'object') refuse(rows, row, 'TYPE_MISMATCH', i, JSON.stringify(given))
    else if (type === 'string') words(rows, row, i, String(given))
    else if (rule?.type === 'boolean') truth(rows, row, i, String(given))
    else if (typeof given === 'boolean') refuse(rows, row, 'TYPE_MISMATCH', i, String(given))
    else if (type === 'time') time(rows, row, i, Number(given), KIND.epoch)
    else {
      put(rows, row, i, Number(given))
      if (!Number.isFinite(Number(given))) notFinite(rows, row, i, Number(given), String(given))
    }
  }

  function absent(rows: Rows, row: number, i: number): void {
    const { columns, time, symbol } = rows.layout
    const { fill, rule } = columns[i]
    if (fill !== undefined) put(rows, row, i, fill)
    else if (rule?.required === false && i !== time && i !== symbol) blank(rows, row, i)
    else missing(rows, row, i)
  }

  return { text, textOf, value, time, absent }
}

/** Of a column with more words than this, each row has its own. */
const MOST_WORDS = 100_000
