// The backtest against trades and figures of other engines: backtesting.py (units) and a vectorised pandas loop (returns).
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type Bars, backtest } from '../../src/prove/backtest.ts'
import { describeShared, shared } from '../shared.ts'

const SERIES = [
  { file: 'sp500', candles: 'candles/sp500_1d_2000_2020.csv', time: 'date', perYear: 252, cash: 1e6 },
  {
    file: 'btcusdt1h',
    candles: 'candles/btcusdt_1h_binance_2021_2022.csv',
    time: 'open_time',
    perYear: 8760,
    cash: 1e8,
  },
]

const readCsv = (path: string): Record<string, string[]> => {
  const [header, ...lines] = readFileSync(shared(path), 'utf8').trim().split(/\r?\n/)
  const rows = lines.map(line => line.split(','))
  return Object.fromEntries(header.split(',').map((name, k) => [name, rows.map(row => row[k])]))
}
const floats = (column: string[]) => Float64Array.from(column, Number)
const times = (column: string[]) =>
  Float64Array.from(column, text => (/^\d+$/.test(text) ? Number(text) : Date.parse(text)))

const readBars = ({ candles, time }: (typeof SERIES)[number]): Bars => {
  const columns = readCsv(candles)
  return { time: times(columns[time]), open: floats(columns.open), close: floats(columns.close) }
}

/** Mean of the last n values; NaN before there are n. */
function sma(values: Float64Array, n: number): Float64Array {
  const means = new Float64Array(values.length).fill(Number.NaN)
  for (let t = n - 1; t < values.length; t++) {
    let sum = 0
    for (let i = t - n + 1; i <= t; i++) sum += values[i]
    means[t] = sum / n
  }
  return means
}

/** Long from an upward cross of the averages to the next downward one, flat before the first cross, short in between. */
function crosses(close: Float64Array): Int8Array {
  const [fast, slow] = [sma(close, 20), sma(close, 50)]
  const signal = new Int8Array(close.length)
  for (let t = 1; t < close.length; t++) {
    if (fast[t - 1] < slow[t - 1] && fast[t] > slow[t]) signal[t] = 1
    else if (fast[t - 1] > slow[t - 1] && fast[t] < slow[t]) signal[t] = -1
    else signal[t] = signal[t - 1]
  }
  return signal
}

const VARIANTS = [
  { name: 'long_only_fee0', options: {} },
  { name: 'long_only_fee10bp', options: { fee: 0.001 } },
  { name: 'long_short_fee10bp', options: { fee: 0.001, mode: 'long_short' } },
  { name: 'long_only_fee10bp_trade_on_close', options: { fee: 0.001, fill: 'close' } },
] as const

describeShared('backtest against references', () => {
  for (const series of SERIES) {
    const bars = readBars(series)
    const signal = crosses(bars.close)
    const last = bars.close.length - 1

    for (const { name, options } of VARIANTS)
      it(`makes every trade of ${series.file} ${name}`, () => {
        const reference = readCsv(`backtest/${series.file}_sma20_50_${name}_trades.csv`)
        const { trades } = backtest(bars, signal, { ...options, units: 'whole', cash: series.cash })
        expect(trades.length).toBe(reference.Size.length)
        for (const [i, trade] of trades.entries()) {
          const entry = { bar: trade.entry_bar, price: trade.entry_price, units: trade.units }
          expect(entry).toEqual({
            bar: Number(reference.EntryBar[i]),
            price: Number(reference.EntryPrice[i]),
            units: Number(reference.Size[i]),
          })
          expect(trade.exit_bar).toBe(Number(reference.ExitBar[i]))
          // A position left at the end is closed at the last close here, at the last open there.
          if (trade.exit_bar === last) continue
          expect(trade.exit_price).toBe(Number(reference.ExitPrice[i]))
          expect(Math.abs(trade.pnl - Number(reference.PnL[i]))).toBeLessThan(1e-2)
          expect(trade.return).toBeCloseTo(Number(reference.ReturnPct[i]), 10)
        }
      })

    it(`marks the equity of ${series.file} at every close`, () => {
      const reference = floats(readCsv(`backtest/${series.file}_sma20_50_long_only_fee10bp_equity.csv`).Equity)
      const { equity } = backtest(bars, signal, { fee: 0.001, units: 'whole', cash: series.cash })
      // The reference is rounded to 12 digits.
      near(equity, reference, 1e-11 * series.cash)
    })

    for (const [cost, fee] of [
      ['cost0', 0],
      ['cost10bp', 0.001],
    ] as const)
      it(`compounds the returns of ${series.file} at ${cost}`, () => {
        const columns = readCsv(`backtest/${series.file}_sma20_50_vectorised.csv`)
        const reference = JSON.parse(readFileSync(shared(`backtest/${series.file}_sma20_50.json`), 'utf8'))
        const expected = reference.part_B_vectorised[cost]
        const options = { accounting: 'returns', fee, periods_per_year: series.perYear, cash: 1 } as const
        const { metrics, equity, returns } = backtest(bars, floats(columns.signal), options)
        near(equity, floats(columns[`equity_${cost}`]))
        near(returns, floats(columns[`strat_ret_${cost}`]))
        near(
          [metrics.total_return, metrics.cagr, metrics.sharpe, metrics.sortino, metrics.max_drawdown, metrics.calmar],
          [
            expected.total_return,
            expected.cagr_by_bars,
            expected.sharpe_rf0_ddof1,
            expected.sortino_rf0_downside_all_bars,
            -expected.max_drawdown,
            expected.calmar,
          ],
        )
        near([metrics.exposure, metrics.trades], [expected.time_in_market, expected.trades.n])
      })
  }
})

function near(actual: ArrayLike<number | null>, expected: ArrayLike<number>, tolerance = 1e-9): void {
  expect(actual.length).toBe(expected.length)
  const off = Array.from(expected, (value, i) => Math.abs(actual[i]! - value)).filter(error => !(error <= tolerance))
  expect(off).toEqual([])
}
