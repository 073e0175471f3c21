// The YAML file: every stage's schema put together and checked once, at the door. After this nothing checks the config again.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Document, isMap, isPair, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'
import { messageOf, SluiceError, usageError } from './base/errors.ts'
import { nameOfFile } from './base/name.ts'
import { nearest } from './base/nearest.ts'
import { trackingSchema } from './base/tracker.ts'
import { filesAt, MOST_FILES } from './data/paths.ts'
import { CANDLE_COLUMNS, dataConfig, isCandleColumn, nameSchema } from './data/schema.ts'
import { checkTogether, rowsAre, withDefaults } from './defaults.ts'
import { expandFeatures, featuresSchema } from './features/catalog.ts'
import type { Task } from './features/labels.ts'
import { labelSchema } from './features/labels.ts'
import { modelsSchema } from './learn/models.ts'
import { preprocessSchema } from './learn/preprocess.ts'
import { splitSchema } from './learn/split.ts'
import { backtestSchema } from './prove/backtest.ts'
import { gatesSchema } from './prove/gate.ts'
import { selectSchema, thresholdsSchema } from './prove/select.ts'
import { completeTerms, misfits } from './prove/terms.ts'
import { registrySchema } from './registry/keys.ts'
import { deploySchema, serveSchema } from './serve/deploy.ts'

const LARGEST_FILE = 1 << 20

const schema = z
  .strictObject({
    name: nameSchema,
    seed: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(42),
    task: z.enum(['binary', 'multiclass', 'regression']).default('binary'),
    data: dataConfig,
    features: featuresSchema,
    label: labelSchema,
    split: splitSchema.prefault({}),
    preprocess: preprocessSchema.prefault({}),
    per_symbol: z.boolean().default(false),
    models: modelsSchema,
    thresholds: thresholdsSchema.optional(),
    select: selectSchema.prefault({}),
    backtest: backtestSchema.prefault({}),
    gates: gatesSchema.optional(),
    refit: z.enum(['none', 'all']).default('all'),
    deploy: deploySchema.default('auto'),
    registry: registrySchema.prefault({}),
    serve: serveSchema.prefault({}),
    tracking: trackingSchema.prefault({}),
  })
  .superRefine((config, issues) => {
    for (const misfit of misfits(config, scopeOf(config), config.backtest.mode))
      issues.addIssue({ code: 'custom', ...misfit })
  })
  .superRefine(checkTogether)
  .transform(config => ({ ...config, ...completeTerms(config, scopeOf(config)) }))

const scopeOf = (config: { task: Task; data: unknown; label: unknown }) => ({
  task: config.task,
  market: rowsAre(config).candles,
})

type Parsed = z.infer<typeof schema>

/** `symbol`: of a run that is one of several, the only one that it learns and trades. */
export type Config = Parsed & { data: { table: string }; symbol?: string }

export interface LoadedConfig {
  config: Config
  /** Absolute path of the YAML file. */
  file: string
}

/**
 * Reads, overrides and checks a YAML file. Paths in it are relative to it.
 * Every problem at once, each as `file:line:column: message`, exit 2 (CONFIG).
 */
export function loadConfig(path: string, overrides: string[] = []): LoadedConfig {
  const file = resolve(path)
  const text = readText(file, path)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, version: '1.2' })
  /** What an override put there stands nowhere in the file. */
  const place = (offset: number | undefined) => {
    if (offset === undefined) return '--set'
    const { line, col } = lines.linePos(offset)
    return `${path}:${line || 1}:${col || 1}`
  }
  if (document.errors.length)
    refuse(
      path,
      document.errors.map(error => `${place(error.pos[0])}: ${error.message}`),
    )
  for (const override of overrides) applyOverride(document, override)
  const raw = withDefaults(toPlain(document, path))
  const parsed = schema.safeParse({ name: nameOfFile(file) ?? 'model', ...raw })
  if (!parsed.success)
    refuse(
      path,
      parsed.error.issues
        .flatMap(flatten)
        .map(issue => `${place(offsetOf(document, issue))}: ${describe(issue, document)}`),
    )
  const config = parsed.data!
  const { data } = config
  if ('keep' in data.source && data.source.kind !== 'binance' && rowsAre(config).candles)
    data.source.keep = keptColumns(data.source.keep, config)
  const wrong = [
    ...resolvePaths(config, dirname(file)).map(({ keys, fact }) => ({
      path: keys,
      says: `${keys.join('.')}: ${fact}`,
    })),
    ...strangeColumns(data),
  ]
  if (wrong.length)
    refuse(
      path,
      wrong.map(({ says, ...issue }) => `${place(offsetOf(document, issue))}: ${says}`),
    )
  return { config: { ...config, data: { ...data, table: data.table ?? config.name } }, file }
}

