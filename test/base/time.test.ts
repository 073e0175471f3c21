import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { barClose, barOpen, DAY, isoTime, isTimeframe, parseTimeframe, timeframeLength } from '../../src/base/time.ts'

const YEARS = { min: Date.UTC(1950, 0, 1), max: Date.UTC(2150, 0, 1) }
const times = fc.integer(YEARS)
const frames = fc
  .tuple(fc.integer({ min: 1, max: 400 }), fc.constantFrom(...'smhdwM'))
  .map(([n, unit]) => parseTimeframe(`${n}${unit}`))

describe('a bar', () => {
  it('holds its time, and touches the next one', () => {
    fc.assert(
      fc.property(times, frames, (time, frame) => {
        const open = barOpen(time, frame)
        const close = barClose(open, frame)
        expect(open).toBeLessThanOrEqual(time)
        expect(close).toBeGreaterThan(time)
        expect(barOpen(open, frame)).toBe(open)
        expect(barOpen(close - 1, frame)).toBe(open)
        expect(barOpen(close, frame)).toBe(close)
      }),
    )
  })

  it('of minutes, hours and days is what Date says', () => {
    fc.assert(
      fc.property(times, time => {
        const date = new Date(time)
        expect(barOpen(time, parseTimeframe('1m'))).toBe(new Date(time).setUTCSeconds(0, 0))
        expect(barOpen(time, parseTimeframe('1h'))).toBe(new Date(time).setUTCMinutes(0, 0, 0))
        expect(barOpen(time, parseTimeframe('6h'))).toBe(
          date.setUTCHours(Math.floor(date.getUTCHours() / 6) * 6, 0, 0, 0),
        )
        expect(barOpen(time, parseTimeframe('1d'))).toBe(new Date(time).setUTCHours(0, 0, 0, 0))
      }),
    )
  })

  it('of a week begins on Monday, of months on the first', () => {
    fc.assert(
      fc.property(times, time => {
        const week = new Date(barOpen(time, parseTimeframe('1w')))
        expect([week.getUTCDay(), week.getUTCHours(), week.getUTCMinutes()]).toEqual([1, 0, 0])
        expect(week.getTime()).toBeGreaterThan(time - 7 * DAY)
        const date = new Date(time)
        expect(barOpen(time, parseTimeframe('1M'))).toBe(Date.UTC(date.getUTCFullYear(), date.getUTCMonth()))
        expect(barOpen(time, parseTimeframe('3M'))).toBe(
          Date.UTC(date.getUTCFullYear(), Math.floor(date.getUTCMonth() / 3) * 3),
        )
        expect(barOpen(time, parseTimeframe('12M'))).toBe(Date.UTC(date.getUTCFullYear()))
      }),
    )
  })

  it('of a month is as long as the month', () => {
    const month = parseTimeframe('1M')
    expect(barClose(Date.UTC(2024, 1), month) - Date.UTC(2024, 1)).toBe(29 * DAY)
    expect(barClose(Date.UTC(2023, 11), month)).toBe(Date.UTC(2024, 0))
    expect(timeframeLength(month) / DAY).toBeCloseTo(30.437, 3)
  })

  it('of years in antiquity is not taken for one of the twentieth century', () => {
    const time = Date.parse('0050-06-15T00:00:00Z')
    expect(isoTime(barOpen(time, parseTimeframe('1M')))).toBe('0050-06-01T00:00:00.000Z')
  })
})

describe('a timeframe', () => {
  it.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['4h', 14_400_000],
    ['1d', DAY],
    ['2w', 14 * DAY],
  ])('%s lasts %i ms', (name, length) => {
    expect(timeframeLength(parseTimeframe(name))).toBe(length)
  })

  it.each(['', 'd', '0d', '-1d', '01d', '1.5h', '1D', '1 d', '10000m', 'd1', '1y'])('is not %j', name => {
    expect(isTimeframe(name)).toBe(false)
    expect(() => parseTimeframe(name)).toThrow(expect.objectContaining({ code: 'TIMEFRAME', exit: 2 }))
  })
})
