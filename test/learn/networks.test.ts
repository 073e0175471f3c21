// Networks as candidates: what fans out, what is a default, and what does not go together.
import { describe, expect, it } from 'vitest'
import { expandModels, longestContext, modelProblems, modelsSchema } from '../../src/learn/models.ts'
import { isNetwork, NETWORKS, type Network, PRESETS } from '../../src/learn/networks.ts'

const candidates = (...models: unknown[]) => expandModels(modelsSchema.parse(models), 'binary')
const problems = (model: unknown, task: 'binary' | 'regression' = 'binary', timed = true) =>
  modelProblems(modelsSchema.parse([model]), task, timed).map(({ path, message }) => `${path.join('.')}: ${message}`)

describe('candidates', () => {
  it.each(Object.keys(NETWORKS) as Network[])('%s has its defaults, whole', kind => {
    const [{ params }] = candidates({ kind })
    expect(Object.keys(params).sort()).toEqual(Object.keys(NETWORKS[kind]).sort())
    expect(Object.values(params)).not.toContain(undefined)
    expect(isNetwork(kind)).toBe(true)
  })

  it('fan out over lists, of which one that is a value stands in a list', () => {
    const made = candidates({ kind: 'mlp', params: { hidden: [[64, 32], [8]], learning_rate: [0.1, 0.01] } })
    expect(made.map(({ params }) => [params.hidden, params.learning_rate])).toEqual([
      [[64, 32], 0.1],
      [[64, 32], 0.01],
      [[8], 0.1],
      [[8], 0.01],
    ])
  })

  it('take what a preset says, and their own parameters before it', () => {
    const [fast, own, plain] = candidates(
      { kind: 'cnn', preset: 'fast' },
      { kind: 'cnn', preset: 'fast', params: { epochs: 3 } },
      { kind: 'cnn', preset: 'balanced' },
    )
    expect(fast.params).toMatchObject(PRESETS.fast)
    expect(own.params).toMatchObject({ ...PRESETS.fast, epochs: 3 })
    expect(plain.params).toEqual(candidates({ kind: 'cnn' })[0].params)
  })

  it('reach back as far as the longest of them', () => {
    const models = [{ kind: 'mlp' }, { kind: 'rnn', params: { context: [12, 30] } }, { kind: 'logistic' }]
    expect(longestContext(candidates(...models))).toBe(30)
    expect(longestContext(candidates({ kind: 'mlp' }, { kind: 'xgboost' }))).toBe(1)
  })

  it('keep their budget', () => {
    expect(candidates({ kind: 'patchtst', budget: '2M' })[0]).toMatchObject({ budget: '2M' })
  })
})

describe('what is refused', () => {
  it.each([
    { kind: 'patchtst', params: { d_modle: 3 } },
    { kind: 'cnn', params: { filters: 32 } },
    { kind: 'cnn', params: { dropout: 1 } },
    { kind: 'mlp', budget: '5M' },
    { kind: 'xgboost', budget: '2M' },
    { kind: 'rnn', params: { cell: 'elman' } },
  ])('by the schema: %j', model => expect(modelsSchema.safeParse([model]).success).toBe(false))

  it.each([
    [{ kind: 'patchtst', params: { d_model: 30, num_attention_heads: 4 } }, /num_attention_heads: d_model 30/],
    [{ kind: 'patchtst', params: { context: 8 } }, /patch_length: a patch of 16 rows/],
    [{ kind: 'patchtst', params: { patch_stride: 20 } }, /patch_stride: a stride of 20/],
    [{ kind: 'patchtst', params: { position_scale: 0.1 } }, /position_scale: it is of encodings that are learned/],
    [{ kind: 'mlp', params: { loss: 'mae' } }, /loss: binary has a loss of its own/],
  ])('by what goes together: %j', (model, message) => expect(problems(model)).toEqual([expect.stringMatching(message)]))

  it('windows of rows that have no order', () => {
    expect(problems({ kind: 'mlp' }, 'binary', false)).toEqual([])
    expect(problems({ kind: 'cnn' }, 'binary', false)).toEqual([expect.stringMatching(/context: rows without a time/)])
  })

  it('weights of classes, where there are none', () => {
    expect(problems({ kind: 'mlp', params: { class_weight: 'balanced' } }, 'regression')).toEqual([
      expect.stringMatching(/class_weight/),
    ])
    expect(problems({ kind: 'mlp', params: { loss: ['mae', 'quantile'] } }, 'regression')).toEqual([])
  })
})
