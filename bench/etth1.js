// PatchTST on ETTh1 by the protocol of its paper, trained, exported and judged on the test part: examples/etth1.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { writeArrow } from '../dist/base/arrow.js'
import { sha256 } from '../dist/base/blobs.js'
import { completeNetwork } from '../dist/learn/networks.js'
import { readModelFile } from '../dist/modelfile.js'
import { protocol, request } from '../examples/etth1/protocol.js'
import { inHome } from './home.js'

const ROOT = join(import.meta.dirname, '..')
const DATA = resolve(ROOT, process.env.SLUICE_SHARED ?? '../shared/data', 'ett/ETTh1.csv')

export const measure = () => {
  if (!existsSync(DATA))
    return { skipped: `there is no ${DATA}; SLUICE_SHARED names the folder that ett/ETTh1.csv lies in` }
  return inHome(async ({ home, engine }) => {
    const csv = readFileSync(DATA)
    const [hours, samples, out] = ['hours.arrow', 'samples.arrow', 'out'].map(name => join(home, name))
    mkdirSync(out)
    const made = protocol(csv.toString())
    await writeArrow(hours, [{ name: 'features', values: made.values, width: made.features.length }])
    await writeArrow(samples, [{ name: 'at', values: made.ends }])
    const { kind, params } = readModelFile(join(ROOT, 'examples/etth1/patchtst.yaml'))
    const model = { kind, params: completeNetwork(kind, params) }
    const body = request(made, { hours, samples, out, digest: sha256(csv) }, model)
    const { metrics, iterations, cpu_seconds } = await engine.request('export', body, { onEvent: told })
    const { python, ...libraries } = await engine.versions()
    return {
      rounds: [{ ...metrics, iterations, cpu_minutes: cpu_seconds / 60 }],
      versions: { Python: python, ...libraries },
    }
  })
}

/** A line for each epoch: it takes minutes. */
function told({ event, metrics }) {
  if (event === 'progress' && metrics?.stop_loss)
    console.log(`  epoch ${metrics.epoch}: validation MSE ${metrics.stop_loss.toFixed(4)}`)
}
