// The kinds of features: keys, defaults and the function that makes each. A new kind is a row of KINDS.
import { z } from 'zod'
import { messageOf, usageError } from '../base/errors.ts'
import { parseExpression } from '../base/expression.ts'
import { isName, NAME_RULE } from '../base/name.ts'
import { isTimeframe, parseTimeframe, type Timeframe } from '../base/time.ts'
import * as bars from './bars.ts'
import { evaluationOrder, warmups } from './compute.ts'
import { expressionFeature, expressionWarmup } from './expression.ts'
import { type Feature, passThrough } from './feature.ts'
import * as series from './indicators.ts'
import { joinedColumn, type SentimentSpec, sentiment } from './sentiment.ts'
import { atTimeframe } from './timeframes.ts'

/** One feature: a kind and a single value for each of its keys. Plain JSON. */
type Scalar = string | number | boolean
export type FeatureSpec = { kind: string } & Record<string, Scalar>
/** An entry of the config's list: a key with a list of values stands for a feature of each. */
export type FeatureEntry = { kind: string } & Record<string, Scalar | Scalar[] | undefined>

const LONGEST_WINDOW = 100_000

/** Columns that stand beside the features wherever they are written. */
const TAKEN = ['time', 'symbol', 'label']

const isFree = (text: string): boolean => !TAKEN.includes(text)
const notFree = `a feature cannot be named ${TAKEN.join(', ')}`

const name = z.string().min(1).max(200)
const ownName = z
  .string()
  .regex(/^[A-Za-z_][\w.-]{0,63}$/, {
    error: 'a name has up to 64 letters, digits, _ . - and begins with a letter or _',
  })
  .refine(isFree, { error: notFree })
const timeframe = z
  .string()
  .refine(isTimeframe, { error: 'a timeframe is a number and s, m, h, d, w or M (months), such as 4h' })
const rows = (least: number) => z.int().min(least).max(LONGEST_WINDOW)
const fan = <T extends z.ZodType>(one: T) => z.union([one, z.array(one).min(1)])
const outputs = (...all: [string, ...string[]]) => ({ output: fan(z.enum(all)).default(all) })
const expression = z.string().superRefine((text, context) => {
  try {
    parseExpression(text)
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) })
  }
})

interface Kind {
  schema: z.ZodObject
  make(spec: never): Feature
}

/** `output` comes last, so that the columns of one indicator stand together. */
const kind = (keys: z.ZodRawShape, make: Kind['make'], output: z.ZodRawShape = {}): Kind => ({
  schema: z.strictObject({ ...keys, of: fan(name).optional(), timeframe: fan(timeframe).optional(), ...output }),
  make,
})

/** A kind over a window of n rows, at least `least`. */
const over = (n: number, least: number, make: Kind['make'], output?: z.ZodRawShape): Kind =>
  kind({ n: fan(rows(least)).default(n) }, make, output)

const KINDS: Record<string, Kind> = {
  sma: over(20, 1, series.sma),
  ema: over(20, 1, series.ema),
  wma: over(20, 1, series.wma),
  rsi: over(14, 2, series.rsi),
  macd: kind(
    { fast: fan(rows(2)).default(12), slow: fan(rows(2)).default(26), signal: fan(rows(1)).default(9) },
    series.macd,
    outputs('macd', 'signal', 'hist'),
  ),
  bb: kind(
    { n: fan(rows(2)).default(20), k: fan(z.number().positive()).default(2) },
    series.bb,
    outputs('upper', 'middle', 'lower'),
  ),
  mom: over(10, 1, series.mom),
  roc: over(10, 1, series.roc),
  ret: over(1, 1, series.ret),
  logret: over(1, 1, series.logret),
  stddev_pop: over(20, 2, series.stddevPop),
  realvol: over(20, 2, series.realvol),
  zscore: over(20, 2, series.zscore),
  trange: kind({}, bars.trange),
  atr: over(14, 1, bars.atr),
  natr: over(14, 1, bars.natr),
  adx: over(14, 2, bars.adx),
  plus_di: over(14, 1, bars.plusDi),
  minus_di: over(14, 1, bars.minusDi),
  stoch: kind(
    { k: fan(rows(1)).default(14), smooth: fan(rows(1)).default(3), d: fan(rows(1)).default(3) },
    bars.stoch,
    outputs('k', 'd'),
  ),
  stochf: kind({ k: fan(rows(1)).default(14), d: fan(rows(1)).default(3) }, bars.stochf, outputs('k', 'd')),
  willr: over(14, 2, bars.willr),
  cci: over(20, 2, bars.cci),
  mfi: over(14, 2, bars.mfi),
  obv: kind({}, bars.obv),
  aroon: over(25, 2, bars.aroon, outputs('up', 'down')),
  column: {
    schema: z.strictObject({
      name: name.refine(isFree, { error: notFree }),
      timeframe: fan(timeframe).optional(),
    }),
    make: (spec: { name: string }) => passThrough(spec.name),
  },
  sentiment: {
    schema: z.strictObject({
      table: z.string().refine(isName, { error: NAME_RULE }),
      column: fan(name).default('value'),
      scale: z.number().positive().default(100),
      lag: z.union([z.literal(0), timeframe]).default('1h'),
      max_age: timeframe.default('7d'),
      optional: z.boolean().default(false),
    }),
    make: sentiment,
  },
  expr: {
    schema: z.strictObject({ name: ownName, expr: expression }),
    make: (spec: { name: string; expr: string }) => expressionFeature(spec.name, parseExpression(spec.expr)),
  },
}

