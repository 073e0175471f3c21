// A table without a time, from its version to a dataset.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { numbers, strings, type Table } from '../../src/base/table.ts'
import { readColumns } from '../../src/data/files.ts'
import { build, featureTable } from '../../src/features/build.ts'
import { broughtBySet, type FeatureEntry, tableFeatures } from '../../src/features/catalog.ts'
import type { Task } from '../../src/features/labels.ts'
import { freeze, mostColumns, partSizes, readDataset, writeParts } from '../../src/learn/dataset.ts'
import { preprocessSchema } from '../../src/learn/preprocess.ts'
import { indices, size, splitSchema } from '../../src/learn/split.ts'
import { audit } from '../../src/prove/audit.ts'
import { testContext } from '../data/home.ts'
import { flowers, tableVersion } from './tabular.ts'

const ROWS = 400

interface Given {
  task?: Task
  table?: Table
  preprocess?: object
  kind?: string
  seed?: number
  features?: { kind: string; [key: string]: string | number }[]
  schema?: object
}

async function frozen({ task = 'multiclass', table = flowers(ROWS, task), seed = 1, ...given }: Given = {}) {
  const context = testContext()
  const { manifest, plan } = await tableVersion(table, context, given)
  const built = await build(manifest, plan, context)
  const config = {
    task,
    seed,
    split: splitSchema.parse({ kind: given.kind ?? 'stratified' }),
    preprocess: preprocessSchema.parse(given.preprocess ?? {}),
    optional: broughtBySet(built.specs, (given.features as FeatureEntry[]) ?? tableFeatures),
  }
  const dataset = await freeze(built, config, context)
  return { context, built, table, dataset, rows: await readDataset(dataset) }
}

const withColumn = (table: Table, name: string, values: (string | null)[] | Float64Array): Table => ({
  rows: table.rows,
  columns: [
    ...table.columns.filter(column => column.name !== name),
    { name, type: values instanceof Float64Array ? 'number' : 'string', values },
  ],
})

