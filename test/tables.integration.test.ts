// The whole story of a table, of every task, by the real engine: from a file with words and missing values to a champion.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it, onTestFinished } from 'vitest'
import { type Column, numbers, strings } from '../src/base/table.ts'
import { loadConfig } from '../src/config.ts'
import { openContext } from '../src/context.ts'
import { readColumns, writeTable } from '../src/data/files.ts'
import type { Task } from '../src/features/labels.ts'
import { run } from '../src/pipeline.ts'
import { openRegistered } from '../src/registry/bundle.ts'
import { trustedKeys } from '../src/registry/keys.ts'
import { aliasVersion, resolveVersion } from '../src/registry/versions.ts'
import { predictFile } from '../src/serve/file.ts'
import { vectorise } from '../src/serve/predict.ts'
import { openPool } from './learn/pool.ts'
import { flowers } from './learn/tabular.ts'
import { put, temporaryFolder } from './temporary.ts'

const { engine } = openPool()
afterAll(() => engine.close())

const LINEAR: Record<Task, string> = { binary: 'logistic', multiclass: 'logistic', regression: 'ridge' }

/** A folder with a table and a config that has no more than it needs, beside two quick models. */
async function given(task: Task) {
  const folder = temporaryFolder()
  await writeTable(flowers(500, task), join(folder, 'flowers.csv'))
  const text = `task: ${task}
data: { schema: table, source: { kind: file, path: flowers.csv } }
label: { kind: column, name: label }
models: [{ kind: ${LINEAR[task]} }, { kind: lightgbm, params: { n_estimators: 20 } }]
`
  const home = join(folder, '.sluice')
  const opened = openContext({ home, env: process.env, signal: new AbortController().signal, quiet: true })
  onTestFinished(() => opened.close())
  const context = { ...opened, engine, log: { ...opened.log, warn: () => {} } }
  const file = put(folder, 'flowers.yaml', text)
  return { context, folder, tell: (...overrides: string[]) => run(loadConfig(file, overrides), context) }
}

it.each(['binary', 'multiclass', 'regression'] as const)('a table is learned, judged and deployed: %s', async task => {
  const { context, tell } = await given(task)
  const first = await tell()
  expect(first).toMatchObject({
    status: 'deployed',
    rows:
      task === 'regression'
        ? { train: 340, valid: 85, test: 75, purged: 0 }
        : { train: 350, valid: 75, test: 75, purged: 0 },
    folds: 5,
    selected: { kind: LINEAR[task] },
    gates: [{ name: 'skill', pass: true }],
  })
  expect(await aliasVersion(context.database, 'flowers')).toBe(1)
  const again = await tell()
  expect(again.stages.filter(({ cached }) => !cached).map(({ name }) => name)).toEqual(['deploy'])
  // Another seed parts the rows otherwise.
  const other = await tell('seed=7')
  expect(other.stages.filter(({ cached }) => cached).map(({ name }) => name)).toEqual(['ingest', 'build'])
})

it('a file is read for its answers as it was read for the table: 01 is no 1, and yes is one', async () => {
  const { context, folder, tell } = await given('binary')
  const codes = { amber: '01', blue: '1', green: '02', red: '2020-01-01' }
  const plain = flowers(500, 'binary')
  const [height, , , label] = plain.columns
  const zip = strings(plain, 'colour').map(word => codes[word as keyof typeof codes] ?? '02')
  const wide = Array.from(numbers(plain, 'width'), width => (width > 0 ? 'yes' : 'no'))
  const table = { rows: 500, columns: [height, text('wide', wide), text('zip', zip), label] }
  const input = join(folder, 'flowers.csv')
  await writeTable(table, input)
  const types = { height: 'number', wide: 'boolean', zip: 'string', label: 'string' }
  const schema = Object.entries(types).map(([name, type]) => ({ name, type, nullable: true }))
  const { files } = await tell(`data.schema=${JSON.stringify(schema)}`)
  const out = join(folder, 'scored.csv')
  await predictFile('flowers', input, out, [], context)
  const [scored, judged] = [await readColumns(out), await readColumns(files.predictions)]
  const [all, row] = [numbers(scored, 'probability'), numbers(judged, 'row')]
  const test = strings(judged, 'part').flatMap((part, i) => (part === 'test' ? [i] : []))
  for (const i of test) expect(Math.abs(all[row[i]] - numbers(judged, 'p')[i])).toBeLessThan(1e-5)
  const { manifest } = await openRegistered(
    context.home,
    await resolveVersion(context.database, 'flowers'),
    trustedKeys(context.home),
  )
  expect(() => vectorise(manifest, [{ height: null, wide: null, zip: null }])).not.toThrow()
})

const text = (name: string, values: string[]): Column => ({ name, type: 'string', values })

it('a file is scored as the source was read, and one of our own as we write', async () => {
  const { context, folder, tell } = await given('binary')
  const plain = join(folder, 'flowers.csv')
  const european = readFileSync(plain, 'utf8').replaceAll(',', ';').replaceAll('.', ',').replace('height', 'Höhe')
  const local = put(folder, 'blumen.csv', european)
  const source = '{ kind: file, path: blumen.csv, delimiter: ";", decimal: ",", columns: { height: Höhe } }'
  await tell(`data.source=${source}`)
  const answers = async (input: string) => {
    const out = join(folder, 'scored.csv')
    await predictFile('flowers', input, out, [], context)
    return numbers(await readColumns(out), 'probability')
  }
  const asTrained = await answers(local)
  expect(asTrained.every(Number.isFinite)).toBe(true)
  expect(await answers(plain)).toEqual(asTrained)
  const odd = put(folder, 'odd.csv', european.replace('Höhe', 'Größe'))
  await expect(answers(odd)).rejects.toMatchObject({ code: 'MISSING_COLUMN', message: expect.stringContaining('Höhe') })
  const wrong = put(folder, 'wrong.csv', european.replace(/,/, '.'))
  await expect(answers(wrong)).rejects.toMatchObject({ code: 'BAD_ROW' })
})

it('a table says at its door what cannot be learned from it', async () => {
  const { tell } = await given('multiclass')
  await expect(tell('task=binary')).rejects.toMatchObject({ code: 'LABEL_NOT_BINARY', exit: 4 })
  await expect(tell('task=regression', 'models=[{kind: ridge}]')).rejects.toMatchObject({
    code: 'LABEL_NOT_NUMERIC',
    exit: 4,
  })
  await expect(tell('label.name=colour', 'data.on_bad_row=fail', 'label.horizon=3')).rejects.toMatchObject({
    code: 'HORIZON',
    exit: 2,
  })
  await expect(tell('preprocess.columns={colours: {encode: target}}')).rejects.toMatchObject({
    code: 'UNKNOWN_COLUMN',
    exit: 2,
  })
})
