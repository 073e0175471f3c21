import { describe, expect, it } from 'vitest'
import { loadModel } from '../../src/base/onnx.ts'
import { serveChampion, startServer } from '../../src/serve/server.ts'
import { expected, modelFile, rowsOf } from '../registry/example.ts'
import { type Answer, HEAD, homeWith, keepLog, raw, serve } from './serving.ts'

const rows = rowsOf('trees')

describe('POST /v1/predict', () => {
  it('answers every kind of task as the contract says', async () => {
    const home = await homeWith({ trees: 'trees', three: 'multiclass', linear: 'linear' })
    const { post } = await serve(home, ['trees', 'three', 'linear'])
    const ask = async (model: string | undefined, rows: object[]) => (await post({ model, rows })).answer
    const binary = await ask(undefined, rows)
    expect(binary).toEqual({
      predictions: expect.any(Array),
      model: { name: 'trees', version: 1 },
      request_id: expect.any(String),
    })
    for (const [i, { probability, signal }] of binary.predictions.entries()) {
      expect(Math.abs(probability - expected.trees.answer[i][1])).toBeLessThan(1e-6)
      expect(signal).toBe(probability >= 0.5 ? 1 : 0)
    }
    const { predictions } = await ask('three', rowsOf('multiclass').slice(0, 1))
    expect(predictions).toEqual([
      {
        class: expect.any(String),
        probabilities: { down: expect.any(Number), flat: expect.any(Number), up: expect.any(Number) },
      },
    ])
    expect((await ask('linear', rowsOf('linear').slice(0, 1))).predictions[0].prediction).toBeCloseTo(
      expected.linear.answer[0][0],
      6,
    )
  })

  it('gives a row the same bits alone, batched with others, and offline', async () => {
    const { post } = await serve(await homeWith({ demo: 'logistic' }), ['demo'])
    const rows = rowsOf('logistic')
    const probabilities = async (rows: object[]) =>
      (await post({ rows })).answer.predictions.map(({ probability }) => probability)
    const alone: number[] = []
    for (const row of rows) alone.push(...(await probabilities([row])))
    const together = await Promise.all(Array.from({ length: 40 }, (_, i) => probabilities([rows[i % 8]])))
    expect(together.flat()).toEqual(Array.from({ length: 40 }, (_, i) => alone[i % 8]))
    const model = await loadModel(modelFile('logistic'))
    const output = await model.run(Float32Array.from(expected.logistic.rows.flat() as number[]), 8)
    await model.close()
    expect(alone).toEqual([...output].filter((_, i) => i % 2 === 1))
  })

  it('refuses everything else, with a code, a pointer and a request id, and no word about itself', async () => {
    const { post, warnings } = await serve(await homeWith({ demo: 'logistic', trees: 'trees' }), ['trees', 'demo'], {
      max_rows: 3,
      body_limit: 2000,
    })
    const [row] = rows
    const cases: [body: unknown, status: number, code: string, pointer?: string][] = [
      ['', 400, 'INVALID_JSON', ''],
      ['{"rows": [', 400, 'INVALID_JSON', ''],
      ['{"rows": [{"f0": NaN}]}', 400, 'INVALID_JSON', ''],
      ['{"rows": [{"__proto__": {}}]}', 400, 'INVALID_JSON', ''],
      [[], 400, 'WRONG_TYPE', ''],
      ['null', 400, 'WRONG_TYPE', ''],
      [{}, 400, 'MISSING_FIELD', '/rows'],
      [{ rows: [row], candles: [] }, 400, 'UNKNOWN_FIELD', '/candles'],
      [{ rows: [row], sequence: [] }, 400, 'SEVERAL_INPUTS', ''],
      [{ sequence: [[0, 0, 0, 0]] }, 400, 'NO_SEQUENCE_MODEL', '/sequence'],
      [{ sequences: [[]] }, 400, 'NO_SEQUENCE_MODEL', '/sequences'],
      [{ rows: row }, 400, 'WRONG_TYPE', '/rows'],
      [{ rows: [] }, 400, 'NO_ROWS', '/rows'],
      [{ rows: [row, row, row, row] }, 400, 'TOO_MANY_ROWS', '/rows'],
      [{ rows: [row, 7] }, 400, 'WRONG_TYPE', '/rows/1'],
      [{ rows: [row], model: 7 }, 400, 'WRONG_TYPE', '/model'],
      [{ rows: [row], key: 7 }, 400, 'WRONG_TYPE', '/key'],
      [{ rows: [row], key: '' }, 400, 'INVALID', '/key'],
      [{ rows: [row], model: 'other' }, 404, 'MODEL_UNKNOWN'],
      [{ rows: [row, { ...row, f2: '1' }] }, 400, 'WRONG_TYPE', '/rows/1/f2'],
      [{ rows: [{ ...row, f2: true }] }, 400, 'WRONG_TYPE', '/rows/0/f2'],
      ['{"rows": [{"f0": 1e999, "f1": 0, "f2": 0, "f3": 0}]}', 400, 'OUT_OF_RANGE', '/rows/0/f0'],
      [{ rows: [{ ...row, f9: 1 }] }, 400, 'UNKNOWN_FEATURE', '/rows/0/f9'],
      [{ rows: [{ f0: 1 }] }, 400, 'MISSING_FEATURE', '/rows/0/f1'],
      [{ model: 'demo', rows: [{ ...rowsOf('logistic')[0], f1: null }] }, 400, 'NULL_VALUE', '/rows/0/f1'],
      [`{"rows": [${' '.repeat(2001)}]}`, 413, 'BODY_TOO_LARGE'],
    ]
    for (const [body, status, code, pointer] of cases) {
      const { answer, ...response } = await post(body)
      expect([body, response.status, answer.code, answer.pointer]).toEqual([body, status, code, pointer])
      expect(
        Object.keys(answer).filter(key => !['code', 'message', 'pointer', 'problems', 'request_id'].includes(key)),
      ).toEqual([])
      expect(answer.request_id).toMatch(/^[0-9a-f-]{36}$/)
      expect(JSON.stringify(answer)).not.toMatch(/node_modules|\.ts|\.js|at \w+ \(|FST_/)
    }
    expect((await post('a=1', { 'content-type': 'text/plain' })).status).toBe(415)
    expect(warnings).toEqual([])
  })

  it('names every wrong value', async () => {
    const { post } = await serve(await homeWith({ demo: 'logistic' }), ['demo'])
    const [row] = rowsOf('logistic')
    const { problems } = (
      await post({
        rows: [
          { ...row, f0: null, f3: 'x' },
          { ...row, f1: null },
        ],
      })
    ).answer
    expect(problems.map(({ pointer }) => pointer)).toEqual(['/rows/0/f0', '/rows/0/f3', '/rows/1/f1'])
  })

  it('turns requests away when too many rows wait', async () => {
    const { url, get } = await serve(await homeWith({ demo: 'linear' }), ['demo'], { max_waiting_rows: 8 })
    const body = JSON.stringify({ rows: rowsOf('linear') })
    // All in one packet: they arrive in one turn.
    const head = (connection: string) =>
      `${HEAD}connection: ${connection}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const answer = await raw(url, head('keep-alive').repeat(9) + head('close'))
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', ...Array(9).fill('HTTP/1.1 503')])
    expect(answer).toContain('retry-after: 1')
    expect(await (await get('/metrics')).text()).toContain('sluice_errors_total{code="OVERLOADED"} 9')
  })
})

describe('the server', () => {
  it('has health, readiness, metrics and a description', async () => {
    const { get, post } = await serve(await homeWith({ demo: 'trees' }), ['demo'])
    expect(await (await get('/healthz')).json()).toEqual({ status: 'ok' })
    expect(await (await get('/readyz')).json()).toEqual({ status: 'ready' })
    await post({ rows })
    await post({ rows: [{}] })
    await get('/nowhere')
    const metrics = await (await get('/metrics')).text()
    for (const sample of [
      'sluice_predictions_total{model="demo",version="1"} 8',
      'sluice_requests_total{route="/v1/predict",method="POST",status="200"} 1',
      'sluice_requests_total{route="/v1/predict",method="POST",status="400"} 1',
      'sluice_requests_total{route="unknown",method="any",status="404"} 1',
      'sluice_errors_total{code="MISSING_FEATURE"} 1',
      'sluice_request_seconds_count{route="/v1/predict"} 2',
      'sluice_serving_version{model="demo"} 1',
      'process_resident_memory_bytes',
    ])
      expect(metrics).toContain(sample)
    const missing = await get('/nowhere')
    expect([missing.status, ((await missing.json()) as Answer).code]).toEqual([404, 'NOT_FOUND'])
    expect(await (await get('/%zz')).json()).toMatchObject({ code: 'BAD_URL', request_id: expect.any(String) })
  })

  it('describes itself by OpenAPI', async () => {
    const { get } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { max_rows: 7 })
    const document = (await (await get('/openapi.json')).json()) as { openapi: string; paths: object }
    const paths = ['/healthz', '/metrics', '/openapi.json', '/readyz', '/v1/predict']
    expect([document.openapi, Object.keys(document.paths).sort()]).toEqual(['3.1.0', paths])
    const body = { content: { 'application/json': { schema: { properties: { rows: { maxItems: 7 } } } } } }
    const answer = { content: { 'application/json': { schema: { required: ['predictions', 'model', 'request_id'] } } } }
    expect(document.paths).toMatchObject({
      '/v1/predict': { post: { requestBody: body, responses: { 200: answer, '4XX': {}, '5XX': {} } } },
    })
  })

  it('does not start without a champion, on a port in use, or off this machine without a token', async () => {
    const home = await homeWith({ demo: 'linear' })
    await expect(serve(home, ['other'])).rejects.toMatchObject({ code: 'NO_CHAMPION', exit: 2 })
    const { url } = await serve(home, ['demo'])
    await expect(serve(home, ['demo'], { port: Number(new URL(url).port) })).rejects.toMatchObject({ code: 'LISTEN' })
    for (const host of ['0.0.0.0', '::', '192.168.0.1', 'example.org', '127.0.0.1.example.org'])
      await expect(serve(home, ['demo'], { host })).rejects.toMatchObject({ code: 'TOKEN_REQUIRED' })
    await expect(startServer({ models: [], log: keepLog(), token: '' })).rejects.toMatchObject({ code: 'TOKEN' })
  })

  it('with a token, asks for it everywhere but at /healthz and /readyz', async () => {
    const { get, post, url } = await serve(await homeWith({ demo: 'trees' }), ['demo'], {
      token: 'secret',
      host: '0.0.0.0',
    })
    expect(url).toMatch(/^http:/)
    for (const path of ['/healthz', '/readyz']) expect((await get(path)).status).toBe(200)
    const refused = await post({ rows })
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    for (const path of ['/metrics', '/openapi.json', '/nowhere', '/v1/predict'])
      expect((await get(path)).status).toBe(401)
    for (const authorization of ['', 'secret', 'Bearer', 'Bearer secre', 'Bearer secret2', 'bearer secret'])
      expect((await post({ rows }, { authorization })).status).toBe(401)
    expect((await post({ rows }, { authorization: 'Bearer secret' })).status).toBe(200)
    expect((await get('/metrics', { authorization: 'Bearer secret' })).status).toBe(200)
  })

  it('serves the champion of a home by name', async () => {
    const home = await homeWith({ demo: 'trees' })
    const context = { ...home, log: keepLog(), signal: new AbortController().signal } as unknown as Parameters<
      typeof serveChampion
    >[2]
    const server = await serveChampion('demo', { port: 0, trusted: [] }, context)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
    await server.close()
  })
})
