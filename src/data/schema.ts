// The `data` section of the config, and the words of the candle contract. Light: nothing here opens a file.
import { z } from 'zod'
import { messageOf } from '../base/errors.ts'
import { parseExpression } from '../base/expression.ts'
import { isName, NAME_RULE } from '../base/name.ts'
import { isTimeframe } from '../base/time.ts'

/** Columns of a candle table, in their order; `symbol` only where the source has it. */
export const CANDLE_COLUMNS = ['time', 'open', 'high', 'low', 'close', 'volume', 'symbol'] as const
export type CandleColumn = (typeof CANDLE_COLUMNS)[number]
export const isCandleColumn = (name: string): boolean => CANDLE_COLUMNS.includes(name as CandleColumn)
/** The numeric ones. */
export const VALUE_COLUMNS = ['open', 'high', 'low', 'close', 'volume'] as const

/** Why a row is not taken; each is a reason code of the report. The place in the list is the code's number in memory, 0 means taken. */
export const FAULTS = [
  'NONE',
  'COLUMN_COUNT',
  'JSON_PARSE',
  'QUOTE',
  'ENCODING',
  'NULL_VALUE',
  'NOT_A_NUMBER',
  'OUT_OF_RANGE',
  'TIMESTAMP_INVALID',
  'FUTURE_TIMESTAMP',
  'NONEXISTENT_LOCAL_TIME',
  'AMBIGUOUS_LOCAL_TIME',
  'NON_POSITIVE_PRICE',
  'NEGATIVE_VOLUME',
  'OHLC_INVALID',
  'DUPLICATE_TIMESTAMP_CONFLICT',
  'DUPLICATE_KEY_CONFLICT',
  'TYPE_MISMATCH',
  'NOT_AN_INTEGER',
  'NOT_A_BOOLEAN',
  'BELOW_MINIMUM',
  'ABOVE_MAXIMUM',
  'NOT_ALLOWED',
  'PATTERN',
  'NOT_UNIQUE',
  'RULE',
] as const
export type Fault = (typeof FAULTS)[number]
export const faultNumber = (fault: Fault): number => FAULTS.indexOf(fault)

export const nameSchema = z.string().refine(isName, NAME_RULE)

const timeframe = z
  .string()
  .refine(isTimeframe, 'a timeframe is a number and s, m, h, d, w or M (months), such as 15m or 1d')

const columnName = z.string().min(1)
const columns = z
  .object({
    time: columnName.optional(),
    open: columnName.optional(),
    high: columnName.optional(),
    low: columnName.optional(),
    close: columnName.optional(),
    volume: columnName.nullable().optional().describe('null: there is none, it is 0'),
    symbol: columnName.nullable().optional().describe('null: do not look for one'),
  })
  .catchall(columnName.nullable())
export type ColumnNames = z.infer<typeof columns>

/** A formula that is true of every row, such as `high >= low`. */
const rule = z.string().superRefine((text, context) => {
  const refuse = (message: string) => context.addIssue({ code: 'custom', message })
  try {
    if (parseExpression(text).lags.length) refuse('a rule is of one row, so it has no lag')
  } catch (error) {
    refuse(messageOf(error))
  }
})

/** A bound or an allowed value: a number, a word, or for times an ISO date. */
const bound = z.union([z.number(), z.string()])

