// The `preprocess` section: what becomes of missing values, numbers and categories. Fitted by the engine on training rows, and part of the graph; only rows and columns are dropped here.
import { z } from 'zod'
import { usageError } from '../base/errors.ts'
import { nearest } from '../base/nearest.ts'
import { vocabularyOf } from './categories.ts'

/** Model kinds that split by category themselves (encode: native). */
export const NATIVE_KINDS = ['xgboost', 'lightgbm']

const quantile = z.number().min(0).max(1)

const numberKeys = {
  impute: z
    .enum(['median', 'mean', 'most_frequent', 'constant'])
    .optional()
    .describe('default: as the model kind does'),
  value: z.number().optional().describe('of impute: constant; default 0'),
  indicator: z.boolean().optional().describe('a further column that says where a value was missing'),
  clip: z
    .tuple([quantile, quantile])
    .refine(([low, high]) => low < high, 'the lower quantile comes first')
    .optional()
    .describe('to these quantiles of the training rows'),
  scale: z.enum(['standard', 'min_max', 'robust', 'none']).optional().describe('of linear kinds'),
}
const categoryKeys = { encode: z.enum(['one_hot', 'ordinal', 'target', 'native']).optional() }
const categoryImpute = z.enum(['most_frequent', 'own']).optional()

const valueNeedsConstant = (keys: { impute?: string; value?: number }, issues: z.RefinementCtx): void => {
  if (keys.value !== undefined && keys.impute !== 'constant')
    issues.addIssue({ code: 'custom', path: ['value'], message: 'value is that of impute: constant' })
}

/** Of one column: the keys of numbers or of categories, as it holds the ones or the others. */
const overrides = z
  .strictObject({
    ...numberKeys,
    ...categoryKeys,
    impute: z.enum([...numberKeys.impute.unwrap().options, 'own']).optional(),
  })
  .superRefine(valueNeedsConstant)

export const preprocessSchema = z.strictObject({
  missing: z.enum(['impute', 'drop_rows', 'drop_columns']).default('impute'),
  numbers: z.strictObject(numberKeys).superRefine(valueNeedsConstant).default({}),
  categories: z.strictObject({ ...categoryKeys, impute: categoryImpute }).default({}),
  columns: z.record(z.string(), overrides).default({}),
})

export type PreprocessConfig = z.infer<typeof preprocessSchema>

/** What the engine is told (`model.prepare`). */
export type Prepare = Pick<PreprocessConfig, 'numbers' | 'categories' | 'columns'>

/**
 * What the engine is to do with these features; null where every model kind does as it always does.
 * Errors (usage): UNKNOWN_COLUMN, PREPROCESS for a key that a column of its type has not.
 */
export function prepareOf(
  { numbers, categories, columns }: PreprocessConfig,
  features: string[],
  words: Record<string, string[]>,
): Prepare | null {
  for (const [name, keys] of Object.entries(columns))
    checkColumn(name, keys, features, vocabularyOf(words, name) !== undefined)
  const plain = [numbers, categories, columns].every(part => Object.keys(part).length === 0)
  return plain ? null : { numbers, categories, columns }
}

function checkColumn(name: string, keys: object, features: string[], category: boolean): void {
  if (!features.includes(name)) {
    const close = nearest(name, features)
    throw usageError(
      'UNKNOWN_COLUMN',
      `preprocess.columns.${name} is no feature${close ? `; did you mean ${close}?` : ''}`,
    )
  }
  const schema = category ? z.strictObject({ ...categoryKeys, impute: categoryImpute }) : z.strictObject(numberKeys)
  const odd = schema.safeParse(keys).error?.issues[0]
  if (!odd) return
  const key = odd.code === 'unrecognized_keys' ? odd.keys[0] : odd.path.join('.')
  throw usageError(
    'PREPROCESS',
    `preprocess.columns.${name}.${key} does not go with a column of ${category ? 'words' : 'numbers'}`,
  )
}
