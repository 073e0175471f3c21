// Which column of a source is which of ours. Never a guess between two.
import { dataError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { CANDLE_COLUMNS, type CandleColumn, type ColumnNames } from './schema.ts'

/** Position of each of our columns in the source; -1 is a column that the source does not have. */
export type ColumnPlaces = Record<CandleColumn, number>

/** Common spellings, lower case, words joined by `_`. `` and `index` are what pandas writes for an index without a name. */
const SPELLINGS: Record<CandleColumn, string[]> = {
  time: [
    ...['time', 'timestamp', 'ts', 't', 'date', 'datetime', 'date_time', 'unix', 'unix_timestamp', 'unix_time'],
    ...['open_time', 'opentime', 'time_open', 'timeopen', 'start_time', 'starttime', 'period_start', 'begins_at'],
    ...['gmt_time', 'utc_time', 'local_time', 'time_utc', 'timestamp_utc', 'date_utc', 'window_start', 'ts_event'],
  ],
  open: ['open', 'o', 'open_price'],
  high: ['high', 'h', 'high_price'],
  low: ['low', 'l', 'low_price'],
  close: ['close', 'c', 'close_price'],
  volume: ['volume', 'vol', 'vol.', 'v', 'tick_volume', 'base_volume'],
  symbol: ['symbol', 'ticker', 'tic', 'pair', 'instrument', 'market'],
}
const INDEX = ['', 'index', 'unnamed:_0']

/**
 * Finds our columns in a header, by `names` (ours to theirs) or a common spelling, whatever its case and spaces.
 * Errors: MISSING_COLUMN, AMBIGUOUS_COLUMN, DUPLICATE_COLUMN.
 */
export function placeColumns(header: string[], names: ColumnNames, file: string): ColumnPlaces {
  const spelled = header.map(spelling)
  const places = {} as ColumnPlaces
  const missing: string[] = []
  for (const ours of CANDLE_COLUMNS) {
    const place = names[ours] === null ? -1 : placeOf(ours, header, spelled, nameOf(names, ours), file)
    places[ours] = place
    const optional = ours === 'symbol' && names.symbol === undefined
    if (place < 0 && !optional && names[ours] !== null) missing.push(ours)
  }
  if (missing.length) throw missingColumns(missing, header, file)
  return places
}

/** Which of our columns a common spelling means. */
export const spelledAs = (name: string): CandleColumn | undefined =>
  CANDLE_COLUMNS.find(ours => SPELLINGS[ours].includes(spelling(name)))

/** The first of several. */
export const nameOf = (names: ColumnNames, ours: string): string | null | undefined => {
  const theirs = Object.hasOwn(names, ours) ? names[ours] : undefined
  return Array.isArray(theirs) ? theirs[0] : theirs
}

/** Positions of the columns that together are the time; none where it is one. Errors: MISSING_COLUMN. */
export function placeParts(header: string[], { time }: ColumnNames, file: string): number[] {
  if (!Array.isArray(time)) return []
  const spelled = header.map(spelling)
  const places = time.map(name => spelled.indexOf(spelling(name)))
  const missing = time.filter((_, i) => places[i] < 0)
  if (missing.length) throw missingColumns(missing, header, file)
  return places
}

/** Position of our column by its name in `columns`, else by ours, as it is written; where `optional`, -1 if there is none. Errors: MISSING_COLUMN, DUPLICATE_COLUMN. */
export function placeNamed(header: string[], names: ColumnNames, ours: string, file: string, optional = false): number {
  const name = nameOf(names, ours) ?? ours
  const theirs = header.map(name => name.trim())
  const place = theirs.indexOf(name)
  if (place < 0 && !optional) {
    const close = nearest(name, theirs)
    throw dataError('MISSING_COLUMN', `${file} has no column ${name}; its columns are ${theirs.join(', ')}`, {
      next: close
        ? `did you mean ${close}? columns: {${ours}: ${close}} takes it`
        : `say which it is: columns: {${ours}: theirs}`,
      detail: { missing: [name], columns: theirs },
    })
  }
  if (place !== theirs.lastIndexOf(name)) throw duplicateColumn(name, file)
  return place
}

function placeOf(
  ours: CandleColumn,
  header: string[],
  spelled: string[],
  theirs: string | null | undefined,
  file: string,
): number {
  const wanted = theirs ? [spelling(theirs)] : SPELLINGS[ours]
  let found = spelled.flatMap((name, i) => (wanted.includes(name) ? [i] : []))
  if (theirs && found.length > 1) found = found.filter(i => header[i].trim() === theirs.trim())
  if (ours === 'time' && !theirs && !found.length && INDEX.includes(spelled[0])) return 0
  if (found.length <= 1) return found[0] ?? -1
  const list = found.map(i => header[i].trim()).join(', ')
  if (new Set(found.map(i => spelled[i])).size < found.length) throw duplicateColumn(list.split(', ')[0], file)
  throw dataError('AMBIGUOUS_COLUMN', `${file}: ${ours} may be any of ${list}`, {
    next:
      ours === 'time' && list.toLowerCase().includes('date')
        ? `say which: columns: {time: ${header[found[0]].trim()}}, or columns: {time: [${list}]} if one is the day and one the clock`
        : `say which: columns: {${ours}: ${header[found[0]].trim()}}`,
  })
}

const duplicateColumn = (name: string, file: string) =>
  dataError('DUPLICATE_COLUMN', `${file} has the column ${name} more than once`, {
    next: 'rename one of them; in CSV skip_lines: 1 and header: [their names] do so',
  })

function missingColumns(missing: string[], header: string[], file: string) {
  const fact = `${file} has no column for ${missing.join(', ')}; its columns are ${header.map(name => name.trim()).join(', ')}`
  const unnamed = header.length > 1 && header.every(name => /^[\d\s.:+\-TZ/]*$/.test(name))
  const likely = header.find(name => spelling(name).startsWith(missing[0]))?.trim()
  const next = unnamed
    ? 'its first line looks like data: header: false, or header: [their names]'
    : header.length === 1 && missing.length > 1
      ? `if the names stand further down: skip_lines: 1, or as many as stand above them${/^\W/.test(header[0]) ? `, or comment: "${header[0][0]}"` : ''}`
      : missing.length === 1 && missing[0] === 'volume'
        ? `name it (columns: {volume: ${likely ?? 'theirs'}}), or say that there is none: columns: {volume: null}`
        : `name them: columns: {${missing[0]}: ${likely ?? 'theirs'}}`
  return dataError('MISSING_COLUMN', fact, { next, detail: { missing, columns: header } })
}

const spelling = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/^<(.*)>$/, '$1')
    .trim()
    .replace(/[\s-]+/g, '_')
