// Which rows of a table lie in which of its files. By the rows alone, so that equal rows lie alike however they came:
// one file while they are few, else one for each year, of a year that has more one for each month, then day, then hour.
import { lowerBound } from '../base/statistics.ts'
import { joinTables, sliceRows, type Table, timesOf } from '../base/table.ts'
import { barClose, barOpen, isoTime, parseTimeframe } from '../base/time.ts'

/** A stretch of time that may be one file: [from, to). */
export interface Period {
  id: string
  from: number
  to: number
  /** How deep it lies: 0 is all of time. */
  level: number
}

export const ALL: Period = {
  id: 'all',
  from: Number.NEGATIVE_INFINITY,
  to: Number.POSITIVE_INFINITY,
  level: 0,
}

/** Below a period of level l: the length of its parts, and how much of an ISO time names one. */
const PARTS = [
  { frame: parseTimeframe('12M'), letters: 4 },
  { frame: parseTimeframe('1M'), letters: 7 },
  { frame: parseTimeframe('1d'), letters: 10 },
  { frame: parseTimeframe('1h'), letters: 13 },
]

/** The part of `period` that holds `time`. */
function partOf({ level }: Period, time: number): Period {
  const { frame, letters } = PARTS[level]
  const from = barOpen(time, frame)
  return { id: isoTime(from).slice(0, letters), from, to: barClose(from, frame), level: level + 1 }
}

/** The period that a partition's id names. */
export function periodOf(id: string): Period {
  if (id === ALL.id) return ALL
  const level = PARTS.findIndex(({ letters }) => letters === id.length)
  const time = Date.parse(id.length === 13 ? `${id}:00Z` : id)
  return partOf({ ...ALL, level }, time)
}

/** Rows in time order that are taken from the front; the stream behind it is read as far as is needed. */
export interface Queue {
  /** Reads until more than `rows` wait, or one at or after `time`, or the stream has ended; false: it has ended. */
  fill(rows: number, time: number): Promise<boolean>
  /** Rows that wait and lie before `time`. */
  countBefore(time: number): number
  /** Time of the next row; undefined: there is none. */
  next(): Promise<number | undefined>
  /** The first `rows` rows that wait. */
  take(rows: number): Table
}

export function queueOf(tables: AsyncIterable<Table> | Iterable<Table>): Queue {
  const stream =
    Symbol.asyncIterator in tables ? tables[Symbol.asyncIterator]() : (tables[Symbol.iterator]() as Iterator<Table>)
  let waiting: Table[] = []
  let ended = false

  const count = () => waiting.reduce((total, { rows }) => total + rows, 0)
  const last = () => (waiting.length ? timesOf(waiting.at(-1)!)!.at(-1)! : Number.NEGATIVE_INFINITY)

  async function fill(rows: number, time: number): Promise<boolean> {
    while (!ended && count() <= rows && last() < time) {
      const { value, done } = await stream.next()
      if (done) ended = true
      else if (value.rows) waiting.push(value)
    }
    return !ended
  }

  return {
    fill,
    countBefore: time => waiting.reduce((total, table) => total + rowsBefore(table, time), 0),
    async next() {
      await fill(0, Number.POSITIVE_INFINITY)
      return waiting.length ? timesOf(waiting[0])![0] : undefined
    },
    take(rows) {
      const whole = waiting.length === 1 ? waiting[0] : joinTables(waiting)
      waiting = rows < whole.rows ? [sliceRows(whole, rows, whole.rows)] : []
      return rows < whole.rows ? sliceRows(whole, 0, rows) : whole
    },
  }
}

const rowsBefore = (table: Table, time: number): number => lowerBound(timesOf(table)!, time)

export interface Piece {
  id: string
  table: Table
}

/** Cuts the rows of a period into pieces of at most `limit` rows where time can be cut so finely. */
export async function* cutPeriod(period: Period, rows: Queue, limit: number): AsyncGenerator<Piece> {
  const finest = period.level === PARTS.length
  await rows.fill(finest ? Number.POSITIVE_INFINITY : limit, period.to)
  const count = rows.countBefore(period.to)
  if (finest || count <= limit) {
    if (count) yield { id: period.id, table: rows.take(count) }
    return
  }
  for (let time = await rows.next(); time !== undefined && time < period.to; time = await rows.next())
    yield* cutPeriod(partOf(period, time), rows, limit)
}

/** Rows without a time, in their order. */
export function* cutRows(table: Table, limit: number): Generator<Piece> {
  const digits = String(Math.floor((table.rows - 1) / limit)).length
  for (let from = 0, n = 0; from < table.rows; from += limit, n++)
    yield {
      id: table.rows <= limit ? ALL.id : String(n).padStart(Math.max(4, digits), '0'),
      table: sliceRows(table, from, Math.min(table.rows, from + limit)),
    }
}

/** What is to become of a table's files when rows are added: one stays as it is, others are written. */
export type Step<Kept> = { keep: Kept } | { write: Piece }

/**
 * Adds rows to partitions (ascending): those that get none are kept, all others are merged and cut as a table made of all rows at once would be.
 * `read` gives a partition's rows, `merge` puts rows of one stretch of time together.
 */
export async function* addRows<Kept extends { id: string }>(
  period: Period,
  partitions: Kept[],
  fresh: Queue,
  limit: number,
  read: (partition: Kept) => Promise<Table>,
  merge: (old: Table, fresh: Table) => Table,
): AsyncGenerator<Step<Kept>> {
  const first = await fresh.next()
  if (first === undefined || first >= period.to) {
    for (const keep of partitions) yield { keep }
    return
  }
  if (partitions.length === 1 && partitions[0].id === period.id) {
    const merged = mergeInto(await read(partitions[0]), fresh, period.to, limit, merge)
    for await (const write of cutPeriod(period, queueOf(merged), limit)) yield { write }
    return
  }
  if (!partitions.length) {
    for await (const write of cutPeriod(period, fresh, limit)) yield { write }
    return
  }
  const left = [...partitions]
  for (;;) {
    const time = Math.min(
      (await fresh.next()) ?? Number.POSITIVE_INFINITY,
      left.length ? periodOf(left[0].id).from : Infinity,
    )
    if (!(time < period.to)) return
    const part = partOf(period, time)
    const inside = left.filter(({ id }) => periodOf(id).from < part.to)
    left.splice(0, inside.length)
    yield* addRows(part, inside, fresh, limit, read, merge)
  }
}

/** The rows of a partition with those that are added to it, stretch by stretch. */
async function* mergeInto(
  old: Table,
  fresh: Queue,
  to: number,
  limit: number,
  merge: (old: Table, fresh: Table) => Table,
): AsyncGenerator<Table> {
  let at = 0
  for (;;) {
    await fresh.fill(limit, to)
    const count = fresh.countBefore(to)
    if (!count) break
    const chunk = fresh.take(count)
    const more = (await fresh.next()) ?? Number.POSITIVE_INFINITY
    const end = more < to ? rowsBefore(old, more) : old.rows
    yield merge(sliceRows(old, at, end), chunk)
    at = end
  }
  if (at < old.rows) yield sliceRows(old, at, old.rows)
}