describe('a table without a time', () => {
  it('keeps every row with a label, shuffled, and knows which row each was', async () => {
    const { dataset, rows, table } = await frozen()
    expect(dataset).toMatchObject({
      rows: ROWS,
      features: ['height', 'width', 'colour'],
      nullable: ['width', 'colour'],
      task: 'multiclass',
      classes: [0, 1, 2],
      classNames: ['middling', 'small', 'tall'],
      categories: { colour: ['amber', 'blue', 'green', 'red'] },
      prepare: null,
      market: false,
      timed: false,
      horizon: 0,
      from: 0,
      to: ROWS - 1,
      warnings: [],
    })
    expect(rows.end).toEqual(rows.time)
    expect([...rows.time].sort((a, b) => a - b)).toEqual(Array.from({ length: ROWS }, (_, row) => row))
    expect(rows.open.every(Number.isNaN) && rows.close.every(Number.isNaN)).toBe(true)
    const [height, colour, label] = [numbers(table, 'height'), strings(table, 'colour'), strings(table, 'label')]
    const { colour: words } = dataset.categories
    for (const [i, row] of rows.time.entries()) {
      expect(rows.features[0][i]).toBe(Math.fround(height[row]))
      expect(words[rows.features[2][i]] ?? null).toBe(colour[row])
      expect(dataset.classNames[rows.label[i]]).toBe(label[row])
    }
  })

  it('has the parts of its ratios, and the same under one seed only', async () => {
    const [a, b, c] = await Promise.all([1, 1, 2].map(seed => frozen({ seed })))
    expect(partSizes(a.dataset.split)).toEqual({ train: 280, valid: 60, test: 60, purged: 0 })
    expect(b.dataset.digest).toBe(a.dataset.digest)
    expect(b.rows.time).toEqual(a.rows.time)
    expect(c.dataset.digest).not.toBe(a.dataset.digest)
  })

  it('learns its words from training rows alone', async () => {
    const plain = await frozen()
    const [tested] = indices(plain.dataset.split.test)
    const row = plain.rows.time[tested]
    const colour = strings(plain.table, 'colour').map((word, i) => (i === row ? 'aaa' : word))
    const { dataset, rows } = await frozen({ table: withColumn(plain.table, 'colour', colour) })
    expect(dataset.categories).toEqual(plain.dataset.categories)
    expect(rows.features[2][tested]).toBe(4)
  })

  it('leaves out rows without a label, and says so', async () => {
    const label = strings(flowers(ROWS, 'binary'), 'label').map((word, row) => (row < 5 ? null : word))
    const { dataset } = await frozen({ task: 'binary', table: withColumn(flowers(ROWS, 'binary'), 'label', label) })
    expect([dataset.rows, dataset.warnings]).toEqual([ROWS - 5, ['5 rows without a label left out']])
    expect([dataset.classes, dataset.classNames]).toEqual([
      [0, 1],
      ['no', 'yes'],
    ])
  })

  it('drops rows or columns where it is told to, and counts them', async () => {
    const rows = await frozen({ preprocess: { missing: 'drop_rows' } })
    const whole = ROWS - Math.floor(ROWS / 11) - Math.floor(ROWS / 13) + Math.floor(ROWS / 143)
    expect([rows.dataset.rows, rows.dataset.nullable]).toEqual([whole, []])
    expect(rows.dataset.warnings[0]).toMatch(`${ROWS - whole} rows with a missing value`)
    const columns = await frozen({ preprocess: { missing: 'drop_columns' } })
    expect(columns.dataset).toMatchObject({ rows: ROWS, features: ['height'], nullable: [], categories: {} })
    expect(columns.dataset.warnings).toEqual([expect.stringMatching(/^width, colour left out/)])
  })

  it.each([
    [6, 'four words and two numbers', {}],
    [3, 'a number for a word', { categories: { encode: 'ordinal' } }],
    [5, 'a number for each of three classes', { columns: { colour: { encode: 'target' } } }],
    [7, 'a missing word as one more', { categories: { impute: 'own' } }],
    [7, 'an indicator where a value is missing', { numbers: { indicator: true } }],
    [6, 'none where its column says so', { numbers: { indicator: true }, columns: { width: { indicator: false } } }],
  ])('makes at most %d columns: %s', async (columns, _, preprocess) => {
    expect(mostColumns((await frozen({ preprocess })).dataset)).toBe(columns)
  })

  it('columns that nobody named are left out where nothing can be learned from them, others refused', async () => {
    const flat = withColumn(flowers(ROWS, 'binary'), 'flat', new Float64Array(ROWS).fill(5))
    const table = withColumn(
      flat,
      'name',
      Array.from({ length: ROWS }, (_, row) => `n${row}`),
    )
    const { dataset } = await frozen({ task: 'binary', table })
    expect(dataset.features).toEqual(['height', 'width', 'colour'])
    expect(dataset.warnings).toEqual([
      'flat left out: feature flat is 5 in every row: nothing can be learned from it',
      expect.stringMatching(/^name left out: the category name has 280 words in 280 training rows/),
    ])
    const empty = withColumn(flat, 'empty', new Float64Array(ROWS).fill(Number.NaN))
    const whole = await frozen({ task: 'binary', table: empty, preprocess: { missing: 'drop_rows' } })
    expect(whole.dataset.features).toEqual(['height', 'width', 'colour'])
    expect(whole.dataset.rows).toBeGreaterThan(ROWS / 2)
    expect(whole.dataset.warnings).toContainEqual(expect.stringMatching(/^empty left out: .*never defined/))
    const features = ['height', 'flat'].map(name => ({ kind: 'column', name }))
    await expect(frozen({ task: 'binary', table, features })).rejects.toMatchObject({ code: 'CONSTANT_FEATURE' })
    const idle = { ...table, columns: table.columns.filter(({ name }) => ['flat', 'name', 'label'].includes(name)) }
    await expect(frozen({ task: 'binary', table: idle })).rejects.toMatchObject({ code: 'NO_FEATURES' })
  })

  it('what the schema lets be missing may be, though no row lacks it, unless such rows are dropped', async () => {
    const columns = ['height', 'width', 'colour', 'label'].map(name => ({ name, nullable: true }))
    const nullable = async (more: Given) => (await frozen({ schema: { columns }, ...more })).dataset.nullable
    expect(await nullable({})).toEqual(['height', 'width', 'colour'])
    expect(await nullable({ preprocess: { missing: 'drop_rows' } })).toEqual([])
    expect(await nullable({ features: [{ kind: 'expr', name: 'twice', expr: '2 * height' }] })).toEqual([])
  })

  it('regression keeps its numbers, and no class', async () => {
    const { dataset, rows, table } = await frozen({ task: 'regression', kind: 'kfold' })
    expect([dataset.classes, dataset.classNames, dataset.split.folds.length]).toEqual([[], [], 5])
    const label = numbers(table, 'label')
    expect(rows.label).toEqual(Float64Array.from(rows.time, row => label[row]))
  })

  it('takes expressions of its own rows, and nothing that looks back', async () => {
    const area = { kind: 'expr', name: 'area', expr: 'height * width' }
    const { dataset } = await frozen({ features: [area, { kind: 'column', name: 'colour' }] })
    expect(dataset.features).toEqual(['area', 'colour'])
    for (const features of [[{ kind: 'sma', n: 3, of: 'height' }], [{ ...area, expr: 'lag(height, 1)' }]])
      await expect(frozen({ features })).rejects.toMatchObject({ code: 'NO_ORDER', exit: 2 })
  })

  it.each(['stratified', 'kfold', 'holdout'])('passes its audit: %s', async kind => {
    const { context, built, dataset } = await frozen({ kind })
    const { specs, label, market } = built
    const checks = await audit(
      { table: 'flowers', version: 1 },
      { features: specs, label, market },
      dataset,
      1,
      context,
    )
    expect(checks.map(({ name, ok, worst }) => [name, ok, worst])).toEqual(
      ['truncation', 'future_poison', 'split_overlap'].map(name => [name, true, 0]),
    )
    const [train, valid] = [dataset.split.train, dataset.split.valid]
    const leaking = { ...dataset, split: { ...dataset.split, train: [...train, valid[0]] } }
    const { worst, detail } = (
      await audit({ table: 'flowers', version: 1 }, { features: specs, label, market }, leaking, 1, context)
    )[2]
    expect([worst, detail]).toEqual([
      size(valid),
      expect.stringMatching(/^\d+ rows of train reach into valid, the first at row \d+$/),
    ])
  })

  it('numbers that are names are words; keys and what is personal are no features', async () => {
    const zone = Float64Array.from({ length: ROWS }, (_, row) => (row % 5 === 4 ? Number.NaN : (row % 5) * 10))
    const id = Array.from({ length: ROWS }, (_, row) => `id ${row}`)
    const table = withColumn(withColumn(flowers(ROWS, 'binary'), 'zone', zone), 'id', id)
    const rules = ['height', 'width', 'colour', 'label', 'zone', 'id'].map(name => ({
      name,
      nullable: true,
      categorical: name === 'zone',
      pii: name === 'colour',
    }))
    const { built } = await frozen({ task: 'binary', table, schema: { columns: rules, key: ['id'] } })
    const { columns } = await featureTable(built)
    expect(columns.map(({ name, type }) => [name, type])).toEqual([
      ['height', 'number'],
      ['width', 'number'],
      ['zone', 'string'],
      ['label', 'string'],
    ])
    expect(columns[2].values.slice(0, 6)).toEqual(['0', '10', '20', '30', null, '0'])
  })

  it('a column may be called anything', async () => {
    const plain = await frozen()
    const named = (...names: string[]) =>
      frozen({
        table: { rows: ROWS, columns: plain.table.columns.map((column, i) => ({ ...column, name: names[i] })) },
      })
    const names = ['#label', '#time', '__proto__', 'label']
    const { rows, dataset, context } = await named(...names)
    expect(rows).toEqual(plain.rows)
    expect(Object.entries(dataset.categories)).toEqual([['__proto__', ['amber', 'blue', 'green', 'red']]])
    const [train] = await writeParts(dataset, join(context.home, 'parts'), context)
    expect((await readColumns(train)).columns.map(({ name }) => name)).toEqual(['row', ...names])
    const beside = await named('Row', 'row_', 'x', 'label')
    const [part] = await writeParts(beside.dataset, join(beside.context.home, 'parts'), beside.context)
    const written = await readColumns(part)
    expect(written.columns.map(({ name }) => name)).toEqual(['row__', 'Row', 'row_', 'x', 'label'])
    expect(numbers(written, 'row__')[0]).toBe(rows.time[0])
    const numeric = withColumn(flowers(ROWS, 'multiclass'), 'constructor', numbers(plain.table, 'height'))
    const { dataset: built } = await frozen({
      table: numeric,
      preprocess: { columns: { constructor: { clip: [0, 1] } } },
    })
    expect(built.features).toContain('constructor')
  })

  it('writes its parts with words as words', async () => {
    const { dataset, context, table, rows } = await frozen()
    const [train] = await writeParts(dataset, join(context.home, 'parts'), context)
    const written = await readColumns(train)
    expect(written.columns.map(({ name }) => name)).toEqual(['row', 'height', 'width', 'colour', 'label'])
    const first = rows.time[0]
    expect([numbers(written, 'row')[0], strings(written, 'label')[0]]).toEqual([first, strings(table, 'label')[first]])
    expect(strings(written, 'colour')[0]).toBe(strings(table, 'colour')[first])
  })

  it.each([
    ['a label that looks ahead', { kind: 'column', name: 'label', horizon: 2 }, 'HORIZON'],
    ['a label that is not there', { kind: 'column', name: 'species' }, 'MISSING_COLUMN'],
  ] as const)('refuses %s', async (_, label, code) => {
    const context = testContext()
    const { manifest, plan } = await tableVersion(flowers(ROWS, 'binary'), context)
    await expect(build(manifest, { ...plan, label }, context)).rejects.toMatchObject({ code })
  })
})
