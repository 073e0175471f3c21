// Rows that were refused: named in an error, or kept beside the table with line, code and text.
import { join } from 'node:path'
import { sha256, writeAtomic } from '../base/blobs.ts'
import { dataError, type SluiceError } from '../base/errors.ts'
import { csvCell } from './csv.ts'
import { faultOf, type Rows, type Sourced } from './rows.ts'

const SHOWN = 5

/** How many rows were refused for each code. */
export function faultCounts(rows: Rows): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let row = 0; row < rows.count; row++)
    if (rows.fault[row]) counts[faultOf(rows, row)] = (counts[faultOf(rows, row)] ?? 0) + 1
  return counts
}

export const faultyRows = (rows: Rows): number[] => {
  const list: number[] = []
  for (let row = 0; row < rows.count; row++) if (rows.fault[row]) list.push(row)
  return list
}

/** The error that names the first refused rows (of a conflict, both), or undefined when there is none. */
export function badRows(rows: Rows, winners: Map<number, number>, paths: string[]): SluiceError | undefined {
  const bad = faultyRows(rows)
  if (!bad.length) return undefined
  const place = (row: number) => `${paths[rows.file[row]] ?? 'row'}:${rows.line[row]}`
  const first = bad.slice(0, SHOWN).map(row => ({
    place: place(row),
    line: rows.line[row],
    code: faultOf(rows, row),
    ...(winners.has(row) ? { other: place(winners.get(row) as number) } : {}),
  }))
  const list = first.map(({ place, code, other }) => `${place} ${code}${other ? ` with ${other}` : ''}`)
  const more = bad.length > SHOWN ? `, and ${bad.length - SHOWN} more` : ''
  return dataError('BAD_ROW', `${bad.length} bad rows: ${list.join(', ')}${more}`, {
    next: hint(faultCounts(rows)) ?? 'correct them, or set them aside with on_bad_row: quarantine',
    detail: { rejected: bad.length, reasons: faultCounts(rows), rows: first },
  })
}

/** What to change when one kind of fault is behind most refused rows. */
export function hint(reasons: Record<string, number>): string | undefined {
  const [[worst] = []] = Object.entries(reasons).sort((a, b) => b[1] - a[1])
  if (worst === 'NOT_A_NUMBER') return 'numbers like 43,820.01 need thousands: ","; numbers like 1,5 need decimal: ","'
  if (worst === 'TIMESTAMP_INVALID')
    return 'times are written YYYY-MM-DD HH:MM:SS, with Z or an offset, or as epoch numbers'
  if (worst === 'OUT_OF_RANGE') return 'are the times in the unit that the config says? unit: s, ms, us or ns'
  if (worst === 'AMBIGUOUS_LOCAL_TIME') return 'only times with an offset tell the two hours of an autumn night apart'
  return undefined
}

/** Writes the refused rows as CSV (file, line, code, row) into a folder, under a name of their own, so that equal rows leave one file; returns its path. */
export async function writeQuarantine(folder: string, { rows, paths, text }: Sourced): Promise<string> {
  const bad = faultyRows(rows)
  const texts = await text(bad)
  const lines = bad.map((row, i) =>
    [paths[rows.file[row]] ?? '', rows.line[row], faultOf(rows, row), texts[i]]
      .map(value => csvCell(String(value)))
      .join(','),
  )
  const csv = `file,line,code,row\n${lines.join('\n')}\n`
  const path = join(folder, `${sha256(csv).slice(0, 16)}.csv`)
  writeAtomic(path, csv)
  return path
}