/** Nothing in units of price and nothing of volume, which many series (rates, currencies, indices) do not have. */
const STATIONARY = [
  { kind: 'ret', n: [1, 5, 20] },
  { kind: 'rsi', n: [7, 14] },
  { kind: 'zscore', n: [20, 50] },
  { kind: 'stoch' },
  { kind: 'cci' },
  { kind: 'adx' },
  { kind: 'plus_di' },
  { kind: 'minus_di' },
  { kind: 'aroon' },
  { kind: 'realvol', n: [5, 20] },
  { kind: 'natr' },
  { kind: 'expr', name: 'bar_return', expr: 'close / open - 1' },
  { kind: 'expr', name: 'bar_range', expr: 'high / low - 1' },
]

/** Named lists of entries. */
const SETS: Record<string, { kind: string; [key: string]: unknown }[]> = {
  stationary_20: STATIONARY,
  default: STATIONARY,
  // TA-Lib's functions that we have, with the parameters that it has by default.
  talib: [
    ...['sma', 'ema', 'wma'].map(kind => ({ kind, n: 30 })),
    { kind: 'bb', n: 5, k: 2 },
    { kind: 'macd', fast: 12, slow: 26, signal: 9 },
    { kind: 'rsi', n: 14 },
    ...['mom', 'roc'].map(kind => ({ kind, n: 10 })),
    { kind: 'stddev_pop', n: 5 },
    { kind: 'trange' },
    ...['atr', 'natr', 'adx', 'plus_di', 'minus_di', 'cci', 'mfi', 'willr', 'aroon'].map(kind => ({ kind, n: 14 })),
    { kind: 'stoch', k: 5, smooth: 3, d: 3 },
    { kind: 'stochf', k: 5, d: 3 },
    { kind: 'obv' },
  ],
  // bta-lib's indicators that we have, with the parameters that it has by default.
  btalib: [
    ...['sma', 'ema', 'wma'].map(kind => ({ kind, n: 30 })),
    { kind: 'bb', n: 20, k: 2 },
    { kind: 'macd', fast: 12, slow: 26, signal: 9 },
    { kind: 'rsi', n: 14 },
    { kind: 'mom', n: 10 },
    { kind: 'roc', n: 12 },
    { kind: 'stddev_pop', n: 20 },
    { kind: 'trange' },
    ...['atr', 'adx', 'plus_di', 'minus_di', 'mfi', 'willr', 'aroon'].map(kind => ({ kind, n: 14 })),
    { kind: 'cci', n: 20 },
    { kind: 'stoch', k: 14, smooth: 3, d: 3 },
    { kind: 'obv' },
  ],
}

const schemas = Object.entries(KINDS).map(([key, { schema }]) => {
  const whole = z.strictObject({ kind: z.literal(key), ...schema.shape })
  return key === 'macd' ? whole.superRefine(checkMacd) : whole
})
/** The set that a table decides on: its columns. */
const COLUMNS = 'columns'
const setSchema = z.strictObject({ kind: z.literal('set'), name: z.enum([...Object.keys(SETS), COLUMNS]) })

