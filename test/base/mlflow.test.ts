// What is sent to MLflow, and what is made of servers that are gone, slow, broken or unwilling. A real server is in tracker.integration.test.ts.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { describe, expect, it } from 'vitest'
import type { Row } from '../../src/base/database.ts'
import { batchesOf, keyOf, openMlflow } from '../../src/base/mlflow.ts'
import { flatten, type Told } from '../../src/base/tracker.ts'
import { serve } from '../server.ts'

const TOLD: Told = {
  ...{ id: 'r1', name: 'm', command: 'run', started: 1, finished: null, status: 'running' },
  ...{ params: { seed: '1' }, tags: {}, figures: {}, data: null, files: [] },
}

const point = (step: number, value: number | null = step): Row<'points'> => ({
  ...{ id: step, run: 'r1', series: 'a/fold-1', name: 'loss', step, value, at: 1000 + step },
})

describe('a batch', () => {
  it('holds at most what MLflow takes', () => {
    const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, 'v']))
    const points = Array.from({ length: 2500 }, (_, i) => point(i))
    const batches = batchesOf({ params: many(250), tags: many(101), points })
    const sizes = batches.map(({ metrics, params, tags }) => (metrics ?? params ?? tags)!.length)
    expect(sizes).toEqual([100, 100, 50, 100, 1, 1000, 1000, 500])
    expect(batches.every(batch => Object.keys(batch).length === 1)).toBe(true)
  })

  it('says what was no number in a word', () => {
    const [{ metrics }] = batchesOf({ points: [point(3, null)] })
    expect(metrics).toEqual([{ key: 'a/fold-1/loss', value: 'NaN', timestamp: 1003, step: 3 }])
  })

  it('has each key once, and values of the length that is taken', () => {
    const [{ params }] = batchesOf({ params: { 'a:b': 'first', 'a;b': 'second', long: 'x'.repeat(7000) } })
    expect(params!.map(({ key, value }) => [key, value.length])).toEqual([
      ['a_b', 6],
      ['long', 6000],
    ])
  })

  it.each([
    ['valid/roc_auc', 'valid/roc_auc'],
    ['p_ä ß', 'p__ _'],
    ['/a//./b/../c', 'a/b/c'],
    ['x'.repeat(300), 'x'.repeat(250)],
  ])('calls %s what MLflow can call it', (name, key) => expect(keyOf(name)).toBe(key))
})

it('a config is flat, with lists of values in one', () => {
  const config = {
    seed: 1,
    split: { ratios: [0.7, 0.3], none: {} },
    models: [{ kind: 'a' }],
    off: null,
    absent: undefined,
  }
  expect(flatten(config)).toEqual({
    ...{ seed: '1', 'split.ratios': '[0.7,0.3]', 'split.none': '{}', 'models.0.kind': 'a', off: 'null' },
  })
  expect(flatten({})).toEqual({})
})

/** Begins a run at a server that answers so, and gives the error and what was asked. */
async function beginAt(answer: (request: IncomingMessage, response: ServerResponse) => void, env = {}) {
  const { url, requests } = await serve(answer)
  const tracker = openMlflow({ url }, { env, warn: () => {} }, { idle: 100, waits: [1, 1] })
  const began = performance.now()
  const error = await tracker.begin(TOLD).then(
    () => undefined,
    error => error,
  )
  await tracker.close()
  return { error, requests, ms: performance.now() - began, url }
}

