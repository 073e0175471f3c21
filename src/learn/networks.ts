// The kinds of networks and their parameters, held to ranges here since the libraries would take much of what is wrong in silence. Plain data: the engine trains them.
import { z } from 'zod'

const count = z.int().min(1)
const positive = z.number().positive()
const rate = z.number().min(0).lt(1)
const layers = z.array(count).min(1).max(8)

/** What every network takes; `context` is the number of rows that a sample reads, its own the last. */
const training = (context: number, threads: number | null = 1) => ({
  context: count.max(10_000).default(context),
  epochs: count.default(30),
  batch_size: count.default(256),
  accumulate: count.default(1),
  learning_rate: positive.default(1e-3),
  weight_decay: z.number().min(0).default(0.01),
  schedule: z.enum(['one_cycle', 'plateau', 'constant']).default('one_cycle'),
  /** Epochs without a better loss on the stop rows before it ends; null trains every epoch. */
  patience: count.nullable().default(5),
  loss: z.enum(['mse', 'mae', 'quantile']).nullable().default(null),
  quantile: z.number().gt(0).lt(1).default(0.5),
  clip_norm: positive.nullable().default(1),
  precision: z.enum(['auto', 'float32', 'bfloat16', 'float16']).default('auto'),
  device: z.enum(['auto', 'cpu', 'cuda', 'mps']).default('auto'),
  /** Of the CPU; null: every core. */
  threads: count.nullable().default(threads),
  /** Data parallel, by torchrun: each takes its share of every batch. */
  processes: count.max(64).default(1),
  checkpoint_seconds: positive.default(30),
  keep_checkpoints: count.default(2),
  class_weight: z.enum(['balanced']).nullable().default(null),
})

const convolution = {
  filters: layers.default([32, 64]),
  kernel: count.default(3),
  pool: count.default(2),
  batch_norm: z.boolean().default(true),
}
const recurrence = { hidden: count.default(64), layers: count.max(16).default(2) }
const head = { dense: layers.default([32]), dropout: rate.default(0.1) }

export const NETWORKS = {
  mlp: {
    hidden: layers.default([64, 32]),
    activation: z.enum(['relu', 'gelu', 'tanh']).default('relu'),
    dropout: rate.default(0.1),
    ...training(1),
  },
  cnn: { ...convolution, separable: z.boolean().default(false), ...head, ...training(60) },
  rnn: { cell: z.enum(['lstm', 'gru']).default('gru'), ...recurrence, ...head, ...training(60) },
  cnn_lstm: { ...convolution, separable: z.boolean().default(false), ...recurrence, ...head, ...training(60) },
  cnn_gru: { ...convolution, separable: z.boolean().default(true), ...recurrence, ...head, ...training(60) },
  patchtst: {
    patch_length: count.default(16),
    patch_stride: count.default(8),
    d_model: count.default(64),
    num_hidden_layers: count.default(3),
    num_attention_heads: count.default(4),
    ffn_dim: count.default(128),
    attention_dropout: rate.default(0),
    positional_dropout: rate.default(0),
    path_dropout: rate.default(0),
    ff_dropout: rate.default(0.1),
    head_dropout: rate.default(0.1),
    norm_type: z.enum(['batchnorm', 'layernorm']).default('batchnorm'),
    pre_norm: z.boolean().default(true),
    activation_function: z.enum(['gelu', 'relu', 'silu']).default('gelu'),
    channel_attention: z.boolean().default(false),
    share_embedding: z.boolean().default(true),
    positional_encoding_type: z.enum(['sincos', 'random']).default('sincos'),
    position_scale: positive.nullable().default(null),
    /** null: the head reads every patch, of forecasts alone. */
    pooling_type: z.enum(['mean', 'max']).nullable().default('mean'),
    use_cls_token: z.boolean().default(false),
    scaling: z.enum(['std', 'mean', 'none']).default('std'),
    /** Dense layers in 8 bits once it is trained: what is judged and served is that. */
    int8: z.boolean().default(false),
    ...training(120, null),
  },
} satisfies Record<string, Record<string, z.ZodType>>

export type Network = keyof typeof NETWORKS

export const isNetwork = (kind: string): kind is Network => Object.hasOwn(NETWORKS, kind)

type Value = number | string | boolean | null | number[]

/** How much time a training may take: what of its parameters is then the default. */
export const PRESETS: Record<'fast' | 'balanced' | 'quality', Record<string, Value>> = {
  fast: { epochs: 10, patience: 2, batch_size: 512, learning_rate: 3e-3 },
  balanced: {},
  quality: { epochs: 100, patience: 12, batch_size: 128, learning_rate: 5e-4 },
}

/** Trainable parameters that a network of a budget may have. */
export const BUDGETS = { '2M': 2_500_000, '20M': 25_000_000, '200M': 250_000_000 } as const

export type Budget = keyof typeof BUDGETS

type Shape = Record<string, z.ZodType>

/** Parameters as they are written, one value each: what is not given stays so. */
export const given = (shape: Shape) =>
  z.strictObject(
    Object.fromEntries(
      Object.entries(shape).map(([name, type]) => [name, (type as z.ZodDefault<z.ZodType>).unwrap().optional()]),
    ),
  )

/** Parameters with the defaults of their kind, and over those a preset's. */
export const completeNetwork = (
  kind: Network,
  params: Record<string, unknown>,
  preset: keyof typeof PRESETS = 'balanced',
): Record<string, Value> =>
  z.object(NETWORKS[kind] as Shape).parse({ ...PRESETS[preset], ...params }) as Record<string, Value>

/** How many rows a sample of a candidate reads; 1: its own alone. */
export const contextOf = (kind: string, params: Record<string, unknown>): number =>
  isNetwork(kind) ? Number(params.context) : 1

/** What in a network's parameters does not go together: the key, and why. */
export function networkProblems(kind: string, params: Record<string, unknown>): { key: string; message: string }[] {
  if (kind !== 'patchtst') return []
  const of = (key: string) => Number(params[key])
  const found: { key: string; message: string }[] = []
  if (of('d_model') % of('num_attention_heads'))
    found.push({
      key: 'num_attention_heads',
      message: `d_model ${of('d_model')} is not divisible by ${of('num_attention_heads')} heads`,
    })
  if (params.position_scale !== null && params.positional_encoding_type !== 'random')
    found.push({
      key: 'position_scale',
      message: 'it is of encodings that are learned, which positional_encoding_type: random has',
    })
  if (of('patch_length') > of('context'))
    found.push({
      key: 'patch_length',
      message: `a patch of ${of('patch_length')} rows is longer than the context of ${of('context')}`,
    })
  if (of('patch_stride') > of('patch_length'))
    found.push({
      key: 'patch_stride',
      message: `a stride of ${of('patch_stride')} leaves rows out between patches of ${of('patch_length')}`,
    })
  return found
}
