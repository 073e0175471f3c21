// A million CSV rows to a checked, versioned table, beside pandas: read_csv, drop_duplicates, the same checks, to_parquet.
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { random } from '../dist/base/random.js'
import { isoTime } from '../dist/base/time.js'
import { ingest } from '../dist/data/ingest.js'
import { configure, inFolder, inHome } from './home.js'
import { openPeer } from './peer.js'

const ROWS = 1_000_000
const ROUNDS = 5
const MINUTE = 60_000
/** Every so many rows one is written twice, one has its high below its low, and an hour is left out. */
const TWICE = 10_007
const BROKEN = 20_011
const GAP = 50_021

export const measure = ({ python }) =>
  inFolder(async folder => {
    const csv = join(folder, 'candles.csv')
    writeCandles(csv)
    const peer = await openPeer(python, 'ingest', [csv, folder])
    const rounds = []
    // The first round warms both sides.
    for (let round = 0; round <= ROUNDS; round++) {
      const ours = await ingestOnce(csv)
      const theirs = await peer.ask('pandas')
      if (!isDeepStrictEqual(ours.counts, theirs.result))
        throw new Error(`not the same table: ${JSON.stringify({ sluice: ours.counts, pandas: theirs.result })}`)
      if (round) rounds.push({ sluice: ours.seconds, pandas: theirs.seconds })
    }
    await peer.close()
    return { rounds, versions: peer.versions }
  })

/** Into a new home, so that nothing is found. */
const ingestOnce = csv =>
  inHome(async context => {
    const source = { kind: 'file', path: csv }
    const loaded = configure(context.home, {
      name: 'bench',
      data: { source, timeframe: '1m' },
      label: { kind: 'direction', horizon: 1 },
    })
    const from = performance.now()
    const { read, accepted, rejected, duplicates, reasons } = await ingest(loaded.config.data, context)
    const seconds = (performance.now() - from) / 1000
    return { seconds, counts: { read, accepted, rejected, duplicates, gaps: reasons.GAP } }
  })

/** A random walk of one-minute candles with a few faults. */
function writeCandles(path) {
  const { normal } = random(7)
  const file = openSync(path, 'w')
  let text = 'time,open,high,low,close,volume\n'
  let time = Date.parse('2015-01-01')
  let price = 100
  for (let row = 0; row < ROWS; row++) {
    const open = price
    price *= Math.exp(5e-4 * normal())
    const high = Math.max(open, price) * (1 + 2e-4 * Math.abs(normal()))
    const low = Math.min(open, price) * (1 - 2e-4 * Math.abs(normal()))
    const highest = row % BROKEN === BROKEN - 1 ? low / 2 : high
    const prices = [open, highest, low, price].map(value => value.toFixed(4))
    const line = `${isoTime(time)},${prices},${Math.round(1000 * Math.exp(normal()))}\n`
    text += line
    if (row % TWICE === TWICE - 1) {
      text += line
      row++
    }
    time += row % GAP === GAP - 1 ? 61 * MINUTE : MINUTE
    if (text.length > 1 << 20) {
      writeSync(file, text)
      text = ''
    }
  }
  writeSync(file, text)
  closeSync(file)
}
