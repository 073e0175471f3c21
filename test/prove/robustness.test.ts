// On graphs that scikit-learn and LightGBM made: one that answers NaN to NaN, one that takes a missing value, one of three classes that imputes.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { interruption } from '../../src/base/errors.ts'
import { loadModel } from '../../src/base/onnx.ts'
import { random } from '../../src/base/random.ts'
import type { DatasetRows, Task } from '../../src/learn/dataset.ts'
import type { Range } from '../../src/learn/split.ts'
import {
  evenly,
  measureRobustness,
  mostRows,
  type Scale,
  withFeature,
  withNoise,
  withShift,
} from '../../src/prove/robustness.ts'

const MODELS = { binary: 'trees', multiclass: 'multiclass', regression: 'linear' }
const [TRAIN, VALID, ROWS] = [300, 500, 600]
const UNITS = [1, 2, 0.5, 3]

async function modelOf(task: Task) {
  const model = await loadModel(readFileSync(join(import.meta.dirname, '../models', `${MODELS[task]}.onnx`)))
  onTestFinished(() => model.close())
  return model
}

/** Rows of four features that tell the label, in a fold that ends before a test part. */
function rowsOf(task: Task, test = Number.NaN) {
  const { normal } = random(3)
  const features = UNITS.map(unit => Float32Array.from({ length: ROWS }, () => unit * normal()))
  const score = Float64Array.from({ length: ROWS }, (_, i) => features[0][i] - features[1][i] * features[2][i])
  const label = score.map(value => (task === 'regression' ? value : Number(value > -1) + Number(value > 1)))
  if (task === 'binary') for (const i of label.keys()) label[i] = Number(score[i] > 0)
  for (const column of [...features, label]) column.fill(test, VALID)
  const fold = { index: 0, train: [[0, TRAIN]] as Range[], fit: [], stop: [], valid: [[TRAIN, VALID]] as Range[] }
  const split = { train: fold.train, valid: fold.valid, test: [[VALID, ROWS]] as Range[], folds: [fold], purged: 0 }
  const dataset = {
    features: ['a', 'b', 'c', 'd'],
    task,
    classes: { binary: [0, 1], multiclass: [0, 1, 2], regression: [] }[task],
    categories: {} as Record<string, string[]>,
    split: { ...split, warnings: [] },
  }
  return { dataset, data: { features, label } as unknown as DatasetRows }
}

async function measured(task: Task, { dataset, data } = rowsOf(task), parameters = 0, signal?: AbortSignal) {
  const fit = { importances: { b: 0.5, a: 0.3 }, metrics: { parameters } }
  return measureRobustness(dataset, data, fit, await modelOf(task), 42, signal)
}

const deviation = (values: Float32Array) => {
  const center = values.reduce((a, b) => a + b) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / values.length)
}

describe('robustness', () => {
  it.each(['binary', 'multiclass', 'regression'] as const)('of a %s task is told in full, twice alike', async task => {
    const found = await measured(task)
    expect(found).toEqual(await measured(task))
    expect(found).toMatchObject({ rows: 200, of: 200, metric: task === 'regression' ? 'rmse' : 'log_loss' })
    expect([found.noise.length, found.missing.length, found.shifted.length, found.missing_tried]).toEqual([3, 4, 4, 4])
    for (const effect of [found.baseline, ...found.noise, ...found.missing, ...found.shifted, found.missing_mean]) {
      expect(effect.value).toBeGreaterThan(0)
      expect(effect.change).not.toBeNull()
      expect(effect.roc_auc === null).toBe(task === 'regression')
    }
    const changes = found.missing.map(({ change }) => change!)
    expect(changes).toEqual([...changes].sort((a, b) => b - a))
    expect(found.missing_mean.change).toBeCloseTo(changes.reduce((a, b) => a + b) / 4, 12)
    expect(found.noise[0].value).not.toBe(found.noise[2].value)
  })

  it('of a large network is measured on fewer rows', async () => {
    expect(await measured('binary', rowsOf('binary'), 2e10)).toMatchObject({ rows: 50, of: 200 })
  })

  it('ends before the next disturbance once it is stopped', async () => {
    const signal = AbortSignal.abort(interruption())
    await expect(measured('binary', rowsOf('binary'), 0, signal)).rejects.toMatchObject({ code: 'INTERRUPTED' })
  })

  it('reads no test row', async () => {
    for (const task of ['binary', 'regression'] as const)
      expect(await measured(task)).toEqual(await measured(task, rowsOf(task, 1)))
  })

  it('leaves a feature empty where the model can do without, and else at its training mean', async () => {
    expect((await measured('binary')).missing.map(({ as }) => as)).toEqual(Array(4).fill('missing'))
    expect((await measured('multiclass')).missing.map(({ as }) => as)).toEqual(Array(4).fill('missing'))
    expect((await measured('regression')).missing.map(({ as }) => as)).toEqual(Array(4).fill('mean'))
  })

  it('has the figures that a linear model must have', async () => {
    const { dataset, data } = rowsOf('regression')
    const found = await measured('regression')
    const model = await modelOf('regression')
    const answers = await model.run(Float32Array.of(...[0, 0, 0, 0], ...[0, 1, 2, 3].flatMap(j => unit(j))), 5)
    const weights = [1, 2, 3, 4].map(j => answers[j] - answers[0])
    const learned = data.features.map(column => column.slice(0, TRAIN))
    const spread = learned.map(deviation)
    /** Root mean squared error where the value of a feature is `change` of what it was. */
    const rmse = (change: (value: number, j: number) => number) => {
      let squares = 0
      for (let i = TRAIN; i < VALID; i++) {
        const value = weights.reduce((sum, w, j) => sum + w * change(data.features[j][i], j), answers[0])
        squares += (value - data.label[i]) ** 2
      }
      return Math.sqrt(squares / (VALID - TRAIN))
    }
    expect(found.baseline.value).toBeCloseTo(
      rmse(value => value),
      5,
    )
    for (const { factor, offset, value } of found.shifted)
      expect(value).toBeCloseTo(
        rmse((x, j) => x * factor + offset * spread[j]),
        5,
      )
    for (const { feature, value, change } of found.missing) {
      const missing = dataset.features.indexOf(feature)
      const mean = learned[missing].reduce((a, b) => a + b) / TRAIN
      const expected = rmse((x, j) => (j === missing ? mean : x))
      expect(value).toBeCloseTo(expected, 5)
      expect(change).toBeCloseTo(expected / rmse(x => x) - 1, 5)
    }
  })

  it('disturbs words only by leaving them out', async () => {
    const given = rowsOf('binary')
    given.dataset.categories = { a: ['x', 'y'], b: ['x'], c: ['x'], d: ['x'] }
    const { baseline, noise, shifted, missing } = await measured('binary', given)
    for (const { value, change } of [...noise, ...shifted]) expect([value, change]).toEqual([baseline.value, 0])
    expect(missing[0].change).toBeGreaterThan(0)
  })
})

