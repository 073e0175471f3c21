import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { backtest } from '../src/measure.ts'
import { put, temporaryFolder } from './temporary.ts'

const DAY = 86_400
const FROM = 1_577_836_800 // 2020-01-01

const defaults = {
  set: [],
  config: '',
  ...{ fill: 'next_open', fee: 0, slippage: 0, units: 'fractional', cash: 100, mode: 'long', accounting: 'units' },
}
const caller = { env: {}, signal: new AbortController().signal }

function run(times: (bar: number) => string | number, bars = 6) {
  const folder = temporaryFolder()
  const every = Array.from({ length: bars }, (_, bar) => bar)
  const candles = every.map(bar => `${FROM + bar * DAY},${10 + bar},${11 + bar},${9 + bar},${10 + bar},1`)
  put(folder, 'candles.csv', `time,open,high,low,close,volume\n${candles.join('\n')}\n`)
  put(folder, 'signals.csv', `time,signal\n${every.map(bar => `${times(bar)},1`).join('\n')}\n`)
  const files = { candles: join(folder, 'candles.csv'), signals: join(folder, 'signals.csv') }
  return backtest({ ...defaults, ...files }, caller)
}

describe('signals', () => {
  it.each([
    ['seconds', (bar: number) => FROM + bar * DAY],
    ['milliseconds', (bar: number) => (FROM + bar * DAY) * 1000],
    ['nanoseconds', (bar: number) => `${FROM + bar * DAY}000000000`],
    ['ISO times', (bar: number) => new Date((FROM + bar * DAY) * 1000).toISOString()],
  ])('in %s find their candles', async (_, times) => {
    const { json } = await run(times)
    expect((json as { trades: object[] }).trades).toMatchObject([{ entry_bar: 1, exit_bar: 5 }])
  })

  it('in mixed units, or of no candle, are refused in words', async () => {
    await expect(run(bar => (FROM + bar * DAY) * (bar ? 1000 : 1))).rejects.toMatchObject({
      code: 'SIGNAL_TIME',
      exit: 4,
      message: expect.stringContaining('not all seconds'),
    })
    await expect(run(bar => FROM + bar * DAY + 60)).rejects.toMatchObject({
      message: 'the signal of 2020-01-01T00:01:00.000Z (row 1) has no candle',
    })
  })
})
