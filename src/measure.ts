// The commands that measure what is in files: no config, no home.
import { resolve } from 'node:path'
import { dataError, usageError } from './base/errors.ts'
import { findColumn, numbers, type Table } from './base/table.ts'
import { isoTime } from './base/time.ts'
import type { Act } from './command.ts'
import * as show from './show.ts'

export const backtest: Act = async options => {
  const { readCandles, readColumns, writeTable } = await import('./data/files.ts')
  const prove = await import('./prove/backtest.ts')
  const candles = await readCandles(resolve(String(options.candles)))
  if (findColumn(candles, 'symbol'))
    throw dataError('SYMBOLS', 'the candles hold a symbol column; a backtest takes one series', {
      next: 'a file of one symbol, without the column',
    })
  const bars = { time: numbers(candles, 'time'), open: numbers(candles, 'open'), close: numbers(candles, 'close') }
  const given = await readColumns(resolve(String(options.signals)))
  const signal = alignSignals(bars.time, await signalTimes(given), numbers(given, 'signal'))
  const parsed = prove.backtestSchema.safeParse({
    fill: options.fill,
    fee: options.fee,
    slippage: options.slippage,
    units: options.units,
    cash: options.cash,
    mode: options.mode,
    accounting: options.accounting,
    periods_per_year: options.periodsPerYear,
  })
  if (!parsed.success)
    throw usageError(
      'OPTION',
      parsed.error.issues.map(({ path, message }) => `--${path.join('.').replaceAll('_', '-')}: ${message}`).join('; '),
    )
  const result = prove.backtest(bars, signal, parsed.data)
  const benchmark = prove.buyAndHold(bars, parsed.data).metrics
  if (options.out) {
    const columns = [
      { name: 'time', type: 'time' as const, values: bars.time },
      { name: 'equity', type: 'number' as const, values: result.equity },
      { name: 'return', type: 'number' as const, values: result.returns },
    ]
    await writeTable({ rows: bars.time.length, columns }, resolve(String(options.out)))
  }
  const trades = result.trades.map(trade => ({
    ...trade,
    entry_time: isoTime(trade.entry_time),
    exit_time: isoTime(trade.exit_time),
  }))
  return { json: { metrics: result.metrics, trades, benchmark }, text: show.backtested(result.metrics, benchmark) }
}

/** Times of the signals in UTC ms; epoch numbers in any unit, as candles have them. */
async function signalTimes(signals: Table): Promise<Float64Array> {
  const { epochTimes } = await import('./data/timestamp.ts')
  const given = numbers(signals, 'time')
  const times = findColumn(signals, 'time')!.type === 'time' ? given : epochTimes(given)
  if (times) return times
  throw dataError(
    'SIGNAL_TIME',
    'the times of the signals are numbers that are not all seconds, milliseconds, microseconds or nanoseconds',
    {
      next: 'write them as the candles do, or as 2020-01-31T00:00:00Z',
    },
  )
}

/** One signal a bar: by time; a bar without one is flat, a signal without a bar is refused. */
function alignSignals(bars: Float64Array, time: Float64Array, values: Float64Array): Float64Array {
  const row = new Map<number, number>()
  for (let i = 0; i < bars.length; i++) row.set(bars[i], i)
  const signal = new Float64Array(bars.length)
  const seen = new Set<number>()
  for (let i = 0; i < time.length; i++) {
    const at = row.get(time[i])
    if (at === undefined)
      throw dataError(
        'SIGNAL_TIME',
        `the signal of ${Number.isNaN(time[i]) ? 'an empty time' : isoTime(time[i])} (row ${i + 1}) has no candle`,
      )
    if (seen.has(at)) throw dataError('SIGNAL_TIME', `there are two signals for ${isoTime(time[i])} (row ${i + 1})`)
    seen.add(at)
    signal[at] = values[i]
  }
  return signal
}

export const metrics: Act = async options => {
  const { readColumns } = await import('./data/files.ts')
  const prove = await import('./prove/metrics.ts')
  const table = await readColumns(resolve(String(options.input)))
  const columns = Object.fromEntries(table.columns.map(({ name, values }) => [name, values]))
  const result = prove.metrics(options.task as 'binary', columns, { threshold: Number(options.threshold) })
  for (const warning of result.warnings) process.stderr.write(`warning: ${warning}\n`)
  return { json: { ...result, rows: table.rows }, text: show.figures(result.metrics) }
}
