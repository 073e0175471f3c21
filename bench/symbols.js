// Features of 20 symbols in one thread, and in a thread for each core: the same bits.

import { random } from '../dist/base/random.js'
import { parseTimeframe } from '../dist/base/time.js'
import { expandFeatures, featuresSchema, makeFeatures } from '../dist/features/catalog.js'
import { computeFeatures } from '../dist/features/compute.js'
import { openThreads } from '../dist/features/parallel.js'

const SYMBOLS = 20
const BARS = 100_000
const MINUTE = 60_000
const ROUNDS = 11

export async function measure() {
  const table = candles()
  const names = table.columns.map(({ name }) => name)
  const specs = expandFeatures(featuresSchema.parse(undefined))
  const features = makeFeatures(specs, parseTimeframe('1m'), names)
  const threads = openThreads()
  const rounds = []
  // The first rounds warm both sides.
  for (let round = -2; round < ROUNDS; round++) {
    const one = await clocked(() => computeFeatures(table, features))
    const all = await clocked(() => threads.compute(table, { specs, timeframe: '1m', names }))
    if (round === -2) for (const [i, column] of one.result.columns.entries()) checkSame(column, all.result.columns[i])
    if (round >= 0) rounds.push({ one: one.seconds, all: all.seconds })
  }
  await threads.close()
  return { rounds }
}

async function clocked(work) {
  const from = performance.now()
  const result = await work()
  return { result, seconds: (performance.now() - from) / 1000 }
}

function checkSame(a, b) {
  for (let row = 0; row < a.length; row++)
    if (!Object.is(a[row], b[row])) throw new Error(`row ${row}: ${a[row]}, ${b[row]}`)
}

/** Minutes of every symbol, sorted by time, then symbol. */
function candles() {
  const { normal } = random(11)
  const rows = SYMBOLS * BARS
  const [time, open, high, low, close, volume] = Array.from({ length: 6 }, () => new Float64Array(rows))
  const names = Array.from({ length: SYMBOLS }, (_, i) => `S${String(i).padStart(2, '0')}`)
  const price = new Float64Array(SYMBOLS).fill(100)
  const symbol = []
  for (let bar = 0, row = 0; bar < BARS; bar++)
    for (let s = 0; s < SYMBOLS; s++, row++) {
      time[row] = bar * MINUTE
      open[row] = price[s]
      price[s] *= Math.exp(5e-4 * normal())
      close[row] = price[s]
      high[row] = Math.max(open[row], close[row]) * 1.0001
      low[row] = Math.min(open[row], close[row]) * 0.9999
      volume[row] = 1 + ((bar + s) % 97)
      symbol.push(names[s])
    }
  const columns = Object.entries({ time, open, high, low, close, volume }).map(([name, values]) => ({
    name,
    type: name === 'time' ? 'time' : 'number',
    values,
  }))
  return { rows, columns: [...columns, { name: 'symbol', type: 'string', values: symbol }] }
}
