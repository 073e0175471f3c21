// The model kinds and their parameters. Plain data: the engine fits them. Names and meanings are each library's own.
import { z } from 'zod'
import type { Task } from '../features/labels.ts'
import {
  BUDGETS,
  type Budget,
  completeNetwork,
  contextOf,
  isNetwork,
  PRESETS as NETWORK_PRESETS,
  NETWORKS,
  networkProblems,
} from './networks.ts'

type Shape = Record<string, z.ZodType>
export type Params = Record<string, number | string | boolean | null | number[]>

export interface Candidate {
  /** kind and position among its kind, such as xgboost-2. */
  id: string
  kind: string
  params: Params
  /** Of a network: what it may weigh. */
  budget?: Budget
}

const count = z.int().min(1)
const share = z.number().gt(0).max(1)
const positive = z.number().positive()
const zeroUp = z.number().min(0)
const weights = { class_weight: z.enum(['balanced']).nullable().default(null) }
/** Rounds without a better log loss on the stop rows before boosting ends; null fits every round. */
const stopping = { early_stopping_rounds: count.nullable().default(25) }

/** kind -> parameters with their defaults. A new kind is a row here and a module in engine/sluice_engine/models. */
const KINDS = {
  logistic: { C: positive.default(1), max_iter: count.default(1000), ...weights },
  ridge: { alpha: zeroUp.default(1) },
  random_forest: {
    n_estimators: count.default(200),
    max_depth: count.nullable().default(6),
    min_samples_split: z.int().min(2).default(2),
    min_samples_leaf: count.default(20),
    max_features: z.union([z.enum(['sqrt', 'log2']), share, z.null()]).default('sqrt'),
    ...weights,
  },
  xgboost: {
    n_estimators: count.default(300),
    max_depth: count.default(3),
    learning_rate: positive.default(0.05),
    subsample: share.default(1),
    colsample_bytree: share.default(1),
    min_child_weight: zeroUp.default(1),
    reg_lambda: zeroUp.default(1),
    reg_alpha: zeroUp.default(0),
    gamma: zeroUp.default(0),
    max_bin: z.int().min(2).max(65535).default(256),
    ...stopping,
    ...weights,
  },
  lightgbm: {
    n_estimators: count.default(300),
    num_leaves: z.int().min(2).default(15),
    max_depth: z.int().min(-1).default(-1),
    learning_rate: positive.default(0.05),
    subsample: share.default(1),
    subsample_freq: z.int().min(0).default(0),
    colsample_bytree: share.default(1),
    min_child_samples: count.default(20),
    min_split_gain: zeroUp.default(0),
    reg_lambda: zeroUp.default(0),
    reg_alpha: zeroUp.default(0),
    max_bin: z.int().min(2).max(65535).default(255),
    ...stopping,
    ...weights,
  },
  catboost: {
    iterations: count.default(300),
    depth: z.int().min(1).max(16).default(4),
    learning_rate: positive.default(0.05),
    l2_leaf_reg: zeroUp.default(3),
    random_strength: zeroUp.default(1),
    border_count: z.int().min(1).max(65535).default(254),
    boosting_type: z.enum(['Ordered', 'Plain']).default('Ordered'),
    ...stopping,
    ...weights,
  },
  ...NETWORKS,
} satisfies Record<string, Shape>

type Kind = keyof typeof KINDS

/** Of kinds that cannot do every task. */
const TASKS: Partial<Record<Kind, Task[]>> = { logistic: ['binary', 'multiclass'], ridge: ['regression'] }

interface Entry {
  kind: Kind
  params: Record<string, unknown>
  preset?: keyof typeof NETWORK_PRESETS
  budget?: Budget
}

/** Named grids, a linear kind for each task in them. The default one: 16 models, four of each kind. */
const PRESETS: Record<string, Entry[]> = {
  grid_16: [
    { kind: 'logistic', params: { C: [0.001, 0.01, 0.1, 1] } },
    { kind: 'ridge', params: { alpha: [0.1, 1, 10, 100] } },
    { kind: 'random_forest', params: { max_depth: [3, 6], min_samples_leaf: [20, 50] } },
    { kind: 'xgboost', params: { max_depth: [2, 4], learning_rate: [0.03, 0.1] } },
    { kind: 'lightgbm', params: { num_leaves: [4, 15], learning_rate: [0.03, 0.1] } },
  ],
}
PRESETS.grid_20 = [...PRESETS.grid_16, { kind: 'catboost', params: { depth: [2, 4], learning_rate: [0.03, 0.1] } }]

