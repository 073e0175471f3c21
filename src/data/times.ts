// Times as a source wrote them, to UTC ms: one unit for all numbers of a column, one rule for clocks without an offset.
import { dataError } from '../base/errors.ts'
import { DAY, isoTime } from '../base/time.ts'
import { type Rows, refuse, type Warning } from './rows.ts'
import { epochMs, KIND, localTimes, UNITS, type Unit, unitOf } from './timestamp.ts'

const EARLIEST = Date.UTC(1900, 0, 1)
const LATEST = Date.UTC(10_000, 0, 1)
/** Seconds taken for a finer unit land here: within 50 days of 1970-01-01. */
const NEAR_EPOCH = 50 * DAY

export interface TimeRules {
  unit: 'auto' | Unit
  /** Of times without an offset; UTC where there is none. */
  zone?: string
  /** What a time is that the zone shows twice; in_order: the earlier instant when a series comes to it first, then the later. */
  ambiguous?: 'refuse' | 'earlier' | 'later' | 'in_order'
  now: number
}

/** Settles one block after another; what was found in one holds for the next. */
export interface TimeSettler {
  /**
   * Turns every time into UTC ms and refuses those before 1900, at no certain instant or, in the column that rows are sorted by,
   * later than a day after `now`. Errors: TIMESTAMP_UNIT_MIXED when the numbers of a column speak for different units.
   */
  settle(rows: Rows): void
  warnings(): Warning[]
}

interface Seen {
  unit: Unit
  rows: number
  line: number
  time: string
}

export function timeSettler({ unit, zone, ambiguous = 'refuse', now }: TimeRules): TimeSettler {
  const local = zone === undefined ? undefined : localTimes(zone)
  const units = new Map<number, Map<Unit, Seen>>()
  /** Of each series the ambiguous times that it has shown. */
  const shown = new Map<string, Set<number>>()
  let naive = 0
  let settled = 0

  function settleColumn(rows: Rows, column: number): void {
    const time = rows.values[column] as Float64Array
    const kinds = rows.kinds[column]!
    const seen = units.get(column) ?? new Map<Unit, Seen>()
    units.set(column, seen)
    const epoch = unit === 'auto' ? commonUnit(rows, column, seen) : unit
    const latest = column === rows.layout.time ? now + DAY : LATEST
    for (let row = 0; row < rows.count; row++) {
      if (rows.fault[row] || kinds[row] === KIND.invalid) continue
      let value = time[row]
      if (kinds[row] === KIND.epoch) {
        value = epoch ? epochMs(value, epoch) : Number.NaN
        if (epoch !== 's' && Math.abs(value) < NEAR_EPOCH) value = Number.NaN
      } else if (kinds[row] === KIND.naive) {
        naive++
        if (local) value = instantOf(rows, row, column, value, local(value))
      }
      time[row] = value
      if (!(value >= EARLIEST && value < LATEST)) refuse(rows, row, 'OUT_OF_RANGE', column)
      else if (value > latest) refuse(rows, row, 'FUTURE_TIMESTAMP', column)
    }
  }

  /** A wall clock that shows the same time twice, or never, tells no instant; nothing is guessed. */
  function instantOf(rows: Rows, row: number, column: number, wall: number, instants: number[]): number {
    if (instants.length === 1) return instants[0]
    if (instants.length && ambiguous !== 'refuse') {
      settled++
      const later = ambiguous === 'in_order' ? wasShown(rows, row, column, wall) : ambiguous === 'later'
      return later ? Math.max(...instants) : Math.min(...instants)
    }
    refuse(rows, row, instants.length ? 'AMBIGUOUS_LOCAL_TIME' : 'NONEXISTENT_LOCAL_TIME', column)
    return Number.NaN
  }

  function wasShown(rows: Rows, row: number, column: number, wall: number): boolean {
    const symbol = rows.layout.symbol < 0 ? '' : rows.values[rows.layout.symbol][row]
    const key = `${column} ${symbol}`
    const times = shown.get(key) ?? new Set()
    shown.set(key, times)
    return times.size === times.add(wall).size
  }

  return {
    settle(rows) {
      for (const [column, kinds] of rows.kinds.entries()) if (kinds) settleColumn(rows, column)
    },
    warnings() {
      if (settled) {
        const message = `times that ${zone} shows twice: ${settled}, taken as ambiguous: ${ambiguous} says`
        return [{ code: 'AMBIGUOUS_LOCAL_TIME', message, count: settled }]
      }
      if (!naive || zone !== undefined) return []
      const message = `times without an offset: ${naive}, taken as UTC (zone: says otherwise)`
      return [{ code: 'NAIVE_TIME', message, count: naive }]
    },
  }
}

/** The one unit that the epoch numbers speak for, those of earlier blocks included; undefined where none does. */
function commonUnit(rows: Rows, column: number, seen: Map<Unit, Seen>): Unit | undefined {
  const time = rows.values[column] as Float64Array
  const kinds = rows.kinds[column]!
  let last: Seen | undefined
  for (let row = 0; row < rows.count; row++) {
    if (rows.fault[row] || kinds[row] !== KIND.epoch) continue
    const unit = unitOf(time[row])
    if (unit === undefined) continue
    if (unit !== last?.unit) last = seen.get(unit)
    if (last) last.rows++
    else seen.set(unit, (last = { unit, rows: 1, line: rows.line[row], time: isoTime(epochMs(time[row], unit)) }))
  }
  if (seen.size <= 1) return seen.keys().next().value
  const found = UNITS.flatMap(unit => (seen.has(unit) ? [seen.get(unit)!] : []))
  const list = found.map(({ unit, rows, line, time }) => `${rows} in ${unit} (line ${line}: ${time})`)
  throw dataError('TIMESTAMP_UNIT_MIXED', `the times are in different units: ${list.join(', ')}`, {
    next: 'make them one, or set unit: s, ms, us or ns to refuse the others',
    detail: found,
  })
}
