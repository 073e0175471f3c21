// What trackers are told of a run, and that a run does not care how they are. No Python: Weights & Biases is missing here.
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Context } from '../src/base/context.ts'
import { interruption, usageError } from '../src/base/errors.ts'
import { readPoints } from '../src/base/points.ts'
import { listRuns, step } from '../src/base/runs.ts'
import { loadConfig } from '../src/config.ts'
import { record } from '../src/pipeline.ts'
import { describe as describeRun, tellAgain } from '../src/tracking.ts'
import { testContext } from './data/home.ts'
import { PLANTED } from './planted.ts'
import { serve } from './server.ts'
import { put } from './temporary.ts'

const configured = (context: Context, tracking = '') => loadConfig(put(context.home, 'f.yaml', `${PLANTED}${tracking}`))

const NOWHERE = 'tracking: { mlflow: { url: "http://127.0.0.1:1" } }\n'

/** What a run leaves behind that measures twice and then ends so. */
const work = (context: Context, tracking: string, end: () => object) =>
  record('run', configured(context, tracking), context, async (_, { track }) => {
    track?.([{ series: 'm', name: 'loss', step: 0, value: 2 }])
    track?.([{ series: 'm', name: 'loss', step: 1, value: 1 }])
    return end()
  })

const stored = async (context: Context) => {
  const [run] = await listRuns(context)
  const points = await readPoints(run.id, context.database)
  return { run, points: points.map(({ value }) => value) }
}

