// Python environments beside the engine's: in the user's cache, one per lock file, complete when its stamp is there. `node test/environment.js mlflow` installs one.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { sha256, writeAtomic } from '../dist/base/blobs.js'
import { cacheFolder } from '../dist/context.js'
import { LOCKS } from '../dist/learn/install.js'

/** Installs what `engine/requirements/NAME.lock` says, where that is not done yet, and gives the interpreter. */
export function installEnvironment(name) {
  const lock = join(LOCKS, `${name}.lock`)
  const folder = join(cacheFolder(process.env), `${name}-${sha256(readFileSync(lock)).slice(0, 12)}`)
  const python = join(folder, 'bin', 'python')
  const stamp = join(folder, '.installed')
  if (existsSync(stamp)) return python
  console.error(`installing the packages of ${name}.lock`)
  rmSync(folder, { recursive: true, force: true })
  const toStderr = { stdio: ['ignore', 2, 2] }
  execFileSync('python3', ['-m', 'venv', folder], toStderr)
  const options = ['--no-deps', '--no-input', '--disable-pip-version-check', '-qq']
  execFileSync(python, ['-m', 'pip', 'install', ...options, '-r', lock], toStderr)
  writeAtomic(stamp, new Date().toISOString())
  return python
}

if (process.argv[1] === import.meta.filename) installEnvironment(process.argv[2])
