// What is chosen on validation rows, read from a dataset and predictions as the earlier stages leave them in files.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { own, writeArrow } from '../../src/base/arrow.ts'
import { random } from '../../src/base/random.ts'
import { DAY } from '../../src/base/time.ts'
import type { Dataset } from '../../src/learn/dataset.ts'
import type { Range } from '../../src/learn/split.ts'
import type { Fit, Trained } from '../../src/learn/train.ts'
import { backtestSchema } from '../../src/prove/backtest.ts'
import { choose } from '../../src/prove/contest.ts'
import { gateNames } from '../../src/prove/figures.ts'
import { testContext } from '../data/home.ts'
import { simulatedBars } from './series.ts'

const ROWS = 200
/** Four fifths of the rows are hours, the last fifth are days: no part has the year of another. */
const HOURS = 160

/** A dataset with these validation blocks, and a candidate that has predicted each. */
async function given(home: string, blocks: Range[]): Promise<{ dataset: Dataset; trained: Trained[] }> {
  const { next } = random(3)
  const time = Float64Array.from({ length: ROWS }, (_, row) => (row < HOURS ? (row - HOURS) / 24 : row - HOURS) * DAY)
  const { open, close } = simulatedBars(ROWS)
  const path = join(home, 'dataset.arrow')
  await writeArrow(path, [
    ...Object.entries({ time, open, close }).map(([name, values]) => ({ name: own(name), values })),
    { name: own('label'), values: Float64Array.from(close, () => Number(next() < 0.5)) },
  ])
  const fits: Fit[] = []
  for (const [from, to] of blocks) {
    const folder = join(home, `fit-${from}`)
    const p1 = Float32Array.from({ length: to - from }, next)
    await writeArrow(join(folder, 'predictions.arrow'), [
      { name: 'p0', values: p1.map(p => 1 - p) },
      { name: 'p1', values: p1 },
    ])
    fits.push({ folder, metrics: { model_bytes: 1 } } as unknown as Fit)
  }
  const folds = blocks.map((block, index) => ({ index, valid: [block] }))
  const dataset = {
    path,
    features: [],
    rows: ROWS,
    task: 'binary',
    from: time[0],
    to: time[ROWS - 1],
    classes: [0, 1],
    classNames: ['0', '1'],
    categories: {},
    market: true,
    timed: true,
    split: { folds },
  }
  const trained = [{ id: 'a', kind: 'logistic', params: {}, fits }]
  return { dataset: dataset as unknown as Dataset, trained: trained as Trained[] }
}

const config = (more: object = {}) => ({
  thresholds: [0.4, 0.5],
  select: { by: 'sharpe' },
  backtest: backtestSchema.parse({ fee: 0.001, ...more }),
})

describe('choose', () => {
  it('measures the year once, on the whole dataset', async () => {
    const context = testContext()
    const { dataset, trained } = await given(context.home, [
      [100, 150],
      [150, ROWS],
    ])
    const year = (ROWS - 1) / ((dataset.to - dataset.from) / (365.25 * DAY))
    const chosen = await choose(dataset, trained, config(), context)
    expect(chosen).toEqual(await choose(dataset, trained, config({ periods_per_year: year }), context))
    expect(chosen.metrics.sharpe).not.toBeNull()
  })

  it('takes a validation part of one bar, of which most figures are undefined', async () => {
    const context = testContext()
    const { dataset, trained } = await given(context.home, [[ROWS - 1, ROWS]])
    const { metrics, folds } = await choose(dataset, trained, config(), context)
    expect(metrics).toMatchObject({ trades: 0, total_return: 0, turnover: 0, sharpe: null, deflated_sharpe: null })
    expect(folds).toMatchObject([{ rows: 1, from: dataset.to, to: dataset.to }])
  })

  it('records every figure of the validation part that a gate may name, and no other', async () => {
    const context = testContext()
    const { dataset, trained } = await given(context.home, [[100, ROWS]])
    const { metrics } = await choose(dataset, trained, config(), context)
    const names = gateNames(dataset)
      .filter(name => name.startsWith('valid.'))
      .map(name => name.slice('valid.'.length))
    expect(Object.keys(metrics).sort()).toEqual(names.sort())
  })
})