const unit = (j: number) => [0, 1, 2, 3].map(i => Number(i === j))

describe('what is disturbed', () => {
  const scales: Scale[] = [
    { mean: 1, deviation: 2, word: false },
    { mean: 0, deviation: 0, word: true },
    { mean: -3, deviation: 0.5, word: false },
  ]
  const vectors = fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }))
    .chain(([rows, steps]) =>
      fc.array(fc.float({ noDefaultInfinity: true, min: -1e3, max: 1e3 }), {
        minLength: rows * steps * 3,
        maxLength: rows * steps * 3,
      }),
    )
    .map(values => Float32Array.from(values))

  it('is one feature at every step of every row, and no other', () => {
    fc.assert(
      fc.property(vectors, fc.integer({ min: 0, max: 2 }), (x, feature) => {
        const without = withFeature(x, scales, feature, Number.NaN)
        without.forEach((value, i) => void expect(value).toBe(i % 3 === feature ? Number.NaN : x[i]))
      }),
    )
  })

  it('is noise in the unit of each feature, the same for a seed, larger for a larger share, never of a word', () => {
    fc.assert(
      fc.property(vectors, fc.integer(), (x, seed) => {
        const [one, ten] = [0.01, 0.1].map(share => withNoise(x, scales, share, seed))
        expect(withNoise(x, scales, 0.01, seed)).toEqual(one)
        x.forEach((value, i) => {
          if (Number.isNaN(value)) expect([one[i], ten[i]]).toEqual([Number.NaN, Number.NaN])
          else if (i % 3 === 1) expect([one[i] === value, ten[i] === value]).toEqual([true, true])
          else expect(Math.abs(ten[i] - value - 10 * (one[i] - value))).toBeLessThan(1e-6 * Math.abs(value) * 22 + 1e-6)
        })
      }),
    )
    const added = withNoise(new Float32Array(30_000), scales, 0.1, 1).filter((_, i) => i % 3 === 0)
    expect(deviation(added)).toBeCloseTo(0.2, 2)
  })

  it('is the scale of numbers, by a factor and by their deviations', () => {
    const x = Float32Array.of(1, 1, 1, Number.NaN, 4, -2)
    expect([...withShift(x, scales, { factor: 2, offset: 0 })]).toEqual([2, 1, 2, Number.NaN, 4, -4])
    expect([...withShift(x, scales, { factor: 1, offset: -0.5 })]).toEqual([0, 1, 0.75, Number.NaN, 4, -2.25])
  })
})

it.each([
  [2000, 'trees on a few features', 12 * 4, 0],
  [200, 'trees on very many', 208 * 2000, 0],
  [297, 'a small network on windows, as before', 28 * 120 * 20, 200_000],
  [2000, 'as many parameters on rows alone', 28 * 20, 200_000],
  [133, 'two million parameters', 28 * 120 * 20, 2e6],
  [50, 'twenty million', 28 * 120 * 20, 2e7],
  [50, 'two hundred million', 28 * 120 * 20, 2e8],
])('measures on %d rows: %s', (rows, _, values, parameters) => {
  expect(mostRows(values, parameters)).toBe(rows)
})

it('takes rows evenly: in order, the first among them', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 3000 }), (n, most) => {
      const all = Uint32Array.from({ length: n }, (_, i) => 7 + i)
      const taken = evenly(all, most)
      expect(taken.length).toBe(Math.min(n, most))
      expect([taken[0], taken.every((row, i) => i === 0 || row > taken[i - 1])]).toEqual([7, true])
      const steps = [...taken].slice(1).map((row, i) => row - taken[i])
      if (steps.length) expect(Math.max(...steps) - Math.min(...steps)).toBeLessThanOrEqual(1)
    }),
  )
})
