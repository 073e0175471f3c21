// From features to a dataset: which rows stay, what float32 does to them, and what is refused.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { own, writeArrow } from '../../src/base/arrow.ts'
import type { Context } from '../../src/base/context.ts'
import { random } from '../../src/base/random.ts'
import { jsonDigest, numbers, strings } from '../../src/base/table.ts'
import { readColumns } from '../../src/data/files.ts'
import type { Features } from '../../src/features/build.ts'
import {
  type DatasetConfig,
  datasetInputs,
  freeze,
  partSizes,
  readDataset,
  vectors,
  writeParts,
} from '../../src/learn/dataset.ts'
import { preprocessSchema } from '../../src/learn/preprocess.ts'
import { type SplitConfig, splitSchema } from '../../src/learn/split.ts'
import { testContext } from '../data/home.ts'

const BARS = 600
const HORIZON = 3
const holdout = splitSchema.parse({ kind: 'holdout' })
const binary = (split: SplitConfig): DatasetConfig => ({
  task: 'binary',
  split,
  preprocess: preprocessSchema.parse({}),
  seed: 42,
})

type Value = (row: number) => number

interface Given {
  bars?: number
  label?: Value
  horizon?: number
  symbol?: (row: number) => string
  time?: Value
}

const { normal } = random(7)
const noise = Float64Array.from({ length: 5000 }, normal)
const lastRowsUnknown =
  (bars: number, horizon: number, value: Value): Value =>
  row =>
    row < bars - horizon ? value(row) : Number.NaN

/** Features as `build` leaves them. */
async function built(
  context: Context,
  features: Record<string, Value>,
  {
    bars = BARS,
    horizon = HORIZON,
    label = lastRowsUnknown(bars, horizon, row => row % 2),
    symbol,
    time = row => row,
  }: Given = {},
): Promise<Features> {
  const path = join(context.home, 'features.arrow')
  const column = (value: Value) => Float64Array.from({ length: bars }, (_, row) => value(row))
  await writeArrow(path, [
    ...Object.entries({ time, open: () => 1, close: () => 1, label }).map(([name, value]) => ({
      name: own(name),
      values: column(value),
    })),
    ...Object.entries(features).map(([name, value]) => ({ name, values: column(value) })),
    ...(symbol ? [{ name: own('symbol'), values: Array.from({ length: bars }, (_, row) => symbol(row)) }] : []),
  ])
  return {
    digest: 'd',
    path,
    rows: bars,
    features: Object.keys(features),
    specs: [],
    nullable: [],
    label: { kind: 'direction', horizon },
    words: null,
    horizon,
    warmup: 0,
    market: true,
    timed: true,
  }
}

async function frozen(features: Record<string, Value>, given: Given = {}, split = holdout) {
  const context = testContext()
  const dataset = await freeze(await built(context, features, given), binary(split), context)
  return { context, dataset, rows: await readDataset(dataset) }
}

const sine: Value = row => Math.sin(row)
const after =
  (warmup: number, value: Value): Value =>
  row =>
    row < warmup ? Number.NaN : value(row)

