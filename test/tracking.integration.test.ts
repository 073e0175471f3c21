// Trackers held to their contract, and runs that are told to both, by a real MLflow server and the real client of Weights & Biases, whose offline file is read back.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { parse } from 'yaml'
import type { Context } from '../src/base/context.ts'
import type { Row } from '../src/base/database.ts'
import { interruption, usageError } from '../src/base/errors.ts'
import { openMlflow } from '../src/base/mlflow.ts'
import { listRuns } from '../src/base/runs.ts'
import type { Told, Tracker } from '../src/base/tracker.ts'
import { loadConfig } from '../src/config.ts'
import { cacheFolder, openContext } from '../src/context.ts'
import { pythonOf } from '../src/learn/install.ts'
import { openWandb } from '../src/learn/wandb.ts'
import { record, run } from '../src/pipeline.ts'
import { bundleFolder } from '../src/registry/bundle.ts'
import { tellAgain } from '../src/tracking.ts'
import { openPool } from './learn/pool.ts'
import { readMlflow, startMlflow } from './mlflow.ts'
import { PLANTED } from './planted.ts'
import { childrenOf, until } from './processes.ts'
import { put, temporaryFolder } from './temporary.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-tracker-'))
const python = process.env.SLUICE_PYTHON ?? pythonOf(cacheFolder(process.env))
let mlflow: Awaited<ReturnType<typeof startMlflow>>
beforeAll(async () => {
  mlflow = await startMlflow()
})
afterAll(async () => {
  await mlflow?.close()
  rmSync(folder, { recursive: true })
})

const NOW = Date.UTC(2026, 0, 1)
const MD5 = '0123456789abcdef0123456789abcdef'

/** What a run of a name is told as, before and after its end. */
function told(name: string, more: Partial<Told> = {}): Told {
  return {
    ...{ id: `20260101000000-${name}`, name, command: 'run', started: NOW, finished: null, status: 'running' },
    params: { 'split.embargo': '5', 'models.0.kind': 'cnn_lstm', 'a:b [c]': 'x', long: 'y'.repeat(9000) },
    tags: { 'sluice.table.md5': MD5, 'sluice.git.commit': 'abc' },
    ...{ figures: {}, data: null, files: [] },
    ...more,
  }
}

const ended = (name: string): Told =>
  told(name, {
    ...{ status: 'finished', finished: NOW + 5000, figures: { 'test/sharpe': 1.25, 'gate/sharpe': 1 } },
    tags: { ...told(name).tags, 'sluice.status': 'deployed' },
    data: { name: 'prices', digest: MD5, source: { table: 'prices', version: 1 } },
    files: [
      { name: 'sluice.yaml', path: put(folder, 'sluice.yaml', 'seed: 1\n') },
      { name: 'bundle/model.onnx', path: put(folder, 'model.onnx', new Uint8Array([0, 255, 10, 13])) },
    ],
  })

/** More than one request's worth of one series, and a loss that was no number. */
const LOSS = Array.from({ length: 1500 }, (_, step): number | null => (step === 7 ? null : 1 / (step + 1)))
const POINTS: Row<'points'>[] = LOSS.map((value, step) => ({
  ...{ id: step + 1, run: '', series: 'cnn_lstm-1/fold-2', name: 'loss', step, value, at: NOW + step },
}))

async function tell(tracker: Tracker, name: string): Promise<void> {
  try {
    await tracker.begin(told(name))
    await tracker.points(POINTS.slice(0, 1000))
    await tracker.points(POINTS.slice(1000))
    await tracker.end(ended(name))
  } finally {
    await tracker.close()
  }
}

const warnings: string[] = []
const openServer = () => openMlflow({ url: mlflow.url }, { warn: text => warnings.push(text) })
const openOffline = (name: string) =>
  openWandb({ mode: 'offline' }, { python, env: process.env, folder: join(folder, name), log: { debug: () => {} } })

/** What the client left of a run in the newest of its folders. */
function readOffline(name: string, run = `20260101000000-${name}`, runs = join(folder, name, 'wandb')) {
  const left = readdirSync(runs).filter(entry => entry.startsWith('offline-run-'))
  const file = join(runs, left.sort().at(-1)!, `run-${run}.wandb`)
  const reader = join(import.meta.dirname, '../engine/tests/offline.py')
  return JSON.parse(execFileSync(python, [reader, file], { encoding: 'utf8', maxBuffer: 1 << 26 }))
}

