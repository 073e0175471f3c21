// Tables for the tests of features: references from files, and series drawn by fast-check.
import { DuckDBInstance } from '@duckdb/node-api'
import fc from 'fast-check'
import type { Table } from '../../src/base/table.ts'
import { DAY } from '../../src/base/time.ts'
import { computeFeatures, type Snapshots } from '../../src/features/compute.ts'
import type { Feature } from '../../src/features/feature.ts'

export type Columns = Record<string, Float64Array>

/** The numeric columns of a CSV or Parquet file, NaN where empty. */
export async function readColumns(path: string): Promise<Columns> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const reader = await connection.runAndReadAll(`select * from '${path}'`)
  const names = reader.columnNames()
  const values = reader.getColumns()
  connection.closeSync()
  return Object.fromEntries(
    names.map((name, i) => [name, Float64Array.from(values[i], v => (v === null ? Number.NaN : Number(v)))]),
  )
}

export function table(columns: Columns): Table {
  return {
    rows: Object.values(columns)[0]?.length ?? 0,
    columns: Object.entries(columns).map(([name, values]) => ({
      name,
      type: name === 'time' ? 'time' : 'number',
      values,
    })),
  }
}

/** Days from 2018 on of several symbols, sorted by day, then symbol. */
export function dailyCandles(bars: { day: number; symbol: string; close: number }[]): Table {
  const number = (name: string, value: (bar: (typeof bars)[number]) => number, type: 'time' | 'number' = 'number') => ({
    name,
    type,
    values: Float64Array.from(bars, value),
  })
  return {
    rows: bars.length,
    columns: [
      number('time', ({ day }) => Date.UTC(2018, 0, 1) + day * DAY, 'time'),
      number('open', ({ close }) => close),
      number('high', ({ close }) => close + 1),
      number('low', ({ close }) => close - 1),
      number('close', ({ close }) => close),
      number('volume', ({ day }) => (day % 7) + 1),
      { name: 'symbol', type: 'string', values: bars.map(({ symbol }) => symbol) },
    ],
  }
}

/** Numbers as a market has them: walks, ties, zeros, jumps; `gaps` adds NaN and infinities. */
const price = (gaps: boolean) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.double({ min: 50, max: 150, noNaN: true }) },
    { weight: 4, arbitrary: fc.integer({ min: 98, max: 102 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, -3, 1e-9, 1e9) },
    ...(gaps ? [{ weight: 1, arbitrary: fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY) }] : []),
  )

/** Candles of up to `longest` rows, one bar a minute. */
export const candles = (longest: number, gaps: boolean): fc.Arbitrary<Columns> =>
  fc
    .array(fc.tuple(price(gaps), price(gaps), price(gaps), fc.nat(3)), { minLength: 1, maxLength: longest })
    .map(rows => ({
      time: Float64Array.from(rows, (_, i) => i * 60_000),
      open: Float64Array.from(rows, ([open]) => open),
      high: Float64Array.from(rows, ([open, close, other]) => Math.max(open, close, other)),
      low: Float64Array.from(rows, ([open, close, other]) => Math.min(open, close, other)),
      close: Float64Array.from(rows, ([, close]) => close),
      volume: Float64Array.from(rows, ([, , , volume]) => volume),
    }))

/** The feature's values over whole columns. */
export const compute = (feature: Feature, columns: Columns): Float64Array =>
  computeFeatures(table(columns), [feature]).columns[0]

/** The same in blocks that end before the rows of `cuts`, the state saved and restored at each, and no row of another block in sight. */
export function computeInBlocks(feature: Feature, columns: Columns, cuts: number[]): Float64Array {
  const { rows } = table(columns)
  const out = new Float64Array(rows)
  let from = 0
  let saved: Snapshots | undefined
  for (const to of [...new Set([...cuts.filter(cut => cut < rows), rows])].sort((a, b) => a - b)) {
    const block = mapColumns(columns, x => x.slice(from, to))
    const computed = computeFeatures(table(block), [feature], saved)
    out.set(computed.columns[0], from)
    saved = structuredClone(computed.snapshots)
    from = to
  }
  return out
}

export const mapColumns = (columns: Columns, change: (x: Float64Array) => Float64Array): Columns =>
  Object.fromEntries(Object.entries(columns).map(([name, x]) => [name, change(x)]))

/** The bits, so that -0 and 0 differ and NaN equals NaN. */
export const bits = (values: Float64Array): BigUint64Array =>
  new BigUint64Array(values.map(value => (Number.isNaN(value) ? Number.NaN : value)).buffer)

/** Largest relative difference; infinite where one has a value and the other has none. */
export function worst(got: Float64Array, expected: Float64Array): number {
  let largest = 0
  for (let i = 0; i < expected.length; i++) {
    if (Number.isNaN(expected[i]) && Number.isNaN(got[i])) continue
    const error = Math.abs(got[i] - expected[i]) / Math.max(Math.abs(expected[i]), Number.MIN_VALUE)
    largest = Math.max(largest, got[i] === expected[i] ? 0 : Number.isNaN(error) ? Number.POSITIVE_INFINITY : error)
  }
  return largest
}
