// How far a native model, its ONNX graph in Python and its ONNX graph in Node are apart, family by family.
import { run } from '../dist/pipeline.js'
import { configure, inHome } from './home.js'

const KINDS = ['logistic', 'random_forest', 'xgboost', 'lightgbm', 'catboost']

const config = kind => ({
  name: kind.replace('_', '-'),
  data: {
    table: 'parity',
    source: { kind: 'simulated', bars: 5000, seed: 7, signal: { strength: 0.8 } },
    timeframe: '1d',
  },
  features: [
    { kind: 'set', name: 'stationary_20' },
    // Missing after every falling bar.
    { kind: 'expr', name: 'rise', expr: 'log(close - open) - log(open)' },
  ],
  label: { kind: 'direction', horizon: 3 },
  models: [{ kind }],
})

export const measure = () =>
  inHome(async context => {
    const round = {}
    for (const kind of KINDS) {
      const { parity } = await run(configure(context.home, config(kind)), context)
      round[kind] = Math.max(parity.native_python, parity.native_node)
    }
    const { python, ...libraries } = await context.engine.versions()
    return { rounds: [round], versions: { Python: python, ...libraries } }
  })
