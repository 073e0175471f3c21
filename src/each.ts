// One model for each symbol of a table: the same story told of each by itself, and what all of them earn together.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from './base/context.ts'
import { usageError } from './base/errors.ts'
import { isName, NAME_RULE } from './base/name.ts'
import { takeValues } from './base/table.ts'
import type { Config, LoadedConfig } from './config.ts'
import { writeTable } from './data/files.ts'
import { readDataset } from './learn/dataset.ts'
import { indices } from './learn/split.ts'
import { buildStage, type Given, ingestStage, type RunResult, record, summarise, tell } from './pipeline.ts'
import { type BarRows, marketOf, poolBacktest, poolBuyAndHold } from './prove/pool.ts'
import { act } from './prove/select.ts'
import { testPredictions } from './prove/verdict.ts'
import { equityTable, publish, runFolder, type Status, type Story, type Traded, tradeTable } from './publish.ts'
import { aliasVersion } from './registry/versions.ts'

export interface EachResult {
  run: string
  /** The worst of the symbols'. */
  status: Status
  seconds: number
  /** Of the mean of all symbols' returns on their test parts, each model on its own symbol; empty without a test part, and without prices. */
  backtest: Record<string, number | null>
  benchmark: Record<string, number | null>
  symbols: ({ symbol: string } & RunResult)[]
  files: { trades: string; equity: string }
}

/** Runs the story for every symbol, as many at a time as there are engine processes. Errors (usage): SYMBOLS where the table has none, or two that would be one model. */
export async function runEach(loaded: LoadedConfig, context: Context): Promise<EachResult> {
  const started = performance.now()
  return record('run', loaded, context, async (run, context) => {
    const { config } = loaded
    const table = await ingestStage(config, run, context)
    const features = await buildStage(table, config, run, context)
    const names = modelNames(config.name, table.symbols)
    const told: { result: RunResult; rows: SignalRows }[] = []
    const waiting = table.symbols.entries()
    const failed = new AbortController()
    const watched = { ...context, signal: AbortSignal.any([context.signal, failed.signal]) }
    const work = async () => {
      for (const [i, symbol] of waiting) {
        watched.signal.throwIfAborted()
        const own = { ...config, name: names[i], symbol }
        const given = { table: { ...table, symbols: [symbol] }, features }
        told[i] = await runOne(own, given, loaded, watched)
      }
    }
    // One that fails, or finds it too hot, stops the others, and networks at work leave their checkpoints first.
    const works = Array.from({ length: Math.max(1, context.engine.size) }, () =>
      work().catch(error => {
        failed.abort(error)
        throw error
      }),
    )
    await Promise.allSettled(works)
    failed.signal.throwIfAborted()
    const traded = together(
      told.map(({ rows }) => rows),
      config,
    )
    const folder = runFolder(context.home, run.id)
    mkdirSync(folder, { recursive: true })
    const files = { trades: join(folder, 'trades.csv'), equity: join(folder, 'equity.csv') }
    await writeTable(tradeTable(traded?.ours.trades ?? [], table.symbols), files.trades)
    await writeTable(equityTable(traded), files.equity)
    return {
      run: run.id,
      status: worst(told.map(({ result }) => result.status)),
      seconds: Math.round(performance.now() - started) / 1000,
      backtest: { ...traded?.ours.metrics },
      benchmark: { ...traded?.held.metrics },
      symbols: told.map(({ result }, i) => ({ symbol: table.symbols[i], ...result })),
      files,
    }
  })
}

/** The model of a symbol is called after it. */
function modelNames(name: string, symbols: string[]): string[] {
  if (!symbols.length)
    throw usageError('SYMBOLS', 'the table has no symbols to make a model for each', { next: 'per_symbol: false' })
  const names = symbols.map(symbol => `${name}-${symbol.toLowerCase().replaceAll(/[^a-z0-9_-]+/g, '-')}`)
  const bad = names.findIndex((made, i) => !isName(made) || names.indexOf(made) !== i)
  if (bad >= 0)
    throw usageError(
      'SYMBOLS',
      `the model of ${symbols[bad]} would be called ${names[bad]}: ${isName(names[bad]) ? `so is that of ${symbols[names.indexOf(names[bad])]}` : NAME_RULE}`,
    )
  return names
}

async function runOne(config: Config, given: Omit<Given, 'champion'>, loaded: LoadedConfig, context: Context) {
  const started = performance.now()
  let rows: SignalRows | undefined
  const result = await record('run', { ...loaded, config }, context, async (run, context) => {
    const champion = await aliasVersion(context.database, config.name)
    const story = await tell({ ...given, champion }, config, run, context)
    rows = await testRows(story)
    return summarise(story, await publish(story, context), (performance.now() - started) / 1000)
  })
  return { result, rows: rows! }
}

type SignalRows = BarRows & { symbol: string[]; signal: Int8Array }

/** The bars of a story's test part, and what its model did on them. */
async function testRows({ config, dataset, selected, verdict }: Story): Promise<SignalRows> {
  const rows = dataset.market ? indices(dataset.split.test) : new Uint32Array(0)
  const { time, open, close } = await readDataset(dataset)
  const take = (values: Float64Array) => takeValues(values, rows)
  const signal = rows.length
    ? act(dataset, await testPredictions(dataset, verdict.proven), selected.selected.threshold!, config.backtest.mode)
    : new Int8Array(0)
  const symbol = Array.from(rows, () => config.symbol!)
  return { time: take(time), open: take(open), close: take(close), symbol, signal }
}

/** All symbols' test parts as one book. */
function together(parts: SignalRows[], { backtest }: Config): Traded | undefined {
  const join = (of: (part: SignalRows) => ArrayLike<number>) =>
    Float64Array.from(parts.flatMap(part => [...Array.from(of(part))]))
  const time = join(part => part.time)
  if (!time.length) return undefined
  const rows = {
    time,
    open: join(part => part.open),
    close: join(part => part.close),
    symbol: parts.flatMap(({ symbol }) => symbol),
  }
  const market = marketOf(rows, undefined, backtest)
  const signal = join(part => part.signal)
  return { time: market.time, ours: poolBacktest(market, signal, backtest), held: poolBuyAndHold(market, backtest) }
}

const ORDER: Status[] = ['refused', 'registered', 'deployed']
const worst = (statuses: Status[]): Status => ORDER.find(status => statuses.includes(status))!
