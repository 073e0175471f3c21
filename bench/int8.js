// PatchTST with 2M parameters in 8 bits beside itself in float32: the loss, the file, and the time that an answer takes where it is served.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadModel } from '../dist/base/onnx.js'
import { readDataset, vectors } from '../dist/learn/dataset.js'
import { expandModels } from '../dist/learn/models.js'
import { indices } from '../dist/learn/split.js'
import { fitOnce, rowsOf } from '../dist/learn/train.js'
import { prepare, record } from '../dist/pipeline.js'
import { configure, inHome } from './home.js'

const ROUNDS = 15
const ROWS = 64
const NETWORK = join(import.meta.dirname, '../configs/model/patchtst_2m.yaml')
const TRAINING = { batch_size: 32, epochs: 4, patience: null }

const config = {
  name: 'int8',
  data: { source: { kind: 'simulated', bars: 1200, seed: 3, signal: { strength: 0.9 } }, timeframe: '1d' },
  label: { kind: 'direction', horizon: 1 },
  split: { kind: 'holdout', ratios: [0.8, 0.2] },
  models: [{ from: NETWORK, params: { ...TRAINING, int8: [false, true] } }],
}

export const measure = () =>
  inHome(async context => {
    const loaded = configure(context.home, config)
    const { dataset } = await record('dataset', loaded, context, run => prepare(loaded.config, run, context))
    const [fold] = dataset.split.folds
    const made = []
    for (const { kind, params } of expandModels(loaded.config.models, loaded.config.task)) {
      const recipe = { kind, params, seed: 1 }
      const { folder, metrics } = await fitOnce(dataset, { recipe, rows: rowsOf(params, fold), export: true }, context)
      const bytes = readFileSync(join(folder, 'model.onnx'))
      made.push({ metrics, bytes: bytes.length, model: await loadModel(bytes) })
    }
    const [exact, small] = made
    const rows = indices(fold.valid).subarray(0, ROWS)
    const { length } = exact.model
    const features = vectors(dataset, await readDataset(dataset, length), rows, length)
    const answer = async ({ model }) => {
      const from = performance.now()
      await model.run(features, rows.length)
      return (performance.now() - from) / rows.length
    }
    const rounds = []
    for (let round = 0; round <= ROUNDS; round++) {
      const [float32, int8] = [await answer(exact), await answer(small)]
      if (!round) continue // warm
      rounds.push({
        float32,
        int8,
        size: small.bytes / exact.bytes,
        parity: small.metrics.parity,
        'float32 loss': small.metrics.float32_loss,
        'int8 loss': small.metrics.int8_loss,
        change: small.metrics.int8_loss_change,
      })
    }
    for (const { model } of made) await model.close()
    const { python, ...libraries } = await context.engine.versions()
    return { rounds, versions: { Python: python, ...libraries } }
  })