function readText(file: string, shown: string): string {
  if (!existsSync(file)) throw usageError('CONFIG_MISSING', `there is no config file ${shown}`, { next: 'sluice init' })
  const { size } = statSync(file)
  if (size > LARGEST_FILE)
    throw usageError('CONFIG', `${shown} has ${size} bytes; a config has at most ${LARGEST_FILE}`)
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw usageError('CONFIG', `cannot read ${shown}: ${messageOf(cause)}`, { cause })
  }
}

function toPlain(document: Document, path: string): Record<string, unknown> {
  let raw: unknown
  try {
    raw = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw usageError('CONFIG', `${path}:1:1: ${messageOf(cause)}`, { cause })
  }
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw))
    throw usageError('CONFIG', `${path}:1:1: a config is a map of keys; data and label are needed`)
  return raw as Record<string, unknown>
}

/** `--set backtest.fee=0.001`: the value is read as YAML; numbers in the path index lists. */
function applyOverride(document: Document, override: string): void {
  const at = override.indexOf('=')
  if (at < 1) throw usageError('SET', `--set ${override} must be key.path=value`)
  const keys = override
    .slice(0, at)
    .split('.')
    .map(key => (/^\d+$/.test(key) ? Number(key) : key))
  const value = parseDocument(override.slice(at + 1), { prettyErrors: false })
  if (value.errors.length) throw usageError('SET', `--set ${override}: ${value.errors[0].message}`)
  try {
    document.setIn(keys, document.createNode(value.toJS()))
  } catch (cause) {
    throw usageError('SET', `--set ${override}: ${keys.join('.')} is not a place in this config`, { cause })
  }
}

/** With the columns that a feature or the label passes through; of a table every column is kept. */
function keptColumns(keep: string[], { features, label }: Parsed): string[] {
  const named = [...expandFeatures(features), label].flatMap(({ kind, name }: { kind: string; name?: unknown }) =>
    kind === 'column' ? [String(name)] : [],
  )
  return [...new Set([...keep, ...named.filter(name => !isCandleColumn(name))])]
}

/** Names of ours in `source.columns` that the table has not: the column they were meant for would be looked for elsewhere. */
function strangeColumns({ schema, source }: Parsed['data']): { path: string[]; keys: string[]; says: string }[] {
  if (!('columns' in source)) return []
  const known = schema === 'candles' ? [...CANDLE_COLUMNS, ...source.keep] : schema.columns?.map(column => column.name)
  const strange = known ? Object.keys(source.columns).filter(name => !known.includes(name)) : []
  return strange.map(name => {
    const close = nearest(name, known!)
    const says = `data.source.columns.${name}: no column of the table; ${close ? `did you mean ${close}?` : `there are ${known!.join(', ')}`}`
    return { path: ['data', 'source', 'columns'], keys: [name], says }
  })
}

/** Makes source paths absolute, and files of patterns and folders; gives what is wrong with them. */
function resolvePaths(config: Parsed, folder: string): { keys: string[]; fact: string }[] {
  const { source, adjust } = config.data
  const wrong: { keys: string[]; fact: string }[] = []
  const absolute = (value: string, ...keys: string[]) => {
    const path = resolve(folder, value)
    if (!existsSync(path)) wrong.push({ keys: ['data', ...keys], fact: `${value} does not exist` })
    return path
  }
  if (adjust.factors) adjust.factors = absolute(adjust.factors, 'adjust', 'factors')
  if (source.kind === 'binance' && source.archive) source.archive = absolute(source.archive, 'source', 'archive')
  if (source.kind !== 'file') return wrong
  const found = (value: string, ...keys: string[]) => {
    const files = filesAt(value, folder, source.format)
    const why = files.length === 0 ? reasonOfNone(value, folder) : files.length > MOST_FILES ? 'too many files' : ''
    if (why) wrong.push({ keys: ['data', 'source', ...keys], fact: `${value} ${why}` })
    return files
  }
  const paths = source.path
    ? found(source.path, 'path')
    : source.paths!.flatMap((path, i) => found(path, 'paths', String(i)))
  if (paths.length === 1 && source.path) source.path = paths[0]
  else {
    source.paths = paths
    delete source.path
  }
  return wrong
}

