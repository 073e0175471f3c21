import { expect, it } from 'vitest'
import { target } from '../../src/learn/target.ts'

const numbers = (...values: number[]) => Float64Array.from(values)

it('two values are the classes 0 and 1 in their order', () => {
  expect(target(numbers(1, 0, 1), 'binary', null)).toEqual({
    label: numbers(1, 0, 1),
    classes: [0, 1],
    classNames: ['0', '1'],
  })
  expect(target(numbers(7, -2, 7), 'binary', null)).toEqual({
    label: numbers(1, 0, 1),
    classes: [0, 1],
    classNames: ['-2', '7'],
  })
  // A word that no row with features has leaves a gap among the places.
  expect(target(numbers(0, 2, 2), 'binary', ['bad', 'fair', 'good'])).toEqual({
    label: numbers(0, 1, 1),
    classes: [0, 1],
    classNames: ['bad', 'good'],
  })
})

it('more values are classes as they are', () => {
  expect(target(numbers(1, -1, 0), 'multiclass', null)).toMatchObject({
    classes: [-1, 0, 1],
    classNames: ['-1', '0', '1'],
  })
  expect(target(numbers(2, 0, 1), 'multiclass', ['a', 'b', 'c'])).toMatchObject({
    classes: [0, 1, 2],
    classNames: ['a', 'b', 'c'],
  })
})

it('regression takes numbers and has no classes', () => {
  expect(target(numbers(0.5, 2), 'regression', null)).toEqual({ label: numbers(0.5, 2), classes: [], classNames: [] })
})

it.each([
  ['binary', numbers(1, 2, 3), null, 'LABEL_NOT_BINARY', /3 values \(1, 2, 3\)/],
  ['binary', numbers(0, 1, 2), ['a', 'b', 'c'], 'LABEL_NOT_BINARY', /\(a, b, c\)/],
  ['binary', numbers(0, 0), ['yes'], 'ONE_CLASS', /label yes/],
  ['binary', numbers(5, 5), null, 'ONE_CLASS', /label 5/],
  ['multiclass', numbers(0, 1), null, 'LABEL_NOT_MULTICLASS', /values 0 and 1 only/],
  ['multiclass', Float64Array.from({ length: 2000 }, (_, i) => i), null, 'LABEL_NOT_MULTICLASS', /2000 classes/],
  ['regression', numbers(0, 1), ['a', 'b'], 'LABEL_NOT_NUMERIC', /holds words \(a, b\)/],
  ['regression', numbers(1, 1e300), null, 'OUT_OF_RANGE', /1e\+300 in some row/],
  ['regression', numbers(4, 4), null, 'ONE_CLASS', /4 in every row/],
] as const)('%s refuses %j', (task, label, words, code, message) => {
  expect(() => target(label, task, words && [...words])).toThrow(
    expect.objectContaining({ code, exit: 4, message: expect.stringMatching(message), next: expect.anything() }),
  )
})