describe('MLflow', () => {
  it('has what it was told', async () => {
    await tell(openServer(), 'one')
    const [run, ...more] = await readMlflow(mlflow.url, 'one')
    expect(more).toEqual([])
    expect(run.status).toBe('FINISHED')
    expect(run.params).toMatchObject({ 'split.embargo': '5', 'models.0.kind': 'cnn_lstm', 'a_b _c_': 'x' })
    expect(run.params.long).toHaveLength(6000)
    expect(run.tags).toMatchObject({
      ...{ 'sluice.run': '20260101000000-one', 'sluice.table.md5': MD5, 'sluice.status': 'deployed' },
      'mlflow.source.git.commit': 'abc',
    })
    expect(run.metrics).toMatchObject({ 'test/sharpe': 1.25, 'gate/sharpe': 1 })
    expect(run.datasets).toMatchObject([{ name: 'prices', digest: MD5 }])
    const history = await run.history('cnn_lstm-1/fold-2/loss')
    expect(history).toEqual(LOSS.map((value, step) => [step, value ?? 'NaN']))
    expect(await run.file('sluice.yaml')).toEqual(Buffer.from('seed: 1\n'))
    expect(await run.file('bundle/model.onnx')).toEqual(Buffer.from([0, 255, 10, 13]))
    expect(warnings).toEqual([])
  })

  it('has it once when it is told again', async () => {
    await tell(openServer(), 'twice')
    await tell(openServer(), 'twice')
    const runs = await readMlflow(mlflow.url, 'twice')
    expect(runs).toHaveLength(1)
    expect(await runs[0].history('cnn_lstm-1/fold-2/loss')).toHaveLength(LOSS.length)
    expect(await runs[0].history('test/sharpe')).toEqual([[0, 1.25]])
  })

  it('says what it does not take, and the run has its end all the same', async () => {
    const tracker = openServer()
    await tracker.begin(told('stubborn'))
    const other = { ...ended('stubborn'), params: { 'split.embargo': '6' } }
    await expect(tracker.end(other)).rejects.toMatchObject({
      code: 'TRACKER_REFUSED',
      message: expect.stringContaining('split.embargo'),
    })
    await tracker.close()
    expect((await readMlflow(mlflow.url, 'stubborn'))[0].status).toBe('FINISHED')
  })

  it('is one experiment for runs that begin together', async () => {
    const runs = ['a', 'b', 'c'].map(async id => {
      const tracker = openServer()
      await tracker.begin({ ...told('together'), id })
      await tracker.close()
    })
    await Promise.all(runs)
    expect(await readMlflow(mlflow.url, 'together')).toHaveLength(3)
  })
})

describe('Weights & Biases, offline', () => {
  it('has what it was told', async () => {
    await tell(openOffline('one'), 'one')
    const run = readOffline('one')
    expect(run).toMatchObject({ run: '20260101000000-one', project: 'one', exit: 0 })
    expect(run.config).toMatchObject({ 'split.embargo': 5, 'sluice.table.md5': MD5, 'sluice.status': 'deployed' })
    expect(run.summary).toMatchObject({ 'test/sharpe': 1.25, 'gate/sharpe': 1 })
    const rows = run.history.map((row: Record<string, unknown>) => [
      row['cnn_lstm-1/fold-2/step'],
      row['cnn_lstm-1/fold-2/loss'],
    ])
    expect(rows).toEqual(LOSS.map((value, step) => [step, value ?? 'NaN']))
    expect(run.files).toContain('sluice.yaml')
    expect(run.artifacts).toMatchObject([{ type: 'model', files: ['model.onnx'] }])
  })

  it('is the same run when it is told again, and whole, each row under the number of its point', async () => {
    await tell(openOffline('twice'), 'twice')
    await tell(openOffline('twice'), 'twice')
    const run = readOffline('twice')
    expect(run).toMatchObject({ run: '20260101000000-twice', exit: 0 })
    const numbers = run.history.map((row: Record<string, unknown>) => row._step)
    expect(numbers).toEqual(POINTS.map(({ id }) => id))
  })

  it('says that its packages are missing', async () => {
    const env = { ...process.env, PATH: process.env.PATH }
    const missing = openWandb(
      { mode: 'offline' },
      { python: '/nowhere/python', env, folder: join(folder, 'none'), log: { debug: () => {} } },
    )
    await expect(missing.begin(told('none'))).rejects.toMatchObject({
      code: 'TRACKER_MISSING',
      next: 'sluice engine install track',
    })
    await missing.close()
  })
})

const { engine } = openPool()
afterAll(() => engine.close())

/** A home of its own around the one warm engine, whose warnings are kept. */
function openHome(signal = new AbortController().signal) {
  const home = join(temporaryFolder(), '.sluice')
  const opened = openContext({ home, env: process.env, signal, quiet: true })
  onTestFinished(() => opened.close())
  const warned: string[] = []
  return { ...opened, engine, warned, log: { ...opened.log, warn: (text: string) => void warned.push(text) } }
}

const both = (name: string) => `tracking: { mlflow: { url: "${mlflow.url}", experiment: ${name} }, wandb: {} }\n`

const load = (context: Context, text: string) => loadConfig(put(join(context.home, '..'), 'f.yaml', text))

