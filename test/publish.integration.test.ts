// Selection, verdict and what a run leaves, by the real engine, for every task on a market and on a table.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { startRun } from '../src/base/runs.ts'
import { findColumn, numbers, strings } from '../src/base/table.ts'
import { loadConfig } from '../src/config.ts'
import { openContext } from '../src/context.ts'
import { readColumns } from '../src/data/files.ts'
import type { Task } from '../src/learn/dataset.ts'
import { train } from '../src/learn/train.ts'
import { choose } from '../src/prove/contest.ts'
import { gateNames } from '../src/prove/figures.ts'
import { metrics } from '../src/prove/metrics.ts'
import { completeTerms } from '../src/prove/terms.ts'
import { judgeSelected } from '../src/prove/verdict.ts'
import { publish, type Story } from '../src/publish.ts'
import { openPool } from './learn/pool.ts'
import { PLANTED } from './planted.ts'
import { makeDataset } from './prove/datasets.ts'
import { put, temporaryFolder } from './temporary.ts'

const { engine } = openPool()
afterAll(() => engine.close())

const PARAMS = {
  n_estimators: 30,
  max_depth: 3,
  max_features: 'sqrt',
  min_samples_leaf: 20,
  min_samples_split: 2,
  class_weight: null,
}
const CANDIDATES = [1, 2].map(i => ({
  id: `random_forest-${i}`,
  kind: 'random_forest',
  params: { ...PARAMS, max_depth: i + 1 },
}))

async function tell(task: Task, market: boolean, strength?: number) {
  const folder = temporaryFolder()
  const home = join(folder, '.sluice')
  const opened = openContext({ home, env: process.env, signal: new AbortController().signal, quiet: true })
  onTestFinished(() => opened.close())
  const context = { ...opened, engine, log: { ...opened.log, warn: () => {} } }
  const { config: planted } = loadConfig(put(folder, 'f.yaml', PLANTED))
  const scope = { task, market }
  const every = Object.fromEntries(gateNames(scope).map(name => [name, '> -1e9']))
  const config = { ...planted, ...completeTerms({ select: {}, gates: every }, scope) }
  const run = await startRun({ name: 'planted', command: 'run', config, folder }, context)
  const dataset = await makeDataset(folder, { task, market, strength })
  const trained = await train(dataset, CANDIDATES, 1, context)
  const selected = await choose(dataset, trained, config, context)
  const looked = { symbols: ['planted'], timeframe: market ? '1d' : 'rows' }
  const verdict = await judgeSelected(dataset, trained, selected, config, { run: run.id, seed: 1, looked }, context)
  const story = {
    ...{ config, dataset, trained, selected, verdict, status: 'registered' },
    run,
    table: { table: 'planted', version: 1, digest: 'd', rows: 900, symbols: [], timeframe: '1d', warnings: [] },
    version: { name: 'planted', version: 1, digest: 'd', failed: [] },
  } as unknown as Story
  const files = await publish(story, context)
  return { dataset, selected, verdict, config, story, context, files, page: readFileSync(files.report, 'utf8') }
}

const CASES = (['binary', 'multiclass', 'regression'] as const).flatMap(task => [
  [task, true] as const,
  [task, false] as const,
])

