// Rows that were refused: named in an error, or kept beside the table with line, code and text.
import { join } from 'node:path'
import { sha256, writeAtomic } from '../base/blobs.ts'
import { dataError, type SluiceError } from '../base/errors.ts'
import { csvCell } from './csv.ts'
import { faultOf, type Place, placeOf, type Rows, type Source } from './rows.ts'

const SHOWN = 5
/** Rows of which the text is kept; all are counted. */
const MOST_KEPT = 1_000_000

interface Bad extends Place {
  code: string
  /** The column that broke a rule. */
  column: string | null
  /** Of a conflict: the row that won. */
  other?: Place
}

export interface Broken {
  column: string | null
  code: string
  rows: number
  /** Where the first ones stand: `file:line`. */
  first: string[]
}

/** What was refused of a source. */
export interface Refused {
  /** Notes the faulty rows of a block; each row once. */
  take(rows: Rows, winners: Map<number, number>): void
  count(): number
  /** How many for each code. */
  reasons(): Record<string, number>
  /** How many for each column and code, and where the first ones stand. */
  broken(): Broken[]
  /** Names the first ones (of a conflict, both rows); undefined when there is none. */
  error(): SluiceError | undefined
  /** Writes them as CSV (file, line, code, column, row) into a folder, under a name of their own, so that equal rows leave one file; gives its path. */
  write(folder: string): Promise<string>
}

export function refusedRows({ paths, text }: Pick<Source, 'paths' | 'text'>): Refused {
  const kept: Bad[] = []
  const found = new Map<string, Broken>()
  let count = 0

  const shown = ({ file, line }: Place) => `${paths[file] ?? 'row'}:${line}`
  /** In the order of the source, in which the rows of several blocks do not come. */
  const inOrder = () => kept.sort((a, b) => a.file - b.file || a.line - b.line)

  function take(rows: Rows, winners: Map<number, number>): void {
    for (let row = 0; row < rows.count; row++) {
      if (!rows.fault[row]) continue
      count++
      const code = faultOf(rows, row)
      const column = rows.culprit[row] ? (rows.layout.columns[rows.culprit[row] - 1]?.name ?? null) : null
      const place = placeOf(rows, row)
      const winner = winners.get(row)
      if (kept.length < MOST_KEPT)
        kept.push({ ...place, code, column, ...(winner !== undefined && { other: placeOf(rows, winner) }) })
      const key = `${code} ${column}`
      const broken = found.get(key) ?? { column, code, rows: 0, first: [] }
      found.set(key, broken)
      broken.rows++
      if (broken.first.length < SHOWN) broken.first.push(shown(place))
    }
  }

  function reasons(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { code, rows } of found.values()) counts[code] = (counts[code] ?? 0) + rows
    return counts
  }

  function error(): SluiceError | undefined {
    if (!count) return undefined
    const first = inOrder()
      .slice(0, SHOWN)
      .map(({ line, code, column, other, ...place }) => ({
        place: shown({ line, ...place }),
        line,
        code,
        ...(column !== null && { column }),
        ...(other && { other: shown(other) }),
      }))
    const list = first.map(
      ({ place, code, column, other }) =>
        `${place} ${code}${column ? ` of ${column}` : ''}${other ? ` with ${other}` : ''}`,
    )
    const more = count > SHOWN ? `, and ${count - SHOWN} more` : ''
    return dataError('BAD_ROW', `${count} bad rows: ${list.join(', ')}${more}`, {
      next: hint(reasons()) ?? 'correct them, or set them aside with on_bad_row: quarantine',
      detail: { rejected: count, reasons: reasons(), rows: first },
    })
  }

  async function write(folder: string): Promise<string> {
    const texts = await text(inOrder())
    const lines = kept.map(({ file, line, code, column }, i) =>
      [paths[file] ?? '', line, code, column ?? '', texts[i]].map(value => csvCell(String(value))).join(','),
    )
    const csv = `file,line,code,column,row\n${lines.join('\n')}\n`
    const path = join(folder, `${sha256(csv).slice(0, 16)}.csv`)
    writeAtomic(path, csv)
    return path
  }

  return { take, count: () => count, reasons, broken: () => [...found.values()], error, write }
}

/** What to change when one kind of fault is behind most refused rows. */
export function hint(reasons: Record<string, number>): string | undefined {
  const [[worst] = []] = Object.entries(reasons).sort((a, b) => b[1] - a[1])
  return worst === undefined ? undefined : HINTS[worst]
}

const HINTS: Record<string, string> = {
  JSON_PARSE: 'such a line is not valid JSON; NaN and Infinity are none either, null is',
  NOT_A_NUMBER: 'numbers like 43,820.01 need thousands: ","; numbers like 1,5 need decimal: ","',
  TIMESTAMP_INVALID: 'times are written YYYY-MM-DD HH:MM:SS, with Z or an offset, or as epoch numbers',
  OUT_OF_RANGE: 'are the times in the unit that the config says? unit: s, ms, us or ns',
  AMBIGUOUS_LOCAL_TIME:
    'only times with an offset tell the two hours of an autumn night apart; ambiguous: in_order takes them as they come',
}
