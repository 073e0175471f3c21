// Ten million rows beside one million, and a file larger than the memory that may be used: each ingest in a process of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { random } from '../dist/base/random.js'
import { inFolder } from './home.js'

const ROUNDS = 3
const LARGEST = 5e9
const SECOND = 1000

export const measure = () =>
  inFolder(async folder => {
    const small = join(folder, 'small.csv')
    const large = join(folder, 'large.csv')
    const huge = join(folder, 'huge.csv')
    writeCandles(small, { rows: 1_000_000 })
    writeCandles(large, { rows: 10_000_000 })
    const rounds = []
    for (let round = 0; round < ROUNDS; round++) {
      const one = await ingestAlone(small)
      const ten = await ingestAlone(large)
      if (one.rows !== 1_000_000 || ten.rows !== 10_000_000) throw new Error(`${one.rows} and ${ten.rows} rows`)
      rounds.push({ small: one.seconds, large: ten.seconds })
    }
    rmSync(large)
    const { bavail, bsize } = statfsSync(folder)
    const bytes = Math.min(LARGEST, (bavail * bsize) / 4)
    const rows = writeCandles(huge, { bytes })
    const found = await ingestAlone(huge)
    if (found.rows !== rows) throw new Error(`${found.rows} of ${rows} rows`)
    return {
      rounds: rounds.map(round => ({ ...round, bytes: bytes / 1e9, memory: found.memory, huge: found.seconds })),
    }
  })

/** Rows, seconds and the largest resident size (GB) of an ingest in a new process. */
async function ingestAlone(path) {
  const child = fork(join(import.meta.dirname, 'alone.js'), [path])
  const [found] = await once(child, 'message')
  await once(child, 'exit')
  return found
}

/** A random walk of one-second candles, of so many rows or bytes; gives the number of rows. */
function writeCandles(path, { rows = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY }) {
  const { normal } = random(7)
  const moves = Float64Array.from({ length: 1 << 16 }, () => Math.exp(5e-4 * normal()))
  const file = openSync(path, 'w')
  let text = 'time,open,high,low,close,volume\n'
  let price = 100
  let written = 0
  let row = 0
  for (let time = Date.parse('2015-01-01'); row < rows && written + text.length < bytes; row++, time += SECOND) {
    const open = price
    price *= moves[(row * 7919) & 0xffff]
    if (price > 1e6 || price < 1e-2) price = 100
    const prices = [open, Math.max(open, price) * 1.0002, Math.min(open, price) * 0.9998, price]
    text += `${time},${prices.map(value => value.toFixed(4)).join(',')},${row % 1000}\n`
    if (text.length > 1 << 20) {
      written += writeSync(file, text)
      text = ''
    }
  }
  writeSync(file, text)
  closeSync(file)
  return row
}
