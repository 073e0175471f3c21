// Klines as Binance writes them.

export type Kline = (string | number)[]
export const MINUTE = 60_000
export const START = Date.UTC(2024, 0, 1)

/** A minute's kline whose values tell its symbol and time. */
export const kline = (time: number, seed = 0): Kline => {
  const price = 100 + ((time / MINUTE + seed * 7919) % 1000) / 10
  return [
    ...[time, `${price}`, `${price + 1}`, `${price - 1}`, `${price + 0.5}`, '12.5', time + MINUTE - 1, '1250.5', 42],
    ...['6.25', '625.25', '0'],
  ]
}
