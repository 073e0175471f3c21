// What the training loop costs beside the network: PatchTST with 2M parameters, some hundred steps of it, by the fit's own metrics.
import { join } from 'node:path'
import { expandModels } from '../dist/learn/models.js'
import { fitOnce, rowsOf } from '../dist/learn/train.js'
import { prepare, record } from '../dist/pipeline.js'
import { configure, inHome } from './home.js'

const ROUNDS = 3
const NETWORK = join(import.meta.dirname, '../configs/model/patchtst_2m.yaml')
/** Smaller batches than anyone would take: what a step costs besides weighs the more. */
const TRAINING = { batch_size: 8, epochs: 1, patience: null }

const config = {
  name: 'trainer',
  data: { source: { kind: 'simulated', bars: 2200 }, timeframe: '1d' },
  label: { kind: 'direction', horizon: 1 },
  split: { kind: 'holdout', ratios: [0.8, 0.2] },
  models: [{ from: NETWORK, params: TRAINING }],
}

export const measure = () =>
  inHome(async context => {
    const loaded = configure(context.home, config)
    const { dataset } = await record('dataset', loaded, context, run => prepare(loaded.config, run, context))
    const [{ kind, params }] = expandModels(loaded.config.models, loaded.config.task)
    const [fold] = dataset.split.folds
    const rounds = []
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const { metrics } = await fitOnce(
        dataset,
        { recipe: { kind, params, seed }, rows: rowsOf(params, fold) },
        context,
      )
      const { step_seconds, other_seconds, data_seconds } = metrics
      rounds.push({
        other: other_seconds / step_seconds,
        data: data_seconds / step_seconds,
        step:
          step_seconds /
          Math.ceil(dataset.split.train.reduce((n, [from, to]) => n + to - from, 0) / TRAINING.batch_size),
      })
    }
    return { rounds }
  })
