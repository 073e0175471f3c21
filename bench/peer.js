// The peers: their environment, and a Python process that answers one request at a time, so that its rounds alternate with ours.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { sha256, writeAtomic } from '../dist/base/blobs.js'
import { cacheFolder } from '../dist/context.js'
import { LOCKS } from '../dist/learn/install.js'

/** The interpreter of the peers' environment: in the user's cache, one per lock file, complete when its stamp is there. */
export function installPeers() {
  const lock = join(LOCKS, 'bench.lock')
  const folder = join(cacheFolder(process.env), `bench-${sha256(readFileSync(lock)).slice(0, 12)}`)
  const python = join(folder, 'bin', 'python')
  const stamp = join(folder, '.installed')
  if (existsSync(stamp)) return python
  console.error('installing the peers that are measured beside us')
  rmSync(folder, { recursive: true, force: true })
  const toStderr = { stdio: ['ignore', 2, 2] }
  execFileSync('python3', ['-m', 'venv', folder], toStderr)
  const options = ['--no-deps', '--no-input', '--disable-pip-version-check', '-qq']
  execFileSync(python, ['-m', 'pip', 'install', ...options, '-r', lock], toStderr)
  writeAtomic(stamp, new Date().toISOString())
  return python
}

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
