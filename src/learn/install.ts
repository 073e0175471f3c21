// The engine's Python environment: a venv in the user's cache directory, one per lock file, filled with exact versions.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sha256, writeAtomic } from '../base/blobs.ts'
import { engineError, usageError } from '../base/errors.ts'

export const LOCKS = join(dirname(fileURLToPath(import.meta.url)), '../../engine/requirements')

/** Groups of dependencies, a lock file each; `core` is what a default run needs, `deep` what networks need besides, `track` the client of Weights & Biases. */
export const GROUPS = ['core', 'deep', 'track', 'dev'] as const
export type Group = (typeof GROUPS)[number]

/** Folder of the environment: its name holds the digest of the core lock, so that another lock is another environment. */
const environmentOf = (cache: string): string => join(cache, `engine-${lockDigest('core').slice(0, 12)}`)

export const pythonOf = (cache: string): string => join(environmentOf(cache), 'bin', 'python')

/** Whether an interpreter is that of an environment which `install` made from the present lock. */
export const isOwn = (python: string): boolean => pythonOf(dirname(dirname(dirname(python)))) === python

export const isInstalled = (cache: string, group: Group): boolean => existsSync(stampOf(cache, group))

/**
 * Creates the environment if it is not there and installs a group's lock. What is there already is left alone, so a second call takes no time.
 * Errors: PYTHON_MISSING (exit 5) without a Python >= 3.11, INSTALL_FAILED with pip's last words.
 */
export async function install(
  group: string,
  { cache, base = 'python3', onLine = () => {} }: { cache: string; base?: string; onLine?: (line: string) => void },
): Promise<'installed' | 'present'> {
  if (!isGroup(group)) throw usageError('GROUP', `there is no engine group ${group}; there are ${GROUPS.join(', ')}`)
  if (isInstalled(cache, group)) return 'present'
  const folder = environmentOf(cache)
  if (group !== 'core') await install('core', { cache, base, onLine })
  else {
    await checkPython(base)
    rmSync(folder, { recursive: true, force: true }) // half an environment of an interrupted install
    mkdirSync(dirname(folder), { recursive: true })
    await run(base, ['-m', 'venv', folder], onLine)
  }
  // A lock is complete, so nothing is resolved (catboost would drag in matplotlib, plotly and graphviz), but that torch for CUDA asks for libraries by exact versions.
  await run(
    pythonOf(cache),
    [
      '-m',
      'pip',
      'install',
      ...(group === 'deep' ? [] : ['--no-deps']),
      '--no-input',
      '--disable-pip-version-check',
      '--progress-bar',
      'off',
      '-r',
      join(LOCKS, `${group}.lock`),
    ],
    onLine,
  )
  writeAtomic(stampOf(cache, group), new Date().toISOString())
  return 'installed'
}

async function checkPython(base: string): Promise<void> {
  const version = await run(base, ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], () => {}).catch(
    cause => {
      throw engineError('PYTHON_MISSING', `${base} cannot be started`, {
        cause,
        next: 'install Python 3.11 or newer, or set SLUICE_PYTHON',
      })
    },
  )
  const [major, minor] = version.trim().split('.').map(Number)
  if (major < 3 || minor < 11)
    throw engineError('PYTHON_MISSING', `${base} is Python ${version.trim()}, 3.11 or newer is needed`, {
      next: 'install it, or set SLUICE_PYTHON',
    })
}

function run(command: string, args: string[], onLine: (line: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const take = (chunk: Buffer) => {
      output += chunk
      for (const line of chunk.toString().split('\n')) if (line.trim()) onLine(line.trim())
    }
    child.stdout.on('data', take)
    child.stderr.on('data', take)
    child.once('error', reject)
    child.once('close', code => {
      if (code === 0) resolve(output)
      else
        reject(
          engineError(
            'INSTALL_FAILED',
            `${command} ${args.slice(0, 3).join(' ')} ended with ${code}: ${output.trim().split('\n').slice(-3).join(' | ')}`,
          ),
        )
    })
  })
}

const isGroup = (group: string): group is Group => (GROUPS as readonly string[]).includes(group)

const lockDigest = (group: Group): string => sha256(readFileSync(join(LOCKS, `${group}.lock`)))

const stampOf = (cache: string, group: Group): string =>
  join(environmentOf(cache), `.installed-${group}-${lockDigest(group).slice(0, 12)}`)
