// The peers: their environment, and a Python process that answers one request at a time, so that its rounds alternate with ours.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { installEnvironment } from '../test/environment.js'

/** The interpreter of the peers' environment. */
export const installPeers = () => installEnvironment('bench')

/** Starts peers/SCRIPT.py; once it is warm it says its versions. `ask(name)` resolves with the seconds it took and what came out. */
export async function openPeer(python, script, args) {
  const child = spawn(python, [join(import.meta.dirname, 'peers', `${script}.py`), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`the peer ${script} ended without an answer`)
    return JSON.parse(value)
  }
  const { versions } = await answer()
  return {
    versions,
    ask(name) {
      child.stdin.write(`${name}\n`)
      return answer()
    },
    async close() {
      child.stdin.end()
      if (child.exitCode === null) await once(child, 'exit')
    },
  }
}
