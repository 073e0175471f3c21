// Files scored by a sequence model: the answers that the same rows have over HTTP.
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { Context } from '../../src/base/context.ts'
import { random } from '../../src/base/random.ts'
import { type Column, findColumn, numbers, type Table, takeRows } from '../../src/base/table.ts'
import { readColumns, writeTable } from '../../src/data/files.ts'
import { computeValues, featuresOn } from '../../src/features/build.ts'
import type { FeatureSpec } from '../../src/features/catalog.ts'
import { promote } from '../../src/registry/versions.ts'
import { predictFile } from '../../src/serve/file.ts'
import { testContext } from '../data/home.ts'
import { register, type SequenceKind } from '../registry/example.ts'
import { serve } from './serving.ts'

const LENGTH = 6
const SPECS = [
  { kind: 'roc', n: 1 },
  { kind: 'roc', n: 3 },
  { kind: 'rsi', n: 4 },
] as FeatureSpec[]
const NAMES = ['roc_1', 'roc_3', 'rsi_4']

/** A home whose champion `demo` reads sequences of the features above, none of which may be missing unless it says so. */
async function championOf(kind: SequenceKind, nullable = false): Promise<Context> {
  const context = testContext()
  const features = NAMES.map(name => ({ name, nullable }))
  await register(context, kind, { input: { name: 'features', length: LENGTH, features }, features: SPECS })
  await promote(context.database, 'demo', 1, { reason: 'test', now: 1 })
  return context
}

const DAY = 86_400_000
const ours = (column: Column) => column.name === 'time' || column.name === 'symbol'

/** Daily candles of two symbols by time, the second of which begins ten days later and misses a day. */
function candles(days: number): Table {
  const { normal } = random(3)
  const price: Record<string, number> = { AAA: 100, BBB: 20 }
  const bars = Array.from({ length: days }, (_, day) =>
    (day < 10 || day === 25 ? ['AAA'] : ['AAA', 'BBB']).map(symbol => [day, symbol] as const),
  ).flat()
  const close = bars.map(([, symbol]) => (price[symbol] *= Math.exp(0.02 * normal())))
  const column = (name: string, of: (close: number) => number): Column => ({
    name,
    type: 'number',
    values: Float64Array.from(close, of),
  })
  return {
    rows: bars.length,
    columns: [
      { name: 'time', type: 'time', values: Float64Array.from(bars, ([day]) => Date.UTC(2020, 0, 1) + day * DAY) },
      { name: 'symbol', type: 'string', values: bars.map(([, symbol]) => symbol) },
      column('open', x => x),
      column('high', x => 1.01 * x),
      column('low', x => 0.99 * x),
      column('close', x => x),
      column('volume', () => 1000),
    ],
  }
}

/** Time, symbol and features of candles, as `build` has them. */
function featuresOf(table: Table): Table {
  const schema = table.columns.map(({ name, type }) => ({ name, type }))
  const features = featuresOn({ schema, timeframe: '1d' }, SPECS)
  const values = computeValues(table, { schema }, SPECS, features) as Float64Array[]
  const made = features.map(({ name }, i): Column => ({ name, type: 'number', values: values[i] }))
  return { rows: table.rows, columns: [...table.columns.filter(ours), ...made] }
}

async function score(context: Context, table: Table, extension = 'parquet') {
  const [input, out] = ['in', 'out'].map(name => join(context.home, `${name}.${extension}`))
  await writeTable(table, input)
  const counted = await predictFile('demo', input, out, [], context)
  return { ...counted, answers: await readColumns(out) }
}

/** What the server answers for the sequence that ends at each row of its symbol; NaN where there is none. */
async function overHttp(context: Context, table: Table): Promise<number[]> {
  const { post } = await serve(context as Parameters<typeof serve>[0], ['demo'])
  const seen: Record<string, (number | null)[][]> = {}
  const asked = Array.from({ length: table.rows }, async (_, row) => {
    const rows = (seen[String(findColumn(table, 'symbol')!.values[row])] ??= [])
    rows.push(NAMES.map(name => (Number.isNaN(numbers(table, name)[row]) ? null : numbers(table, name)[row])))
    const sequence = rows.slice(-LENGTH)
    if (sequence.length < LENGTH) return Number.NaN
    const { status, answer } = await post({ sequence })
    return status === 200 ? answer.predictions[0].probability : Number.NaN
  })
  return Promise.all(asked)
}

const shuffled = (table: Table): Int32Array => {
  const { next } = random(8)
  return Int32Array.from(
    Array.from({ length: table.rows }, (_, row) => [next(), row]).sort(([a], [b]) => a - b),
    ([, row]) => row,
  )
}

it('candles, feature columns and columns in any order have the bits that their sequences have over HTTP', async () => {
  const context = await championOf('gru')
  const table = candles(40)
  const features = featuresOf(table)
  const expected = await overHttp(context, features)
  // The features need 4 rows before their first value, and a sequence six that have them all.
  expect(expected.filter(Number.isNaN)).toHaveLength(2 * (4 + LENGTH - 1))
  const cases = [table, features].flatMap(given => ['csv', 'parquet'].map(extension => [given, extension] as const))
  for (const [given, extension] of cases) {
    const { rows, unanswered, answers } = await score(context, given, extension)
    expect([rows, unanswered]).toEqual([table.rows, 2 * (4 + LENGTH - 1)])
    expect([...numbers(answers, 'probability')]).toEqual(expected)
  }
  const order = shuffled(features)
  const { answers } = await score(context, takeRows(features, order))
  expect([...numbers(answers, 'probability')]).toEqual(Array.from(order, row => expected[row]))
})

it('rows with a missing value are in a sequence where the model allows them, and in none where it does not', async () => {
  const features = featuresOf(candles(40))
  numbers(features, 'roc_3')[30] = Number.NaN
  for (const nullable of [true, false]) {
    const context = await championOf('gru', nullable)
    const expected = await overHttp(context, features)
    const { answers } = await score(context, features)
    expect([...numbers(answers, 'probability')]).toEqual(expected)
    // Candles are warmed up first, also for a model that allows missing values.
    const warmed = await score(context, candles(40))
    expect(warmed.unanswered).toBe(2 * (4 + LENGTH - 1))
  }
})

it('a file without times is in its own order, and one with two rows of a time or a row without one is refused', async () => {
  const context = await championOf('gru')
  const features = featuresOf(candles(40))
  const without = { ...features, columns: features.columns.filter(({ name }) => name !== 'time') }
  const [timed, untimed] = [await score(context, features), await score(context, without)]
  expect(numbers(untimed.answers, 'probability')).toEqual(numbers(timed.answers, 'probability'))
  const twice = takeRows(features, [0, 1, 2, 2, 3])
  await expect(score(context, twice)).rejects.toMatchObject({
    code: 'ROW_TIME',
    exit: 4,
    message: 'two rows of AAA have the time 2020-01-03T00:00:00.000Z',
  })
  numbers(features, 'time')[7] = Number.NaN
  await expect(score(context, features)).rejects.toMatchObject({
    code: 'ROW_TIME',
    message: expect.stringContaining('AAA'),
  })
})
