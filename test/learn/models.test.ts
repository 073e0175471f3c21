import { describe, expect, it } from 'vitest'
import { expandModels, modelProblems, modelsSchema } from '../../src/learn/models.ts'

describe('models', () => {
  it('takes no list for the two candidates that its numbers would be, where a value is a list', () => {
    const hidden = (value: unknown) => modelsSchema.safeParse([{ kind: 'mlp', params: { hidden: value } }]).success
    expect([[64, 32], [[64, 32]], [[64, 32], [128]]].map(hidden)).toEqual([false, true, true])
  })

  it('is a grid of 16 by default, four of each kind, with every parameter written out', () => {
    const grid = expandModels(modelsSchema.parse(undefined), 'binary')
    expect(grid.map(({ id }) => id)).toEqual(
      ['logistic', 'random_forest', 'xgboost', 'lightgbm'].flatMap(kind => [1, 2, 3, 4].map(i => `${kind}-${i}`)),
    )
    expect(grid[8].params).toMatchObject({
      max_depth: 2,
      learning_rate: 0.03,
      early_stopping_rounds: 25,
      class_weight: null,
    })
    expect(new Set(grid.map(candidate => JSON.stringify(candidate.params))).size).toBe(16)
  })

  it('multiplies lists and keeps single values', () => {
    const models = modelsSchema.parse([
      { kind: 'xgboost', params: { max_depth: [3, 6], learning_rate: [0.03, 0.1], subsample: 0.8 } },
    ])
    expect(
      expandModels(models, 'binary').map(({ params }) => [params.max_depth, params.learning_rate, params.subsample]),
    ).toEqual([
      [3, 0.03, 0.8],
      [3, 0.1, 0.8],
      [6, 0.03, 0.8],
      [6, 0.1, 0.8],
    ])
  })

  it('numbers the entries of one kind through', () => {
    const models = modelsSchema.parse([{ kind: 'logistic' }, { kind: 'logistic', params: { C: 3 } }])
    expect(expandModels(models, 'binary').map(({ id }) => id)).toEqual(['logistic-1', 'logistic-2'])
  })

  it.each([
    [{ kind: 'xgboost', params: { max_dept: 3 } }],
    [{ kind: 'xgboost', params: { max_depth: 0 } }],
    [{ kind: 'xgboost', params: { max_depth: [] } }],
    [{ kind: 'random_forest', params: { max_features: 'all' } }],
    [{ kind: 'svm' }],
    [{ kind: 'preset', name: 'grid_99' }],
  ])('refuses %j', model => {
    expect(modelsSchema.safeParse([model]).success).toBe(false)
  })

  it('has no head of a forecast, which alone reads every patch', () => {
    const problems = (pooling_type: null | string) =>
      modelProblems(modelsSchema.parse([{ kind: 'patchtst', params: { pooling_type } }]), 'binary', true)
    expect(problems('max')).toEqual([])
    expect(problems(null)).toEqual([
      { path: [0, 'params', 'pooling_type'], message: 'only the head of a forecast reads every patch; mean or max' },
    ])
  })
})
