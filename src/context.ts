// Makes the Context: opens the store, the log and the engine pool of one home, and closes them again.
import { existsSync, mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { writeAtomic } from './base/blobs.ts'
import type { Context } from './base/context.ts'
import { openDatabase } from './base/database.ts'
import { usageError } from './base/errors.ts'
import { openLog } from './base/log.ts'
import { openEngine } from './learn/engine.ts'
import { pythonOf } from './learn/install.ts'

export interface Environment {
  [name: string]: string | undefined
}

export interface Surroundings {
  home: string
  env: Environment
  signal: AbortSignal
  quiet?: boolean
}

export function openContext({ home, env, signal, quiet }: Surroundings): Context & { close(): Promise<void> } {
  mkdirSync(home, { recursive: true })
  // State beside a config must not make the repository it lies in look changed.
  const ignore = join(home, '.gitignore')
  if (!existsSync(ignore)) writeAtomic(ignore, '*\n')
  const log = openLog({ file: join(home, 'log', 'sluice.log'), quiet })
  const database = openDatabase(join(home, 'store.db'))
  const engine = openEngine({ python: enginePython(env), env, log, signal })
  return {
    home,
    database,
    log,
    signal,
    engine,
    env,
    now: Date.now,
    async close() {
      await engine.close()
      await database.destroy()
      log.close()
    },
  }
}

/** The interpreter that SLUICE_PYTHON names, else that of the installed environment. */
export const enginePython = (env: Environment): string => env.SLUICE_PYTHON || pythonOf(cacheFolder(env))

export const cacheFolder = (env: Environment): string => join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'sluice')

/** --home, else SLUICE_HOME, else `.sluice` beside the config, else the nearest `.sluice` upwards. */
export function findHome({ home, config, env }: { home?: string; config?: string; env: Environment }): string {
  const given = home ?? env.SLUICE_HOME
  if (given) return resolve(given)
  if (config) return join(dirname(resolve(config)), '.sluice')
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    if (existsSync(join(folder, '.sluice'))) return join(folder, '.sluice')
    if (folder === dirname(folder)) break
  }
  throw usageError('NO_HOME', 'there is no .sluice folder here or above', { next: 'add -c config.yaml or --home DIR' })
}
