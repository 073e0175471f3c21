// How the house stands: which layer may import which, where each heavy dependency and the environment come in. Read from the code itself.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const LAYERS = ['base', 'data', 'features', 'learn', 'prove', 'registry', 'serve', 'watch']

/** package -> the files that may import it for more than its types. */
const DOORS: Record<string, string[]> = {
  '@duckdb/node-api': ['data/parquet.ts'],
  '@fastify/swagger': ['serve/server.ts'],
  'apache-arrow': ['base/arrow.ts'],
  avsc: ['data/avro.ts'],
  fzstd: ['base/unpack.ts'],
  commander: ['cli.ts'],
  echarts: ['prove/charts.ts'],
  fastify: ['serve/server.ts'],
  kysely: ['base/database.ts'],
  libsql: ['base/database.ts'],
  // base/runs.ts asks git for the commit, learn/thermal.ts sensors; Python is started by the others only.
  'node:child_process': ['base/runs.ts', 'learn/engine.ts', 'learn/install.ts', 'learn/thermal.ts', 'learn/wandb.ts'],
  'onnxruntime-node': ['base/onnx.ts'],
  pg: ['data/source/postgres.ts'],
  pino: ['base/log.ts'],
  'prom-client': ['serve/meters.ts'],
}

/** Every command loads these before it knows what it has to do. */
const LIGHT = ['yaml', 'zod']

interface Import {
  /** `layer/file.ts`, or the name of a package. */
  to: string
  kind: 'value' | 'type' | 'dynamic'
}

interface Source {
  imports: Import[]
  /** Lines that touch the environment. */
  environment: string[]
  /** Imports whose target is not written out. */
  computed: string[]
}

/** How an import is written; the formatter leaves one spelling of each. */
const STATIC = /^(?:import|export) (type )?(?:[^'"=;]*? from )?'([^']+)'/gm
const DYNAMIC = /(typeof )?\b(?:import|require|createRequire\(import\.meta\.url\))\(\s*'([^']+)'/g

function readSource(file: string, text: string): Source {
  const resolve = (to: string) => (to.startsWith('.') ? posix.join(posix.dirname(file), to) : packageOf(to))
  const fixed = [...text.matchAll(STATIC)].map(([, type, to]) => ({ to: resolve(to), kind: type ? 'type' : 'value' }))
  const late = [...text.matchAll(DYNAMIC)].map(([, type, to]) => ({ to: resolve(to), kind: type ? 'type' : 'dynamic' }))
  const environment = text.split('\n').filter(line => /\bprocess\b.*\benv\b/.test(line))
  const computed = [...text.matchAll(/\bimport\((?!\s*')[^)]*\)/g)].map(([call]) => call)
  return { imports: [...fixed, ...late] as Import[], environment: environment.map(line => line.trim()), computed }
}

const packageOf = (specifier: string): string => /^(@[^/]+\/)?[^/]+/.exec(specifier)![0]

const layerOf = (file: string): number => (file.includes('/') ? LAYERS.indexOf(file.split('/')[0]) : LAYERS.length)

const isOurs = (to: string): boolean => to.endsWith('.ts')

/** What is loaded with `file`, before any dynamic import. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const { to, kind } of sources.get(file)?.imports ?? []) if (kind === 'value') loadedWith(to, seen)
  return seen
}

function cycleFrom(file: string, path: string[] = [], done = new Set<string>()): string[] | undefined {
  if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
  if (done.has(file)) return undefined
  for (const { to } of sources.get(file)?.imports ?? []) {
    const cycle = cycleFrom(to, [...path, file], done)
    if (cycle) return cycle
  }
  done.add(file)
  return undefined
}

const root = fileURLToPath(new URL('../src/', import.meta.url))
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  .map(file => file.replaceAll('\\', '/'))
const sources = new Map(files.map(file => [file, readSource(file, readFileSync(join(root, file), 'utf8'))]))
const edges = [...sources].flatMap(([from, { imports }]) => imports.map(({ to, kind }) => ({ from, to, kind })))

describe('the house', () => {
  it('has files in known layers only, and imports of files that are there', () => {
    expect(files.length).toBeGreaterThan(50)
    expect(files.filter(file => layerOf(file) < 0)).toEqual([])
    expect(edges.filter(({ to }) => isOurs(to) && !sources.has(to))).toEqual([])
    expect([...sources.values()].flatMap(({ computed }) => computed)).toEqual([])
  })

  it('imports its own layer and earlier ones: static, bare, dynamic and for types', () => {
    const upward = edges.filter(({ from, to }) => isOurs(to) && layerOf(to) > layerOf(from))
    expect(upward).toEqual([])
  })

  it('has no cycle, not even of types', () => {
    const done = new Set<string>()
    expect(files.flatMap(file => cycleFrom(file, [], done) ?? [])).toEqual([])
  })

  it.each(Object.entries(DOORS))('imports %s in one place', (name, doors) => {
    const found = edges.filter(({ to, kind }) => to === name && kind !== 'type').map(({ from }) => from)
    expect([...new Set(found)].sort()).toEqual(doors)
  })

  it('knows every package that it imports', () => {
    const known = [...Object.keys(DOORS), ...LIGHT]
    const packages = edges.map(({ to }) => to).filter(to => !isOurs(to) && !/^node:/.test(to))
    expect([...new Set(packages)].filter(name => !known.includes(name))).toEqual([])
  })

  it('checks a config without loading anything heavy', () => {
    const packages = [...loadedWith('config.ts')].filter(to => !isOurs(to) && !to.startsWith('node:'))
    expect(packages.sort()).toEqual(LIGHT)
  })

  it('answers --help without loading a stage', () => {
    const loaded = [...loadedWith('cli.ts')].filter(to => !to.startsWith('node:'))
    expect(loaded.sort()).toEqual(['base/errors.ts', 'cli.ts', 'commander'])
  })

  it('reads the environment at the door', () => {
    const readers = [...sources].filter(([file]) => !['cli.ts', 'config.ts'].includes(file))
    const touched = readers.flatMap(([file, { environment }]) => environment.map(text => [file, text]))
    expect(touched).toEqual([['base/onnx.ts', "process.env.ORT_DISABLE_TELEMETRY = '1'"]])
    expect(edges.filter(({ to }) => to === 'node:process')).toEqual([])
  })
})
