// The protocol of examples/etth1 by a row that everyone gets alike: the last value repeated for 96 hours. What the network gets is a long bench.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { writeArrow } from '../../src/base/arrow.ts'
import { describeShared, shared } from '../shared.ts'
import { temporaryFolder } from '../temporary.ts'
import { pool } from './pool.ts'

const EXAMPLE = join(import.meta.dirname, '../../examples/etth1/protocol.js')

describeShared('ETTh1, 96 hours ahead', async () => {
  const { protocol, request } = await import(EXAMPLE)
  const csv = readFileSync(shared('ett/ETTh1.csv'), 'utf8')
  const made = protocol(csv)

  it('has windows of 12, 4 and 4 months, of which none is dropped', () => {
    const sizes = Object.values(made.rows as Record<string, number[][]>).map(([[from, to]]) => to - from)
    expect(sizes).toEqual([8209, 2785, 2785])
    expect(made.ends[made.rows.train[0][1] - 1] + 96).toBe(8640 - 1)
    expect(made.ends[made.rows.predict[0][0]]).toBe(11_520 - 1)
    expect(made.ends.at(-1) + 96).toBe(14_400 - 1)
  })

  it('gives the last value an MSE of 1.294 and an MAE of 0.713 on the test part', async () => {
    const folder = temporaryFolder()
    const [hours, samples, out] = ['hours.arrow', 'samples.arrow', 'out'].map(name => join(folder, name))
    mkdirSync(out)
    await writeArrow(hours, [{ name: 'features', values: made.values, width: made.features.length }])
    await writeArrow(samples, [{ name: 'at', values: made.ends }])
    // What is trained does not matter to that row, only what it is measured on and by.
    const params = { context: 336, hidden: [2], epochs: 1, batch_size: 2048, patience: null }
    const files = { hours, samples, out, digest: folder }
    const body = request(made, files, { kind: 'mlp', params })
    const { metrics } = await pool({ size: 1 }).engine.request<{ metrics: Record<string, number> }>('fit', body)
    expect(Math.abs(metrics.naive_mse - 1.294)).toBeLessThanOrEqual(5e-4)
    expect(Math.abs(metrics.naive_mae - 0.713)).toBeLessThanOrEqual(5e-4)
    const steps = JSON.parse(readFileSync(join(out, 'errors.json'), 'utf8'))
    expect(steps.naive_mse).toHaveLength(96)
    expect(steps.naive_mse[0]).toBeLessThan(steps.naive_mse[95])
  })
})
