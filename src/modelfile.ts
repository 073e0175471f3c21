// A network as a file of its own, so that several configs train the same one: kind, budget, parameters, and for what it is counted.
import { resolve } from 'node:path'
import { z } from 'zod'
import { parseYaml, readYaml } from './document.ts'
import {
  BUDGETS,
  type Budget,
  completeNetwork,
  given,
  NETWORKS,
  type Network,
  networkProblems,
  PRESETS,
} from './learn/networks.ts'

const counted = {
  budget: z.enum(Object.keys(BUDGETS) as Budget[]).optional(),
  preset: z.enum(Object.keys(PRESETS) as (keyof typeof PRESETS)[]).optional(),
  /** What `sluice params` and `sluice batch-size` take it to be given: features of a row, and the task. */
  channels: z.int().min(1).default(20),
  task: z.enum(['binary', 'multiclass', 'regression', 'forecast']).default('binary'),
  classes: z.int().min(3).optional(),
  /** Rows that a forecast of every channel tells. */
  horizon: z.int().min(1).optional(),
}

const kinds = Object.entries(NETWORKS).map(([kind, shape]) =>
  z.strictObject({ kind: z.literal(kind as Network), params: given(shape).default({}), ...counted }),
)

const fileSchema = z
  .discriminatedUnion('kind', kinds as [(typeof kinds)[number], ...typeof kinds])
  .superRefine(({ kind, params }, issues) => {
    for (const { key, message } of networkProblems(kind, completeNetwork(kind, params)))
      issues.addIssue({ code: 'custom', path: ['params', key], message })
  })
  .superRefine(({ task, classes, horizon }, issues) => {
    if ((task === 'multiclass') !== (classes !== undefined))
      issues.addIssue({ code: 'custom', path: ['classes'], message: 'how many classes, for task: multiclass alone' })
    if ((task === 'forecast') !== (horizon !== undefined))
      issues.addIssue({ code: 'custom', path: ['horizon'], message: 'how many rows, for task: forecast alone' })
  })

export type ModelFile = z.infer<typeof fileSchema>

/** Reads and checks a file as a config is. Errors (exit 2): CONFIG_MISSING, CONFIG, each problem as `file:line:column: message`. */
export function readModelFile(path: string, overrides: string[] = [], shown = path): ModelFile {
  const yaml = readYaml(resolve(path), shown, overrides, 'a network is a map of keys; kind is needed')
  return parseYaml(yaml, fileSchema, yaml.raw)
}

/** A config's entries of the form `{ from: FILE, params }` as what the file holds, their own parameters laid over it. */
export function withModelFiles(raw: Record<string, unknown>, folder: string): Record<string, unknown> {
  if (!Array.isArray(raw.models)) return raw
  const models = raw.models.map((entry: { from?: unknown; params?: object }) => {
    if (typeof entry?.from !== 'string') return entry
    const { from, params, ...rest } = entry
    const { kind, budget, preset, params: own } = readModelFile(resolve(folder, from), [], from)
    const named = { kind, ...(budget && { budget }), ...(preset && { preset }) }
    return { ...named, ...rest, params: { ...asGrid(own), ...params } }
  })
  return { ...raw, models }
}

/** One network's parameters as a grid of one: a list that is a value of its own stands in a list there. */
const asGrid = (params: object): object =>
  Object.fromEntries(Object.entries(params).map(([name, value]) => [name, Array.isArray(value) ? [value] : value]))
