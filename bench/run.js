// Measures us and the peers side by side, holds every claim to its bound and writes docs/benchmarks.md.
// `--long` measures the long ones instead of the others. `--only NAME` measures one, and writes it if it is long: such a section says by itself where it was measured.
// The page keeps what was not measured.
// Ends with 1 when a claim fails.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { writeAtomic } from '../dist/base/blobs.js'
import { BENCHMARKS, judge } from './claims.js'
import { page, row } from './page.js'
import { installPeers } from './peer.js'

const { only, long } = parseArgs({
  options: { only: { type: 'string' }, long: { type: 'boolean', default: false } },
}).values
const chosen = BENCHMARKS.filter(benchmark => (only ? benchmark.name === only : Boolean(benchmark.long) === long))
if (!chosen.length) {
  console.error(`there is no benchmark ${only}; there are ${BENCHMARKS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}

const [load] = loadavg()
const peers = chosen.some(benchmark => benchmark.peers) ? installPeers() : undefined
const path = join(import.meta.dirname, '../docs/benchmarks.md')
const measured = []
for (const benchmark of chosen) {
  const { rounds, versions, skipped } = await measure(benchmark.name)
  if (skipped) {
    console.log(`\nSKIPPED ${benchmark.title}: ${skipped}`)
    continue
  }
  const claims = judge(benchmark, rounds)
  measured.push({ ...benchmark, rounds: rounds.length, versions, claims })
  console.log(`\n${benchmark.title} (${rounds.length} rounds)`)
  for (const claim of claims) console.log(`  ${row(claim).join('  ')}`)
  if (benchmark.long) write()
}
if (only === undefined && !long) write()

const failed = measured.flatMap(({ claims }) => claims).filter(({ pass }) => pass === false)
console.log(`\n${failed.length ? `${failed.length} claims failed` : 'every claim measured holds'}`)
process.exitCode = failed.length ? 1 : 0

function write() {
  writeAtomic(path, page(BENCHMARKS, measured, load, readFileSync(path, 'utf8')))
}

/** In a process of its own: neither memory nor compiled code of one measurement reaches the next. */
async function measure(name) {
  const child = fork(join(import.meta.dirname, 'measure.js'), [name, peers ?? ''], { serialization: 'advanced' })
  let result
  child.once('message', message => {
    result = message
  })
  const [code] = await once(child, 'exit')
  if (!result) throw new Error(`${name} ended with ${code} before it had measured anything`)
  return result
}
