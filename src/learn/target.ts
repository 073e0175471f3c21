// From the values of a label to what a task learns: classes by number, or the numbers themselves.

import { dataError } from '../base/errors.ts'
import type { Task } from '../features/labels.ts'

/** A class is a column of every prediction, and each is to be seen in every fold. */
const MOST_CLASSES = 1000

export interface Target {
  label: Float64Array
  /** Values of `label` in the order of the predicted columns; none for regression. */
  classes: number[]
  classNames: string[]
}

/**
 * The label of the rows that have one. Binary: 0 and 1, of any two values in their order. Multiclass: the numbers as they are, or the
 * places of words. `words` are what the values stand for.
 * Errors (exit 4): LABEL_NOT_BINARY, LABEL_NOT_MULTICLASS, LABEL_NOT_NUMERIC, OUT_OF_RANGE, ONE_CLASS.
 */
export function target(label: Float64Array, task: Task, words: string[] | null): Target {
  if (task === 'regression') return { label: checkNumbers(label, words), classes: [], classNames: [] }
  const values = [...new Set(label)].sort((a, b) => a - b)
  const name = (value: number) => words?.[value] ?? String(value)
  if (task === 'multiclass') return { label, classes: checkMany(values, name), classNames: values.map(name) }
  const [low, high] = checkTwo(values, name, words !== null)
  return { label: label.map(value => Number(value === high)), classes: [0, 1], classNames: [low, high].map(name) }
}

type Name = (value: number) => string

/** Two values; of a label that is 0 or 1 the other one too, where only one was seen: whether that is enough is the split's to say. */
function checkTwo(values: number[], name: Name, worded: boolean): number[] {
  if (values.length === 2) return values
  if (!worded && values.length === 1 && (values[0] === 0 || values[0] === 1)) return [0, 1]
  if (values.length === 1)
    throw dataError('ONE_CLASS', `every row has the label ${name(values[0])}`, { next: 'another label' })
  const more = values.length > 5 ? ', ...' : ''
  throw dataError(
    'LABEL_NOT_BINARY',
    `the label has ${values.length} values (${values.slice(0, 5).map(name).join(', ')}${more}); a binary task needs two`,
    { next: 'set task: multiclass, or regression if they are quantities' },
  )
}

function checkMany(values: number[], name: Name): number[] {
  if (values.length > 2 && values.length <= MOST_CLASSES) return values
  if (values.length > MOST_CLASSES)
    throw dataError('LABEL_NOT_MULTICLASS', `the label has ${values.length} classes, more than ${MOST_CLASSES}`, {
      next: 'set task: regression, or join classes',
    })
  throw dataError(
    'LABEL_NOT_MULTICLASS',
    `the label has ${values.length === 1 ? 'the value' : 'the values'} ${values.map(name).join(' and ')} only; a multiclass task needs three`,
    { next: 'a label with more values, or task: binary' },
  )
}

function checkNumbers(label: Float64Array, words: string[] | null): Float64Array {
  if (words)
    throw dataError(
      'LABEL_NOT_NUMERIC',
      `the label holds words (${words.slice(0, 3).join(', ')}); regression needs numbers`,
      {
        next: 'set task: binary or multiclass',
      },
    )
  const beyond = label.find(value => !Number.isFinite(Math.fround(value)))
  if (beyond !== undefined)
    throw dataError('OUT_OF_RANGE', `the label is ${beyond} in some row, beyond what float32 holds`, {
      next: 'another unit, or its logarithm',
    })
  if (label.every(value => value === label[0]))
    throw dataError('ONE_CLASS', `the label is ${label[0]} in every row: nothing can be learned`, {
      next: 'another label',
    })
  return label
}
