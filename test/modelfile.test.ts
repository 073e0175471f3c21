// A network as a file: what it may hold, and how a config takes it.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config.ts'
import { expandModels } from '../src/learn/models.ts'
import { completeNetwork } from '../src/learn/networks.ts'
import { readModelFile } from '../src/modelfile.ts'
import { put, temporaryFolder } from './temporary.ts'

const CONFIGS = join(import.meta.dirname, '../configs')

const file = (text: string) => put(temporaryFolder(), 'm.yaml', text)
const refusal = (text: string): string => {
  try {
    readModelFile(file(text), [], 'm.yaml')
  } catch (error) {
    return (error as Error).message
  }
  return 'taken'
}

describe('a file', () => {
  it('gives its network, counted for 20 features and two classes unless it says otherwise', () => {
    const path = file('kind: mlp\nbudget: 2M\nparams: { hidden: [8, 4] }\n')
    expect(readModelFile(path)).toEqual({
      kind: 'mlp',
      budget: '2M',
      params: { hidden: [8, 4] },
      channels: 20,
      task: 'binary',
    })
  })

  it('has every problem at its line and column, with the nearest key', () => {
    const text = 'kind: patchtst\nbudget: 5M\nparams:\n  d_modle: 3\n  patch_length: 0\n'
    expect(refusal(text).split('\n').sort()).toEqual([
      'm.yaml:2:9: budget: there is no 5M; did you mean 2M?',
      'm.yaml:4:3: unknown key params.d_modle; did you mean d_model?',
      expect.stringMatching(/^m.yaml:5:17: params.patch_length: /),
    ])
  })

  it.each([
    ['kind: forest\n', /^m.yaml:1:7: kind: there is no forest/],
    ['params: {}\n', /kind is missing/],
    ['- 1\n', /a network is a map of keys/],
    ['kind: patchtst\nparams: { num_attention_heads: 5 }\n', /d_model 64 is not divisible by 5 heads/],
    ['kind: mlp\ntask: multiclass\n', /classes: how many classes/],
    ['kind: mlp\nclasses: 4\n', /classes: how many classes/],
    ['kind: mlp\ntask: forecast\n', /horizon: how many rows, for task: forecast alone/],
    ['kind: mlp\nhorizon: 3\n', /horizon: how many rows, for task: forecast alone/],
  ])('refuses %j', (text, message) => expect(refusal(text)).toMatch(message))

  it('that is not there is exit 2', () => {
    expect(() => readModelFile('nowhere.yaml')).toThrow(expect.objectContaining({ code: 'CONFIG_MISSING', exit: 2 }))
  })
})

describe('a config', () => {
  const patchtst = 'kind: patchtst\nbudget: 2M\nchannels: 7\nparams: { d_model: 32, epochs: 9 }\n'
  const config = (entry: string, network = patchtst) => {
    const folder = temporaryFolder()
    put(folder, 'net.yaml', network)
    const source = 'data: { source: { kind: simulated, bars: 500 } }\nlabel: { kind: direction, horizon: 3 }\n'
    return loadConfig(put(folder, 'f.yaml', `${source}models:\n  - ${entry}\n`)).config.models
  }

  it('takes a network by its file, its own parameters laid over it', () => {
    expect(config('{ from: net.yaml, params: { epochs: [3, 5] }, preset: fast }')).toEqual([
      { kind: 'patchtst', budget: '2M', preset: 'fast', params: { d_model: 32, epochs: [3, 5] } },
    ])
  })

  it('takes a list that the file holds as the one value it is there, and its own lists as a grid', () => {
    const network = 'kind: cnn_lstm\nparams: { filters: [16, 32], hidden: 8 }\n'
    const filters = (entry: string) =>
      expandModels(config(entry, network), 'binary').map(({ params }) => params.filters)
    expect(filters('{ from: net.yaml }')).toEqual([[16, 32]])
    expect(filters('{ from: net.yaml, params: { hidden: [4, 8] } }')).toEqual([
      [16, 32],
      [16, 32],
    ])
    expect(filters('{ from: net.yaml, params: { filters: [[4], [8, 16]] } }')).toEqual([[4], [8, 16]])
  })

  it('shows what is wrong in the file by the name that it is called', () => {
    expect(() => config('{ from: other.yaml }')).toThrow(/other.yaml/)
    expect(() => config('{ from: net.yaml, params: { epoch: 3 } }')).toThrow(/unknown key .*epoch; did you mean epochs/)
  })
})

describe('the files that come along', () => {
  it.each(readdirSync(join(CONFIGS, 'model')))('%s is a network with a budget', name => {
    const { kind, params, budget } = readModelFile(join(CONFIGS, 'model', name))
    expect(name).toBe(`patchtst_${budget!.toLowerCase()}.yaml`)
    expect(completeNetwork(kind, params)).toMatchObject({ context: 120, patch_length: 16 })
  })

  it('of the example that forecasts is counted as that', () => {
    const path = join(CONFIGS, '../examples/etth1/patchtst.yaml')
    expect(readModelFile(path)).toMatchObject({ kind: 'patchtst', channels: 7, task: 'forecast', horizon: 96 })
  })

  it('make a config that trains one of them', () => {
    const { config } = loadConfig(join(CONFIGS, 'daily/threshold_1pct.yaml'))
    expect(config.models).toEqual([expect.objectContaining({ kind: 'patchtst', budget: '2M' })])
  })
})
