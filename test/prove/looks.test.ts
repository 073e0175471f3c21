import { describe, expect, it } from 'vitest'
import { startRun } from '../../src/base/runs.ts'
import { DAY } from '../../src/base/time.ts'
import { countLook } from '../../src/prove/looks.ts'
import { testContext } from '../data/home.ts'

async function ledger() {
  const context = testContext()
  const { id: run } = await startRun({ name: 'a', command: 'run', config: {}, folder: context.home }, context)
  return (symbols: string[], from: number, to: number, timeframe = '1d') =>
    countLook({ run, symbols, timeframe, from: from * DAY, to: to * DAY }, context)
}

describe('a look', () => {
  it('overlaps another that shares a symbol, the timeframe and a time', async () => {
    const look = await ledger()
    expect(await look(['btc', 'eth'], 0, 10)).toBe(1)
    expect(await look(['eth'], 10, 20)).toBe(2)
    expect(await look(['btc'], 11, 20)).toBe(1)
    expect(await look(['xrp', 'eth', 'btc'], 5, 15)).toBe(4)
    expect(await look(['eth'], 0, 20, '1h')).toBe(1)
    expect(await look(['et'], 0, 20)).toBe(1)
  })

  it('at rows without a time overlaps every other one at their table', async () => {
    const look = await ledger()
    const everything = [0, Number.MAX_SAFE_INTEGER / DAY] as const
    expect(await look(['penguins'], ...everything, 'rows')).toBe(1)
    expect(await look(['penguins'], ...everything, 'rows')).toBe(2)
    expect(await look(['iris'], ...everything, 'rows')).toBe(1)
  })
})
