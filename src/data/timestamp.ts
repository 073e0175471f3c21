// Times written as text or numbers, to UTC epoch milliseconds. The unit of epoch numbers is a property of the whole column.
import { DAY } from '../base/time.ts'
import type { NumberReader } from './number.ts'

export const UNITS = ['s', 'ms', 'us', 'ns'] as const
export type Unit = (typeof UNITS)[number]

/** What a time cell turned out to be. `naive` is a wall clock without an offset; `date` a day without a clock. */
export const KIND = { invalid: 0, epoch: 1, instant: 2, naive: 3, date: 4 } as const

/** Where a reader leaves its answer: an epoch number as written, else ms (of the wall clock where naive). */
export interface TimeCell {
  value: number
  kind: number
}

const MINUTE = 60_000
const PER_MS: Record<Unit, number> = { s: 1e-3, ms: 1, us: 1e3, ns: 1e6 }
const DAYS_IN = [0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Milliseconds of an epoch number; parts of a millisecond are cut off. */
export const epochMs = (value: number, unit: Unit): number => Math.floor(value / PER_MS[unit])

/** The unit that the size of an epoch number speaks for (each band ends in the year 5138), or undefined near zero and beyond. */
export function unitOf(value: number): Unit | undefined {
  const size = Math.abs(value)
  if (size < 1e8 || size >= 1e20) return undefined
  return size < 1e11 ? 's' : size < 1e14 ? 'ms' : size < 1e17 ? 'us' : 'ns'
}

/** Epoch numbers of one column in UTC ms; undefined where they do not speak for one unit. */
export function epochTimes(values: Float64Array): Float64Array | undefined {
  const units = new Set(Array.from(values, unitOf))
  const [unit] = units
  return units.size === 1 && unit ? values.map(value => epochMs(value, unit)) : undefined
}

/**
 * Reads a time cell: YYYY-MM-DD (also with / or .), then optionally T or a space, HH:MM[:SS[.fraction]] and Z, UTC or an offset;
 * YYYYMMDD[ HHMMSS]; or an epoch number. Which of two numbers before a year is the day is never guessed.
 */
export function readTime(bytes: Buffer, from: number, to: number, readNumber: NumberReader, cell: TimeCell): void {
  while (from < to && bytes[from] === 32) from++
  while (to > from && bytes[to - 1] === 32) to--
  const separator = bytes[from + 4]
  if (to - from >= 8 && (separator === 45 || separator === 47 || separator === 46) && bytes[from + 7] === separator)
    readCalendar(bytes, from, to, 10, cell)
  else if (isCompact(bytes, from, to)) readCalendar(bytes, from, to, 8, cell)
  else {
    cell.value = readNumber(bytes, from, to)
    cell.kind = Number.isNaN(cell.value) ? KIND.invalid : KIND.epoch
  }
}

/** Of day, month and year in dates that are text. */
export type DateOrder = 'ymd' | 'dmy' | 'mdy'
export type TimeReader = (bytes: Buffer, from: number, to: number, cell: TimeCell) => void

const YEAR_LAST = /^\s*(\d\d?)([./-])(\d\d?)\2(\d{4})(?!\d)/

/** `readTime`, also for dates that end in their year; then one that begins with it is read all the same. */
export function timeReader(readNumber: NumberReader, dates: DateOrder = 'ymd'): TimeReader {
  if (dates === 'ymd') return (bytes, from, to, cell) => readTime(bytes, from, to, readNumber, cell)
  return (bytes, from, to, cell) => {
    const text = bytes.toString('latin1', from, to).replace(YEAR_LAST, (_, a, __, b, year) => {
      const [day, month] = dates === 'dmy' ? [a, b] : [b, a]
      return `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`
    })
    readTime(Buffer.from(text, 'latin1'), 0, text.length, readNumber, cell)
  }
}

const digitsAt = (bytes: Buffer, at: number, count: number): number => {
  let value = 0
  for (let i = at; i < at + count; i++) {
    const digit = bytes[i] - 48
    if (!(digit >= 0 && digit <= 9)) return NaN
    value = value * 10 + digit
  }
  return value
}

/** Eight digits that are a day of 1900..2100 (as seconds they would lie in 1970), alone or before a clock. */
function isCompact(bytes: Buffer, from: number, to: number): boolean {
  const size = to - from
  if (size !== 8 && size !== 14 && !(size === 15 && (bytes[from + 8] === 32 || bytes[from + 8] === 84))) return false
  const year = digitsAt(bytes, from, 4)
  const month = digitsAt(bytes, from + 4, 2)
  const day = digitsAt(bytes, from + 6, 2)
  return year >= 1900 && year <= 2100 && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

function readCalendar(bytes: Buffer, from: number, to: number, size: 8 | 10, cell: TimeCell): void {
  const gap = size === 10 ? 1 : 0
  const year = digitsAt(bytes, from, 4)
  const month = digitsAt(bytes, from + 4 + gap, 2)
  const day = digitsAt(bytes, from + 6 + 2 * gap, 2)
  cell.kind = KIND.invalid
  if (!(month >= 1 && month <= 12 && day >= 1 && day <= DAYS_IN[month])) return
  if (month === 2 && day === 29 && !isLeap(year)) return
  cell.value = daysFromCivil(year, month, day) * DAY
  if (from + size === to) cell.kind = KIND.date
  else readClock(bytes, from + size, to, gap, cell)
}

/** Adds HH:MM[:SS[.fraction]] or HHMMSS, and an offset, to the day in `cell`. */
function readClock(bytes: Buffer, from: number, to: number, gap: number, cell: TimeCell): void {
  let at = from
  if (bytes[at] === 32 || bytes[at] === 84 || bytes[at] === 116) at++
  else if (gap) return
  const hour = digitsAt(bytes, at, 2)
  const minute = digitsAt(bytes, at + 2 + gap, 2)
  if (gap && bytes[at + 2] !== 58) return
  at += 4 + gap
  let second = 0
  let fraction = 0
  if (gap ? bytes[at] === 58 && at < to : at < to) {
    second = digitsAt(bytes, at + gap, 2)
    at += 2 + gap
    if (at < to && (bytes[at] === 46 || bytes[at] === 44)) {
      for (let scale = 100; ++at < to && bytes[at] >= 48 && bytes[at] <= 57; scale /= 10)
        fraction += (bytes[at] - 48) * scale
    }
  }
  if (at > to || !(hour < 24 && minute < 60 && second < 60)) return
  cell.value += hour * 60 * MINUTE + minute * MINUTE + second * 1000 + Math.floor(fraction + 1e-9)
  if (at === to) cell.kind = KIND.naive
  else if (at + 1 === to && bytes[at] === 90) cell.kind = KIND.instant
  else readOffset(bytes.toString('latin1', at, to), cell)
}

const OFFSET = /^(?:UTC|GMT)?([+-])(\d\d):?(\d\d)?$/

function readOffset(text: string, cell: TimeCell): void {
  const zone = text.trim().toUpperCase()
  const offset = OFFSET.exec(zone)
  if (offset) {
    const [, sign, hours, minutes = '0'] = offset
    if (Number(hours) > 15 || Number(minutes) > 59) return
    cell.value -= (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE
  } else if (zone !== 'Z' && zone !== 'UTC' && zone !== 'GMT') return
  cell.kind = KIND.instant
}

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0

/** Days since 1970-01-01 in the proleptic Gregorian calendar (Hinnant 2013, days_from_civil). */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

/** From wall-clock ms to the instants that show it in `zone`: none in a spring gap, two in an autumn overlap. */
export function localTimes(zone: string): (wall: number) => number[] {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    ...{ year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric' },
  })
  const offsets = new Map<number, number>()
  /** Offset of the zone at an instant; zones change at quarters of an hour, so one look per quarter. */
  const offsetAt = (time: number): number => {
    const quarter = Math.floor(time / (15 * MINUTE))
    let offset = offsets.get(quarter)
    if (offset === undefined) {
      const part: Record<string, number> = {}
      for (const { type, value } of format.formatToParts(quarter * 15 * MINUTE)) part[type] = Number(value)
      const wall = Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second)
      offsets.set(quarter, (offset = wall - quarter * 15 * MINUTE))
    }
    return offset
  }
  return wall => {
    const offset = new Set([offsetAt(wall - DAY), offsetAt(wall + DAY)])
    return [...offset].map(shift => wall - shift).filter(time => time + offsetAt(time) === wall)
  }
}