const entrySchema = z.discriminatedUnion('kind', [setSchema, ...schemas])

/** What stands for `features` where a config has none: 20 stationary features of candles. */
export const defaultFeatures = [{ kind: 'set' as const, name: 'stationary_20' }]

/** And of a table: every column but the label, and those that identify a row or a person. */
export const tableFeatures = [{ kind: 'set' as const, name: COLUMNS }]

/** Features of a row by itself: all there are where rows have no order. */
export const ROW_KINDS = ['column', 'expr', 'set']

/** The config's `features`. */
export const featuresSchema = z.array(entrySchema).min(1).prefault(defaultFeatures)

/** One spec for every feature: sets opened, lists fanned out (the first key outermost), in the order of the config. `columns` are those of the set of that name. */
export function expandFeatures(entries: FeatureEntry[], columns: string[] = []): FeatureSpec[] {
  return entries.flatMap(entry => {
    if (entry.kind !== 'set') return fanOut(entry)
    if (entry.name === COLUMNS) return columns.map(name => ({ kind: 'column', name }))
    return expandFeatures(SETS[entry.name as string].map(member => entrySchema.parse(member) as FeatureEntry))
  })
}

/** The columns that nobody named: the set of that name brought them. */
export function broughtBySet(specs: FeatureSpec[], entries: FeatureEntry[]): string[] {
  const named = new Set(expandFeatures(entries).map(({ kind, name }) => kind === 'column' && name))
  return specs
    .filter(({ kind, name }) => kind === 'column' && !named.has(name as string))
    .map(({ name }) => String(name))
}

function fanOut(entry: FeatureEntry): FeatureSpec[] {
  let specs: FeatureSpec[] = [{ kind: entry.kind }]
  for (const [key, value] of Object.entries(entry)) {
    if (value === undefined) continue
    specs = specs.flatMap(spec => [value].flat().map(one => ({ ...spec, [key]: one })))
  }
  return specs
}

/**
 * The features of a table with these columns and bars of this timeframe, in the order of the specs; `warmup` counts that
 * of the features they read.
 * Errors (usage): DUPLICATE_FEATURE, UNKNOWN_COLUMN, CYCLE, TIMEFRAME.
 */
export function makeFeatures(specs: FeatureSpec[], base: Timeframe, columns: string[]): Feature[] {
  const features = specs.map(spec => makeFeature(spec, base))
  checkNames(specs, features, columns)
  const order = evaluationOrder(features, new Set(columns))
  const formulas = new Map(specs.flatMap(({ kind, name, expr }) => (kind === 'expr' ? [[name, expr as string]] : [])))
  const known = warmups(order, ({ name }, of) => {
    const formula = formulas.get(name)
    return formula === undefined ? undefined : expressionWarmup(parseExpression(formula), of)
  })
  return features.map(feature => ({ ...feature, warmup: known.get(feature.name)! }))
}

/** Columns that stand beside a table's own because features read other tables. */
export const joinedColumns = (specs: FeatureSpec[]): string[] => [
  ...new Set(
    specs.flatMap(spec => (spec.kind === 'sentiment' ? [joinedColumn(spec as unknown as SentimentSpec)] : [])),
  ),
]

function makeFeature({ timeframe: higher, ...spec }: FeatureSpec, base: Timeframe): Feature {
  const made = KINDS[spec.kind].make(spec as never)
  return higher === undefined ? made : atTimeframe(made, base, parseTimeframe(higher as string))
}

function checkNames(specs: FeatureSpec[], features: Feature[], columns: string[]): void {
  const seen = new Set<string>()
  for (const [i, feature] of features.entries()) {
    if (seen.has(feature.name)) throw usageError('DUPLICATE_FEATURE', `two features are named ${feature.name}`)
    if (specs[i].kind !== 'column' && columns.includes(feature.name))
      throw usageError('DUPLICATE_FEATURE', `${feature.name} is the name of a column, a feature needs another one`)
    seen.add(feature.name)
  }
}

function checkMacd(spec: unknown, context: z.RefinementCtx): void {
  const { fast, slow } = spec as { fast: number | number[]; slow: number | number[] }
  if (Math.max(...[fast].flat()) > Math.min(...[slow].flat()))
    context.addIssue({
      code: 'custom',
      path: ['slow'],
      message: 'the slow average needs at least the rows of the fast one',
    })
}
