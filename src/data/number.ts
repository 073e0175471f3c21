// Numbers written as text. Exact: the same double as JavaScript's Number() for the same digits.

import type { Fault } from './schema.ts'

export interface NumberFormat {
  decimal: string
  thousands?: string | null
}

/** Reads `bytes[from..to)` as a number; NaN for everything else, an infinity for what a double cannot hold. */
export type NumberReader = (bytes: Buffer, from: number, to: number) => number

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i
const NULLS = new Set(['', 'nan', 'null', 'none', 'na', 'n/a', 'nil', '<na>', '-'])
const INFINITY = /^[+-]?inf(inity)?$/i
/** 10^0 to 10^22 are exact doubles, so an exact mantissa over one of them is rounded once, correctly (Clinger 1990). */
const TEN = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))
const EXACT = 2 ** 53
const [MINUS, POINT, ZERO] = [45, 46, 48]

export function numberReader({ decimal, thousands }: NumberFormat): NumberReader {
  if (decimal === '.' && !thousands) return readPlain
  return (bytes, from, to) => {
    let text = bytes.toString('latin1', from, to).trim()
    if (thousands) {
      // Groups of three only: 1,5 with a thousands comma is no 15.
      const [whole, ...fraction] = text.split(decimal)
      const groups = whole.split(thousands)
      if (groups.length > 1 && !groups.every((group, i) => (i ? /^\d{3}$/ : /^[+-]?\d{1,3}$/).test(group))) return NaN
      text = [groups.join(''), ...fraction].join(decimal)
    }
    if (decimal !== '.') text = text.includes('.') ? '' : text.replace(decimal, '.')
    return parseNumber(text)
  }
}

/** The number that `text` spells, or NaN. */
function parseNumber(text: string): number {
  const trimmed = text.trim()
  if (NUMBER.test(trimmed)) return Number(trimmed)
  return INFINITY.test(trimmed) ? (trimmed.startsWith('-') ? -Infinity : Infinity) : NaN
}

/** Empty, NaN, null and their like. */
export const isNull = (text: string): boolean => NULLS.has(text.trim().toLowerCase())

/** What is wrong with a cell that was read as `value`, which is not finite. */
export const numberFault = (value: number, text: string): Fault =>
  !Number.isNaN(value) ? 'OUT_OF_RANGE' : isNull(text) ? 'NULL_VALUE' : 'NOT_A_NUMBER'

/** Digits with at most one point. All else, and what would not be exact, is left to Number(). */
function readPlain(bytes: Buffer, from: number, to: number): number {
  const start = bytes[from] === MINUS ? from + 1 : from
  let mantissa = 0
  let point = to
  for (let i = start; i < to; i++) {
    const digit = bytes[i] ^ ZERO
    if (digit <= 9) mantissa = mantissa * 10 + digit
    else if (bytes[i] === POINT && point === to) point = i
    else return parseNumber(bytes.toString('latin1', from, to))
  }
  const scale = point === to ? 0 : to - point - 1
  const digits = to - start - (point === to ? 0 : 1)
  if (digits === 0 || scale > 22 || mantissa >= EXACT) return parseNumber(bytes.toString('latin1', from, to))
  const value = mantissa / TEN[scale]
  return start > from ? -value : value
}
