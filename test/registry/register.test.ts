// A bundle for a recipe that is judged already: with `refit: none` nothing is fitted.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { own, writeArrow } from '../../src/base/arrow.ts'
import type { Context } from '../../src/base/context.ts'
import { startRun } from '../../src/base/runs.ts'
import type { TableManifest } from '../../src/data/manifest.ts'
import type { Dataset } from '../../src/learn/dataset.ts'
import type { Fit } from '../../src/learn/train.ts'
import type { Selected } from '../../src/prove/contest.ts'
import { bundleFolder, openBundle } from '../../src/registry/bundle.ts'
import { trustedKeys } from '../../src/registry/keys.ts'
import { rankAgreement, register, type Subject } from '../../src/registry/register.ts'
import { listVersions } from '../../src/registry/versions.ts'
import { testContext } from '../data/home.ts'
import { put } from '../temporary.ts'
import { content, type Kind, modelFile, passed, type SequenceKind } from './example.ts'

/** What the stages before have left in a home. */
async function judged({ home }: Context, kind: Kind | SequenceKind = 'trees') {
  const path = join(home, 'dataset.arrow')
  const features = content(kind).input.features.map(({ name }) => name)
  const columns = ['time', 'end', 'open', 'close', 'label'].map(name => ({
    name: own(name),
    values: Float64Array.of(0, 1),
  }))
  await writeArrow(path, [...columns, ...features.map(name => ({ name, values: Float32Array.of(0, 1) }))])
  put(home, 'fit/model.onnx', modelFile(kind))
  const dataset = {
    digest: 'd',
    path,
    rows: 2,
    features,
    nullable: [],
    task: 'binary',
    classes: [0, 1],
    classNames: ['0', '1'],
    categories: {},
    market: true,
    from: 0,
    to: 1,
    split: { train: [[0, 2]] },
  } as unknown as Dataset
  const proven = { folder: join(home, 'fit'), artefacts: [{ name: 'model.onnx' }], iterations: 3 } as Fit
  const chosen = { selected: { kind: 'xgboost', params: {}, threshold: 0.5 } } as Selected
  const parity = { native_python: 0, native_node: 0, bound: 1e-6, rows: 2 }
  return { dataset, chosen, verdict: passed(proven, parity) }
}

async function subjectOf(context: Context): Promise<Subject> {
  const { id: run } = await startRun({ name: 'demo', command: 'run', config: {}, folder: context.home }, context)
  return {
    name: 'demo',
    run,
    seed: 7,
    refit: 'none',
    mode: 'long',
    features: [],
    label: {},
    table: {
      table: 't',
      schema: [],
      version: 1,
      digest: 'd',
      rows: 2,
      from: '',
      to: '',
      timeframe: '1d',
    } as unknown as TableManifest,
    git: { commit: null, dirty: null },
  }
}

it('two runs of one name that end at once get a version each', async () => {
  const context = testContext()
  const { dataset, chosen, verdict } = await judged(context)
  const subject = await subjectOf(context)
  const one = () => register(dataset, chosen, verdict, subject, context)
  const made = await Promise.all([one(), one(), one()])
  expect(made.map(({ version }) => version).sort()).toEqual([1, 2, 3])
  expect((await listVersions(context.database, 'demo')).map(({ version, status }) => [version, status])).toEqual(
    [1, 2, 3].map(version => [version, 'registered']),
  )
  expect(readdirSync(join(context.home, 'models/demo')).sort()).toEqual(['1', '2', '3'])
})

it('the manifest of a sequence model says how many rows it reads, as its graph does, and no other one does', async () => {
  const lengths = (['gru', 'trees'] as const).map(async kind => {
    const context = testContext()
    const { dataset, chosen, verdict } = await judged(context, kind)
    const { name, version } = await register(dataset, chosen, verdict, await subjectOf(context), context)
    const { manifest } = await openBundle(bundleFolder(context.home, name, version), trustedKeys(context.home))
    return manifest.input.length
  })
  expect(await Promise.all(lengths)).toEqual([6, undefined])
})

it('a refit that ranks one of several classes otherwise is told, whichever class it is', () => {
  const column = (...values: number[]) => Float32Array.from(values)
  const [up, down, same] = [column(0.1, 0.2, 0.3, 0.4), column(0.4, 0.3, 0.2, 0.1), column(0.5, 0.5, 0.5, 0.5)]
  expect(rankAgreement([up, down, same], [up, down, same])).toBeCloseTo(1)
  for (const k of [0, 1, 2]) expect(rankAgreement([up, up, up], [up, up, up].with(k, down))).toBeCloseTo(-1)
  expect(rankAgreement([same, same], [up, down])).toBeNull()
})
