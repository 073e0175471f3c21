// Words as numbers: the vocabulary of a category, and the codes by it that training and serving share.
import { dataError } from '../base/errors.ts'
import { lowerBound } from '../base/statistics.ts'

/** Each may become a column of its own. */
export const MOST_WORDS = 1000

type Words = (string | null)[]

/**
 * The words of the training rows, sorted by code units. Errors (exit 4): TOO_MANY_WORDS for more than 1,000 or one in every row,
 * CONSTANT_FEATURE where no training row has one, or all rows there are have the same.
 */
export function vocabulary(name: string, values: Words, train: Uint32Array): string[] {
  const seen = Array.from(train, row => values[row]).filter(word => word !== null)
  const words = [...new Set(seen)].sort()
  if (words.length > MOST_WORDS || (words.length > 2 && words.length === seen.length))
    throw dataError(
      'TOO_MANY_WORDS',
      `the category ${name} has ${words.length} words in ${seen.length} training rows: it names rows instead of describing them`,
      { next: `leave ${name} out of the features (list those that there are), or name it in data.schema.key` },
    )
  if (!words.length || values.every(word => word === words[0]))
    throw dataError(
      'CONSTANT_FEATURE',
      `the category ${name} is ${words.length ? `${words[0]} in every row` : 'missing in every training row'}: nothing can be learned from it`,
      { next: `take ${name} out of features` },
    )
  return words
}

/** The words of a feature, where it is a category; one may be called constructor. */
export const vocabularyOf = (categories: Record<string, string[]>, feature: string): string[] | undefined =>
  Object.hasOwn(categories, feature) ? categories[feature] : undefined

/** The place of a word in its vocabulary; their number for any that is not in it. */
export function codeOf(vocabulary: string[], word: string): number {
  const place = lowerBound(vocabulary, word)
  return vocabulary[place] === word ? place : vocabulary.length
}

/** A column of words as codes, NaN where one is missing. */
export const encode = (vocabulary: string[], values: Words): Float32Array =>
  Float32Array.from(values, word => (word === null ? Number.NaN : codeOf(vocabulary, word)))
