// The `data` section of the config, and the words of the candle contract. Light: nothing here opens a file.
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { isName, NAME_RULE } from '../base/name.ts'
import { isTimeframe } from '../base/time.ts'
import { dataSchema, rule } from './columns.ts'

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
    time: z
      .union([columnName, z.array(columnName).min(2)])
      .optional()
      .describe('a list: of columns that together are the time, such as a day and a clock'),
    open: columnName.optional(),
    high: columnName.optional(),
    low: columnName.optional(),
    close: columnName.optional(),
    volume: columnName.nullable().optional().describe('null: there is none, it is 0'),
    symbol: columnName.nullable().optional().describe('null: do not look for one'),
  })
  .catchall(columnName.nullable())
export type ColumnNames = z.infer<typeof columns>

const isZone = (zone: string): boolean => {
  try {
    return Boolean(new Intl.DateTimeFormat('en-US', { timeZone: zone }))
  } catch {
    return false
  }
}

const isEncoding = (label: string): boolean => {
  try {
    return label === 'auto' || Boolean(new TextDecoder(label))
  } catch {
    return false
  }
}

const sign = z.string().regex(/^[\t\x20-\x7e]$/, 'one ASCII character')

export const FILE_FORMATS = ['csv', 'json', 'jsonl', 'parquet', 'avro', 'arrow'] as const
export type FileFormatName = (typeof FILE_FORMATS)[number]

const zoneName = z.string().refine(isZone, 'a time zone such as America/New_York')

const keptNames = z
  .array(
    z
      .string()
      .regex(/^\S(.*\S)?$/s, 'a name begins and ends with no space')
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
    format: z.enum(FILE_FORMATS).optional().describe('default: by the name of the file'),
    records: z.string().min(1).optional().describe('json: where the list of rows is, such as data.candles'),
    columns: columns.default({}).describe('ours to theirs; a column that has a common name needs no entry'),
    keep: keptNames,
    unit: z.enum(['auto', 's', 'ms', 'us', 'ns']).default('auto').describe('of times written as numbers'),
    zone: zoneName.optional().describe('of times without an offset; default UTC'),
    ambiguous: z
      .enum(['refuse', 'earlier', 'later', 'in_order'])
      .default('refuse')
      .describe(
        'a clock that `zone` shows twice in autumn; in_order: the first time it is the earlier instant, then the later',
      ),
    dates: z.enum(['ymd', 'dmy', 'mdy']).default('ymd').describe('order of day, month and year in dates that are text'),
    header: z
      .union([z.boolean(), z.array(columnName).min(1)])
      .default(true)
      .describe('false: the columns are time, open, high, low, close, volume; a list: these'),
    delimiter: z
      .union([z.literal('auto'), sign])
      .default(',')
      .describe('auto: the one of , ; tab | that splits the header most'),
    encoding: z
      .string()
      .refine(isEncoding, 'auto, or an encoding such as windows-1252')
      .default('auto')
      .describe('auto: by the byte order mark, else UTF-8'),
    comment: sign.optional().describe('with which a line begins that is no row'),
    skip_lines: z.int().min(0).max(1_000_000).default(0).describe('lines before the header'),
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

/** What every source has that asks a server (base/fetch.ts). */
const network = {
  allow_private: z.boolean().default(false).describe('also addresses of this machine and of private networks'),
  parallel: z.int().min(1).max(16).default(4).describe('requests at once'),
  retries: z.int().min(0).max(20).default(6).describe('how often a request is repeated'),
  max_wait: z
    .number()
    .min(0)
    .max(86_400)
    .default(600)
    .describe('seconds; a server that asks for a longer wait ends the ingest'),
}
const baseUrl = z.url({ protocol: /^https?$/, error: 'a URL that begins with https:// or http://' })
const instant = z.union([z.iso.date(), z.iso.datetime({ offset: true })], {
  error: 'a day such as 2024-01-31, or a time with its offset such as 2024-01-31T12:00:00Z',
})
const variable = z.string().regex(/^[A-Za-z_]\w*$/, 'the name of an environment variable')

/** Columns of a kline beside those of a candle. */
export const KLINE_EXTRAS = ['quote_volume', 'trades', 'taker_buy_base', 'taker_buy_quote'] as const
const INTERVALS = '1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M'.split(' ')

const binanceSource = z
  .strictObject({
    kind: z.literal('binance'),
    market: z.enum(['spot', 'futures']).default('spot').describe('futures: USD-M'),
    symbols: z
      .array(z.string().regex(/^[\p{L}\p{N}_-]{1,40}$/u, 'a symbol such as BTCUSDT'))
      .min(1)
      .max(1000)
      .refine(symbols => new Set(symbols).size === symbols.length, 'a symbol is named twice'),
    start: instant.optional().describe('opening of the first bar'),
    end: instant.optional().describe('bars open before it; default: now'),
    archive: z
      .string()
      .min(1)
      .optional()
      .describe('a folder of files from data.binance.vision, read instead of the API'),
    keep: z.array(z.enum(KLINE_EXTRAS)).default([]).describe('further columns'),
    overlap: z.int().min(0).max(1000).default(10).describe('bars before the newest known one that are asked for again'),
    weight_limit: z.int().min(1).optional().describe('of a minute; default: 4800 spot, 1920 futures'),
    base_url: baseUrl.optional().describe("default: the market's own"),
    api_key_env: variable.optional().describe('names the variable with a key; candles need none'),
    ...network,
  })
  .refine(({ start, archive }) => (start === undefined) !== (archive === undefined), {
    message: 'give start for the API, or archive, one of them',
    path: ['start'],
  })

/** Of sources that ask for one page after another. */
const { parallel: _, ...oneByOne } = network

const feargreedSource = z.strictObject({
  kind: z.literal('feargreed'),
  base_url: baseUrl.default('https://api.alternative.me'),
  ...oneByOne,
})

const { kind: _kind, path: _path, paths: _paths, format: _format, ...reading } = fileSource.shape
/** The keys that say how the content of a file, or of an answer, is read. */
export const READING_KEYS = Object.keys(reading) as (keyof typeof reading)[]
export const readingSchema = z.object(reading).partial()
export type FileReading = z.input<typeof readingSchema>

/** What of a source is no default of how files are read; undefined where that is nothing. Which columns are kept is a question of its own. */
export function readingOf(source: object): FileReading | undefined {
  const plain = fileSource.parse({ kind: 'file', path: '-' })
  const said = READING_KEYS.filter(
    key => key !== 'keep' && key in source && !isDeepStrictEqual((source as FileReading)[key], plain[key]),
  )
  return said.length ? Object.fromEntries(said.map(key => [key, (source as FileReading)[key]])) : undefined
}

const paging = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('page'),
    param: z.string().min(1).default('page'),
    first: z.int().min(0).default(1),
  }),
  z.strictObject({ kind: z.literal('offset'), param: z.string().min(1).default('offset') }),
  z.strictObject({
    kind: z.literal('cursor'),
    param: z.string().min(1).default('cursor'),
    path: z.string().min(1).describe('where an answer has the next one'),
  }),
  z.strictObject({ kind: z.literal('link') }),
])