const reasonOfNone = (value: string, folder: string): string =>
  existsSync(resolve(folder, value))
    ? 'has no file of a known format'
    : /[*?[{]/.test(value)
      ? 'matches no file'
      : 'does not exist'

type Issue = z.core.$ZodIssue

/** Of a union that matched nothing, the issues of the option that came closest; of unknown keys, one each; any other issue as it is. */
function flatten(issue: Issue): Issue[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => ({ ...issue, keys: [key] }))
  if (issue.code !== 'invalid_union' || !issue.errors.length) return [issue]
  const depth = (issues: Issue[]) => Math.max(0, ...issues.map(({ path }) => path.length))
  const best = issue.errors.reduce((a, b) => (depth(b) > depth(a) ? b : a))
  return best.flatMap(inner => flatten({ ...inner, path: [...issue.path, ...inner.path] } as Issue))
}

function describe(issue: Issue, document: Document): string {
  const where = issue.path.join('.')
  if (issue.code === 'unrecognized_keys')
    return `unknown key ${[...issue.path, issue.keys[0]].join('.')}${didYouMean(issue.path, issue.keys[0])}`
  if (issue.code === 'invalid_type' && issue.message.includes('received undefined'))
    return `${where} is missing (${issue.expected})`
  const choices = choicesOf(issue)
  const found = choices && document.getIn(issue.path)
  if (choices && (found === undefined || typeof found === 'string')) {
    const close = found && nearest(found, choices)
    const fact = found === undefined ? `${where} is missing` : `${where}: there is no ${found}`
    return `${fact}; ${close ? `did you mean ${close}?` : `there are ${choices.join(', ')}`}`
  }
  return where ? `${where}: ${issue.message}` : issue.message
}

/** The words of which one was wanted, where the issue is that it was none of them. */
function choicesOf(issue: Issue): string[] | undefined {
  if (issue.code === 'invalid_value') return issue.values.map(String)
  if (issue.code === 'invalid_union' && 'options' in issue) return (issue.options as unknown[]).map(String)
  return undefined
}

type JsonSchema = { [key: string]: unknown }

function didYouMean(path: PropertyKey[], key: string): string {
  const whole = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as JsonSchema
  const places = path.reduce<JsonSchema[]>((nodes, step) => nodes.flatMap(node => below(node, step)), [whole])
  const close = nearest(key, places.flatMap(keysOf)) ?? nearest(key, allKeys(whole))
  return close ? `; did you mean ${close}?` : ''
}

/** A schema and, where it is one of several, each of those. */
const options = (node: JsonSchema): JsonSchema[] => [
  node,
  ...['anyOf', 'oneOf', 'allOf'].flatMap(of => ((node[of] as JsonSchema[] | undefined) ?? []).flatMap(options)),
]

/** What a key or a list's index leads to. */
const below = (node: JsonSchema, step: PropertyKey): JsonSchema[] =>
  options(node).flatMap(({ properties, items }) => {
    const next = typeof step === 'number' ? items : (properties as JsonSchema | undefined)?.[String(step)]
    return next ? [next as JsonSchema] : []
  })

const keysOf = (node: JsonSchema): string[] => options(node).flatMap(({ properties }) => Object.keys(properties ?? {}))

const allKeys = (node: unknown): string[] =>
  node && typeof node === 'object' ? [...keysOf(node as JsonSchema), ...Object.values(node).flatMap(allKeys)] : []

/** Where in the text an issue lies: the unknown key itself, else the value, else the nearest parent that is there. */
function offsetOf(document: Document, issue: { path: PropertyKey[]; keys?: string[] }): number | undefined {
  for (let length = issue.path.length; length >= 0; length--) {
    const node = length ? document.getIn(issue.path.slice(0, length), true) : document.contents
    if (!node) continue
    if (length === issue.path.length && issue.keys && isMap(node)) {
      const pair = node.items.find(
        item => isPair(item) && isScalar(item.key) && issue.keys!.includes(String(item.key.value)),
      )
      if (pair) return (pair.key as Node).range?.[0]
    }
    return (node as Node).range?.[0]
  }
  return undefined
}

function refuse(path: string, problems: string[]): never {
  throw new SluiceError('usage', 'CONFIG', problems.join('\n'), {
    detail: { problems },
    next: `sluice config show -c ${path} (after the change)`,
  })
}
