import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isNull, numberReader } from '../../src/data/number.ts'

const reader = (decimal = '.', thousands: string | null = null) => {
  const read = numberReader({ decimal, thousands })
  return (text: string) => {
    const bytes = Buffer.from(`,${text},`)
    return read(bytes, 1, bytes.length - 1)
  }
}

describe('a number', () => {
  const read = reader()
  it('is the double that JavaScript reads, for every double', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), x => read(String(x)) === x),
      { numRuns: 2000 },
    )
  })
  it('is exact for any digits', () => {
    const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 1, maxLength: 25 })
    fc.assert(
      fc.property(digits, digits, fc.constantFrom('', '-'), (whole, part, sign) => {
        const text = `${sign}${whole}.${part}`
        expect(read(text)).toBe(Number(text))
      }),
      { numRuns: 2000 },
    )
  })
  it.each([
    ['+1.5', 1.5],
    [' 7 ', 7],
    ['.5', 0.5],
    ['5.', 5],
    ['1e3', 1000],
    ['1E-3', 0.001],
    ['9007199254740993', 9007199254740992],
  ])('%j', (text, want) => expect(read(text)).toBe(want))
  it.each(['', ' ', '-', '.', '1.2.3', '1,5', '43,820.01', '1_000', '0x10', '1e', 'abc', '1 2', '--1', 'NaN'])(
    '%j is none',
    text => {
      expect(read(text)).toBeNaN()
    },
  )
  it('that no double holds is infinite', () => {
    expect(read('1e400')).toBe(Number.POSITIVE_INFINITY)
    expect(read('-inf')).toBe(Number.NEGATIVE_INFINITY)
  })
})

describe('formats', () => {
  it.each([
    [',', null, '1,5', 1.5],
    [',', null, '1.5', Number.NaN],
    [',', '.', '1.234.567,5', 1234567.5],
    ['.', ',', '43,820.01', 43820.01],
    ['.', ',', '-1,234', -1234],
    ['.', ',', '820.01', 820.01],
    ['.', ',', '1,5', Number.NaN],
    ['.', ',', '12,34,567', Number.NaN],
    ['.', ' ', '1 234.5', 1234.5],
  ])('decimal %j, thousands %j: %j', (decimal, thousands, text, want) => {
    expect(reader(decimal, thousands)(text)).toBe(want)
  })
})

it('knows the spellings of a missing value', () => {
  expect(['', ' ', 'NaN', 'null', 'None', 'NA', 'n/a', '-'].every(isNull)).toBe(true)
  expect(['0', 'x', 'nano'].some(isNull)).toBe(false)
})
