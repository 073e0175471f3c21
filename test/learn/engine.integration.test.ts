// What the real engine answers: equal bits, early stopping, weights, exports and refusals.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeArrow } from '../../src/base/arrow.ts'
import type { EngineEvent } from '../../src/base/context.ts'
import { put } from '../temporary.ts'
import { type Asked, fit as fitIn, KINDS, openPool, PARAMS, ROWS, writeDataset } from './pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-engine-'))
const { engine } = openPool()
const fit = (kind: string, asked?: Asked) => fitIn(engine, folder, kind, asked)

beforeAll(() => writeDataset(folder))

afterAll(async () => {
  await engine.close()
  rmSync(folder, { recursive: true })
})

/** Far enough for a weight to show. */
const STRONG: Record<string, object> = { ...PARAMS, catboost: { iterations: 50, learning_rate: 0.3 } }

describe('the engine', () => {
  it('says who it is', async () => {
    const versions = await engine.versions()
    expect(versions.python).toMatch(/^3\.\d+/)
    expect(Object.keys(versions)).toEqual(
      expect.arrayContaining(['numpy', 'pyarrow', 'sklearn', 'xgboost', 'lightgbm', 'catboost', 'onnx']),
    )
  })

  it.each(KINDS)('gives equal bits for equal seeds: %s', async kind => {
    const [a, b] = await Promise.all([fit(kind, { seed: 3 }), fit(kind, { seed: 3 })])
    expect(a.p).toEqual(b.p)
    expect(a.artefacts).toEqual(b.artefacts)
    expect(a.p).toHaveLength(100)
    expect(a.p.every(value => value >= 0 && value <= 1)).toBe(true)
    expect(a.importances.f0).toBeGreaterThan(a.importances.f1)
  })

  it.each(KINDS.filter(kind => kind !== 'logistic'))('gives others for another seed: %s', async kind => {
    expect((await fit(kind, { seed: 4 })).p).not.toEqual((await fit(kind, { seed: 3 })).p)
  })

  it('stops early on the stop rows, and says how far it came', async () => {
    const params = { n_estimators: 2000, learning_rate: 0.3, early_stopping_rounds: 5 }
    const events: EngineEvent[] = []
    const early = await fit('xgboost', { params, stop: [[250, 300]], onEvent: event => events.push(event) })
    expect(early.iterations).toBeGreaterThan(0)
    expect(early.iterations).toBeLessThan(200)
    expect(early.metrics.stop_log_loss).toBeLessThan(Math.log(2))
    expect(events.every(({ event }) => event === 'progress')).toBe(true)
  })

  it.each(KINDS)('lifts the rare class when classes are weighed: %s', async kind => {
    const mean = (p: Float32Array) => p.reduce((total, value) => total + value, 0) / p.length
    const [plain, balanced] = await Promise.all([
      fit(kind, { params: STRONG[kind] }),
      fit(kind, { params: { ...STRONG[kind], class_weight: 'balanced' } }),
    ])
    expect(mean(balanced.p)).toBeGreaterThan(mean(plain.p) + 0.05)
  })

  it('exports the same fit, with what onnxruntime makes of it', async () => {
    const [plain, exported] = await Promise.all([fit('lightgbm'), fit('lightgbm', { method: 'export' })])
    expect(exported.p).toEqual(plain.p)
    expect(exported.artefacts.map(({ name }) => name).sort()).toEqual(['model.onnx', 'model.txt', 'predictions.arrow'])
    const onnx = exported.predictions.get('onnx_p1') as Float32Array
    expect(onnx.every((value, i) => Math.abs(value - plain.p[i]) <= 1e-6)).toBe(true)
    expect(exported.metrics.parity).toBeLessThanOrEqual(1e-6)
  })

  it('refuses a request without ending', async () => {
    const one = join(folder, 'one.arrow')
    const values = () => Float32Array.from({ length: ROWS }, (_, i) => i)
    await writeArrow(one, [
      ...['f0', 'f1', 'f2'].map(name => ({ name, values: values() })),
      { name: 'label', values: new Float64Array(ROWS) },
    ])
    await expect(fit('logistic', { path: one })).rejects.toMatchObject({ code: 'ONE_CLASS', exit: 4 })
    await expect(fit('logistic', { path: put(folder, 'bad.arrow', 'junk') })).rejects.toMatchObject({
      code: 'DATASET_CORRUPT',
      exit: 4,
    })
    await expect(fit('oracle')).rejects.toMatchObject({ code: 'UNKNOWN_KIND', exit: 5 })
    await expect(fit('xgboost', { params: { depth: 3 } })).rejects.toMatchObject({ code: 'UNKNOWN_PARAM', exit: 5 })
    expect((await fit('logistic')).p).toHaveLength(100)
  })

  it('counts what it took', async () => {
    const before = engine.usage().cpu_seconds
    await fit('xgboost')
    const { cpu_seconds, memory_mb } = engine.usage()
    expect(cpu_seconds).toBeGreaterThan(before)
    expect(memory_mb).toBeGreaterThan(50)
  })
})
