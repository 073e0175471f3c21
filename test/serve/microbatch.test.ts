import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { OnnxModel } from '../../src/base/onnx.ts'
import { microbatch } from '../../src/serve/microbatch.ts'

/** A model written in TypeScript: one column, the difference of two features, and a note of how many rows each run had. */
function recorder(length = 1) {
  const runs: number[] = []
  const model: OnnxModel = {
    output: 'prediction',
    length,
    features: 2,
    columns: 1,
    async run(features, rows) {
      await new Promise(resolve => setImmediate(resolve))
      runs.push(rows)
      if (features.includes(13)) throw new Error('unlucky')
      return Float32Array.from({ length: rows }, (_, i) => features[2 * length * i] - features[2 * length * i + 1])
    },
    async close() {},
  }
  return { model, runs }
}

describe('microbatch', () => {
  it('joins the requests of one turn, in order', async () => {
    const { model, runs } = recorder()
    const { run } = microbatch(model)
    const outputs = await Promise.all([run(Float32Array.of(3, 1), 1), run(Float32Array.of(5, 1, 6, 1), 2)])
    expect(outputs).toEqual([Float32Array.of(2), Float32Array.of(4, 5)])
    expect(runs).toEqual([3])
  })

  it('gives every caller its own rows, however many come and whenever', async () => {
    const arrivals = fc.array(fc.record({ rows: fc.integer({ min: 1, max: 700 }), wait: fc.boolean() }), {
      maxLength: 20,
    })
    await fc.assert(
      fc.asyncProperty(arrivals, async requests => {
        const { model, runs } = recorder()
        const { run, idle } = microbatch(model)
        const answers: Promise<Float32Array>[] = []
        for (const [i, { rows, wait }] of requests.entries()) {
          if (wait) await new Promise(resolve => setImmediate(resolve))
          answers.push(
            run(
              Float32Array.from({ length: 2 * rows }, (_, j) => (j % 2 === 0 ? 1000 * i + j : 0)),
              rows,
            ),
          )
        }
        const outputs = await Promise.all(answers)
        for (const [i, { rows }] of requests.entries())
          expect(outputs[i]).toEqual(Float32Array.from({ length: rows }, (_, j) => 1000 * i + 2 * j))
        for (const rows of runs) expect(rows).toBeLessThanOrEqual(1024)
        await idle()
        expect(runs.reduce((sum, rows) => sum + rows, 0)).toBe(requests.reduce((sum, { rows }) => sum + rows, 0))
      }),
      { numRuns: 40 },
    )
  })

  it('runs a request of many rows alone and whole', async () => {
    const { model, runs } = recorder()
    const { run } = microbatch(model)
    await Promise.all([run(new Float32Array(2), 1), run(new Float32Array(6000), 3000), run(new Float32Array(2), 1)])
    expect(runs).toEqual([1, 3000, 1])
  })

  it('passes the failure of a run to its callers, and goes on', async () => {
    const { model } = recorder()
    const { run } = microbatch(model)
    await expect(run(Float32Array.of(13, 0), 1)).rejects.toThrow('unlucky')
    expect(await run(Float32Array.of(2, 0), 1)).toEqual(Float32Array.of(2))
  })

  it('counts a sequence as its rows, in a run and in the queue', async () => {
    const { model, runs } = recorder(100)
    const { run, idle } = microbatch(model, { maxWaiting: 2500 })
    const sequence = (value: number) => new Float32Array(200).fill(value, 0, 1)
    const outputs = Promise.all(Array.from({ length: 25 }, (_, i) => run(sequence(100 + i), 1)))
    await expect(run(sequence(0), 1)).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect(await outputs).toEqual(Array.from({ length: 25 }, (_, i) => Float32Array.of(100 + i)))
    expect(runs).toEqual([10, 10, 5])
    await idle()
  })

  it('refuses when too many rows wait, but never a request by itself', async () => {
    const { model } = recorder()
    const { run, idle } = microbatch(model, { maxWaiting: 3 })
    const first = run(new Float32Array(10), 5)
    await expect(run(new Float32Array(2), 1)).rejects.toMatchObject({ code: 'OVERLOADED' })
    await first
    await idle()
    expect(await run(new Float32Array(2), 1)).toHaveLength(1)
  })
})
