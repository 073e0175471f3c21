// Joins the rows of all requests that arrived in one turn of the event loop into one run of the model. No timer: a lone request waits for nobody.
import { SluiceError } from '../base/errors.ts'
import type { OnnxModel } from '../base/onnx.ts'

interface Waiting {
  features: Float32Array
  rows: number
  resolve(output: Float32Array): void
  reject(error: unknown): void
}

export interface MicroBatch {
  run(features: Float32Array, rows: number): Promise<Float32Array>
  /** Resolves when nothing waits and nothing runs. */
  idle(): Promise<void>
}

/** Rows of one run, unless a single request has more: beyond it, larger runs gain nothing and keep the others waiting. */
const RUN_ROWS = 1024

/**
 * `run` of a model, for many callers at once; with more than `maxWaiting` rows in the queue it refuses with `OVERLOADED`.
 * A sequence counts as the rows that it is made of, here and in a run, so that either bound is one of memory.
 */
export function microbatch(model: OnnxModel, { maxWaiting = 65_536 } = {}): MicroBatch {
  const queue: Waiting[] = []
  let waitingRows = 0
  let draining: Promise<void> | undefined

  async function drain(): Promise<void> {
    // After this turn's sockets have been read.
    await new Promise(resolve => setImmediate(resolve))
    while (queue.length > 0) {
      const turn = take(queue, RUN_ROWS / model.length)
      waitingRows -= rowsOf(turn) * model.length
      await answer(model, turn)
    }
    draining = undefined
  }

  return {
    async run(features, rows) {
      const weight = rows * model.length
      if (waitingRows > 0 && waitingRows + weight > maxWaiting) throw overloaded(waitingRows)
      waitingRows += weight
      return new Promise((resolve, reject) => {
        queue.push({ features, rows, resolve, reject })
        draining ??= drain()
      })
    },
    async idle() {
      while (draining) await draining
    },
  }
}

export const overloaded = (rows: number) => new SluiceError('unexpected', 'OVERLOADED', `${rows} rows wait already`)

const rowsOf = (turn: Waiting[]): number => turn.reduce((total, { rows }) => total + rows, 0)

function take(queue: Waiting[], most: number): Waiting[] {
  let count = 1
  let rows = queue[0].rows
  while (count < queue.length && rows + queue[count].rows <= most) rows += queue[count++].rows
  return queue.splice(0, count)
}

async function answer(model: OnnxModel, turn: Waiting[]): Promise<void> {
  try {
    const output = await model.run(joined(turn, model.length * model.features), rowsOf(turn))
    let at = 0
    for (const { rows, resolve } of turn) resolve(output.slice(at, (at += rows * model.columns)))
  } catch (error) {
    for (const { reject } of turn) reject(error)
  }
}

function joined(turn: Waiting[], width: number): Float32Array {
  if (turn.length === 1) return turn[0].features
  const features = new Float32Array(rowsOf(turn) * width)
  let at = 0
  for (const request of turn) {
    features.set(request.features, at)
    at += request.features.length
  }
  return features
}
