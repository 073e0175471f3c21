// Seeded bars and signals for the tests of this folder.

import { random } from '../../src/base/random.ts'
import { DAY } from '../../src/base/time.ts'
import type { Bars } from '../../src/prove/backtest.ts'

/** Daily bars of a random walk, prices in cents. */
export function simulatedBars(bars: number, seed = 1): Bars {
  const { normal } = random(seed)
  const cents = (price: number) => Math.round(price * 100) / 100
  const open = new Float64Array(bars)
  const close = new Float64Array(bars)
  let price = 100
  for (let t = 0; t < bars; t++) {
    open[t] = cents((price *= Math.exp(0.004 * normal())))
    close[t] = cents((price *= Math.exp(0.0005 + 0.015 * normal())))
  }
  return { time: Float64Array.from({ length: bars }, (_, t) => Date.UTC(2020, 0, 1) + t * DAY), open, close }
}

/** Positions that change on one bar in five. */
export function simulatedSignal(bars: number, seed = 2): Int8Array {
  const { next } = random(seed)
  const signal = new Int8Array(bars)
  for (let t = 1; t < bars; t++) signal[t] = next() < 0.2 ? Math.floor(3 * next()) - 1 : signal[t - 1]
  return signal
}