/** Every parameter takes one value or a list of them, which fans out. What is not given stays so: a default list would fan out too. */
const fanned = (shape: Shape) =>
  z.strictObject(
    Object.fromEntries(
      Object.entries(shape).map(([name, withDefault]) => {
        const type = (withDefault as z.ZodDefault<z.ZodType>).unwrap()
        const several = z.array(type).min(1)
        // Of a parameter that is a list itself, one value stands in a list too.
        return [name, (type instanceof z.ZodArray ? several : z.union([several, type])).optional()]
      }),
    ),
  )

const ofNetworks = {
  preset: z.enum(Object.keys(NETWORK_PRESETS) as (keyof typeof NETWORK_PRESETS)[]).optional(),
  budget: z.enum(Object.keys(BUDGETS) as Budget[]).optional(),
}

const entries = Object.entries(KINDS).map(([kind, shape]) =>
  z.strictObject({
    kind: z.literal(kind),
    params: fanned(shape).default({}),
    ...(kind in NETWORKS && ofNetworks),
  }),
)
const preset = z.strictObject({ kind: z.literal('preset'), name: z.enum(['grid_16', 'grid_20']) })

export const modelsSchema = z
  .array(z.discriminatedUnion('kind', [preset, ...entries]))
  .min(1)
  .default([{ kind: 'preset', name: 'grid_16' }])

export type ModelsConfig = z.infer<typeof modelsSchema>

/** The candidates of a grid in config order: lists multiply, presets unfold to the kinds that can do the task, defaults are written out. */
export function expandModels(models: ModelsConfig, task: Task): Candidate[] {
  const plain = models.flatMap(model =>
    'name' in model ? PRESETS[model.name as string].filter(({ kind }) => canDo(kind, task)) : [model as Entry],
  )
  const seen = new Map<string, number>()
  return plain.flatMap(({ kind, params, preset = 'balanced', budget }) =>
    combinations(params).map(choice => {
      const position = (seen.get(kind) ?? 0) + 1
      seen.set(kind, position)
      const whole = isNetwork(kind) ? completeNetwork(kind, choice, preset) : complete(kind, choice)
      return { id: `${kind}-${position}`, kind, params: whole, ...(budget && { budget }) }
    }),
  )
}

/** Parameters with the defaults of their kind. */
const complete = (kind: Kind, params: Record<string, unknown>): Params =>
  z.object(KINDS[kind] as Shape).parse(params) as Params

/** How many rows a sample must reach back for: the most that any candidate reads. */
export const longestContext = (candidates: Candidate[]): number =>
  Math.max(1, ...candidates.map(({ kind, params }) => contextOf(kind, params)))

const canDo = (kind: Kind, task: Task): boolean => TASKS[kind]?.includes(task) ?? true

/** What of a config's models does not go with its task, its rows or itself: where, and why. */
export function modelProblems(
  models: ModelsConfig,
  task: Task,
  timed: boolean,
): { path: (string | number)[]; message: string }[] {
  return models.flatMap((model, i) => {
    if ('name' in model) return []
    const { kind, params } = model as Entry
    const wrong = (key: string, message: string) => ({ path: [i, ...(key === 'kind' ? [] : ['params']), key], message })
    if (!canDo(kind, task)) return [wrong('kind', `${kind} is for ${TASKS[kind]!.join(' and ')}, not ${task}`)]
    const candidates = expandModels([model], task)
    const found = candidates.flatMap(one => networkProblems(kind, one.params)).map(one => wrong(one.key, one.message))
    if (task === 'regression' && [params.class_weight].flat().some(Boolean))
      found.push(wrong('class_weight', 'regression has no classes to weigh'))
    if (task !== 'regression' && [params.loss].flat().some(Boolean))
      found.push(wrong('loss', `${task} has a loss of its own; ${[params.loss].flat().join(', ')} is for regression`))
    if ([params.pooling_type].flat().includes(null))
      found.push(wrong('pooling_type', 'only the head of a forecast reads every patch; mean or max'))
    if (!timed && longestContext(candidates) > 1)
      found.push(
        wrong('context', 'rows without a time stand for themselves: only an mlp with a context of 1 reads them'),
      )
    return found
  })
}

function combinations(params: Record<string, unknown>): Record<string, unknown>[] {
  return Object.entries(params).reduce<Record<string, unknown>[]>(
    (made, [name, value]) => made.flatMap(choice => [value].flat().map(one => ({ ...choice, [name]: one }))),
    [{}],
  )
}
