import { describe, expect, it } from 'vitest'
import { DAY } from '../../src/base/time.ts'
import { commonTimeframe, findGaps } from '../../src/data/gaps.ts'

const HOUR = DAY / 24
const MONDAY = Date.UTC(2024, 0, 1)
const days = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i * DAY)
const isWeekday = (time: number) => ![0, 6].includes(new Date(time).getUTCDay())
const weekdays = (weeks: number) => days(MONDAY, 7 * weeks).filter(isWeekday)
const found = (times: number[], timeframe = '1d') =>
  findGaps(Float64Array.from(times), timeframe).map(({ start, end, bars }) => [start, end, bars])

describe('the common bar length', () => {
  it.each([
    [DAY, '1d'],
    [7 * DAY, '1w'],
    [HOUR, '1h'],
    [4 * HOUR, '4h'],
    [15 * 60_000, '15m'],
    [1000, '1s'],
    [2 * DAY, '2d'],
    [90_000, '90s'],
  ])('%d ms is %s', (step, want) => {
    expect(commonTimeframe([Float64Array.from({ length: 9 }, (_, i) => i * step)])).toBe(want)
  })
  it('months, whatever their length', () => {
    const months = Float64Array.from({ length: 24 }, (_, i) => Date.UTC(2020, i, 1))
    expect(commonTimeframe([months])).toBe('1M')
    expect(commonTimeframe([months.filter((_, i) => i % 3 === 0)])).toBe('3M')
  })
  it('is the most frequent step over all symbols', () => {
    expect(
      commonTimeframe([Float64Array.from([0, HOUR, 2 * HOUR, 9 * HOUR]), Float64Array.from([0, DAY, DAY + HOUR])]),
    ).toBe('1h')
  })
  it('of no two bars there is none', () => {
    expect(commonTimeframe([Float64Array.of(5), new Float64Array(0)])).toBeUndefined()
    expect(commonTimeframe([Float64Array.of(0, 0.5)])).toBeUndefined()
  })
})

describe('gaps', () => {
  it('reach from the end of the bar before to the bar after', () => {
    expect(found([0, HOUR, 5 * HOUR, 6 * HOUR], '1h')).toEqual([[2 * HOUR, 5 * HOUR, 3]])
  })
  it('weekends are none once four of them were seen', () => {
    expect(found(weekdays(8))).toEqual([])
    expect(found(weekdays(2)).map(([, , bars]) => bars)).toEqual([2])
  })
  it('a holiday is one bar, a closed week five, whatever weekends lie in it', () => {
    const times = weekdays(30)
    const holiday = times.filter((_, i) => i !== 52)
    expect(found(holiday).map(([, , bars]) => bars)).toEqual([1])
    const closed = times.filter(time => time < MONDAY + 70 * DAY || time >= MONDAY + 77 * DAY)
    expect(found(closed)).toEqual([[MONDAY + 68 * DAY, MONDAY + 77 * DAY, 5]])
  })
  it('nights, and the hour that daylight saving moves, are none', () => {
    // Seven hours a day, an hour earlier in UTC for the longer half of the year.
    const hours = weekdays(40).flatMap((day, i) =>
      Array.from({ length: 7 }, (_, h) => day + (h + (i < 70 ? 15 : 14)) * HOUR),
    )
    expect(found(hours, '1h')).toEqual([])
  })
  it('days stamped at local midnight are a day apart in summer and in winter', () => {
    expect(found(days(MONDAY, 60).map((time, i) => time - (i < 30 ? 0 : HOUR)))).toEqual([])
  })
  it('a market that trades only sometimes still has its long gaps', () => {
    const minutes = Array.from({ length: 40 * 1440 }, (_, i) => MONDAY + i * 60_000).filter(
      (_, i) => (i * 2654435761) % 4294967296 < 2 ** 31,
    )
    const outage = minutes.filter(time => time < MONDAY + 20 * DAY || time >= MONDAY + 23 * DAY)
    const longest = Math.max(...found(outage, '1m').map(([, , bars]) => bars))
    expect(longest).toBeGreaterThan(2000)
  })
  it('months', () => {
    const months = Array.from({ length: 30 }, (_, i) => Date.UTC(2020, i, 1)).filter((_, i) => i !== 7 && i !== 8)
    expect(found(months, '1M')).toEqual([[Date.UTC(2020, 7, 1), Date.UTC(2020, 9, 1), 2]])
  })
  it('before 1970', () => {
    const times = days(Date.UTC(1950, 0, 2), 70).filter(isWeekday)
    expect(found(times)).toEqual([])
    expect(found(times.filter((_, i) => i !== 30)).map(([, , bars]) => bars)).toEqual([1])
  })
})