describe('a run', () => {
  it('is the same with both trackers on and off, and both have all of it', async () => {
    const off = openHome()
    const without = await run(load(off, PLANTED), off)
    const on = openHome()
    const result = await run(load(on, `${PLANTED}${both('whole')}`), on)
    expect([off.warned, on.warned]).toEqual([[], []])
    const verdict = ({ metrics, backtest, gates, status, selected }: typeof result) => [
      ...[metrics, backtest, gates, status, selected],
    ]
    expect(verdict(result)).toEqual(verdict(without))

    const [there] = await readMlflow(mlflow.url, 'whole')
    const offline = readOffline('', result.run, join(on.home, 'runs', result.run, 'wandb'))
    const manifest = JSON.parse(readFileSync(join(on.home, 'tables/planted/1/manifest.json'), 'utf8'))
    const { md5 } = manifest.partitions[0]
    expect(there).toMatchObject({
      status: 'FINISHED',
      params: { seed: '42', 'models.1.params.n_estimators': '30' },
      tags: { 'sluice.run': result.run, 'sluice.table.md5': md5, 'sluice.model.digest': result.model.digest },
      datasets: [{ name: 'planted', digest: md5 }],
    })
    expect(offline.config).toMatchObject({ seed: 42, 'sluice.table.md5': md5, 'sluice.status': 'deployed' })
    for (const figures of [there.metrics, offline.summary])
      expect(figures).toMatchObject({
        ...{
          'backtest/sharpe': result.backtest.sharpe,
          'valid/roc_auc': result.metrics.valid.roc_auc,
          'gate/sharpe': 1,
        },
        'stage/train/seconds': result.stages.find(({ name }) => name === 'train')!.seconds,
      })
    const bundle = bundleFolder(on.home, 'planted', 1)
    for (const name of readdirSync(bundle))
      expect(await there.file(`bundle/${name}`)).toEqual(readFileSync(join(bundle, name)))
    expect(await there.file('report.html')).toEqual(readFileSync(result.files.report))
    expect(parse(String(await there.file('sluice.yaml')))).toMatchObject({ name: 'planted', seed: 42 })
    expect(offline.artifacts[0].files.sort()).toEqual(readdirSync(bundle).sort())
    expect(childrenOf(process.pid).length).toBeLessThanOrEqual(engine.size + 1) // and the server
  })

  it('that fails or is stopped has told its points, and how it ended', async () => {
    const measure = (context: Context, name: string, end: () => Promise<never>) =>
      record('train', load(context, `${PLANTED}${both(name)}`), context, async (_, { track }) => {
        track?.([0, 1, 2].map(step => ({ series: 'm/fold-1', name: 'loss', step, value: 1 / (step + 1) })))
        await sleep(4000) // a training that takes longer than its trackers need to begin
        return end()
      })
    const failing = openHome()
    const fail = async () => {
      throw usageError('CLASSES', 'one class')
    }
    const abort = new AbortController()
    const stopped = openHome(abort.signal)
    const stop = async () => {
      abort.abort(interruption())
      throw abort.signal.reason
    }
    await Promise.all([
      expect(measure(failing, 'failing', fail)).rejects.toThrow('one class'),
      expect(measure(stopped, 'stopped', stop)).rejects.toThrow('interrupted'),
    ])
    const [failed] = await readMlflow(mlflow.url, 'failing')
    expect(failed).toMatchObject({ status: 'FAILED', tags: { 'sluice.error': 'CLASSES: one class' } })
    const [killed] = await readMlflow(mlflow.url, 'stopped')
    expect(killed.status).toBe('KILLED')
    for (const { history } of [failed, killed])
      expect(await history('m/fold-1/loss')).toEqual([
        [0, 1],
        [1, 1 / 2],
        [2, 1 / 3],
      ])
    const [row] = await listRuns(failing)
    expect(readOffline('', row.id, join(failing.home, 'runs', row.id, 'wandb'))).toMatchObject({ exit: 1 })
  })

  it('goes on when the process of a tracker is killed, and says so once', async () => {
    const context = openHome()
    const before = childrenOf(process.pid)
    const loaded = load(context, `${PLANTED}tracking: { wandb: {} }\n`)
    await record('train', loaded, context, async (_, { track }) => {
      const started = () => childrenOf(process.pid).filter(pid => !before.includes(pid))
      await until(() => started().length > 0, 'the tracker')
      process.kill(started()[0], 'SIGKILL')
      track?.([{ series: 'm', name: 'loss', step: 0, value: 1 }])
      await sleep(1500)
      return {}
    })
    expect((await listRuns(context))[0].status).toBe('done')
    expect(context.warned).toEqual([expect.stringContaining('TRACKER_DOWN: the process of Weights & Biases ended')])
  })

  it('that no tracker was told of is told later, and once', async () => {
    const context = openHome()
    const { run } = await record('train', load(context, PLANTED), context, async ({ id }, { track }) => {
      track?.([{ series: 'm', name: 'loss', step: 5, value: 0.25 }])
      return { run: id }
    })
    const other = load(context, `${PLANTED}${both('later')}`).config
    for (let times = 0; times < 2; times++)
      expect(await tellAgain(run, other, context)).toEqual({ run, trackers: ['MLflow', 'Weights & Biases'] })
    const [there, ...more] = await readMlflow(mlflow.url, 'later')
    expect(more).toEqual([])
    expect(await there.history('m/loss')).toEqual([[5, 0.25]])
  })
})
