// What a config says of the columns of a table: their types, and the rules that hold for every row.
import { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import { parseExpression } from '../base/expression.ts'

/** A formula that is true of every row, such as `high >= low`. */
export const rule = z.string().superRefine((text, context) => {
  const refuse = (message: string) => context.addIssue({ code: 'custom', message })
  try {
    if (parseExpression(text).lags.length) refuse('a rule is of one row, so it has no lag')
  } catch (error) {
    refuse(messageOf(error))
  }
})

/** A bound or an allowed value: a number, a word, or for times an ISO date. */
const bound = z.union([z.number(), z.string()])

const columnRule = z
  .strictObject({
    name: z.string().regex(/^\S(.*\S)?$/s, 'a name begins and ends with no space'),
    type: z
      .enum(['number', 'integer', 'boolean', 'string', 'time'])
      .optional()
      .describe('default: as the source has it'),
    required: z.boolean().default(true).describe('false: a source may be without this column'),
    nullable: z.boolean().default(false).describe('true: a value may be missing'),
    unique: z.boolean().default(false),
    min: bound.optional(),
    max: bound.optional(),
    pattern: z
      .string()
      .refine(isPattern, 'a regular expression')
      .optional()
      .describe('a regular expression that the whole text matches'),
    values: z
      .array(z.union([z.string(), z.number(), z.boolean()]))
      .min(1)
      .optional()
      .describe('the allowed ones'),
    categorical: z.boolean().default(false).describe('numbers that are names'),
    pii: z.boolean().default(false).describe('personal: never a feature unless it is named as one'),
  })
  .refine(({ min, max }) => min === undefined || max === undefined || typeof min !== typeof max || min <= max, {
    message: 'min is above max',
    path: ['min'],
  })
export type ColumnRule = z.output<typeof columnRule>

const columnRules = z
  .array(columnRule)
  .min(1)
  .refine(columns => new Set(columns.map(({ name }) => name)).size === columns.length, 'a column is named twice')

const tableSchema = z.strictObject({
  columns: columnRules
    .optional()
    .describe('default: every column of the source, with the type that all its values have'),
  key: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe('columns of which no two rows have the same values; default: time and symbol where there are such'),
  rules: z.array(rule).optional().describe('formulas over columns that are true of every row'),
})

/** `candles`, or a table of columns: `table`, a list of them, or `{columns, key, rules}`. */
export const dataSchema = z
  .union([z.enum(['candles', 'table']), columnRules, tableSchema])
  .transform((schema): 'candles' | z.output<typeof tableSchema> =>
    schema === 'candles' ? schema : schema === 'table' ? {} : Array.isArray(schema) ? { columns: schema } : schema,
  )
export type DataSchema = z.output<typeof dataSchema>
export type TableSchema = Exclude<DataSchema, 'candles'>

function isPattern(text: string): boolean {
  try {
    return Boolean(new RegExp(text, 'v'))
  } catch {
    return false
  }
}
