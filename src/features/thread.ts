// A thread of parallel.ts: makes the features of a table, then works off what it is told of each stretch of rows.
import { parentPort } from 'node:worker_threads'
import { parseTimeframe } from '../base/time.ts'
import { makeFeatures } from './catalog.ts'
import { advance, evaluationOrder, place, within } from './compute.ts'
import type { Start, Step } from './parallel.ts'

let table: Start & ReturnType<typeof made>

function made({ specs, timeframe, names }: Start['recipe']) {
  const features = makeFeatures(specs, parseTimeframe(timeframe), names)
  return { features, order: evaluationOrder(features, new Set(names)) }
}

parentPort!.on('message', (order: Start | Step) => {
  if ('recipe' in order) table = { ...order, ...made(order.recipe) }
  else {
    work(order)
    parentPort!.postMessage(null)
  }
})

function work({ room, series, rows, at, taken }: Step): void {
  const { rooms, out } = table
  for (let i = Atomics.add(taken, 0, 1); i < series.length; i = Atomics.add(taken, 0, 1)) {
    const { from, to, state } = series[i]
    advance(table, within(rooms[room], from, to), state)
  }
  if (!rows) return
  for (let i = Atomics.add(taken, 1, 1); i < out.length; i = Atomics.add(taken, 1, 1))
    place(rooms[1 - room].out[i], rows, out[i].subarray(at))
}
