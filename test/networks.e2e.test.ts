// Networks through the whole story with the real engine: trained, judged, exported, served; stopped by heat and gone on with.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import type { Context } from '../src/base/context.ts'
import { inspectOnnx } from '../src/base/onnx.ts'
import { readPoints } from '../src/base/points.ts'
import { showRun } from '../src/base/runs.ts'
import { numbers } from '../src/base/table.ts'
import { loadConfig } from '../src/config.ts'
import { readColumns, writeTable } from '../src/data/files.ts'
import { loadTable } from '../src/data/tables.ts'
import { type RunResult, run } from '../src/pipeline.ts'
import { bundleFolder, openRegistered } from '../src/registry/bundle.ts'
import { trustedKeys } from '../src/registry/keys.ts'
import { resolveVersion } from '../src/registry/versions.ts'
import { predictFile } from '../src/serve/file.ts'
import { openPool } from './learn/pool.ts'
import { openHome as homeAround } from './opened.ts'
import { put } from './temporary.ts'

const { engine } = openPool({ size: 1 })
afterAll(() => engine.close())

const CONTEXT = 16
const CONFIG = `name: deep
data:
  source: { kind: simulated, bars: 900, seed: 7, signal: { strength: 0.9 } }
  timeframe: 1d
features: [{ kind: roc, n: [1, 3, 10] }, { kind: rsi, n: 14 }, { kind: bb, n: 20 }]
label: { kind: direction, horizon: 3 }
split: { kind: holdout }
models:
  - { kind: cnn_gru, params: { context: ${CONTEXT}, filters: [[8]], hidden: 8, layers: 1, epochs: 4, batch_size: 64, learning_rate: 0.01 } }
gates: { trades: ">= 0" }
refit: none
thermal: { enabled: false }
`

const openHome = () => homeAround(engine)

const tell = (context: Context, ...overrides: string[]) =>
  run(loadConfig(put(join(context.home, '..'), 'f.yaml', CONFIG), overrides), context)

/** Every bar's features scored as a file: how far that is from the predictions that the run left for its test rows. */
async function scoredAgain(context: Context, told: RunResult) {
  const [out, candles] = ['scored.csv', 'candles.parquet'].map(name => join(context.home, name))
  const { config } = loadConfig(join(context.home, '../f.yaml'))
  await writeTable((await loadTable(config.data.table, 1, context)).table, candles)
  const { rows, unanswered } = await predictFile('deep', candles, out, [], context)
  const scored = await readColumns(out)
  const left = await readColumns(told.files.predictions)
  const at = new Map([...numbers(scored, 'time')].map((time, i) => [time, numbers(scored, 'probability')[i]]))
  const apart = [...numbers(left, 'time')].map((time, i) => Math.abs(at.get(time)! - numbers(left, 'p')[i]))
  return { rows, unanswered, apart: Math.max(...apart) }
}

it('trains on windows, proves parity in three runtimes, and answers a file and a sequence with the same bits', async () => {
  const context = openHome()
  const told = await tell(context)
  const { train, valid, test, purged } = told.rows
  // The longest warm-up is that of bb_20: 19 bars.
  expect(train + valid + test + purged).toBe(900 - 19 - (CONTEXT - 1) - 3)
  expect(told.status).toBe('deployed')
  expect(told.parity.native_node).toBeLessThanOrEqual(1e-5)
  expect(told.parity.native_python).toBeLessThanOrEqual(1e-5)
  const names = readdirSync(bundleFolder(context.home, 'deep', 1)).sort()
  expect(names).toEqual(['manifest.json', 'model.onnx', 'model.safetensors', 'signature.json'])

  const { manifest } = await openRegistered(
    context.home,
    await resolveVersion(context.database, 'deep'),
    trustedKeys(context.home),
  )
  expect(manifest.input.length).toBe(CONTEXT)
  expect(manifest.model).toMatchObject({ kind: 'cnn_gru', params: { context: CONTEXT, filters: [8] } })

  const scored = await scoredAgain(context, told)
  expect([scored.rows, scored.unanswered]).toEqual([900, 19 + CONTEXT - 1])
  expect(scored.apart).toBeLessThan(1e-6)

  const again = await tell(context)
  expect(again.stages.filter(({ name }) => name !== 'deploy').every(({ cached }) => cached)).toBe(true)
  expect(existsSync(join(context.home, 'cache', 'checkpoints'))).toBe(true)
  expect(readdirSync(join(context.home, 'cache', 'checkpoints'))).toEqual([])
})

