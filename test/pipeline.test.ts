// What the stages of a run share while networks are fitted. In place of the engine stands what takes its time.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import type { Point } from '../src/base/context.ts'
import { loadConfig } from '../src/config.ts'
import type { Dataset } from '../src/learn/dataset.ts'
import { record, trainStage } from '../src/pipeline.ts'
import { isRefitted } from '../src/registry/register.ts'
import { NOW, testContext } from './data/home.ts'
import { put } from './temporary.ts'

const fold = { index: 0, train: [[0, 6]], fit: [[0, 5]], stop: [[5, 6]], valid: [[6, 8]] }
const dataset = (digest: string) =>
  ({
    digest,
    features: ['a'],
    nullable: [],
    categories: {},
    prepare: null,
    task: 'binary',
    split: { folds: [fold] },
  }) as never as Dataset

const CONFIG = `data: { source: { kind: simulated, bars: 500 } }
label: { kind: direction, horizon: 3 }
models: [{ kind: mlp, params: { epochs: 1 } }]
thermal: { sensor: temp, poll: 0.01 }
`

/** A context whose networks take as long as `fit`, and a config whose sensor holds this. */
function heated(sensor: string, fit: () => Promise<unknown>) {
  const context = testContext()
  put(context.home, 'temp', sensor)
  const request = async () => {
    await fit()
    return { artefacts: [], metrics: {} } as never
  }
  const loaded = loadConfig(put(context.home, 'f.yaml', CONFIG))
  return { context: { ...context, engine: { ...context.engine, request } }, loaded }
}

it('the steps of temperatures are seconds of the run, whichever stage is at work', async () => {
  const points: Point[] = []
  const { context, loaded } = heated('50000', () => vi.waitFor(() => expect(points).not.toEqual([]), { interval: 2 }))
  await record('run', loaded, context, async run => {
    const later = { ...context, now: () => NOW + 70_000, track: (more: Point[]) => void points.push(...more) }
    return trainStage(dataset('a'), loaded.config, run, later)
  })
  expect(points[0]).toMatchObject({ name: 'temperature', step: 70, value: 50 })
})

it('that nothing can be read is said once in a run, of its stages and of the runs in it', async () => {
  const { context, loaded } = heated('warm', () => sleep(60))
  await record('run', loaded, context, async (run, watched) => {
    await trainStage(dataset('a'), loaded.config, run, watched)
    return record('run', loaded, watched, (own, inner) => trainStage(dataset('b'), loaded.config, own, inner))
  })
  expect(context.warnings).toEqual([expect.stringMatching(/^NO_TEMPERATURE: /)])
})

it.each([
  ['all', true, true],
  ['all', false, false],
  ['none', true, false],
] as const)('of refit: %s, judged %s, a recipe is fitted again: %s', (refit, pass, again) => {
  expect(isRefitted({ pass }, { refit })).toBe(again)
})
