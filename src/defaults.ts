// What a config means where it is silent, and what in it does not go together: by what rows are (candles, rows with a time, rows without) and by the task.
import type { z } from 'zod'
import { ROW_KINDS, tableFeatures } from './features/catalog.ts'
import { LABEL_TASK, type LabelConfig, type Task } from './features/labels.ts'
import { expandModels, type ModelsConfig, modelProblems } from './learn/models.ts'
import { NATIVE_KINDS, type PreprocessConfig } from './learn/preprocess.ts'
import { SPLIT_TIMED, type SplitConfig } from './learn/split.ts'

type Raw = Record<string, unknown>

const isMap = (value: unknown): value is Raw => typeof value === 'object' && value !== null && !Array.isArray(value)
const map = (value: unknown): Raw => (isMap(value) ? value : {})

export interface RowsAre {
  candles: boolean
  /** Whether they have a time; of a table whose columns are not listed, a label that looks ahead says so. */
  timed: boolean
}

/** What the rows of a config are, before or after it was checked. */
export function rowsAre({ data, label }: { data?: unknown; label?: unknown }): RowsAre {
  const { schema = 'candles' } = map(data)
  if (schema === 'candles') return { candles: true, timed: true }
  const columns = Array.isArray(schema) ? schema : map(schema).columns
  const isTime = (column: unknown) => map(column).name === 'time' && (map(column).type ?? 'time') === 'time'
  const timed = (Array.isArray(columns) && columns.some(isTime)) || map(label).horizon !== undefined
  return { candles: false, timed }
}

/** A config as it was written, with what follows from what its rows are. */
export function withDefaults(raw: Raw): Raw {
  const { candles, timed } = rowsAre(raw)
  if (candles) return raw
  const kind = timed ? 'walk_forward' : raw.task === 'regression' ? 'kfold' : 'stratified'
  const split = raw.split === undefined || isMap(raw.split) ? { kind, ...map(raw.split) } : raw.split
  return { features: tableFeatures, refit: timed ? 'all' : 'none', ...raw, split }
}

interface Checked {
  task: Task
  data: unknown
  features: { kind: string }[]
  label: LabelConfig
  split: SplitConfig
  preprocess: PreprocessConfig
  models: ModelsConfig
}

/** What each section is right in by itself, and wrong with another one. */
export function checkTogether(config: Checked, issues: z.RefinementCtx): void {
  const rows = rowsAre(config)
  const found = [
    ...labelProblems(config, rows),
    ...featureProblems(config, rows),
    ...splitProblems(config, rows),
    ...preprocessProblems(config, rows),
    ...modelProblems(config.models, config.task, rows.timed).map(({ path, message }) => ({
      path: ['models', ...path],
      message,
    })),
  ]
  for (const { path, message } of found) issues.addIssue({ code: 'custom', path, message })
}

type Problem = { path: (string | number)[]; message: string }

function labelProblems({ label, task }: Checked, { candles, timed }: RowsAre): Problem[] {
  const wanted = LABEL_TASK[label.kind]
  if (!candles && wanted)
    return [{ path: ['label', 'kind'], message: `${label.kind} is told by candles; a table has labels of kind column` }]
  if (wanted && wanted !== task)
    return [{ path: ['label', 'kind'], message: `${label.kind} is a label for task: ${wanted}, not ${task}` }]
  if (timed && label.horizon === undefined)
    return [{ path: ['label', 'horizon'], message: 'rows have a time: say how many of them ahead the label is known' }]
  return []
}

function featureProblems({ features }: Checked, { timed }: RowsAre): Problem[] {
  if (timed) return []
  return features.flatMap(({ kind }, i) =>
    ROW_KINDS.includes(kind)
      ? []
      : [
          {
            path: ['features', i, 'kind'],
            message: `${kind} looks back over rows, and rows without a time have no order`,
          },
        ],
  )
}

function splitProblems({ split }: Checked, { candles, timed }: RowsAre): Problem[] {
  const wanted = SPLIT_TIMED[split.kind]
  if (wanted !== null && wanted !== timed)
    return [
      {
        path: ['split', 'kind'],
        message: timed
          ? `${split.kind} shuffles rows, and ${candles ? 'candles' : 'these rows'} have an order in time`
          : `${split.kind} goes by time, and the rows have none: use stratified or kfold`,
      },
    ]
  if (!timed && split.embargo > 0)
    return [{ path: ['split', 'embargo'], message: 'rows without a time have no order to embargo in' }]
  return []
}

function preprocessProblems({ preprocess, models, task }: Checked, { candles }: RowsAre): Problem[] {
  if (candles && preprocess.missing === 'drop_rows')
    return [{ path: ['preprocess', 'missing'], message: 'a backtest needs every bar: use impute or drop_columns' }]
  const native = [
    { path: ['preprocess', 'categories', 'encode'], encode: preprocess.categories.encode },
    ...Object.entries(preprocess.columns).map(([name, { encode }]) => ({
      path: ['preprocess', 'columns', name, 'encode'],
      encode,
    })),
  ].find(({ encode }) => encode === 'native')
  const unable = native && expandModels(models, task).find(({ kind }) => !NATIVE_KINDS.includes(kind))
  return unable
    ? [{ path: native.path, message: `${unable.kind} has no splits by category; ${NATIVE_KINDS.join(' and ')} have` }]
    : []
}
