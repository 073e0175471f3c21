// How the house stands: which layer may import which, where each heavy dependency and the environment come in. Read from the code itself.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const LAYERS = ['base', 'data', 'features', 'learn', 'prove', 'registry', 'serve', 'watch']

/** package -> the files that may import it for more than its types. */
const DOORS: Record<string, string[]> = {
  '@duckdb/node-api': ['data/parquet.ts'],
  '@fastify/swagger': ['serve/server.ts'],
  'apache-arrow': ['base/arrow.ts'],
  commander: ['cli.ts'],
  echarts: ['prove/charts.ts'],
  fastify: ['serve/server.ts'],
  kysely: ['base/database.ts'],
  libsql: ['base/database.ts'],
  // base/runs.ts asks git for the commit; Python is started by the other two only.
  'node:child_process': ['base/runs.ts', 'learn/engine.ts', 'learn/install.ts'],
  'onnxruntime-node': ['base/onnx.ts'],
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
  /** Statements that touch the environment. */
  environment: string[]
}

function readSource(file: string, text: string): Source {
  const imports: Import[] = []
  const environment: string[] = []
  const add = (specifier: ts.Node | undefined, kind: Import['kind']) => {
    if (!specifier || !ts.isStringLiteral(specifier)) throw new Error(`${file} imports what cannot be read here`)
    const { text } = specifier
    imports.push({ to: text.startsWith('.') ? posix.join(dirname(file), text) : packageOf(text), kind })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnly(node) ? 'type' : 'value')
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier)
      add(node.moduleSpecifier, node.isTypeOnly ? 'type' : 'value')
    else if (ts.isImportTypeNode(node)) add((node.argument as ts.LiteralTypeNode).literal, 'type')
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], 'dynamic')
    else if (ts.isPropertyAccessExpression(node) && node.name.text === 'env' && node.expression.getText() === 'process')
      environment.push(node.parent.parent.getText())
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true))
  return { imports, environment }
}

/** As Node sees it: `import { type A }` still loads the file. */
const isTypeOnly = ({ importClause }: ts.ImportDeclaration): boolean =>
  importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword

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
