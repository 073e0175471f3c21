// PatchTST at its three sizes on a GPU: what a step takes, by batch.
import { join } from 'node:path'
import { completeNetwork } from '../dist/learn/networks.js'
import { readModelFile } from '../dist/modelfile.js'
import { inHome } from './home.js'

const SIZES = ['2M', '20M', '200M']
const FIRST = 8

export const measure = () =>
  inHome(async ({ engine }) => {
    const round = {}
    for (const size of SIZES) {
      const { kind, params } = readModelFile(
        join(import.meta.dirname, `../configs/model/patchtst_${size.toLowerCase()}.yaml`),
      )
      const model = { kind, params: completeNetwork(kind, { ...params, device: 'cuda' }) }
      const found = await engine
        .request('batch_size', { model, channels: 20, task: 'binary', classes: 2 })
        .catch(error => {
          if (error.code === 'DEVICE_MISSING') return
          throw error
        })
      if (!found) return { skipped: 'there is no CUDA device' }
      const fitting = found.tried.filter(({ fits }) => fits)
      const largest = fitting.at(-1)
      round[`${size} batch`] = largest?.batch_size ?? 0
      round[`${size} rate`] = largest ? largest.batch_size / largest.seconds : 0
      round[`${size} memory`] = (fitting.find(({ batch_size }) => batch_size === FIRST)?.memory_mb ?? 0) / 1024
    }
    const { python, ...libraries } = await engine.versions()
    return { rounds: [round], versions: { Python: python, ...libraries } }
  })
