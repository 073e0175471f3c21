// The whole run on 2,202 rows x 50 features with the default grid of 16 models, the engine warm.
import { availableParallelism } from 'node:os'
import { expandFeatures } from '../dist/features/catalog.js'
import { expandModels } from '../dist/learn/models.js'
import { fitOnce, rowsOf } from '../dist/learn/train.js'
import { prepare, record, run } from '../dist/pipeline.js'
import { configure, inHome } from './home.js'

const ROUNDS = 5
const ROWS = 2202
/** Rows that the longest feature (adx_28) and the label take. */
const LOST = 58
const MIB = 2 ** 20

const config = (bars, seed) => ({
  name: 'grid',
  data: {
    source: { kind: 'simulated', bars, seed, volatility: [0.1, 0.25], signal: { strength: 0.8 } },
    timeframe: '1d',
  },
  features: [
    { kind: 'set', name: 'stationary_20' },
    { kind: 'ret', n: [2, 3, 10, 15] },
    { kind: 'rsi', n: [5, 21, 28] },
    { kind: 'zscore', n: [10, 30] },
    { kind: 'realvol', n: [10, 30] },
    { kind: 'roc', n: [7, 12, 25] },
    { kind: 'natr', n: [7, 28] },
    { kind: 'adx', n: [7, 28] },
    { kind: 'cci', n: [10, 40] },
    { kind: 'willr', n: [7, 14, 28] },
    { kind: 'mfi', n: [7, 14] },
    { kind: 'aroon', n: 14 },
    { kind: 'stochf', k: 21 },
    { kind: 'mom', n: 10 },
  ],
  label: { kind: 'direction', horizon: 3 },
  split: { kind: 'holdout' },
  backtest: { fee: 0.0005, slippage: 0.0002, periods_per_year: 365 },
})

export const measure = () =>
  inHome(async opened => {
    const context = { ...opened, engine: watched(opened.engine) }
    await warmUp(context)
    const rounds = []
    for (let round = 1; round <= ROUNDS; round++) rounds.push(await measureRun(round, context))
    const { python, ...libraries } = await context.engine.versions()
    return { rounds, versions: { Python: python, ...libraries } }
  })

/** Every process fits and exports one model of every kind, and this process runs the story once. */
async function warmUp(context) {
  const loaded = configure(context.home, config(1500, 0))
  const { dataset } = await record('dataset', loaded, context, run => prepare(loaded.config, run, context))
  const [fold] = dataset.split.folds
  const kinds = new Map(
    expandModels(loaded.config.models, loaded.config.task).map(candidate => [candidate.kind, candidate.params]),
  )
  for (const [kind, params] of kinds) {
    const fit = (_, seed) =>
      fitOnce(dataset, { recipe: { kind, params, seed }, rows: rowsOf(params, fold), export: true }, context)
    await Promise.all(Array.from({ length: context.engine.size }, fit))
  }
  await run(loaded, context)
}

async function measureRun(seed, context) {
  const loaded = configure(context.home, config(ROWS + LOST, seed))
  const { engine } = context
  const before = { cpu: engine.usage().cpu_seconds, busy: engine.busySeconds() }
  const from = performance.now()
  const result = await run(loaded, context)
  const wall = (performance.now() - from) / 1000
  check(loaded.config, result)
  const cpu = engine.usage().cpu_seconds - before.cpu
  const memory = (Math.max(...result.stages.map(stage => stage.peak_memory_mb)) * MIB) / 1e9
  const outside = wall - (engine.busySeconds() - before.busy)
  return { wall, cpu, allowed: (1.2 * cpu) / availableParallelism() + 2, outside, memory }
}

/** The engine, with the seconds in which it was at work. */
function watched(engine) {
  let open = 0
  let since = 0
  let busy = 0
  return {
    size: engine.size,
    usage: () => engine.usage(),
    digest: () => engine.digest(),
    versions: () => engine.versions(),
    busySeconds: () => busy,
    async request(...args) {
      if (open++ === 0) since = performance.now()
      try {
        return await engine.request(...args)
      } finally {
        if (--open === 0) busy += (performance.now() - since) / 1000
      }
    },
  }
}

/** That it was the grid that the claim is about, and none of it found in a cache. */
function check({ features, models, task }, { rows, combinations, stages }) {
  const found = {
    features: expandFeatures(features).length,
    rows: rows.train + rows.valid + rows.test + rows.purged,
    models: expandModels(models, task).length,
    combinations,
    cached: stages.filter(({ cached }) => cached).length,
  }
  const expected = { features: 50, rows: ROWS, models: 16, combinations: 160, cached: 0 }
  if (JSON.stringify(found) !== JSON.stringify(expected)) throw new Error(`not the grid: ${JSON.stringify(found)}`)
}