const status =
  (code: number, body = '') =>
  (_: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(code).end(body)

describe('a server that', () => {
  it('is not there is tried three times', async () => {
    const tracker = openMlflow({ url: 'http://127.0.0.1:1' }, { warn: () => {} }, { waits: [1, 1] })
    await expect(tracker.begin(TOLD)).rejects.toMatchObject({
      code: 'TRACKER_DOWN',
      message: expect.stringMatching(/127\.0\.0\.1:1 cannot be reached: .*ECONNREFUSED/),
    })
    await tracker.close()
  })

  it('is broken is asked again, a bounded number of times', async () => {
    const { error, requests } = await beginAt(status(500, 'oops'))
    expect(error).toMatchObject({ code: 'TRACKER_DOWN', message: expect.stringContaining('with status 500') })
    expect(requests).toHaveLength(3)
  })

  it('says nothing is left', async () => {
    const { error, ms } = await beginAt(() => {})
    expect(error).toMatchObject({ code: 'TRACKER_DOWN', message: expect.stringContaining('nothing came for') })
    expect(ms).toBeLessThan(5000)
  })

  it('cuts its answer off is left', async () => {
    const { error } = await beginAt((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{')
      setTimeout(() => response.destroy(), 10)
    })
    expect(error.code).toBe('TRACKER_DOWN')
  })

  it('does not know us is asked once, and no secret is told', async () => {
    const env = { MLFLOW_TRACKING_TOKEN: 'topsecret' }
    const refuse = status(401, JSON.stringify({ error_code: 'UNAUTHENTICATED', message: 'topsecret is wrong' }))
    const { error, requests } = await beginAt(refuse, env)
    expect(error).toMatchObject({
      code: 'TRACKER_REFUSED',
      message: 'MLflow answers mlflow/experiments/get-by-name with status 401: UNAUTHENTICATED, *** is wrong',
      next: expect.stringContaining('MLFLOW_TRACKING_TOKEN'),
    })
    expect(requests).toHaveLength(1)
    expect(requests[0].headers.authorization).toBe('Bearer topsecret')
  })

  it('is no MLflow is left', async () => {
    const { error } = await beginAt(status(200, '<html>'))
    expect(error).toMatchObject({ code: 'TRACKER_REFUSED', message: expect.stringContaining('is no MLflow') })
  })

  it('sends us elsewhere gets no token there', async () => {
    const elsewhere = await serve(status(200, '{}'))
    const { error } = await beginAt((_, response) => void response.writeHead(302, { location: elsewhere.url }).end(), {
      MLFLOW_TRACKING_USERNAME: 'me',
      MLFLOW_TRACKING_PASSWORD: 'secret',
    })
    expect(error).toBeInstanceOf(Error)
    expect(elsewhere.requests.map(({ headers }) => headers.authorization)).toEqual([undefined])
  })

  it('has no address is missing', async () => {
    const tracker = openMlflow({}, { warn: () => {} })
    await expect(tracker.begin(TOLD)).rejects.toMatchObject({ code: 'TRACKER_MISSING' })
    await tracker.close()
  })

  it('has its address in the environment is found', async () => {
    const { url, requests } = await serve(status(404))
    const tracker = openMlflow({}, { env: { MLFLOW_TRACKING_URI: `${url}/` }, warn: () => {} })
    await expect(tracker.begin(TOLD)).rejects.toMatchObject({ code: 'TRACKER_REFUSED' })
    expect(requests[0].url).toBe('/api/2.0/mlflow/experiments/get-by-name?experiment_name=m')
    await tracker.close()
  })

  it.each(['sqlite:///x.db', 'http://me:secret@localhost:1'])('is at %s is no server of ours', async uri => {
    const tracker = openMlflow({}, { env: { MLFLOW_TRACKING_URI: uri }, warn: () => {} })
    await expect(tracker.begin(TOLD)).rejects.toMatchObject({
      code: 'URL',
      message: expect.not.stringContaining('secret'),
    })
    await tracker.close()
  })

  it('makes a run whose answer is lost is not asked for another', async () => {
    const made: object[] = []
    const { url } = await serve((request, response) => {
      const answers: [string, object][] = [
        ['get-by-name', { experiment: { experiment_id: '1' } }],
        ['runs/search', { runs: made }],
      ]
      if (request.url!.includes('runs/create')) {
        made.push({ info: { run_id: 'there', artifact_uri: 'mlflow-artifacts:/1/there' } })
        response.destroy()
      } else response.end(JSON.stringify(answers.find(([path]) => request.url!.includes(path))?.[1] ?? {}))
    })
    const tracker = openMlflow({ url }, { warn: () => {} }, { waits: [1, 1] })
    await tracker.begin(TOLD)
    await tracker.close()
    expect(made).toHaveLength(1)
  })

  it('is slow is let go of at once', async () => {
    const { url } = await serve(() => {})
    const tracker = openMlflow({ url }, { warn: () => {} })
    const begun = tracker.begin(TOLD).catch(error => error)
    setTimeout(() => tracker.close(), 20)
    expect((await begun).code).toBe('TRACKER_DOWN')
  })
})
