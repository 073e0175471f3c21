// Predictions a second and latency of `sluice serve` on a registered model.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { quantile } from '../dist/base/statistics.js'
import { inFolder, writeConfig } from './home.js'

const ROUNDS = 5
const SECONDS = 2
const SLUICE = join(import.meta.dirname, '../bin/sluice')

const CONFIG = {
  name: 'bench',
  data: { source: { kind: 'simulated', bars: 3000, seed: 7, signal: { strength: 0.8 } }, timeframe: '1d' },
  label: { kind: 'direction', horizon: 3 },
  split: { kind: 'holdout' },
  models: [{ kind: 'lightgbm' }],
  gates: { trades: '>= 1' },
}

export const measure = () =>
  inFolder(async folder => {
    const config = writeConfig(folder, CONFIG)
    execFileSync(SLUICE, ['run', '-c', config, '--quiet', '--json'])
    const manifest = JSON.parse(readFileSync(join(folder, '.sluice/models/bench/1/manifest.json'), 'utf8'))
    const row = Object.fromEntries(manifest.input.features.map(({ name }, i) => [name, i / 10]))
    const server = spawn(SLUICE, ['serve', '-c', config, '--port', '0', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      const [line] = await once(createInterface({ input: server.stdout }), 'line')
      const url = `${JSON.parse(line).listening}/v1/predict`
      await load(url, [row], 32) // warms both sides
      const rounds = []
      for (let round = 0; round < ROUNDS; round++) rounds.push(await measureRound(url, row))
      return { rounds }
    } finally {
      server.kill('SIGTERM')
      if (server.exitCode === null) await once(server, 'exit')
    }
  })

async function measureRound(url, row) {
  const alone = await load(url, [row], 1)
  const many = await load(url, [row], 32)
  const batch = await load(url, Array(100).fill(row), 4)
  return {
    'alone p50': alone.p50,
    'alone p99': alone.p99,
    'many rate': many.rate,
    'many p50': many.p50,
    'many p99': many.p99,
    'batch rate': 100 * batch.rate,
  }
}

/** Each connection asks again as soon as it is answered: requests a second, latencies in ms. */
async function load(url, rows, connections) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const body = JSON.stringify({ rows })
  const latencies = []
  const from = performance.now()
  const client = async () => {
    for (let start = from; start < from + SECONDS * 1000; ) {
      await post(url, body, agent)
      const end = performance.now()
      latencies.push(end - start)
      start = end
    }
  }
  await Promise.all(Array.from({ length: connections }, client))
  const seconds = (performance.now() - from) / 1000
  agent.destroy()
  return { rate: latencies.length / seconds, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}

/** Any answer but 200 ends the measurement. */
const post = (url, body, agent) =>
  new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const sent = request(url, { method: 'POST', agent, headers }, answer => {
      answer.resume()
      answer.once('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${answer.statusCode}`))))
    })
    sent.once('error', reject)
    sent.end(body)
  })
