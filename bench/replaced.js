// What stands in the place of older training stacks, beside plain PyTorch: attention, optimizer, batches.
import { join } from 'node:path'
import { enginePython } from '../dist/context.js'
import { openPeer } from './peer.js'

const ROUNDS = 9
const WORK = ['eager', 'sdpa', 'loop', 'fused', 'loader', 'mapped']

export const measure = async () => {
  const peer = await openPeer(enginePython(process.env), 'replaced', [join(import.meta.dirname, '../engine')])
  const rounds = []
  for (let round = 0; round <= ROUNDS; round++) {
    const found = {}
    for (const name of WORK) found[name] = (await peer.ask(name)).result
    if (found.loader.rows !== found.mapped.rows) throw new Error('not the same rows')
    const sizes = { 'loader bytes': found.loader.bytes / 1e6, 'mapped bytes': found.mapped.bytes / 1e6 }
    const seconds = Object.fromEntries(WORK.map(name => [name, 1000 * found[name].seconds]))
    if (round) rounds.push({ ...seconds, ...sizes }) // the first one warms
  }
  await peer.close()
  return { rounds, versions: peer.versions }
}
