// Threads run the built code.
import { describe, expect, it, onTestFinished } from 'vitest'
import { expandFeatures, featuresSchema, makeFeatures } from '../../dist/features/catalog.js'
import { computeFeatures } from '../../dist/features/compute.js'
import { openThreads } from '../../dist/features/parallel.js'
import { random } from '../../src/base/random.ts'
import { sliceRows, type Table } from '../../src/base/table.ts'
import { parseTimeframe } from '../../src/base/time.ts'
import { dailyCandles } from './series.ts'

const BARS = 12_000

/** Of five symbols, of which one comes late and one has gaps. */
function candles(): Table {
  const { normal } = random(3)
  const rows = Array.from({ length: BARS }, (_, day) =>
    ['A', 'B', 'C', 'D', 'E']
      .filter(symbol => (symbol !== 'C' || day > 5000) && (symbol !== 'D' || day % 100 < 90))
      .map(symbol => ({ day, symbol, close: 100 + normal() })),
  ).flat()
  return dailyCandles(rows)
}

describe('features on several threads', () => {
  const table = candles()
  const names = table.columns.map(({ name }) => name)
  const specs = expandFeatures(
    featuresSchema.parse([
      { kind: 'set', name: 'stationary_20' },
      { kind: 'rsi', n: 5, timeframe: '1w' },
    ]),
  )
  const recipe = { specs, timeframe: '1d', names }
  const features = makeFeatures(specs, parseTimeframe('1d'), names)
  const bits = (columns: Float64Array[]) =>
    columns.map(values => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64'))

  it.each([1, 2, 7])('%i of them give the bits of one, and remember the same', async size => {
    const threads = openThreads(size)
    onTestFinished(() => threads.close())
    const alone = computeFeatures(table, features)
    const together = await threads.compute(table, recipe)
    expect(bits(together.columns)).toEqual(bits(alone.columns))
    expect([...together.snapshots].sort()).toEqual([...alone.snapshots].sort())
    // In two stretches, the second from what the first remembers.
    const cut = table.rows - 999
    const first = await threads.compute(sliceRows(table, 0, cut), recipe)
    const second = await threads.compute(sliceRows(table, cut, table.rows), recipe, first.snapshots)
    expect(bits(second.columns)).toEqual(bits(alone.columns.map(values => values.slice(cut))))
  })
})