const httpSource = z
  .strictObject({
    kind: z.literal('http'),
    url: z
      .string()
      .refine(isTemplate, `an http(s) URL, in which \${NAME} is a variable of the environment`)
      .describe('may hold {from}, {to} and the param of the paging'),
    format: z.enum(['json', 'jsonl', 'csv']).default('json'),
    ...reading,
    headers: z
      .record(z.string().regex(/^[\w-]+$/, 'the name of a header'), z.string().regex(/^[\t\x20-\x7e]*$/, 'ASCII text'))
      .default({})
      .describe(`\${NAME} is a variable of the environment`),
    paging: paging.optional().describe('default: one answer has all rows'),
    error: z.string().min(1).default('error').describe('json: where an answer that is none has what went wrong'),
    start: instant.optional().describe('{from} of the first load'),
    overlap: timeframe.optional().describe('by how much {from} lies before the newest known row'),
    time_format: z.enum(['iso', 'date', 's', 'ms']).default('iso').describe('of {from} and {to}'),
    ...oneByOne,
  })
  .refine(({ decimal, thousands }) => decimal !== thousands, {
    message: 'decimal and thousands must differ',
    path: ['thousands'],
  })
  .refine(({ url, start }) => !url.includes('{from}') || start !== undefined, {
    message: 'needed, since url has {from}',
    path: ['start'],
  })
  .refine(({ paging, format }) => paging?.kind !== 'cursor' || format === 'json', {
    message: 'only JSON has a cursor',
    path: ['paging'],
  })
  .superRefine(({ url, paging }, issues) => {
    const known = ['from', 'to', ...(paging && 'param' in paging ? [paging.param] : [])]
    const unknown = [...url.matchAll(/(?<!\$)\{(\w+)\}/g)].find(([, name]) => !known.includes(name))
    if (unknown)
      issues.addIssue({
        code: 'custom',
        path: ['url'],
        message: `there is no ${unknown[0]}, but {${known.join('}, {')}}`,
      })
  })

function isTemplate(url: string): boolean {
  const plain = url.replaceAll(/\$?\{\w+\}/g, 'x')
  return /^https?:\/\//.test(plain) && URL.canParse(plain) && !new URL(plain).username && !new URL(plain).password
}

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

const sourceConfig = z.discriminatedUnion('kind', [
  fileSource,
  simulatedSource,
  binanceSource,
  feargreedSource,
  httpSource,
  postgresSource,
])

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

export const dataConfig = z
  .strictObject({
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
  .superRefine(({ source, timeframe }, issues) => {
    if (source.kind !== 'binance') return
    const intervals = source.market === 'spot' ? INTERVALS : INTERVALS.slice(1)
    if (timeframe === undefined || !intervals.includes(timeframe))
      issues.addIssue({
        code: 'custom',
        path: ['timeframe'],
        message: `of Binance it is one of ${intervals.join(', ')}`,
      })
  })

export type DataConfig = z.output<typeof dataConfig> & { table: string }
export type SourceConfig = z.output<typeof sourceConfig>
export type FileSource = z.output<typeof fileSource>
export type BinanceSource = z.output<typeof binanceSource>
export type FearGreedSource = z.output<typeof feargreedSource>
export type HttpSource = z.output<typeof httpSource>
export type PostgresSource = z.output<typeof postgresSource>
export type SimulatedSource = z.output<typeof simulatedSource>
