// A YAML file held to a schema: every problem at once, each at its line and column. Knows no section of a config.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { type Document, isMap, isPair, isScalar, LineCounter, type Node, parseDocument } from 'yaml'
import { z } from 'zod'
import { messageOf, SluiceError, usageError } from './base/errors.ts'
import { nearest } from './base/nearest.ts'

const LARGEST_FILE = 1 << 20

export interface Yaml {
  /** As a user names the file. */
  path: string
  document: Document
  raw: Record<string, unknown>
  /** `file:line:column` of an offset; what an override put there stands nowhere in the file. */
  place(offset: number | undefined): string
}

/** A map of keys. Errors (exit 2): CONFIG_MISSING, CONFIG, SET. */
export function readYaml(
  file: string,
  path: string,
  overrides: string[] = [],
  kind = 'a config is a map of keys; data and label are needed',
): Yaml {
  const text = readText(file, path)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false, version: '1.2' })
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
  return { path, document, raw: toPlain(document, path, kind), place }
}

/** What a schema makes of `raw`, which is what the file holds, perhaps completed; else CONFIG with every problem. */
export function parseYaml<Schema extends z.ZodType>(yaml: Yaml, schema: Schema, raw: unknown): z.infer<Schema> {
  const parsed = schema.safeParse(raw)
  if (parsed.success) return parsed.data
  refuse(
    yaml.path,
    parsed.error.issues
      .flatMap(flatten)
      .map(issue => `${placeOf(yaml, issue)}: ${describe(issue, yaml.document, schema)}`),
  )
}

/** Where a key stands, or the nearest one above it that is there. */
export const placeOf = ({ document, place }: Yaml, issue: { path: PropertyKey[]; keys?: string[] }): string =>
  place(offsetOf(document, issue))

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

function toPlain(document: Document, path: string, kind: string): Record<string, unknown> {
  let raw: unknown
  try {
    raw = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw usageError('CONFIG', `${path}:1:1: ${messageOf(cause)}`, { cause })
  }
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw usageError('CONFIG', `${path}:1:1: ${kind}`)
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

type Issue = z.core.$ZodIssue

/** Of a union that matched nothing, the issues of the option that came closest; of unknown keys, one each; any other issue as it is. */
function flatten(issue: Issue): Issue[] {
  if (issue.code === 'unrecognized_keys') return issue.keys.map(key => ({ ...issue, keys: [key] }))
  if (issue.code !== 'invalid_union' || !issue.errors.length) return [issue]
  const depth = (issues: Issue[]) => Math.max(0, ...issues.map(({ path }) => path.length))
  const best = issue.errors.reduce((a, b) => (depth(b) > depth(a) ? b : a))
  return best.flatMap(inner => flatten({ ...inner, path: [...issue.path, ...inner.path] } as Issue))
}

function describe(issue: Issue, document: Document, schema: z.ZodType): string {
  const where = issue.path.join('.')
  if (issue.code === 'unrecognized_keys')
    return `unknown key ${[...issue.path, issue.keys[0]].join('.')}${didYouMean(issue.path, issue.keys[0], schema)}`
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

function didYouMean(path: PropertyKey[], key: string, schema: z.ZodType): string {
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

export function refuse(path: string, problems: string[]): never {
  throw new SluiceError('usage', 'CONFIG', problems.join('\n'), {
    detail: { problems },
    next: `sluice config show -c ${path} (after the change)`,
  })
}