describe.each(CASES)('a %s task, market %s', (task, market) => {
  it('is selected, judged on every figure it has, and left in files that agree', async () => {
    const { dataset, selected, verdict, files, page } = await tell(task, market)
    expect(verdict.gates.map(({ name }) => name).sort()).toEqual(gateNames({ task, market }).sort())
    expect(verdict.gates.filter(({ value }) => value === null)).toEqual([])
    expect(verdict.parity.native_node).toBeLessThanOrEqual(1e-6)
    expect(verdict.parity.rows).toBe(360)
    expect(Object.keys(verdict.backtest).length > 0).toBe(market)
    expect(selected.combinations).toBe(market ? 20 : 2)
    expect(selected.selected.threshold === null).toBe(!market && task !== 'binary')
    expect(selected.folds.map(({ rows }) => rows)).toEqual([180, 180])
    const [name] = Object.keys(selected.spread)
    const values = selected.folds.map(fold => fold.metrics[name]!)
    expect(selected.spread[name]).toMatchObject({ mean: expect.closeTo((values[0] + values[1]) / 2, 12), folds: 2 })

    const { robustness } = JSON.parse(readFileSync(files.report.replace('.html', '.json'), 'utf8'))
    expect(robustness).toMatchObject({ rows: 180, of: 180, missing_tried: 3 })
    // x0 tells the label, the others are noise.
    expect(robustness.missing.map(({ feature }: { feature: string }) => feature)[0]).toBe('x0')
    expect(robustness.missing[0].change).toBeGreaterThan(0.01)
    expect(page).toMatch(/without x0/)

    const table = await readColumns(files.predictions)
    const part = strings(table, 'part')
    const tested = [...part.keys()].filter(i => part[i] === 'test')
    expect([part.length, tested.length]).toEqual([540, 180])
    const p = numbers(table, 'p')
    expect(market || numbers(table, 'row').at(-1) === 899).toBe(true)
    if (task === 'regression') {
      const columns = { y_true: tested.map(i => numbers(table, 'y')[i]), y_pred: tested.map(i => p[i]) }
      expect(metrics(task, columns).metrics.rmse).toBeCloseTo(verdict.metrics.test.rmse!, 12)
    } else {
      const y = new Set<number | string | null>(findColumn(table, 'y')!.values)
      expect([...y].sort()).toEqual([...(market ? dataset.classes : dataset.classNames)].sort())
    }
    if (task === 'multiclass') {
      const [y, predicted] = ['y', 'predicted'].map(name => findColumn(table, name)!.values)
      expect(tested.filter(i => y[i] === predicted[i]).length / 180).toBeCloseTo(verdict.metrics.test.accuracy!, 12)
      const each = dataset.classNames.map(name => numbers(table, `p_${name}`))
      expect(p.every((value, i) => value === Math.max(...each.map(column => column[i])))).toBe(true)
    }
    const lines = (path: string) => readFileSync(path, 'utf8').trimEnd().split('\n').length - 1
    expect([lines(files.trades), lines(files.equity)]).toEqual(market ? [verdict.backtest.trades, 180] : [0, 0])
    if (!market)
      expect(page.replaceAll(/<style>.*?<\/style>|<[^>]*>/gs, ' ')).not.toMatch(
        /trade|buy.and.hold|\bbars?\b|sharpe|equity/i,
      )
    expect(page).not.toMatch(/NaN|Infinity|undefined<|null</)
  })
})

it.each(CASES.filter(([, market]) => !market))(
  'a %s table without any signal does not pass its default gate',
  async task => {
    const { verdict } = await tell(task, false, 0)
    expect(verdict.metrics.test.skill).toBeLessThanOrEqual(0)
    const { verdict: found } = await tell(task, false)
    expect(found.metrics.test.skill).toBeGreaterThan(0)
  },
)

it('acts on regression at quantiles of what was predicted for the rows it learned from', async () => {
  const { selected } = await tell('regression', true)
  expect(selected.grid.thresholds).toHaveLength(10)
  const { threshold, quantile } = selected.selected
  expect([quantile! >= 0.5, quantile! <= 0.95]).toEqual([true, true])
  expect(Math.abs(threshold!)).toBeLessThan(0.05)
})

it('measures robustness once for a fit, and again alike where that is gone', async () => {
  const { story, context, files } = await tell('binary', false)
  const report = () => JSON.parse(readFileSync(files.report.replace('.html', '.json'), 'utf8')).robustness
  const first = report()
  const folder = join(context.home, 'cache', 'robustness')
  const [kept, ...others] = readdirSync(folder)
  expect(others).toEqual([])
  const path = join(folder, kept)
  const { mtimeMs } = statSync(path)
  await publish(story, context)
  expect([statSync(path).mtimeMs, report()]).toEqual([mtimeMs, first])
  const text = readFileSync(path, 'utf8')
  for (const damaged of [text.replace('"of":180', '"of":181'), text.slice(0, -9), undefined]) {
    if (damaged === undefined) rmSync(path)
    else writeFileSync(path, damaged)
    await publish(story, context)
    expect([report(), readFileSync(path, 'utf8')]).toEqual([first, text])
  }
})

it('draws the learning curve of a fit that left one', async () => {
  const { story, context, files } = await tell('binary', false)
  const page = () => readFileSync(files.report, 'utf8')
  expect(page()).not.toContain('Learning curve')
  const epochs = [0.69, 0.6, 0.5].map((train_loss, i) => ({
    ...{ epoch: i + 1, train_loss, stop_loss: [0.68, 0.61, 0.63][i], learning_rate: 0.001, seconds: 1.5 },
  }))
  const { proven } = story.verdict
  writeFileSync(join(proven.folder, 'history.json'), JSON.stringify({ steps: [], epochs }))
  const artefacts = [...proven.artefacts, { name: 'history.json', sha256: '', bytes: 0 }]
  await publish({ ...story, verdict: { ...story.verdict, proven: { ...proven, artefacts } } }, context)
  expect(page()).toContain('Learning curve')
  expect(page()).toContain('lowest, 0.610, in epoch 2.')
})
