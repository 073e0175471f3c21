// Tables of every task by the real engine: fitted with words and missing values, shipped, and served with the same bits from files and over HTTP.
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import type { Context } from '../../src/base/context.ts'
import { startRun } from '../../src/base/runs.ts'
import { findColumn, numbers, strings, type Table, takeRows } from '../../src/base/table.ts'
import { readColumns, writeTable } from '../../src/data/files.ts'
import { build } from '../../src/features/build.ts'
import type { Task } from '../../src/features/labels.ts'
import { type Dataset, freeze, readDataset } from '../../src/learn/dataset.ts'
import { expandModels, modelsSchema } from '../../src/learn/models.ts'
import { preprocessSchema } from '../../src/learn/preprocess.ts'
import { indices, size, splitSchema } from '../../src/learn/split.ts'
import { type Fit, fitOnce, predictions, rowsOf, train } from '../../src/learn/train.ts'
import type { Selected } from '../../src/prove/contest.ts'
import { trustedKeys } from '../../src/registry/keys.ts'
import { register } from '../../src/registry/register.ts'
import { promote } from '../../src/registry/versions.ts'
import { predictFile } from '../../src/serve/file.ts'
import { championOf } from '../../src/serve/live.ts'
import { startServer } from '../../src/serve/server.ts'
import { testContext } from '../data/home.ts'
import { openPool } from '../learn/pool.ts'
import { flowers, tableVersion } from '../learn/tabular.ts'
import { passed } from '../registry/example.ts'
import { client } from './serving.ts'

const { engine } = openPool()
afterAll(() => engine.close())

const PREPROCESS = { numbers: { indicator: true }, columns: { colour: { encode: 'target', impute: 'own' } } }
const MODELS: Record<Task, object[]> = {
  binary: [{ kind: 'logistic' }, { kind: 'xgboost', params: { n_estimators: 20 } }],
  multiclass: [{ kind: 'logistic' }, { kind: 'random_forest', params: { n_estimators: 10 } }],
  regression: [{ kind: 'ridge' }, { kind: 'lightgbm', params: { n_estimators: 20 } }],
}

/** A table as far as a dataset. */
async function given(task: Task, preprocess: object) {
  const context: Context = { ...testContext(), engine }
  const table = flowers(400, task)
  const { manifest, plan } = await tableVersion(table, context)
  const built = await build(manifest, plan, context)
  const split = splitSchema.parse({ kind: task === 'regression' ? 'kfold' : 'stratified' })
  const config = { task, split, preprocess: preprocessSchema.parse(preprocess), seed: 3 }
  return { context, table, manifest, built, dataset: await freeze(built, config, context) }
}

/** Registers the fit of a candidate on the last fold as a champion, as a passed verdict would. */
async function ship(task: Task, kind: string, preprocess: object) {
  const { context, table, manifest, built, dataset } = await given(task, preprocess)
  const candidates = expandModels(modelsSchema.parse(MODELS[task]), task)
  const trained = await train(dataset, candidates, 3, context)
  const { id, params } = trained.find(candidate => candidate.kind === kind)!
  const fold = dataset.split.folds.at(-1)!
  const rows = rowsOf(params, fold, [...fold.valid, ...dataset.split.test])
  const proven = await fitOnce(dataset, { recipe: { kind, params, seed: 3 }, rows, export: true }, context)
  const chosen = { selected: { id, kind, params, threshold: dataset.task === 'binary' ? 0.5 : null } } as Selected
  const parity = { native_python: 0, native_node: 0, bound: 1, rows: 0 }
  const { id: run } = await startRun({ name: 'flowers', command: 'run', config: {}, folder: context.home }, context)
  const registered = await register(
    dataset,
    chosen,
    passed(proven, parity),
    {
      name: 'flowers',
      run,
      seed: 3,
      refit: 'none',
      mode: 'long',
      features: built.specs,
      label: built.label,
      table: manifest,
      git: { commit: null, dirty: null },
    },
    context,
  )
  await promote(context.database, 'flowers', registered.version, { reason: 'test', now: 1 })
  return { context, table, dataset, trained, proven }
}

/** Rows that were never seen: other numbers, a new word, and whatever may be missing. */
function unseen(task: Task): Table {
  const table = flowers(60, task, 77)
  strings(table, 'colour')[3] = 'ultraviolet'
  return { rows: 60, columns: table.columns.filter(({ name }) => name !== 'label') }
}

const requestRows = (table: Table) =>
  Array.from({ length: table.rows }, (_, row) =>
    Object.fromEntries(
      table.columns.map(({ name, values }) => [name, Number.isNaN(values[row]) ? null : values[row]] as const),
    ),
  )

async function overHttp(context: Context) {
  const models = [championOf('flowers', trustedKeys(context.home), context)]
  const server = await startServer({ models, log: context.log, port: 0 })
  onTestFinished(() => server.close())
  return client(server.url)
}

