// A real `mlflow server` of mlflow.lock, with SQLite and files in a folder of its own, and what it has of a run.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { sha256 } from '../src/base/blobs.ts'
import { cacheFolder } from '../src/context.ts'
import { LOCKS } from '../src/learn/install.ts'
import { freePort } from './port.ts'

const folderOf = (name: string): string =>
  join(cacheFolder(process.env), `${name}-${sha256(readFileSync(join(LOCKS, `${name}.lock`))).slice(0, 12)}`)

const START_MS = 60_000

export async function startMlflow() {
  const bin = join(folderOf('mlflow'), 'bin', 'mlflow')
  if (!existsSync(bin)) throw new Error('mlflow is not installed: make setup-dev')
  const folder = mkdtempSync(join(tmpdir(), 'sluice-mlflow-'))
  const url = `http://127.0.0.1:${await freePort()}`
  const store = [
    '--backend-store-uri',
    `sqlite:///${folder}/mlflow.db`,
    '--artifacts-destination',
    join(folder, 'files'),
  ]
  // Its own group: the server starts another process that does not end with it.
  const child = spawn(bin, ['server', '--host', '127.0.0.1', '--port', new URL(url).port, '--workers', '1', ...store], {
    cwd: folder,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {
      PATH: `${dirname(bin)}:${process.env.PATH}`,
      HOME: folder,
      MLFLOW_DISABLE_TELEMETRY: 'true',
      MLFLOW_SERVER_ENABLE_JOB_EXECUTION: 'false',
    },
  })
  let says = ''
  child.stderr.on('data', text => (says = `${says}${text}`.slice(-4000)))
  const ended = once(child, 'exit')
  for (const end = Date.now() + START_MS; ; await sleep(100)) {
    const healthy = await fetch(`${url}/health`).then(
      ({ ok }) => ok,
      () => false,
    )
    if (healthy) break
    if (Date.now() > end || child.exitCode !== null) throw new Error(`mlflow did not start: ${says}`)
  }
  return {
    url,
    async close() {
      process.kill(-child.pid!, 'SIGKILL')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

// biome-ignore lint/suspicious/noExplicitAny: as the server answers
type Answered = any

async function ask(url: string, path: string, body?: object) {
  const request = body && {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
  const answer = await fetch(`${url}/api/2.0/${path}`, request)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer
}

type Pair = { key: string; value: string }
const named = (pairs: Pair[] = []) => Object.fromEntries(pairs.map(({ key, value }) => [key, value]))

/** All that the server has of the runs of an experiment. */
export async function readMlflow(url: string, experiment: string) {
  const found = await ask(url, `mlflow/experiments/get-by-name?experiment_name=${encodeURIComponent(experiment)}`)
  const { experiment_id } = ((await found.json()) as Answered).experiment
  const answer = await ask(url, 'mlflow/runs/search', { experiment_ids: [experiment_id] })
  const { runs = [] } = (await answer.json()) as Answered
  return Promise.all(
    runs.map(async ({ info, data, inputs }: Answered) => ({
      status: info.status as string,
      id: info.run_id as string,
      params: named(data.params),
      tags: named(data.tags),
      metrics: named(data.metrics) as unknown as Record<string, number>,
      datasets: (inputs?.dataset_inputs ?? []).map(({ dataset }: Answered) => dataset),
      async history(key: string) {
        const path = `mlflow/metrics/get-history?run_id=${info.run_id}&metric_key=${encodeURIComponent(key)}`
        const { metrics } = (await (await ask(url, path)).json()) as Answered
        return metrics.map(({ step, value }: Answered) => [step ?? 0, value])
      },
      async file(name: string) {
        const root = String(info.artifact_uri).replace('mlflow-artifacts:/', '')
        const answer = await ask(url, `mlflow-artifacts/artifacts/${root}/${name}`)
        return Buffer.from(await answer.arrayBuffer())
      },
    })),
  )
}
