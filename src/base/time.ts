// Time is UTC epoch milliseconds everywhere. A timeframe is a bar length such as 1m, 4h, 1d, 1w, 1M (months).
import { usageError } from './errors.ts'

export interface Timeframe {
  name: string
  count: number
  unit: 's' | 'm' | 'h' | 'd' | 'w' | 'M'
}

const SECOND = 1000
export const DAY = 86_400 * SECOND
const LENGTH = { s: SECOND, m: 60 * SECOND, h: 3600 * SECOND, d: DAY, w: 7 * DAY } as const
/** 1970-01-05, the first Monday: weeks are counted from it. */
const MONDAY = 4 * DAY

export const isTimeframe = (text: string): boolean => /^[1-9]\d{0,3}[smhdwM]$/.test(text)

export function parseTimeframe(text: string): Timeframe {
  if (!isTimeframe(text))
    throw usageError(
      'TIMEFRAME',
      `${text} is no timeframe; write a number and s, m, h, d, w or M (months), such as 15m or 1d`,
    )
  return { name: text, count: Number.parseInt(text, 10), unit: text.at(-1) as Timeframe['unit'] }
}

/** Length of a bar in ms; a month counts as 1/12 of 365.2425 days (only its bounds are exact, see barOpen). */
export function timeframeLength({ count, unit }: Timeframe): number {
  return unit === 'M' ? (count * 365.2425 * DAY) / 12 : count * LENGTH[unit]
}

/** Opening time of the bar that holds `time`: weeks begin Monday 00:00 UTC, months on the first, other lengths count from the epoch. */
export function barOpen(time: number, { count, unit }: Timeframe): number {
  if (unit === 'M') {
    const date = new Date(time)
    const months = date.getUTCFullYear() * 12 + date.getUTCMonth()
    return monthOpen(Math.floor(months / count) * count)
  }
  const length = count * LENGTH[unit]
  const origin = unit === 'w' ? MONDAY : 0
  return Math.floor((time - origin) / length) * length + origin
}

/** Closing time of the bar that opens at `open` (= the next bar's open). */
export function barClose(open: number, timeframe: Timeframe): number {
  if (timeframe.unit !== 'M') return open + timeframe.count * LENGTH[timeframe.unit]
  const date = new Date(open)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + timeframe.count)
}

/** 2000-01-03T00:00:00.000Z */
export const isoTime = (time: number): string => new Date(time).toISOString()

/** Opening of the month that is `months` after January of year 0 (Date.UTC would read years below 100 as 19xx). */
function monthOpen(months: number): number {
  return new Date(0).setUTCFullYear(Math.floor(months / 12), months % 12, 1)
}
