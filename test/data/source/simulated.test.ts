import { describe, expect, it } from 'vitest'
import { sha256 } from '../../../src/base/blobs.ts'
import { numbers, tableDigest, takeRows } from '../../../src/base/table.ts'
import { dataOf, examine, NOW } from '../home.ts'

const context = { signal: new AbortController().signal, now: () => NOW }
const simulate = async (source: object, more: object = {}) =>
  examine(dataOf({ kind: 'simulated', bars: 3000, ...source } as never, more), context)

/** Log returns of the closes. */
const returnsOf = (close: Float64Array) => Array.from(close.subarray(1), (price, i) => Math.log(price / close[i]))
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
const correlation = (a: number[], b: number[]) => {
  const [ma, mb] = [mean(a), mean(b)]
  const cross = (x: number[], y: number[]) =>
    mean(x.map((value, i) => (value - (x === a ? ma : mb)) * (y[i] - (y === a ? ma : mb))))
  return cross(a, b) / Math.sqrt(cross(a, a) * cross(b, b))
}
/** Distance of the log close from the mean of the last ten: what an indicator could see; and the return of the next bar. */
async function visibleSkill(strength: number, seed: number): Promise<number> {
  const { table } = await simulate({ seed, signal: { strength } })
  const log = Array.from(numbers(table, 'close'), Math.log)
  const seen: number[] = []
  const next: number[] = []
  for (let t = 9; t + 1 < log.length; t++) {
    seen.push(mean(log.slice(t - 9, t + 1)) - log[t])
    next.push(log[t + 1] - log[t])
  }
  return correlation(seen, next)
}

describe('simulated candles', () => {
  it('keep the contract, whatever the settings', async () => {
    const settings = [
      {},
      { signal: { strength: 1 } },
      { volatility: [0.1, 0.9], persistence: 0.9 },
      { symbols: ['a', 'b'], drift: -2 },
    ]
    for (const source of settings) {
      const { counts } = await simulate(source)
      expect(counts).toMatchObject({ rejected: 0, duplicates: 0, reasons: {} })
    }
  })

  it('are bit for bit those of the seed, on every machine', async () => {
    const { table } = await simulate({ seed: 7, signal: { strength: 0.5 }, volatility: [0.1, 0.3] })
    expect(tableDigest(table)).toBe(
      tableDigest((await simulate({ seed: 7, signal: { strength: 0.5 }, volatility: [0.1, 0.3] })).table),
    )
    expect(tableDigest(table)).not.toBe(
      tableDigest((await simulate({ seed: 8, signal: { strength: 0.5 }, volatility: [0.1, 0.3] })).table),
    )
    expect(sha256(tableDigest(table)).slice(0, 16)).toBe('8ce12442d030e490')
  })

  it('more bars begin with the fewer', async () => {
    const [short, long] = [(await simulate({ bars: 100 })).table, (await simulate({ bars: 200 })).table]
    expect(
      tableDigest(
        takeRows(
          long,
          Array.from({ length: 100 }, (_, i) => i),
        ),
      ),
    ).toBe(tableDigest(short))
  })

  it('have the bar length of the config', async () => {
    const { timeframe, table } = await simulate({ bars: 50, start: '2020-02-03' }, { timeframe: '15m' })
    expect([timeframe, numbers(table, 'time')[49]]).toEqual(['15m', Date.UTC(2020, 1, 3) + 49 * 900_000])
    expect((await simulate({ bars: 30 }, { timeframe: '1M' })).timeframe).toBe('1M')
  })

  it('have the volatility and the drift they are told', async () => {
    const { table } = await simulate({ bars: 200_000, drift: 3, volatility: 0.5 }, { timeframe: '1h' })
    const returns = returnsOf(numbers(table, 'close'))
    const perYear = 365.2425 * 24
    expect(Math.sqrt(mean(returns.map(r => r * r)) * perYear)).toBeCloseTo(0.5, 2)
    expect(Math.abs(mean(returns) * perYear - 3)).toBeLessThan(4 * 0.5 * Math.sqrt(perYear / 200_000))
  })

  it('stay in a regime as long as they are told', async () => {
    const { table } = await simulate({ bars: 50_000, volatility: [0.05, 1], persistence: 0.99, drift: 0 })
    const high = returnsOf(numbers(table, 'close')).map(r => (Math.abs(r) > (4 * 0.05) / Math.sqrt(365) ? 1 : 0))
    // The share of large moves right after a large one, against the share at any time.
    const after = mean(high.slice(1).filter((_, i) => high[i] === 1))
    expect(after).toBeGreaterThan(1.6 * mean(high))
  })

  it('hold no skill at strength 0, and more the stronger the signal', async () => {
    const seeds = Array.from({ length: 10 }, (_, i) => i)
    const skill = async (strength: number) => mean(await Promise.all(seeds.map(seed => visibleSkill(strength, seed))))
    const [none, weak, strong] = [await skill(0), await skill(0.3), await skill(0.9)]
    expect(Math.abs(none)).toBeLessThan(4 / Math.sqrt(10 * 3000))
    expect(weak).toBeGreaterThan(0.05)
    expect(strong).toBeGreaterThan(weak + 0.05)
  })
})
