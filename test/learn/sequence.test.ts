// Which rows have a context, and where their windows lie.
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { historyOf, readHistory, withContext, writeHistory } from '../../src/learn/sequence.ts'
import { temporaryFolder } from '../temporary.ts'

const symbols = fc.array(fc.constantFrom('A', 'B', null), { minLength: 1, maxLength: 60 })

/** Some rows of a table, in order. */
const some = fc.tuple(symbols, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 })).map(([symbol, keep]) => ({
  symbol,
  rows: Int32Array.from(symbol.keys()).filter(row => keep[row]),
}))

describe('rows that samples read', () => {
  it('are a window of the own symbol, in the order of time, for every sample and for no other row', () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 1, max: 6 }), ({ symbol, rows }, context) => {
        const samples = withContext(rows, symbol, context)
        const history = historyOf(rows, symbol)
        expect([...history.rows].sort((a, b) => a - b)).toEqual([...rows])
        for (const row of rows) {
          const before = [...rows].filter(other => other <= row && symbol[other] === symbol[row])
          expect(samples.includes(row)).toBe(before.length >= context)
          if (before.length < context) continue
          const end = history.place[row] + 1
          expect([...history.rows.subarray(end - context, end)]).toEqual(before.slice(-context))
        }
      }),
    )
  })

  it('of one series lie as they are', () => {
    const rows = Int32Array.from([3, 4, 5, 6])
    expect([...withContext(rows, undefined, 3)]).toEqual([5, 6])
    expect([...historyOf(rows, undefined).rows]).toEqual([3, 4, 5, 6])
  })

  it('are read back as they were written, row by row', async () => {
    const path = join(temporaryFolder(), 'rows.arrow')
    await writeHistory(path, [Float32Array.from([1, 2, Number.NaN]), Float32Array.from([10, 20, 30])])
    expect([...(await readHistory({ path, length: 2, rows: 3 }))]).toEqual([1, 10, 2, 20, Number.NaN, 30])
  })
})