describe('freeze', () => {
  it('keeps the rows behind the longest warm-up that have a label, as float32', async () => {
    const { dataset, rows } = await frozen({ fast: after(5, sine), slow: after(20, row => row / 7) })
    expect(dataset).toMatchObject({
      rows: BARS - 20 - HORIZON,
      features: ['fast', 'slow'],
      nullable: [],
      classes: [0, 1],
      from: 20,
      to: BARS - 1 - HORIZON,
    })
    expect(rows.features[1]).toEqual(Float32Array.from({ length: dataset.rows }, (_, i) => (i + 20) / 7))
    expect(rows.label.every(value => value === 0 || value === 1)).toBe(true)
  })

  it('lets a feature that is missing later be missing, and says so', async () => {
    const { dataset, rows } = await frozen({
      whole: sine,
      holed: row => (row === 100 ? Number.NaN : row === 200 ? Infinity : sine(row)),
    })
    expect(dataset.rows).toBe(BARS - HORIZON)
    expect(dataset.nullable).toEqual(['holed'])
    const [, holed] = rows.features
    expect([holed[100], holed[200], holed[300]]).toEqual([Number.NaN, Number.NaN, Math.fround(sine(300))])
  })

  it('purges by the bars of each symbol: a label ends h bars of its own symbol later', async () => {
    const bars = 2 * BARS
    const one: Given = {
      bars,
      time: row => Math.floor(row / 2),
      symbol: row => 'AB'[row % 2],
      label: row => (row < bars - 2 * HORIZON ? (row >> 1) % 2 : Number.NaN),
    }
    const { rows, dataset } = await frozen({ x: row => sine(row) }, one)
    const { time, end } = rows
    expect(end.every((value, row) => value === time[row] + HORIZON)).toBe(true)
    const { train, valid, test } = dataset.split
    expect(Math.max(...train.flatMap(([, to]) => end[to - 1]))).toBeLessThan(time[valid[0][0]])
    expect(Math.max(...valid.flatMap(([, to]) => end[to - 1]))).toBeLessThan(time[test[0][0]])
    expect(partSizes(dataset.split).purged).toBe(2 * 2 * HORIZON)
  })

  it('keeps times, prices and labels as they are, whatever the features are called', async () => {
    const names = ['time', 'end', 'open', 'close', 'label', 'symbol']
    const { dataset, rows } = await frozen(Object.fromEntries(names.map(name => [name, sine])), { symbol: () => 'A' })
    const numbers = (value: Value) => Float64Array.from({ length: dataset.rows }, (_, row) => value(row))
    expect(rows).toMatchObject({
      time: numbers(row => row),
      end: numbers(row => row + HORIZON),
      open: numbers(() => 1),
      close: numbers(() => 1),
      label: numbers(row => row % 2),
      symbol: Array.from({ length: dataset.rows }, () => 'A'),
      features: names.map(() => Float32Array.from(numbers(sine))),
    })
  })

  it('has one digest for equal inputs, another for another split', async () => {
    const digests = await Promise.all(
      [holdout, holdout, { ...holdout, embargo: 1 }].map(
        async split => (await frozen({ x: sine }, {}, split)).dataset.digest,
      ),
    )
    expect(digests[1]).toBe(digests[0])
    expect(digests[2]).not.toBe(digests[0])
  })

  it.each<[string, Record<string, Value>, Given, RegExp]>([
    [
      'TOO_SHORT',
      { x: sine },
      { label: () => Number.NaN },
      /600 bars leave no row: the label looks 3 bars ahead and 600 rows have features/,
    ],
    ['TOO_SHORT', { x: () => Number.NaN }, {}, /one of them never has one/],
    ['CONSTANT_FEATURE', { x: sine, flat: () => 5 }, {}, /feature flat is 5 in every row/],
    ['OUT_OF_RANGE', { x: bar => sine(bar) * 1e300 }, {}, /feature x is -?\d.*, beyond what float32 holds/],
    [
      'FLOAT32_RESOLUTION',
      { large: row => 1e9 + sine(row) },
      {},
      /feature large varies by 0\.7\d+, but float32 rounds it by up to \d+/,
    ],
    [
      'LABEL_NOT_BINARY',
      { x: sine },
      { label: lastRowsUnknown(BARS, HORIZON, row => row / 10) },
      /has 597 values \(0, 0\.1, 0\.2, 0\.3, 0\.4, \.\.\.\); a binary task needs two/,
    ],
    [
      'ONE_CLASS',
      { x: sine },
      { label: lastRowsUnknown(BARS, HORIZON, () => 1) },
      /all \d+ training rows have the label 1/,
    ],
    ['TOO_FEW_ROWS', { x: sine }, { bars: 30 }, /training rows, at least 100 are needed/],
  ])('refuses %s and leaves nothing behind', async (code, features, given, message) => {
    const context = testContext()
    const made = await built(context, features, given)
    await expect(freeze(made, binary(holdout), context)).rejects.toMatchObject({
      code,
      exit: 4,
      message: expect.stringMatching(message),
      next: expect.any(String),
    })
    expect(readdirSync(context.home)).toEqual(['features.arrow'])
  })

  it('takes a feature that float32 can hold just well enough', async () => {
    expect((await frozen({ x: row => 1e3 + sine(row) })).dataset.rows).toBe(BARS - HORIZON)
  })
})

describe('the Kolmogorov-Smirnov warning', () => {
  const bars = 4000
  it('names features whose training and validation rows are suspiciously alike', async () => {
    const { dataset } = await frozen({ copied: row => row % 10, noisy: row => noise[row] + row / 1000 }, { bars })
    expect(dataset.warnings).toEqual([expect.stringMatching(/alike \(K-S p > 0\.8\) in 1 of 2 features \(copied\)/)])
  })

  it('keeps quiet where they differ', async () => {
    expect((await frozen({ trend: row => noise[row] + row / 100 }, { bars })).dataset.warnings).toEqual([])
  })
})

