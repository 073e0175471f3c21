// DOCTOR: is everything there that a run needs? Each check says what it found and what mends it.
import { accessSync, constants, existsSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openDatabase } from './base/database.ts'
import { messageOf } from './base/errors.ts'
import { openLog } from './base/log.ts'
import { cacheFolder, type Environment, enginePython, findHome } from './context.ts'
import { openEngine } from './learn/engine.ts'
import { type Group, isInstalled } from './learn/install.ts'
import { bandOf, readTemperatures, thermalSchema } from './learn/thermal.ts'

export interface Finding {
  name: string
  ok: boolean
  detail: string
  /** What to type, or null. */
  fix: string | null
}

const OLDEST_NODE = [20, 19]
const LEAST_DISK_GB = 1

export async function examine({
  home: given,
  env,
  signal,
}: {
  home?: string
  env: Environment
  signal: AbortSignal
}): Promise<Finding[]> {
  const home = homeOf(given, env)
  return [
    node(),
    await engine(env, signal),
    groupInstalled('core', env),
    groupInstalled('deep', env),
    groupInstalled('track', env),
    await store(home),
    disk(home),
    await temperature(env),
    await runtime('DuckDB', async () => (await import('./data/parquet.ts')).duckdbVersion()),
    await runtime('ONNX Runtime', async () => (await import('./base/onnx.ts')).runtimeVersion()),
  ]
}

/** Where a command started here would keep its state. */
function homeOf(home: string | undefined, env: Environment): string {
  try {
    return findHome({ home, env })
  } catch {
    return join(process.cwd(), '.sluice')
  }
}

function node(): Finding {
  const [major, minor] = process.versions.node.split('.').map(Number)
  const ok = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
  return {
    name: 'node',
    ok,
    detail: process.version,
    fix: ok ? null : `install Node ${OLDEST_NODE.join('.')} or newer`,
  }
}

async function engine(env: Environment, signal: AbortSignal): Promise<Finding> {
  const python = enginePython(env)
  const pool = openEngine({ python, env, log: openLog({ quiet: true }), signal, size: 1 })
  try {
    const versions = await pool.versions()
    return { name: 'engine', ok: true, detail: `Python ${versions.python} at ${python}`, fix: null }
  } catch (error) {
    const fix = env.SLUICE_PYTHON
      ? 'unset SLUICE_PYTHON, or name a Python that has the packages'
      : 'sluice engine install core'
    return { name: 'engine', ok: false, detail: messageOf(error), fix }
  } finally {
    await pool.close()
  }
}

/** What only some configs need is right without it. */
const OPTIONAL: Partial<Record<Group, string>> = { track: 'only tracking.wandb needs it' }

function groupInstalled(group: Group, env: Environment): Finding {
  if (env.SLUICE_PYTHON)
    return { name: `engine group ${group}`, ok: true, detail: 'as SLUICE_PYTHON has it', fix: null }
  const installed = isInstalled(cacheFolder(env), group)
  const why = OPTIONAL[group]
  return {
    name: `engine group ${group}`,
    ok: installed || why !== undefined,
    detail: installed ? 'installed' : ['missing', why].filter(Boolean).join('; '),
    fix: installed ? null : `sluice engine install ${group}`,
  }
}

/** Opens the store where there is one; a check makes none. */
async function store(home: string): Promise<Finding> {
  try {
    if (!existsSync(join(home, 'store.db'))) {
      accessSync(existing(home), constants.W_OK)
      return { name: 'store', ok: true, detail: `none at ${home} yet; the first run makes it`, fix: null }
    }
    const database = openDatabase(join(home, 'store.db'))
    const { runs } = await database
      .selectFrom('runs')
      .select(({ fn }) => fn.countAll().as('runs'))
      .executeTakeFirstOrThrow()
    await database.destroy()
    return { name: 'store', ok: true, detail: `${home}, ${runs} runs`, fix: null }
  } catch (error) {
    return {
      name: 'store',
      ok: false,
      detail: `${home}: ${messageOf(error)}`,
      fix: 'another --home, or the rights to write there',
    }
  }
}

/** The folder, or the nearest one above it that is there. */
const existing = (folder: string): string => (existsSync(folder) ? folder : existing(dirname(folder)))

function disk(home: string): Finding {
  const { bavail, bsize } = statfsSync(existing(home))
  const free = (bavail * bsize) / 2 ** 30
  const ok = free >= LEAST_DISK_GB
  return {
    name: 'disk',
    ok,
    detail: `${free.toFixed(1)} GB free`,
    fix: ok ? null : `at least ${LEAST_DISK_GB} GB beside ${home}`,
  }
}

/** A machine that tells no temperature trains all the same. */
async function temperature(env: Environment): Promise<Finding> {
  const { temperatures, reasons } = await readTemperatures({ env })
  const [hottest] = temperatures
  if (!hottest) return { name: 'temperature', ok: true, detail: `not watched: ${reasons.join('; ')}`, fix: null }
  const bounds = thermalSchema.parse({})
  const band = bandOf(hottest.celsius, bounds)
  const all = temperatures.map(({ sensor, celsius }) => `${sensor} ${celsius.toFixed(1)} C`)
  return {
    name: 'temperature',
    ok: band !== 'critical',
    detail: `${band}: ${all.join(', ')}`,
    fix: band === 'critical' ? `let it cool: training stops from ${bounds.stop} C on` : null,
  }
}

async function runtime(name: string, version: () => Promise<string>): Promise<Finding> {
  try {
    return { name, ok: true, detail: await version(), fix: null }
  } catch (error) {
    return { name, ok: false, detail: messageOf(error), fix: 'npm ci in the folder of sluice' }
  }
}