it('is stopped by a sensor at 95 C with a checkpoint, and goes on from there to the same weights', async () => {
  const weightsOf = (context: Context) => {
    const fits = join(context.home, 'cache', 'fits')
    return readdirSync(fits).map(name => readFileSync(join(fits, name, 'predictions.arrow'), 'latin1'))
  }
  const params = ['epochs=40', 'patience=null', 'hidden=[8, 6]'].map(one => `models.0.params.${one}`)
  const long = [...params, 'deploy=manual']
  const whole = openHome()
  await tell(whole, ...long)

  const hot = openHome()
  const sensor = join(hot.home, 'temp')
  writeFileSync(sensor, '60000\n')
  const wired = [...long, 'thermal.enabled=true', `thermal.sensor=${sensor}`, 'thermal.poll=0.1']
  const timer = setInterval(() => {
    const kept = join(hot.home, 'cache', 'checkpoints')
    if (existsSync(kept) && readdirSync(kept).length) setTimeout(() => writeFileSync(sensor, '95000\n'), 400)
  }, 20)
  try {
    await expect(tell(hot, ...wired)).rejects.toMatchObject({ code: 'TOO_HOT', exit: 5 })
  } finally {
    clearInterval(timer)
  }
  const checkpoints = join(hot.home, 'cache', 'checkpoints')
  const kept = readdirSync(checkpoints).map(folder => readdirSync(join(checkpoints, folder)).length)
  expect(kept.sort()).toEqual([0, 1]) // of the network that waited, and of the one at work
  await new Promise(resolve => setTimeout(resolve, 500))
  writeFileSync(sensor, '50000\n')
  const told = await tell(hot, ...wired)
  expect(weightsOf(hot).sort()).toEqual(weightsOf(whole).sort())

  // With refit: none nothing is fitted after the training, and so no temperature is read.
  const { steps } = await showRun(told.run, hot)
  const points = await readPoints(told.run, hot.database, { limit: 100_000 })
  const read = points.filter(({ name }) => name === 'temperature').map(({ at }) => at)
  expect(Math.max(...read)).toBeLessThan(steps.find(({ stage }) => stage === 'register')!.started)
})

it('ends before the first epoch where the table is not what its manifest says', async () => {
  const context = openHome()
  await tell(context, 'models.0.params.epochs=1')
  const folder = join(context.home, 'tables', 'deep', '1')
  const manifest = join(folder, 'manifest.json')
  const text = readFileSync(manifest, 'utf8')
  const measured = async () => {
    const points = context.database.selectFrom('points').where('name', '=', 'train_loss')
    return (await points.select('id').execute()).length
  }
  const before = await measured()
  expect(before).toBeGreaterThan(0)
  for (const damage of [
    () => rmSync(manifest),
    () => writeFileSync(manifest, text.replace(/"sha256": "../, '"sha256": "zz')),
  ]) {
    damage()
    const error = await tell(context, 'models.0.params.epochs=2').catch(caught => caught)
    expect(error).toMatchObject({ exit: 4 })
    expect(await measured()).toBe(before)
    writeFileSync(manifest, text)
  }
})

it('judges, fits again and serves a network in 8 bits as such, and holds what that costs to a gate', async () => {
  const context = openHome()
  const sizes = 'patch_length: 8, patch_stride: 4, d_model: 16, num_attention_heads: 2, ffn_dim: 32'
  const training = `context: ${CONTEXT}, threads: 1, epochs: 3, batch_size: 64, learning_rate: 0.01`
  const network = `models.0={ kind: patchtst, params: { ${sizes}, num_hidden_layers: 1, ${training}, int8: true } }`
  const told = await tell(context, network)
  expect(told.status).toBe('deployed')
  expect(told.gates.find(({ name }) => name === 'int8_loss_change')).toMatchObject({ bound: '<= 0.01', pass: true })
  expect(Math.max(told.parity.native_node, told.parity.native_python)).toBeLessThanOrEqual(1e-6)
  expect((await scoredAgain(context, told)).apart).toBeLessThan(1e-6)
  const shipped = (version: number) => readFileSync(join(bundleFolder(context.home, 'deep', version), 'model.onnx'))
  expect(inspectOnnx(shipped(1)).operators).toContain('MatMulInteger')
  expect(readFileSync(told.files.report, 'utf8')).toContain('loss in 8 bits')

  const again = await tell(context, network, 'refit=all')
  expect(again.status).toBe('deployed')
  const followed = await readPoints(again.run, context.database)
  expect(followed.filter(({ series, name }) => [series, name].join() === 'patchtst-1/refit,train_loss')).not.toEqual([])
  expect(inspectOnnx(shipped(2)).operators).toContain('MatMulInteger')
  expect(shipped(2).equals(shipped(1))).toBe(false)
})

it('refuses a budget that is exceeded before anything is trained', async () => {
  const context = openHome()
  const wide = ['models.0={ kind: mlp, budget: 2M, params: { hidden: [[4000, 1000]] } }']
  await expect(tell(context, ...wide)).rejects.toMatchObject({ code: 'BUDGET', exit: 2 })
  expect(existsSync(join(context.home, 'cache', 'fits'))).toBe(false)
})
