// A thread of parallel.ts: computes the symbols it is given and answers with what their features remember.
import { parentPort } from 'node:worker_threads'
import { parseTimeframe } from '../base/time.ts'
import { makeFeatures } from './catalog.ts'
import { computeSymbols } from './compute.ts'
import type { Order } from './parallel.ts'

parentPort!.on('message', ({ recipe, series, from, ...work }: Order) => {
  const { specs, timeframe, names } = recipe
  const features = makeFeatures(specs, parseTimeframe(timeframe), names)
  parentPort!.postMessage(computeSymbols({ ...work, names }, series, features, from))
})
