// The columns of a dataset: values as a table has them become the float32 numbers and codes that a model sees.
import { dataError, type SluiceError } from '../base/errors.ts'
import { kolmogorovSmirnov } from '../base/statistics.ts'
import { takeValues, type Values } from '../base/table.ts'
import { encode, vocabulary } from './categories.ts'
import type { PreprocessConfig } from './preprocess.ts'
import { indices, type Range, type Split } from './split.ts'

/** A feature whose float32 rounding exceeds this share of its own deviation would be another feature. */
const RESOLUTION = 1e-3
/** Two parts that agree better than this are suspiciously alike. The limit p-value is exact enough to warn by. */
const KS_ALIKE = 0.8

/** A feature as the engine takes it. */
export interface Coded {
  name: string
  values: Float32Array
  /** Of a category: what the values are places of. */
  words?: string[]
}

/** The values of these rows; under drop_columns of the features alone that no training row lacks. */
export function chooseColumns(
  names: string[],
  features: Values[],
  rows: Int32Array,
  { train }: Split,
  { missing }: PreprocessConfig,
): { name: string; values: Values }[] {
  const columns = features.map((values, i) => ({ name: names[i], values: takeValues(values, rows) }))
  if (missing !== 'drop_columns') return columns
  const learned = indices(train)
  const whole = columns.filter(({ values }) => !learned.some(row => isMissing(values[row])))
  if (!whole.length)
    throw dataError('NO_FEATURES', 'every feature has a missing value in some training row: none is left', {
      next: 'preprocess.missing: impute',
    })
  return whole
}

/** A warning that names the features that drop_columns has left out. */
export function missingColumns(before: string[], after: string[]): string[] {
  const gone = before.filter(name => !after.includes(name))
  return gone.length
    ? [`${gone.join(', ')} left out: values are missing in training rows (preprocess.missing: drop_columns)`]
    : []
}

/** What makes a column useless, and does no harm where nobody asked for it. */
const USELESS = ['CONSTANT_FEATURE', 'TOO_MANY_WORDS']

/** Columns as the engine takes them. Those of `optional` from which nothing can be learned are left out, each with a warning. */
export function codeAll(
  columns: { name: string; values: Values }[],
  train: Uint32Array,
  optional: string[],
): { columns: Coded[]; warnings: string[] } {
  const warnings: string[] = []
  const coded = columns.flatMap(column => {
    try {
      return code(column, train)
    } catch (error) {
      if (!(optional.includes(column.name) && USELESS.includes((error as SluiceError).code))) throw error
      warnings.push(`${column.name} left out: ${(error as SluiceError).message}`)
      return []
    }
  })
  if (!coded.length) throw dataError('NO_FEATURES', `nothing is left to learn from: ${warnings.join('; ')}`)
  return { columns: coded, warnings }
}

/** Further rows of a column, by the words that it was coded with. Throws as codeAll does where float32 cannot hold them. */
export const codeLike = ({ name, words }: Coded, values: Values): Float32Array =>
  values instanceof Float64Array ? toFloat32(name, values) : encode(words!, values)

/** Numbers as float32, words as codes by the vocabulary of the training rows. */
function code({ name, values }: { name: string; values: Values }, train: Uint32Array): Coded {
  if (values instanceof Float64Array) return { name, values: toFloat32(name, values) }
  const words = vocabulary(name, values, train)
  return { name, values: encode(words, values), words }
}

function toFloat32(name: string, values: Float64Array): Float32Array {
  const rounded = new Float32Array(values.length)
  let [n, mean, squares, worst] = [0, 0, 0, 0]
  for (let i = 0; i < values.length; i++) {
    const value = isMissing(values[i]) ? Number.NaN : values[i]
    rounded[i] = value
    if (Number.isNaN(value)) continue
    if (!Number.isFinite(rounded[i]))
      throw dataError('OUT_OF_RANGE', `feature ${name} is ${value} in some row, beyond what float32 holds`, {
        next: `use a share or the logarithm of ${name}`,
      })
    const delta = value - mean
    mean += delta / ++n
    squares += delta * (value - mean)
    worst = Math.max(worst, Math.abs(rounded[i] - value))
  }
  const deviation = Math.sqrt(squares / n)
  if (!(deviation > 0))
    throw dataError(
      'CONSTANT_FEATURE',
      `feature ${name} is ${n ? `${mean} in every row` : 'never defined'}: nothing can be learned from it`,
      {
        next: `take ${name} out of features`,
      },
    )
  if (worst > RESOLUTION * deviation)
    throw dataError(
      'FLOAT32_RESOLUTION',
      `feature ${name} varies by ${deviation.toPrecision(3)}, but float32 rounds it by up to ${worst.toPrecision(3)}`,
      {
        next: `use a difference or a ratio of ${name}`,
      },
    )
  return rounded
}

/** Kolmogorov-Smirnov between training and validation rows: a warning where they are too much alike. */
export function alike(columns: Coded[], parts: Split): string[] {
  const of = (ranges: Range[], values: Float32Array) =>
    Float64Array.from(indices(ranges), row => values[row]).filter(value => !Number.isNaN(value))
  const found = columns.filter(({ values, words }) => {
    const [train, valid] = [of(parts.train, values), of(parts.valid, values)]
    return (
      !words &&
      train.length > 0 &&
      valid.length > 0 &&
      kolmogorovSmirnov(train, valid, { exactUpTo: 0 }).pvalue > KS_ALIKE
    )
  })
  if (!found.length) return []
  return [
    `train and validation are distributed alike (K-S p > ${KS_ALIKE}) in ${found.length} of ${columns.length} features (${found
      .slice(0, 5)
      .map(({ name }) => name)
      .join(', ')}): make sure that no row stands in both`,
  ]
}

/** What is infinite is missing too: no model family agrees with another on infinity. */
export const isMissing = (value: number | string | null): boolean =>
  value === null || (typeof value === 'number' && !Number.isFinite(value))