async function fromFile(context: Context, table: Table, extension: string): Promise<Table> {
  const [input, out] = ['in', 'out'].map(name => join(context.home, `${name}.${extension}`))
  await writeTable(table, input)
  expect(await predictFile('flowers', input, out, [], context)).toEqual({ rows: table.rows, unanswered: 0 })
  return readColumns(out)
}

/** An answer over HTTP as the columns of a file have it. */
const flat = ({ class: word, probabilities, ...rest }: Record<string, unknown>) => ({
  ...rest,
  ...(word !== undefined && { class: word }),
  ...Object.fromEntries(Object.entries(probabilities ?? {}).map(([name, p]) => [`probability_${name}`, p])),
})

const rowOf = (table: Table, row: number) =>
  Object.fromEntries(table.columns.map(({ name, values }) => [name, values[row]]))

const cases = (['binary', 'multiclass', 'regression'] as const).flatMap(task =>
  MODELS[task].map(model => [task, (model as { kind: string }).kind] as const),
)

describe.each(cases)('a table, %s, %s', (task, kind) => {
  it('answers words and missing values with the same bits over HTTP and from CSV and Parquet', async () => {
    const { context } = await ship(task, kind, PREPROCESS)
    const rows = unseen(task)
    const { post } = await overHttp(context)
    const { status, answer } = await post({ rows: requestRows(rows) })
    expect(status).toBe(200)
    const files = await Promise.all(['csv', 'parquet'].map(extension => fromFile(context, rows, extension)))
    for (const file of files)
      for (const [row, prediction] of answer.predictions.entries()) expect(flat(prediction)).toEqual(rowOf(file, row))
    const alone = await post({ rows: [requestRows(rows)[3]] })
    expect(alone.answer.predictions).toEqual([answer.predictions[3]])
  })
})

/** Of every test row, the class it has, or the number, beside what the fit says of it. */
async function tested(dataset: Dataset, proven: Fit, table: Table) {
  const { time } = await readDataset(dataset)
  const source = Array.from(indices(dataset.split.test), row => time[row])
  const from = size(dataset.split.folds.at(-1)!.valid)
  const columns = (await predictions(proven, dataset)).map(values => values.subarray(from))
  const given = { ...table, columns: table.columns.filter(({ name }) => name !== 'label') }
  return { rows: takeRows(given, source), columns, label: takeRows(table, source) }
}

it('the served model says of test rows what the judged fit said, class by class by name', async () => {
  const { context, table, dataset, proven } = await ship('multiclass', 'random_forest', {})
  const { rows, columns, label } = await tested(dataset, proven, table)
  const file = await fromFile(context, rows, 'parquet')
  for (const [k, name] of dataset.classNames.entries()) {
    const served = numbers(file, `probability_${name}`)
    for (const [i, p] of columns[k].entries()) expect(Math.abs(served[i] - p)).toBeLessThan(1e-6)
  }
  const right = strings(file, 'class').filter((name, i) => name === strings(label, 'label')[i]).length
  expect(right / rows.rows).toBeGreaterThan(0.6)
})

it('a regression is as near as the noise allows, and its file has no signal', async () => {
  const { context, table, dataset, proven } = await ship('regression', 'ridge', {})
  const { rows, label } = await tested(dataset, proven, table)
  const file = await fromFile(context, rows, 'csv')
  expect(file.columns.map(({ name }) => name)).toEqual(['prediction'])
  const [truth, said] = [numbers(label, 'label'), numbers(file, 'prediction')]
  const errors = truth.map((value, i) => (value - said[i]) ** 2)
  expect(Math.sqrt(errors.reduce((a, b) => a + b, 0) / errors.length)).toBeLessThan(0.8)
})

it('a word where a number belongs, or the other way round, is refused', async () => {
  const { context } = await ship('binary', 'logistic', {})
  const { post } = await overHttp(context)
  const row = { height: 1, width: 2, colour: 'blue' }
  const codes = async (changes: object) => {
    const { status, answer } = await post({ rows: [{ ...row, ...changes }] })
    return [status, answer.code, answer.pointer]
  }
  expect(await codes({})).toEqual([200, undefined, undefined])
  expect(await codes({ colour: null, width: null })).toEqual([200, undefined, undefined])
  expect(await codes({ colour: 1 })).toEqual([400, 'WRONG_TYPE', '/rows/0/colour'])
  expect(await codes({ colour: true })).toEqual([400, 'WRONG_TYPE', '/rows/0/colour'])
  expect(await codes({ width: 'wide' })).toEqual([400, 'WRONG_TYPE', '/rows/0/width'])
  expect(await codes({ height: null })).toEqual([400, 'NULL_VALUE', '/rows/0/height'])
  const words = { ...unseen('binary') }
  const swapped = {
    ...words,
    columns: words.columns.map(column =>
      column.name === 'height' ? { ...findColumn(words, 'colour')!, name: 'height' } : column,
    ),
  }
  await expect(fromFile(context, swapped, 'csv')).rejects.toMatchObject({ code: 'BAD_ROW', exit: 4 })
})