describe('what a run measures', () => {
  it('is in the store with every tracker off', async () => {
    const context = testContext()
    await work(context, '', () => ({ status: 'refused' }))
    const { run, points } = await stored(context)
    expect([run.status, points, context.warnings]).toEqual(['refused', [2, 1], []])
    expect(JSON.parse(run.config).tracking).toEqual({})
    expect(readFileSync(join(context.home, 'runs', run.id, 'sluice.yaml'), 'utf8')).toContain('name: planted')
  })

  it('is in the store when it fails, and when it is stopped', async () => {
    const failing = testContext()
    const fail = () => {
      throw usageError('CLASSES', 'one class')
    }
    await expect(work(failing, '', fail)).rejects.toMatchObject({ code: 'CLASSES' })
    expect(await stored(failing)).toMatchObject({ run: { status: 'failed' }, points: [2, 1] })

    const abort = new AbortController()
    const stopped = { ...testContext(), signal: abort.signal }
    const stop = () => {
      abort.abort(interruption())
      throw abort.signal.reason
    }
    await expect(work(stopped, '', stop)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    expect(await stored(stopped)).toMatchObject({ run: { status: 'interrupted' }, points: [2, 1] })
  })
})

describe('a tracker that is down', () => {
  it('is one warning with what to do, and the run is what it is', async () => {
    const context = { ...testContext(), env: { SLUICE_PYTHON: '/nowhere/python' } }
    const began = performance.now()
    const both = `${NOWHERE.replace(' }\n', '')}, wandb: {} }\n`
    await work(context, both, () => ({ status: 'deployed' }))
    const { run, points } = await stored(context)
    expect([run.status, points]).toEqual(['deployed', [2, 1]])
    expect(context.warnings.sort()).toEqual([
      expect.stringMatching(
        /^TRACKER_DOWN: MLflow at http:\/\/127.0.0.1:1 cannot be reached: .*\. The run goes on without it; sluice runs track \S+ tells it later$/,
      ),
      expect.stringMatching(/^TRACKER_MISSING: .*\/nowhere\/python.*\(sluice engine install track\)/),
    ])
    expect(performance.now() - began).toBeLessThan(5000)
  })

  it('says so once, however much there is to tell', async () => {
    const context = testContext()
    const { url, requests } = await serve((_, response) => void response.writeHead(403).end())
    await record(
      'run',
      configured(context, NOWHERE.replace('http://127.0.0.1:1', url)),
      context,
      async (_, { track }) => {
        for (let i = 0; i < 5000; i++) track?.([{ series: 'm', name: 'loss', step: i, value: i }])
        return {}
      },
    )
    expect([context.warnings.length, requests.length]).toEqual([1, 1])
  })

  it('that says nothing is left when a person stops the run', async () => {
    const abort = new AbortController()
    const context = { ...testContext(), signal: abort.signal }
    const { url } = await serve(() => {})
    const began = performance.now()
    const stop = () => {
      abort.abort(interruption())
      throw abort.signal.reason
    }
    await expect(work(context, NOWHERE.replace('http://127.0.0.1:1', url), stop)).rejects.toThrow()
    expect(performance.now() - began).toBeLessThan(1500)
    expect(context.warnings).toHaveLength(1)
  })

  it('is told of nothing but models', async () => {
    const context = testContext()
    await record('ingest', configured(context, NOWHERE), context, async () => ({}))
    expect(context.warnings).toEqual([])
  })
})

describe('a run as a tracker is told of it', () => {
  it('has its config, its data, its stages and its figures', async () => {
    const context = testContext()
    const table = { table: 'planted', version: 3, digest: 'd1', md5: ['m1'] }
    const result = {
      ...{ status: 'refused', metrics: { valid: { roc_auc: 0.6 }, test: { roc_auc: null } }, backtest: { sharpe: 2 } },
      ...{
        benchmark: { sharpe: 1 },
        gates: [
          { name: 'sharpe', pass: true },
          { name: 'trades', pass: false },
        ],
      },
      model: { name: 'planted', version: 2, digest: 'd3' },
    }
    await record('run', configured(context), context, async (run, inside) => {
      await step(run, 'ingest', 1, async () => table, inside)
      await step(run, 'dataset', 1, async () => ({ digest: 'd2' }), inside)
      put(context.home, 'models/planted/2/model.onnx', 'x')
      put(context.home, `runs/${run.id}/report.html`, 'x')
      return result
    })
    const { run } = await stored(context)
    const told = await describeRun(run.id, context)
    expect(told).toMatchObject({
      ...{ id: run.id, name: 'planted', command: 'run', status: 'finished', finished: run.finished },
      params: { seed: '42', 'split.kind': 'holdout', 'models.0.kind': 'logistic', 'features.0.n': '[1,3,10]' },
      tags: {
        ...{ 'sluice.table': 'planted@3', 'sluice.table.digest': 'd1', 'sluice.table.md5': 'm1' },
        ...{ 'sluice.dataset.digest': 'd2', 'sluice.model': 'planted@2', 'sluice.status': 'refused' },
      },
      figures: {
        'valid/roc_auc': 0.6,
        'backtest/sharpe': 2,
        'gate/sharpe': 1,
        'gate/trades': 0,
        'stage/ingest/found': 0,
      },
      data: { name: 'planted', digest: 'm1' },
    })
    expect(Object.keys(told.params).filter(name => name.startsWith('tracking'))).toEqual([])
    expect(told.figures).toHaveProperty('stage/dataset/seconds')
    expect(told.figures).not.toHaveProperty('test/roc_auc')
    expect(told.files.map(({ name }) => name)).toEqual(['sluice.yaml', 'report.html', 'bundle/model.onnx'])
  })

  it('of one symbol of several says which table all of them are of', async () => {
    const context = testContext()
    const data = { table: 'many', version: 1, digest: 'd1', md5: ['m1', 'm2'] }
    await work(context, '', () => ({ data }))
    const { run } = await stored(context)
    const told = await describeRun(run.id, context)
    expect(told).toMatchObject({
      tags: { 'sluice.table': 'many@1', 'sluice.table.md5': 'm1 m2' },
      data: { name: 'many' },
    })
    expect(told.data!.digest).toMatch(/^[0-9a-f]{32}$/)
  })

  it('that failed says why', async () => {
    const context = testContext()
    await work(context, '', () => {
      throw usageError('CLASSES', 'one class')
    }).catch(() => {})
    const { run } = await stored(context)
    expect(await describeRun(run.id, context)).toMatchObject({
      status: 'failed',
      tags: { 'sluice.error': 'CLASSES: one class', 'sluice.status': 'failed' },
    })
  })
})

/** A server that takes everything as MLflow does, and keeps what it was sent. */
async function recordMlflow() {
  const sent: string[] = []
  const run = { info: { run_id: 'r', artifact_uri: 'mlflow-artifacts:/1/r/artifacts' } }
  const { url } = await serve(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    sent.push(request.url!, Buffer.concat(chunks).toString())
    response.end(JSON.stringify({ experiment: { experiment_id: '1' }, runs: [], run }))
  })
  return { url, sent }
}

