// The candle contract: which rows are taken.
import { type Rows, refuse, type Warning } from './rows.ts'

/** The config says that a source has no volume. */
export const noVolume = (count: number): Warning => ({
  code: 'NO_VOLUME',
  message: 'there is no volume; it is 0',
  count,
})

/** Holds the value rules to every row of candles: positive prices, volume not negative, low <= open, close <= high. */
export function checkCandles(rows: Rows): void {
  const [, open, high, low, close, volume] = rows.values as Float64Array[]
  for (let i = 0; i < rows.count; i++) {
    if (rows.fault[i]) continue
    if (!(open[i] > 0 && high[i] > 0 && low[i] > 0 && close[i] > 0)) refuse(rows, i, 'NON_POSITIVE_PRICE')
    else if (!(volume[i] >= 0)) refuse(rows, i, 'NEGATIVE_VOLUME')
    else if (open[i] > high[i] || close[i] > high[i] || open[i] < low[i] || close[i] < low[i])
      refuse(rows, i, 'OHLC_INVALID')
  }
}
