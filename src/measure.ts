// The commands that measure what is in files: no config, no home.
import { resolve } from 'node:path'
import { dataError, usageError } from './base/errors.ts'
import { findColumn, numbers, type Table } from './base/table.ts'
import { isoTime } from './base/time.ts'
import type { Act, Caller, Options } from './command.ts'
import type { ModelFile } from './modelfile.ts'
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

export const params: Act = async (options, caller) => {
  const { budget, ...file } = await modelFile(options)
  const { parameters } = await measured<{ parameters: number }>('parameters', file, caller)
  const { BUDGETS } = await import('./learn/networks.ts')
  const allowed = budget && BUDGETS[budget]
  if (allowed && parameters > allowed)
    throw usageError(
      'BUDGET',
      `${options.file} has ${parameters.toLocaleString('en')} trainable parameters, and its budget of ${budget} allows ${allowed.toLocaleString('en')}`,
      { next: 'fewer or narrower layers, or a larger budget' },
    )
  const json = { parameters, kind: file.kind, budget: budget ?? null, allowed: allowed ?? null }
  const within = allowed ? ` of the ${allowed.toLocaleString('en')} that its budget of ${budget} allows` : ''
  return { json, text: `${parameters.toLocaleString('en')} trainable parameters${within}` }
}

interface Trial {
  batch_size: number
  memory_mb: number | null
  seconds: number | null
  fits: boolean
  reason: string | null
}

export const batchSize: Act = async (options, caller) => {
  const file = await modelFile(options)
  const limit = options.memoryMb === undefined ? {} : { memory_mb: options.memoryMb }
  const found = await measured<{ batch_size: number | null; tried: Trial[]; device: string; parameters: number }>(
    'batch_size',
    file,
    caller,
    limit,
  )
  const { batch_size, tried, device, parameters } = found
  const text = [
    show.table(
      tried.map(({ batch_size, memory_mb, seconds, fits, reason }) => ({
        batch_size,
        memory_mb,
        seconds,
        fits: fits ? 'yes' : (reason ?? 'no'),
      })),
    ),
    batch_size === null
      ? `not even ${tried[0]?.batch_size ?? 8} rows fit on ${device}`
      : `batch_size: ${batch_size} on ${device}`,
  ].join('\n')
  return { json: { batch_size, tried, device, parameters }, text }
}

async function modelFile(options: Options) {
  const { readModelFile } = await import('./modelfile.ts')
  return readModelFile(String(options.file), options.set)
}

/** What an engine of its own says of a network that nothing is fitted with. */
async function measured<Answer>(
  method: string,
  { kind, preset, params, channels, task, classes, horizon }: Omit<ModelFile, 'budget'>,
  { env, signal }: Caller,
  more: object = {},
): Promise<Answer> {
  const { openEngine } = await import('./learn/engine.ts')
  const { completeNetwork } = await import('./learn/networks.ts')
  const { openLog } = await import('./base/log.ts')
  const { enginePython } = await import('./context.ts')
  const engine = openEngine({ python: enginePython(env), env, log: openLog({ quiet: true }), signal, size: 1 })
  try {
    const model = { kind, params: completeNetwork(kind, params, preset) }
    const counted = { channels, task, ...(classes && { classes }), ...(horizon && { horizon }) }
    return await engine.request<Answer>(method, { model, ...counted, ...more })
  } finally {
    await engine.close()
  }
}