const columnRule = z.strictObject({
  name: z.string().regex(/^[^#]/, 'a name begins with another sign than #'),
  type: z.enum(['number', 'integer', 'boolean', 'string', 'time']).optional().describe('default: as the source has it'),
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
export type ColumnRule = z.output<typeof columnRule>

const tableSchema = z.strictObject({
  columns: z
    .array(columnRule)
    .min(1)
    .refine(columns => new Set(columns.map(({ name }) => name)).size === columns.length, 'a column is named twice')
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
const dataSchema = z
  .union([z.enum(['candles', 'table']), z.array(columnRule).min(1), tableSchema])
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

const isZone = (zone: string): boolean => {
  try {
    return Boolean(new Intl.DateTimeFormat('en-US', { timeZone: zone }))
  } catch {
    return false
  }
}

const zoneName = z.string().refine(isZone, 'a time zone such as America/New_York')

const keptNames = z
  .array(
    z
      .string()
      .regex(/^[^#]/, 'a name begins with another sign than #')
      .refine(name => !isCandleColumn(name), 'a candle has that column already'),
  )
  .refine(names => new Set(names).size === names.length, 'a column is named twice')
  .default([])
  .describe(
    'further columns of numbers; a value may be missing. What a `column` feature or label names is kept by itself',
  )

export const fileSource = z
  .strictObject({
    kind: z.literal('file'),
    path: z.string().min(1).optional(),
    paths: z
      .array(z.string().min(1))
      .min(1)
      .max(10_000)
      .optional()
      .describe('read in this order, as if they were one file'),
    format: z.enum(['csv', 'parquet']).optional().describe('default: by the name of the file'),
    columns: columns.default({}).describe('ours to theirs; a column that has a common name needs no entry'),
    keep: keptNames,
    unit: z.enum(['auto', 's', 'ms', 'us', 'ns']).default('auto').describe('of times written as numbers'),
    zone: zoneName.optional().describe('of times without an offset; default UTC'),
    header: z
      .union([z.boolean(), z.array(columnName).min(1)])
      .default(true)
      .describe('false: the columns are time, open, high, low, close, volume; a list: these'),
    delimiter: z.string().length(1).default(','),
    decimal: z.enum(['.', ',']).default('.'),
    thousands: z.enum([',', '.', ' ', "'", '_']).optional(),
  })
  .refine(({ path, paths }) => (path === undefined) !== (paths === undefined), {
    message: 'give path or paths, one of them',
    path: ['path'],
  })
  .refine(({ decimal, thousands }) => decimal !== thousands, {
    message: 'decimal and thousands must differ',
    path: ['thousands'],
  })

const simulatedSource = z.strictObject({
  kind: z.literal('simulated'),
  bars: z.int().min(2).max(10_000_000),
  seed: z.int().default(42),
  start: z.iso.date().default('2010-01-01'),
  symbols: z.array(z.string().min(1)).min(1).optional(),
  price: z.number().positive().default(100),
  drift: z.number().min(-5).max(5).default(0.05).describe('expected log return of a year'),
  volatility: z
    .union([z.number().positive().max(10), z.array(z.number().positive().max(10)).min(2)])
    .default(0.2)
    .describe('of a year; a list: one for each regime'),
  persistence: z.number().min(0).max(1).default(0.98).describe('probability that the next bar stays in its regime'),
  signal: z
    .strictObject({ strength: z.number().min(0).max(1) })
    .optional()
    .describe('0: no skill is possible; 1: the price only returns to its trend'),
})

const postgresSource = z
  .strictObject({
    kind: z.literal('postgres'),
    url: z
      .string()
      .regex(/^postgres(ql)?:\/\//, 'begins with postgres://')
      .refine(url => !/^\w+:\/\/[^/@]*:[^/@]*@|[?&]password=/.test(url), 'no password here: url_env, or PGPASSWORD')
      .optional()
      .describe('of the server, without a password, which is that of PGPASSWORD'),
    url_env: z
      .string()
      .regex(/^\w+$/, 'the name of a variable')
      .default('DATABASE_URL')
      .describe('the variable that holds the URL where url does not say it'),
    table: z.string().min(1).optional().describe('or schema.table; or a query'),
    query: z.string().min(1).optional().describe('a select'),
    columns: columns.default({}).describe('ours to theirs'),
    keep: keptNames,
    cursor: columnName
      .optional()
      .describe(
        'their column that is at least the newest time of the table in rows that are new; default: that of time',
      ),
    overlap: timeframe
      .optional()
      .describe('how much that is known is read again, for rows that came late or were revised'),
    batch: z.int().min(1).max(1_000_000).default(10_000).describe('rows fetched at once'),
    timeout: z.number().positive().max(86_400).default(300).describe('most seconds of one statement'),
    ssl: z.enum(['off', 'on', 'unverified']).optional().describe("default: as the URL's sslmode says"),
    unit: z.enum(['auto', 's', 'ms', 'us', 'ns']).default('auto').describe('of times that are numbers'),
    zone: zoneName.optional().describe('of times without a zone; default UTC'),
  })
  .refine(({ table, query }) => (table === undefined) !== (query === undefined), {
    message: 'give table or query, one of them',
    path: ['table'],
  })

export const sourceConfig = z.discriminatedUnion('kind', [fileSource, simulatedSource, postgresSource])

const adjustment = z.strictObject({
  factors: z
    .string()
    .min(1)
    .optional()
    .describe('a factor file, or a folder with one for each symbol; none: prices are as they come'),
  symbol: z.string().min(1).optional().describe('whose file of the folder, where rows have no symbol'),
  report_jumps: z
    .number()
    .positive()
    .nullable()
    .default(0.25)
    .describe('closes that move by more than this fraction are reported; null: none'),
})
export type Adjustment = z.output<typeof adjustment>

export const dataConfig = z.strictObject({
  table: nameSchema.optional().describe('default: the name of the config'),
  schema: dataSchema.default('candles').describe('candles, table, or the columns of a table'),
  source: sourceConfig,
  timeframe: timeframe.optional().describe('length of a bar; default: the most frequent step'),
  on_bad_row: z.enum(['quarantine', 'fail']).default('quarantine'),
  rules: z.array(rule).default([]).describe('formulas over columns that are true of every row, of candles too'),
  adjust: adjustment.prefault({}).describe('of candles, for splits and dividends'),
  load: z
    .enum(['full', 'incremental'])
    .optional()
    .describe(
      'full: the table is what the source has now; incremental: what it has is added to the table, of equal keys the newest wins. Default: full for files and simulated, else incremental',
    ),
  partition_rows: z.int().min(1).max(100_000_000).default(1_000_000).describe('most rows of one file of the table'),
})

export type DataConfig = z.output<typeof dataConfig> & { table: string }
export type SourceConfig = z.output<typeof sourceConfig>
export type FileSource = z.output<typeof fileSource>
export type PostgresSource = z.output<typeof postgresSource>
export type SimulatedSource = z.output<typeof simulatedSource>
