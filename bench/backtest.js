// 160 signals on 2,202 bars: scorer() beside vectorbt with the same fills, fees and slippage.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { random } from '../dist/base/random.js'
import { DAY } from '../dist/base/time.js'
import { scorer } from '../dist/prove/backtest.js'
import { signals } from '../dist/prove/select.js'
import { clocked } from './clock.js'
import { inFolder } from './home.js'
import { openPeer } from './peer.js'

const BARS = 2202
const ROUNDS = 45
const OPTIONS = { fee: 0.0005, slippage: 0.0002, periods_per_year: 252 }

export const measure = ({ python }) =>
  inFolder(async folder => {
    const { bars, grid } = simulate()
    const work = () => grid.map(scorer(bars, OPTIONS))
    writeFileSync(join(folder, 'open.f64'), bars.open)
    writeFileSync(join(folder, 'close.f64'), bars.close)
    writeFileSync(join(folder, 'signals.i8'), Buffer.concat(grid.map(signal => Buffer.from(signal.buffer))))
    const peer = await openPeer(python, 'backtest', [folder, JSON.stringify(OPTIONS)])
    const differences = compare(work(), (await peer.ask('figures')).result)
    for (let run = 0; run < ROUNDS; run++) work() // compiled like the peer's
    const rounds = []
    // Each side twice, the second time on the clock: while the other one worked its memory went cold.
    for (let round = 0; round < ROUNDS; round++) {
      work()
      const sluice = clocked(work).seconds
      await peer.ask('vectorbt')
      rounds.push({
        sluice,
        vectorbt: (await peer.ask('vectorbt')).seconds,
        difference: Math.max(...Object.values(differences)),
        'return difference': differences.total_return,
      })
    }
    await peer.close()
    return { rounds, versions: peer.versions }
  })

/** A random walk, and 16 slowly moving predictions at 10 thresholds each. */
function simulate() {
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

/** The largest difference of each of the peer's figures from ours: a fast wrong answer would not count. */
function compare(ours, theirs) {
  const worst = ([name, values]) => [
    name,
    Math.max(...values.map((value, i) => Math.abs(value - (ours[i][name] ?? Number.NaN)))),
  ]
  return Object.fromEntries(Object.entries(theirs).map(worst))
}