describe('with a context', () => {
  const reaching = async (context: number, given: Given, features: Record<string, Value>) => {
    const home = testContext()
    const dataset = await freeze(await built(home, features, given), { ...binary(holdout), context }, home)
    return { dataset, rows: await readDataset(dataset, context) }
  }

  it('samples are all rows less the warm-up, the rest of the context, and the horizon', async () => {
    const { dataset, rows } = await reaching(12, {}, { slow: after(20, sine), trend: row => row })
    expect(dataset.rows).toBe(BARS - (20 + 12 - 1) - HORIZON)
    expect(dataset.sequence).toMatchObject({ length: 12, rows: BARS - 20 })
    expect(rows.time[0]).toBe(20 + 11)
  })

  it('a sample is the rows up to its own, those without a label too, oldest first', async () => {
    const label: Value = row => (row % 50 === 49 || row >= BARS - HORIZON ? Number.NaN : row % 2)
    const { dataset, rows } = await reaching(4, { label }, { x: sine, trend: row => row })
    const at = Uint32Array.from([0, 60, dataset.rows - 1])
    const windows = vectors(dataset, rows, at, 4)
    const times = [...at].map(row => rows.time[row])
    expect([...windows]).toEqual(
      times.flatMap(time => [3, 2, 1, 0].flatMap(back => [Math.fround(sine(time - back)), time - back])),
    )
    expect([...vectors(dataset, rows, at, 1)]).toEqual(times.flatMap(time => [Math.fround(sine(time)), time]))
    expect([...vectors(dataset, rows, at, 2)]).toEqual(
      [...at].flatMap((_, i) => [...windows.slice(8 * i + 4, 8 * i + 8)]),
    )
  })

  it('reads rows of the own symbol alone', async () => {
    const bars = 2 * BARS
    const given: Given = {
      bars,
      time: row => row >> 1,
      symbol: row => 'AB'[row % 2],
      label: row => (row < bars - 2 * HORIZON ? (row >> 1) % 2 : Number.NaN),
    }
    const { dataset, rows } = await reaching(5, given, { own: row => (row % 2 ? -row - 1 : row + 1) })
    expect(dataset.rows).toBe(2 * (BARS - 4 - HORIZON))
    const windows = vectors(
      dataset,
      rows,
      Uint32Array.from({ length: dataset.rows }, (_, row) => row),
      5,
    )
    for (let row = 0; row < dataset.rows; row++) {
      const signs = new Set([...windows.subarray(5 * row, 5 * row + 5)].map(Math.sign))
      expect([...signs]).toEqual([rows.symbol![row] === 'A' ? 1 : -1])
    }
  })

  it('may read a missing value that no sample of its own has, which is said', async () => {
    const { dataset } = await reaching(3, {}, { x: row => (row === 1 ? Number.NaN : sine(row)) })
    expect(dataset.nullable).toEqual(['x'])
  })

  it('that no symbol fills is refused', async () => {
    await expect(reaching(BARS, {}, { x: sine })).rejects.toMatchObject({ code: 'TOO_SHORT', exit: 4 })
  })

  it('is part of what a dataset is found by, and 1 is as before', async () => {
    const home = testContext()
    const features = await built(home, { x: sine })
    const digests = [undefined, 1, 2, 3].map(context =>
      jsonDigest(datasetInputs(features, { ...binary(holdout), context })),
    )
    expect(digests[0]).toBe(digests[1])
    expect(new Set(digests).size).toBe(3)
  })
})

describe('writeParts', () => {
  it('leaves train, val and test as Parquet, each row in one of them', async () => {
    const { context, dataset } = await frozen({ x: sine }, { symbol: () => 'S' })
    const folder = join(context.home, 'parts')
    const files = await writeParts(dataset, folder, context)
    expect(files).toEqual(['train', 'val', 'test'].map(name => join(folder, `${name}.parquet`)))
    const tables = await Promise.all(files.map(file => readColumns(file)))
    const { train, valid, test } = partSizes(dataset.split)
    expect(tables.map(({ rows }) => rows)).toEqual([train, valid, test])
    expect(tables[0].columns.map(({ name }) => name)).toEqual(['time', 'symbol', 'x', 'label'])
    const times = tables.flatMap(table => [...numbers(table, 'time')])
    expect(new Set(times).size).toBe(train + valid + test)
    expect(tables.flatMap(table => [...numbers(table, 'x')])).toEqual(times.map(row => Math.fround(sine(row))))
    expect(new Set(strings(tables[2], 'symbol'))).toEqual(new Set(['S']))
  })

  it('leaves no test file without a test part', async () => {
    const { context, dataset } = await frozen(
      { x: sine },
      {},
      splitSchema.parse({ kind: 'holdout', ratios: [0.8, 0.2] }),
    )
    await writeParts(dataset, join(context.home, 'parts'), context)
    expect(readdirSync(join(context.home, 'parts')).sort()).toEqual(['train.parquet', 'val.parquet'])
  })
})
