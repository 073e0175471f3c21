// 160 signals on 2,202 bars: scorer() beside vectorbt with the same fills, fees and slippage. Prints one JSON line.
// The peer runs when BENCH_PYTHON names a Python that has vectorbt.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { random } from '../src/base/random.ts'
import { DAY } from '../src/base/time.ts'
import { type BacktestMetrics, type Bars, scorer } from '../src/prove/backtest.ts'
import { signals } from '../src/prove/select.ts'

const BARS = 2202
const RUNS = 15
const OPTIONS = { fee: 0.0005, slippage: 0.0002, periods_per_year: 252 } as const
const PEER = join(import.meta.dirname, 'peers', 'backtest.py')

const { bars, grid } = simulate()
const ours = time(() => grid.map(scorer(bars, OPTIONS)))
console.log(JSON.stringify({ bars: BARS, signals: grid.length, sluice: spread(ours.seconds), ...peer(ours.result) }))

/** A random walk, and 16 slowly moving predictions at 10 thresholds each. */
function simulate(): { bars: Bars; grid: Int8Array[] } {
  const { normal } = random(7)
  const open = new Float64Array(BARS)
  const close = new Float64Array(BARS)
  let price = 100
  for (let t = 0; t < BARS; t++) {
    open[t] = price *= Math.exp(0.003 * normal())
    close[t] = price *= Math.exp(0.0003 + 0.01 * normal())
  }
  const predictions = Array.from({ length: 16 }, () => {
    let level = 0
    return Float32Array.from({ length: BARS }, () => 1 / (1 + Math.exp(-(level = 0.8 * level + 0.5 * normal()))))
  })
  const thresholds = Array.from({ length: 10 }, (_, i) => (30 + 5 * i) / 100)
  const grid = predictions.flatMap(p => thresholds.map(threshold => signals(p, threshold)))
  // Flat at the end: the peer marks what is left there, and does not sell it.
  for (const signal of grid) signal[BARS - 2] = 0
  return { bars: { time: open.map((_, t) => t * DAY), open, close }, grid }
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

/** The same grid by the peer, and the largest difference of its figures from ours: a fast wrong answer would not count. */
function peer(ours: BacktestMetrics[]): object {
  const python = process.env.BENCH_PYTHON
  if (!python) return { vectorbt: null }
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  try {
    const write = (name: string, values: NodeJS.ArrayBufferView) => writeFileSync(join(folder, name), values)
    write('open.f64', bars.open)
    write('close.f64', bars.close)
    write('signals.i8', Buffer.concat(grid.map(signal => Buffer.from(signal.buffer))))
    const text = execFileSync(python, [PEER, folder, String(RUNS), JSON.stringify(OPTIONS)], { encoding: 'utf8' })
    const { seconds, figures } = JSON.parse(text) as {
      seconds: number[]
      figures: Record<keyof BacktestMetrics, number[]>
    }
    const differences = Object.entries(figures).flatMap(([name, values]) =>
      values.map((value, i) => Math.abs(value - (ours[i][name as keyof BacktestMetrics] ?? Number.NaN))),
    )
    return { vectorbt: spread(seconds), largest_difference: Math.max(...differences) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
