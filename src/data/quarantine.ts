// Rows that were refused: named in an error, or kept beside the table with line, code and text.
import { join } from 'node:path'
import { sha256, writeAtomic } from '../base/blobs.ts'
import { dataError, type SluiceError } from '../base/errors.ts'
import { parseExpression } from '../base/expression.ts'
import { isoTime } from '../base/time.ts'
import { type CsvRecord, csvCell, fieldText, scanCsv } from './csv.ts'
import { faultOf, type Place, placeOf, type Rows, type Source } from './rows.ts'
import { VALUE_COLUMNS } from './schema.ts'

const SHOWN = 5
/** Rows of which the values are kept. */
const EXAMPLES = 1000
/** Rows of which the text is kept; all are counted. */
const MOST_KEPT = 1_000_000

/** Why a row is refused. */
interface Reason {
  code: string
  /** The column that broke the contract. */
  column: string | null
  /** The formula over several columns that did. */
  rule: string | null
}

interface Bad extends Place, Reason {
  /** What it has there, of the first ones. */
  example: string | null
  /** Of a conflict: the row that won. */
  other?: Place
}

/** A way in which rows broke the contract. */
export interface Broken extends Reason {
  rows: number
  /** Where the first ones stand: `file:line`. */
  first: string[]
  /** What the first one has there; null where that is missing or personal. */
  example: string | null
}

/** What was refused of a source. */
export interface Refused {
  /** Notes the faulty rows of a block; each row once. */
  take(rows: Rows, winners: Map<number, number>): void
  count(): number
  /** How many for each code. */
  reasons(): Record<string, number>
  /** How many for each column or rule and code, and where the first ones stand; the most frequent first. */
  broken(): Broken[]
  /** Names the first ones (of a conflict, both rows); undefined when there is none. */
  error(): SluiceError | undefined
  /** Writes them as CSV (file, line, code, column or rule, row) into a folder, under a name of their own, so that equal rows leave one file; gives its path. */
  write(folder: string): Promise<string>
}

/** `rules` are those of the contract. */
export function refusedRows({ paths, text }: Pick<Source, 'paths' | 'text'>, rules: string[] = []): Refused {
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
      const why = reasonFor(rows, row)
      const place = placeOf(rows, row)
      const winner = winners.get(row)
      const example = kept.length < EXAMPLES ? exampleOf(rows, row, why) : null
      if (kept.length < MOST_KEPT)
        kept.push({ ...place, ...why, example, ...(winner !== undefined && { other: placeOf(rows, winner) }) })
      const key = reasonText(why)
      let broken = found.get(key)
      if (!broken) found.set(key, (broken = { ...why, rows: 0, first: [], example: exampleOf(rows, row, why) }))
      broken.rows++
      if (broken.first.length < SHOWN) broken.first.push(shown(place))
    }
  }

  function reasonFor(rows: Rows, row: number): Reason {
    const { columns } = rows.layout
    const culprit = rows.culprit[row] - 1
    return {
      column: columns[culprit]?.name ?? null,
      rule: rules[culprit - columns.length] ?? null,
      code: faultOf(rows, row),
    }
  }

  function reasons(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { code, rows } of found.values()) counts[code] = (counts[code] ?? 0) + rows
    return counts
  }

  const broken = () => [...found.values()].sort((a, b) => b.rows - a.rows)

  function error(): SluiceError | undefined {
    if (!count) return undefined
    const first = inOrder().slice(0, SHOWN)
    const list = first.map(
      ({ example, other, ...bad }) =>
        `${shown(bad)} ${reasonText(bad)}${example === null ? '' : ` (${example})`}${other ? ` with ${shown(other)}` : ''}`,
    )
    const more = count > SHOWN ? `, and ${count - SHOWN} more` : ''
    return dataError('BAD_ROW', `${count} bad ${count === 1 ? 'row' : 'rows'}: ${list.join(', ')}${more}`, {
      next: hint(reasons()) ?? 'correct them, or set them aside with on_bad_row: quarantine',
      detail: { rejected: count, reasons: reasons(), rows: first.map(detailOf), broken: broken() },
    })
  }

  const detailOf = ({ column, rule, other, example, ...bad }: Bad) => ({
    place: shown(bad),
    line: bad.line,
    code: bad.code,
    ...(column !== null && { column }),
    ...(rule !== null && { rule }),
    ...(example !== null && { example }),
    ...(other && { other: shown(other) }),
  })

  async function write(folder: string): Promise<string> {
    const texts = await text(inOrder())
    const lines = kept.map(({ file, line, code, column, rule }, i) =>
      [paths[file] ?? '', line, code, rule ?? column ?? '', texts[i]].map(value => csvCell(String(value))).join(','),
    )
    const csv = `file,line,code,column,row\n${lines.join('\n')}\n`
    const path = join(folder, `${sha256(csv).slice(0, 16)}.csv`)
    writeAtomic(path, csv)
    return path
  }

  return { take, count: () => count, reasons, broken, error, write }
}

