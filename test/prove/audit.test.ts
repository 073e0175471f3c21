// The audit's own eye on a split: it reads the dataset's file and trusts nothing else.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { own, writeArrow } from '../../src/base/arrow.ts'
import { DAY } from '../../src/base/time.ts'
import type { Dataset } from '../../src/learn/dataset.ts'
import { splitOverlap } from '../../src/prove/audit.ts'
import { temporaryFolder } from '../temporary.ts'

const HORIZON = 3

/** Daily rows in three parts, the later two of a third each, with `purged` rows before each of them. */
async function datasetOf(rows: number, purged: number): Promise<Dataset> {
  const path = join(temporaryFolder(), 'dataset.arrow')
  const time = Float64Array.from({ length: rows }, (_, row) => row * DAY)
  await writeArrow(path, [
    { name: own('time'), values: time },
    { name: own('end'), values: time.map(at => at + HORIZON * DAY) },
    { name: own('label'), values: new Float64Array(rows) },
  ])
  const [a, b] = [Math.floor(rows / 3), Math.floor((2 * rows) / 3)]
  const split = { train: [[0, a - purged]], valid: [[a, b - purged]], test: [[b, rows]], folds: [] }
  return { path, features: [], split, timed: true } as unknown as Dataset
}

describe('split_overlap', () => {
  it('passes parts of a million rows that are purged by their horizon', async () => {
    const found = await splitOverlap(await datasetOf(1e6, HORIZON))
    expect(found).toEqual({ ok: true, worst: 0, detail: '3 pairs of parts do not meet' })
  })

  it('counts the rows whose label reaches into the next part', async () => {
    const found = await splitOverlap(await datasetOf(300, HORIZON - 1))
    expect(found).toEqual({
      ok: false,
      worst: 1,
      detail: '1 rows of train reach into valid, the first at 1970-04-08T00:00:00.000Z',
    })
  })
})
