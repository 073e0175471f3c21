// 20 features on a million candles, beside TA-Lib (C) and the same in pandas.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { random } from '../dist/base/random.js'
import { parseTimeframe } from '../dist/base/time.js'
import { makeFeatures } from '../dist/features/catalog.js'
import { computeFeatures } from '../dist/features/compute.js'
import { clocked } from './clock.js'
import { inFolder } from './home.js'
import { openPeer } from './peer.js'

const ROWS = 1_000_000
const ROUNDS = 7
/** Runs until the compiler has settled. */
const WARM_UP = 5
const SPECS = [
  ...['sma', 'ema', 'wma', 'cci', 'stddev_pop'].map(kind => ({ kind, n: 20 })),
  ...['rsi', 'atr', 'natr', 'adx', 'plus_di', 'minus_di', 'mfi', 'willr'].map(kind => ({ kind, n: 14 })),
  ...['roc', 'mom'].map(kind => ({ kind, n: 10 })),
  { kind: 'macd', fast: 12, slow: 26, signal: 9, output: 'hist' },
  { kind: 'bb', n: 20, k: 2, output: 'upper' },
  { kind: 'stoch', k: 14, smooth: 3, d: 3, output: 'd' },
  { kind: 'aroon', n: 25, output: 'up' },
  { kind: 'obv' },
]

export const measure = ({ python }) =>
  inFolder(async folder => {
    const table = simulate()
    const names = table.columns.map(({ name }) => name)
    const features = makeFeatures(SPECS, parseTimeframe('1m'), names)
    const work = () => computeFeatures(table, features).columns
    for (const { name, values } of table.columns) writeFileSync(join(folder, `${name}.f64`), values)
    for (const [i, values] of work().entries()) writeFileSync(join(folder, `ours_${features[i].name}.f64`), values)
    const peer = await openPeer(python, 'features', [folder])
    const { result } = await peer.ask('differences') // warms the peers
    for (let run = 0; run < WARM_UP; run++) work()
    const rounds = []
    // The fast ones twice, the second time on the clock: while the others worked their memory went cold.
    for (let round = 0; round < ROUNDS; round++) {
      work()
      const sluice = clocked(work).seconds
      await peer.ask('TA-Lib')
      rounds.push({
        sluice,
        'TA-Lib': (await peer.ask('TA-Lib')).seconds,
        pandas: (await peer.ask('pandas')).seconds,
        'tuned pandas': (await peer.ask('tuned pandas')).seconds,
        difference: result['TA-Lib'],
        'pandas difference': result.pandas,
      })
    }
    await peer.close()
    return { rounds, versions: peer.versions }
  })

/** A random walk with a range around each bar. */
function simulate() {
  const { normal } = random(7)
  const columns = Object.fromEntries(
    ['open', 'high', 'low', 'close', 'volume'].map(name => [name, new Float64Array(ROWS)]),
  )
  const { open, high, low, close, volume } = columns
  let price = 100
  for (let t = 0; t < ROWS; t++) {
    open[t] = price
    close[t] = price *= Math.exp(5e-4 * normal())
    high[t] = Math.max(open[t], close[t]) * (1 + 2e-4 * Math.abs(normal()))
    low[t] = Math.min(open[t], close[t]) * (1 - 2e-4 * Math.abs(normal()))
    volume[t] = 1000 * Math.exp(normal())
  }
  return { rows: ROWS, columns: Object.entries(columns).map(([name, values]) => ({ name, type: 'number', values })) }
}
