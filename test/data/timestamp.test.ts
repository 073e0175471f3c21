import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isoTime } from '../../src/base/time.ts'
import { numberReader } from '../../src/data/number.ts'
import { epochMs, KIND, localTimes, readTime, unitOf } from '../../src/data/timestamp.ts'

const readNumber = numberReader({ decimal: '.', thousands: null })
const NAMES = Object.fromEntries(Object.entries(KIND).map(([name, number]) => [number, name]))
function read(text: string): [string, string | number | undefined] {
  const bytes = Buffer.from(`"${text}"`)
  const cell = { value: Number.NaN, kind: KIND.invalid as number }
  readTime(bytes, 1, bytes.length - 1, readNumber, cell)
  const kind = NAMES[cell.kind]
  return [kind, kind === 'invalid' ? undefined : kind === 'epoch' ? cell.value : isoTime(cell.value)]
}

describe('a time', () => {
  it.each([
    ['2021-10-01', 'date', '2021-10-01T00:00:00.000Z'],
    ['2021/10/01', 'date', '2021-10-01T00:00:00.000Z'],
    ['20211001', 'date', '2021-10-01T00:00:00.000Z'],
    ['1899-12-31', 'date', '1899-12-31T00:00:00.000Z'],
    ['2021-10-01 05:06', 'naive', '2021-10-01T05:06:00.000Z'],
    ['2021.10.01 05:06', 'naive', '2021-10-01T05:06:00.000Z'],
    [' 2021-10-01T05:06:07 ', 'naive', '2021-10-01T05:06:07.000Z'],
    ['2021-10-01 05:06:07.123456', 'naive', '2021-10-01T05:06:07.123Z'],
    ['20211001 050607', 'naive', '2021-10-01T05:06:07.000Z'],
    ['20211001050607', 'naive', '2021-10-01T05:06:07.000Z'],
    ['2021-10-01T05:06:07Z', 'instant', '2021-10-01T05:06:07.000Z'],
    ['2021-10-01 05:06:07 UTC', 'instant', '2021-10-01T05:06:07.000Z'],
    ['2021-10-01 05:06:07+03:00', 'instant', '2021-10-01T02:06:07.000Z'],
    ['2021-10-01 05:06:07.5-0530', 'instant', '2021-10-01T10:36:07.500Z'],
    ['2021-10-01T05:06+03', 'instant', '2021-10-01T02:06:00.000Z'],
    ['2024-02-29', 'date', '2024-02-29T00:00:00.000Z'],
    ['1633046400000', 'epoch', 1633046400000],
    ['1633046400.5', 'epoch', 1633046400.5],
    ['-86400', 'epoch', -86400],
  ])('%j is a(n) %s', (text, kind, want) => {
    expect(read(text)).toEqual([kind, want])
  })

  it.each([
    '',
    'noon',
    '2021-13-01',
    '2021-02-30',
    '2023-02-29',
    '2021-10-01T',
    '2021-10-01T24:00',
    '2021-10-01T05',
    '2021-10-01T05:6',
    '2021-10-01T05:06:07X',
    '2021-10-01T05:06:60',
    '2021-10-01x05:06',
    '2021-10-01T05:06:07+99',
    '01/02/2021',
    '2021-1-2',
    '2021-10/01',
    '10:30',
  ])('%j is none', text => {
    expect(read(text)[0]).toBe('invalid')
  })

  it('is what Date reads, for every instant and offset', () => {
    const instant = fc.date({ min: new Date('1900-01-01'), max: new Date('2199-12-31'), noInvalidDate: true })
    const offset = fc.integer({ min: -14 * 60, max: 14 * 60 })
    fc.assert(
      fc.property(instant, offset, (date, minutes) => {
        const sign = minutes < 0 ? '-' : '+'
        const [h, m] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map(n => String(n).padStart(2, '0'))
        const text = `${isoTime(date.getTime() + minutes * 60_000).slice(0, -1)}${sign}${h}:${m}`
        expect(read(text)).toEqual(['instant', date.toISOString()])
      }),
      { numRuns: 500 },
    )
  })
})

it('the size of an epoch number tells its unit', () => {
  const time = Date.UTC(2021, 9, 1)
  for (const [unit, factor] of [
    ['s', 1e-3],
    ['ms', 1],
    ['us', 1e3],
    ['ns', 1e6],
  ] as const) {
    expect(unitOf(time * factor)).toBe(unit)
    expect(epochMs(time * factor, unit)).toBe(time)
  }
  expect([0, 5, 86400, 1e20].map(unitOf)).toEqual([undefined, undefined, undefined, undefined])
})

describe('a wall clock in New York', () => {
  const local = localTimes('America/New_York')
  const at = (text: string) => local(Date.parse(`${text}Z`)).map(isoTime)
  it.each([
    ['2021-03-14T01:59', ['2021-03-14T06:59:00.000Z']],
    ['2021-03-14T02:30', []],
    ['2021-03-14T03:00', ['2021-03-14T07:00:00.000Z']],
    ['2021-11-07T00:30', ['2021-11-07T04:30:00.000Z']],
    ['2021-11-07T01:30', ['2021-11-07T05:30:00.000Z', '2021-11-07T06:30:00.000Z']],
    ['2021-11-07T02:00', ['2021-11-07T07:00:00.000Z']],
    ['2021-07-01T12:00', ['2021-07-01T16:00:00.000Z']],
  ])('%s', (text, want) => {
    expect(at(text)).toEqual(want)
  })
})