/** A process that takes everything as that of Weights & Biases does, and keeps what it was sent. */
function recordWandb(home: string) {
  const kept = put(home, 'sent.jsonl', '')
  const says = `while read -r line; do printf '%s\\n' "$line" >> '${kept}'; echo '{"id": "1", "event": "done"}'; done`
  const python = put(home, 'python', `#!/bin/sh\n${says}\n`)
  chmodSync(python, 0o755)
  return { python, sent: () => readFileSync(kept, 'utf8').trim().split('\n') }
}

describe('a literal secret of the config', () => {
  it('is told to no tracker, in a param, a file or an error, neither by a run nor later; a reference is', async () => {
    const context = testContext()
    const mlflow = await recordMlflow()
    const wandb = recordWandb(context.home)
    const inside = { ...context, env: { SLUICE_PYTHON: wandb.python } }
    const source = `{ kind: http, url: "https://example.com/prices?apikey=SECRET1&user=\${USER}",
            headers: { x-key: SECRET2, authorization: "Bearer \${TOKEN}" } }`
    const text = PLANTED.replace(/source: .*/, `source: ${source}`)
    const tracking = `tracking: { mlflow: { url: "${mlflow.url}" }, wandb: {} }\n`
    const loaded = loadConfig(put(context.home, 'f.yaml', `${text}${tracking}`))
    const fail = async () => {
      throw usageError('HTTP_STATUS', 'https://example.com/prices?apikey=SECRET1 answers 403: no key SECRET2')
    }
    await expect(record('run', loaded, inside, fail)).rejects.toThrow('403')
    const { run } = await stored(context)
    await tellAgain(run.id, undefined, inside)
    expect(context.warnings).toEqual([])

    const paths = wandb.sent().flatMap(line => (JSON.parse(line).files ?? []).map(({ path }: { path: string }) => path))
    const files = paths.map(path => readFileSync(path, 'utf8'))
    expect(files).toHaveLength(2)
    for (const told of [mlflow.sent.join('\n'), [...wandb.sent(), ...files].join('\n')]) {
      expect(told).not.toContain('SECRET')
      expect(told).toContain('HTTP_STATUS')
      expect(told).toContain(`apikey=***&user=\${USER}`)
      expect(told).toContain(`authorization: Bearer \${TOKEN}`) // of the file
    }
    expect(readFileSync(join(context.home, 'runs', run.id, 'sluice.yaml'), 'utf8')).toContain('SECRET2')
  })
})

describe('telling a run again', () => {
  it('needs a tracker, and a run that has ended', async () => {
    const context = testContext()
    await record('run', configured(context), context, async run => {
      await expect(tellAgain(run.id, undefined, context)).rejects.toMatchObject({ code: 'RUNNING' })
      return {}
    })
    const { run } = await stored(context)
    await expect(tellAgain(run.id, undefined, context)).rejects.toMatchObject({ code: 'NO_TRACKER', fault: 'usage' })
  })

  it('fails where the tracker does', async () => {
    const context = testContext()
    await work(context, '', () => ({}))
    const { run } = await stored(context)
    const { url } = await serve((_, response) => void response.writeHead(403).end())
    const other = configured(context, NOWHERE.replace('http://127.0.0.1:1', url)).config
    await expect(tellAgain(run.id, other, context)).rejects.toMatchObject({ code: 'TRACKER_REFUSED', fault: 'engine' })
  })

  it('is done of every tracker, also after one that fails', async () => {
    const context = { ...testContext(), env: { SLUICE_PYTHON: '/nowhere/python' } }
    await work(context, '', () => ({}))
    const { run } = await stored(context)
    const { config } = configured(context, NOWHERE.replace(' }\n', ', wandb: {} }\n'))
    await expect(tellAgain(run.id, config, context)).rejects.toMatchObject({ code: 'TRACKER_DOWN' })
    expect(context.warnings).toEqual([expect.stringMatching(/^TRACKER_MISSING: .*\/nowhere\/python/)])
  })
})