/** `RULE high >= low`, `BELOW_MINIMUM of price`. */
const reasonText = ({ column, rule, code }: Reason): string =>
  rule !== null ? `${code} ${rule}` : column !== null ? `${code} of ${column}` : code

/** For a person: `3 BELOW_MINIMUM of price (prices.csv:5, ...; -1)`. */
export function brokenText(broken: Broken[]): string {
  const list = broken.slice(0, SHOWN).map(({ rows, first, example, ...why }) => {
    const places = `${first[0]}${rows > 1 ? ', ...' : ''}`
    return `${rows} ${reasonText(why)} (${places}${example === null ? '' : `; ${example}`})`
  })
  return `${list.join(', ')}${broken.length > SHOWN ? `, and ${broken.length - SHOWN} more reasons` : ''}`
}

/** Faults of a bar as a whole. */
const OF_BAR = new Set(['NON_POSITIVE_PRICE', 'NEGATIVE_VOLUME', 'OHLC_INVALID'])

/** The values that a row was refused for: `high 1, low 2`; of one column without its name. */
function exampleOf(rows: Rows, row: number, { column, rule, code }: Reason): string | null {
  if (column !== null) return cellOf(rows, row, column)
  const names = rule !== null ? parseExpression(rule).reads : OF_BAR.has(code) ? VALUE_COLUMNS : []
  const shown = names.map(name => `${name} ${cellOf(rows, row, name) ?? 'missing'}`)
  return shown.length ? shown.join(', ') : null
}

/** Null where it is missing or personal. */
function cellOf({ layout, values, said, culprit }: Rows, row: number, name: string): string | null {
  const i = layout.columns.findIndex(column => column.name === name)
  const { type, rule } = layout.columns[i]
  const value = values[i][row]
  if (rule?.pii) return null
  if (culprit[row] === i + 1 && said.has(row)) return said.get(row)!
  if (value === null || Number.isNaN(value)) return null
  return type === 'time' && Math.abs(value as number) <= LAST_INSTANT ? isoTime(value as number) : String(value)
}

/** The farthest instant from 1970 that a date can be (ECMAScript). */
const LAST_INSTANT = 8.64e15
/** A refused row as the quarantine has it. */
export interface RefusedRow {
  file: string
  line: number
  code: string
  /** The column or the rule that it broke. */
  column: string | null
  row: string
}

/** Reads what `write` wrote: the first rows, and of all how many for each code. */
export async function readQuarantine(
  path: string,
  limit: number,
  signal: AbortSignal,
): Promise<{ rows: number; reasons: Record<string, number>; refused: RefusedRow[] }> {
  const reasons: Record<string, number> = {}
  const refused: RefusedRow[] = []
  let rows = -1 // the header
  const visit = (record: CsvRecord) => {
    if (++rows === 0) return
    const [file, line, code, column, row] = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
    reasons[code] = (reasons[code] ?? 0) + 1
    if (refused.length < limit) refused.push({ file, line: Number(line), code, column: column || null, row })
  }
  for await (const _ of scanCsv(path, { delimiter: ',' }, visit, signal)) signal.throwIfAborted()
  return { rows, reasons, refused }
}

/** What to change when one kind of fault is behind most refused rows. */
export function hint(reasons: Record<string, number>): string | undefined {
  const [[worst] = []] = Object.entries(reasons).sort((a, b) => b[1] - a[1])
  return worst === undefined ? undefined : HINTS[worst]
}

const HINTS: Record<string, string> = {
  JSON_PARSE: 'such a line is not valid JSON; NaN and Infinity are none either, null is',
  NOT_A_NUMBER: 'numbers like 43,820.01 need thousands: ","; numbers like 1,5 need decimal: ","',
  TIMESTAMP_INVALID:
    'times are written YYYY-MM-DD HH:MM:SS, with Z or an offset, or as epoch numbers; dates: dmy reads 31.12.2020, dates: mdy 12/31/2020',
  OUT_OF_RANGE: 'are the times in the unit that the config says? unit: s, ms, us or ns',
  AMBIGUOUS_LOCAL_TIME:
    'only times with an offset tell the two hours of an autumn night apart; ambiguous: in_order takes them as they come',
}
