import fc from 'fast-check'
import { expect, it } from 'vitest'
import { codeOf, encode, vocabulary } from '../../src/learn/categories.ts'

const every = (n: number) => Uint32Array.from({ length: n }, (_, i) => i)

it('is the words of the training rows, sorted by code units', () => {
  expect(vocabulary('c', ['b', 'é', null, 'B', 'b', 'later'], Uint32Array.of(0, 1, 2, 3, 4))).toEqual(['B', 'b', 'é'])
})

it('codes are places, the next number for a word never seen, NaN for a missing one', () => {
  expect(encode(['B', 'b', 'é'], ['b', null, 'zebra', '', 'é'])).toEqual(Float32Array.of(1, Number.NaN, 3, 3, 2))
})

it('finds every word where indexOf does', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string()), fc.string(), (list, other) => {
      const words = list.sort()
      for (const word of [...words, other])
        expect(codeOf(words, word)).toBe(words.includes(word) ? words.indexOf(word) : words.length)
    }),
  )
})

it.each([
  ['a word in every row', Array.from(every(50), i => `id${i}`), 'TOO_MANY_WORDS'],
  ['over 1,000 words', Array.from({ length: 4000 }, (_, i) => `w${i % 1001}`), 'TOO_MANY_WORDS'],
  ['one word', ['a', 'a', 'a'], 'CONSTANT_FEATURE'],
  ['no word', [null, null], 'CONSTANT_FEATURE'],
])('refuses %s', (_, values, code) => {
  expect(() => vocabulary('c', values, every(values.length))).toThrow(
    expect.objectContaining({ code, exit: 4, next: expect.stringContaining('c') }),
  )
})

it('takes one word beside missing values, and a thousand', () => {
  expect(vocabulary('c', ['a', null, 'a'], every(3))).toEqual(['a'])
  const many = Array.from({ length: 2000 }, (_, i) => `w${i % 1000}`)
  expect(vocabulary('c', many, every(2000))).toHaveLength(1000)
})
