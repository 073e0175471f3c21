// 20 features on a million candles: one thread, beside TA-Lib (C) and the same in pandas. Prints one JSON line.
// The peers run when BENCH_PYTHON names a Python that has TA-Lib and pandas.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { random } from '../src/base/random.ts'
import type { Table } from '../src/base/table.ts'
import { parseTimeframe } from '../src/base/time.ts'
import { makeFeatures } from '../src/features/catalog.ts'
import { computeFeatures } from '../src/features/compute.ts'

const ROWS = 1_000_000
const RUNS = 7
const PEER = join(import.meta.dirname, 'peers', 'features.py')
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

const table = simulate()
const features = makeFeatures(
  SPECS,
  parseTimeframe('1m'),
  table.columns.map(({ name }) => name),
)
const ours = time(() => computeFeatures(table, features).columns)
console.log(
  JSON.stringify({ rows: ROWS, features: features.length, sluice: spread(ours.seconds), ...peers(ours.result) }),
)

/** A random walk with a range around each bar. */
function simulate(): Table {
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

function time<T>(run: () => T): { seconds: number[]; result: T } {
  let result = run()
  const seconds: number[] = []
  for (let i = 0; i < RUNS; i++) {
    const from = performance.now()
    result = run()
    seconds.push((performance.now() - from) / 1000)
  }
  return { seconds, result }
}

function spread(seconds: number[]): { median: number; fastest: number; slowest: number } {
  const sorted = seconds.toSorted((a, b) => a - b)
  return { median: sorted[sorted.length >> 1], fastest: sorted[0], slowest: sorted[sorted.length - 1] }
}

/** The same by the peers, and how many of TA-Lib's values ours differ from by more than 1e-9: a fast wrong answer would not count. */
function peers(ours: Float64Array[]): object {
  const python = process.env.BENCH_PYTHON
  if (!python) return { talib: null, pandas: null }
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  try {
    for (const { name, values } of table.columns) writeFileSync(join(folder, `${name}.f64`), values as Float64Array)
    for (const [i, values] of ours.entries()) writeFileSync(join(folder, `ours_${features[i].name}.f64`), values)
    const text = execFileSync(python, [PEER, folder, String(RUNS)], { encoding: 'utf8' })
    const { talib, pandas, different } = JSON.parse(text) as { talib: number[]; pandas: number[]; different: object }
    return { talib: spread(talib), pandas: spread(pandas), different }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
