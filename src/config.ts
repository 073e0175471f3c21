// The YAML file: every stage's schema put together and checked once, at the door. After this nothing checks the config again.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { nameOfFile } from './base/name.ts'
import { nearest } from './base/nearest.ts'
import { trackingSchema } from './base/tracker.ts'
import { filesAt, MOST_FILES } from './data/paths.ts'
import { CANDLE_COLUMNS, dataConfig, isCandleColumn, nameSchema } from './data/schema.ts'
import { checkTogether, rowsAre, withDefaults } from './defaults.ts'
import { parseYaml, placeOf, readYaml, refuse } from './document.ts'
import { expandFeatures, featuresSchema } from './features/catalog.ts'
import type { Task } from './features/labels.ts'
import { labelSchema } from './features/labels.ts'
import { modelsSchema } from './learn/models.ts'
import { preprocessSchema } from './learn/preprocess.ts'
import { splitSchema } from './learn/split.ts'
import { thermalSchema } from './learn/thermal.ts'
import { withModelFiles } from './modelfile.ts'
import { backtestSchema } from './prove/backtest.ts'
import { gatesSchema } from './prove/gate.ts'
import { selectSchema, thresholdsSchema } from './prove/select.ts'
import { completeTerms, misfits } from './prove/terms.ts'
import { registrySchema } from './registry/keys.ts'
import { deploySchema, serveSchema } from './serve/deploy.ts'

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
    thermal: thermalSchema.prefault({}),
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
  const yaml = readYaml(file, path, overrides)
  const raw = withDefaults(withModelFiles(yaml.raw, dirname(file)))
  const config = parseYaml(yaml, schema, { name: nameOfFile(file) ?? 'model', ...raw })
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
      wrong.map(({ says, ...issue }) => `${placeOf(yaml, issue)}: ${says}`),
    )
  return { config: { ...config, data: { ...data, table: data.table ?? config.name } }, file }
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

/** Makes paths absolute, and files of patterns and folders; gives what is wrong with them. */
function resolvePaths(config: Parsed, folder: string): { keys: string[]; fact: string }[] {
  const {
    data: { source, adjust },
    thermal,
  } = config
  const wrong: { keys: string[]; fact: string }[] = []
  const absolute = (value: string, ...keys: string[]) => {
    const path = resolve(folder, value)
    if (!existsSync(path)) wrong.push({ keys, fact: `${value} does not exist` })
    return path
  }
  if (adjust.factors) adjust.factors = absolute(adjust.factors, 'data', 'adjust', 'factors')
  if (source.kind === 'binance' && source.archive)
    source.archive = absolute(source.archive, 'data', 'source', 'archive')
  if (thermal.sensor) thermal.sensor = absolute(thermal.sensor, 'thermal', 'sensor')
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
