import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { loadModel } from '../../src/base/onnx.ts'
import { serveChampion, startServer } from '../../src/serve/server.ts'
import { expected, modelFile, rowsOf } from '../registry/example.ts'
import { homeWith, keepLog, serve } from './serving.ts'

const rows = rowsOf('trees')

/** Sends text as it is and gives back all that comes until the server hangs up. */
function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write(text))
    socket.on('data', chunk => (answer += chunk))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))

describe('POST /v1/predict', () => {
  it('answers every kind of task as the contract says', async () => {
    const home = await homeWith({ trees: 'trees', three: 'multiclass', linear: 'linear' })
    const { post } = await serve(home, ['trees', 'three', 'linear'])
    const ask = async (model: string | undefined, rows: object[]) => (await post({ model, rows })).json()
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
      (await (await post({ rows })).json()).predictions.map(({ probability }: { probability: number }) => probability)
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
      ['', 400, 'INVALID_JSON'],
      ['{"rows": [', 400, 'INVALID_JSON'],
      ['{"rows": [{"f0": NaN}]}', 400, 'INVALID_JSON'],
      ['{"rows": [{"__proto__": {}}]}', 400, 'INVALID_JSON'],
      [[], 400, 'WRONG_TYPE', ''],
      ['null', 400, 'WRONG_TYPE', ''],
      [{}, 400, 'MISSING_FIELD', '/rows'],
      [{ rows: [row], sequence: [] }, 400, 'UNKNOWN_FIELD', '/sequence'],
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
      const response = await post(body)
      const answer = await response.json()
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
    const { problems } = await (
      await post({
        rows: [
          { ...row, f0: null, f3: 'x' },
          { ...row, f1: null },
        ],
      })
    ).json()
    expect(problems.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/rows/0/f0',
      '/rows/0/f3',
      '/rows/1/f1',
    ])
  })

  it('turns requests away when too many rows wait', async () => {
    const { post } = await serve(await homeWith({ demo: 'linear' }), ['demo'], { max_waiting_rows: 8 })
    const many = await Promise.all(Array.from({ length: 60 }, () => post({ rows: rowsOf('linear') })))
    const statuses = new Set(many.map(({ status }) => status))
    expect([...statuses].sort()).toEqual([200, 503])
    const refused = many.find(({ status }) => status === 503)!
    expect([refused.headers.get('retry-after'), (await refused.json()).code]).toEqual(['1', 'OVERLOADED'])
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
    expect([missing.status, (await missing.json()).code]).toEqual([404, 'NOT_FOUND'])
    expect(await (await get('/%zz')).json()).toMatchObject({ code: 'BAD_URL', request_id: expect.any(String) })
  })

  it('describes itself by OpenAPI', async () => {
    const { get } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { max_rows: 7 })
    const document = await (await get('/openapi.json')).json()
    expect(document.openapi).toBe('3.1.0')
    expect(Object.keys(document.paths).sort()).toEqual([
      '/healthz',
      '/metrics',
      '/openapi.json',
      '/readyz',
      '/v1/predict',
    ])
    const { requestBody, responses } = document.paths['/v1/predict'].post
    expect(requestBody.content['application/json'].schema.properties.rows.maxItems).toBe(7)
    expect(Object.keys(responses).sort()).toEqual(['200', '4XX', '5XX'])
  })

  it('does not start without a champion, on a port in use, or off this machine without a token', async () => {
    const home = await homeWith({ demo: 'linear' })
    await expect(serve(home, ['other'])).rejects.toMatchObject({ code: 'NO_CHAMPION', exit: 2 })
    const { url } = await serve(home, ['demo'])
    await expect(serve(home, ['demo'], { port: Number(new URL(url).port) })).rejects.toMatchObject({ code: 'ADDRESS' })
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

describe('a sender that', () => {
  const HEAD = 'POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'

  it('is slow with its headers or its body is cut off', async () => {
    const { url } = await serve(await homeWith({ demo: 'linear' }), ['demo'], { request_timeout: 0.1 })
    const answers = await Promise.all([raw(url, HEAD), raw(url, `${HEAD}content-length: 99\r\n\r\n{"rows"`)])
    for (const answer of answers) {
      expect(answer).toMatch(/^HTTP\/1.1 408 /)
      expect(bodyOf(answer)).toMatchObject({ code: 'REQUEST_TIMEOUT', request_id: expect.any(String) })
    }
  })

  it('speaks no HTTP, or too long headers, is told so', async () => {
    const { url } = await serve(await homeWith({ demo: 'linear' }), ['demo'])
    expect(bodyOf(await raw(url, 'nonsense\r\n\r\n')).code).toBe('BAD_REQUEST')
    expect(bodyOf(await raw(url, `GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`)).code).toBe('HEADERS_TOO_LARGE')
  })

  it('hangs up in the middle leaves no trace', async () => {
    const { url, post, warnings } = await serve(await homeWith({ demo: 'linear' }), ['demo'])
    const { hostname, port } = new URL(url)
    await new Promise<void>(resolve => {
      const socket = connect(Number(port), hostname, () =>
        socket.write(`${HEAD}content-length: 99\r\n\r\n{`, () => socket.destroy()),
      )
      socket.on('close', () => resolve())
    })
    expect((await post({ rows: rowsOf('linear') })).status).toBe(200)
    expect(warnings).toEqual([])
  })
})

describe('a closing server', () => {
  it('says so at /readyz, answers what comes, then is gone', async () => {
    const { url, get, post, close } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { drain_delay: 0.1 })
    const inFlight = Array.from({ length: 20 }, () => post({ rows }))
    const closed = close()
    expect(close()).toBe(closed)
    const ready = await get('/readyz')
    expect([ready.status, await ready.json()]).toEqual([503, { status: 'draining' }])
    expect((await post({ rows })).status).toBe(200)
    for (const response of await Promise.all(inFlight)) expect(response.status).toBe(200)
    await closed
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
  })

  it('answers a request whose body was still on its way', async () => {
    const { url, close } = await serve(await homeWith({ demo: 'trees' }), ['demo'])
    const agent = new Agent({ keepAlive: true })
    const body = JSON.stringify({ rows })
    const headers = { 'content-type': 'application/json', 'content-length': body.length }
    const status = new Promise((resolve, reject) => {
      const sender = httpRequest(`${url}/v1/predict`, { method: 'POST', headers, agent }, response =>
        resolve(response.statusCode),
      )
      sender.on('error', reject)
      sender.write(body.slice(0, 10))
      setTimeout(() => {
        void close()
        setTimeout(() => sender.end(body.slice(10)), 20)
      }, 20)
    })
    expect(await status).toBe(200)
    await close()
    agent.destroy()
  })

  it('does not wait for ever for one that says nothing', async () => {
    const { url, close } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { drain_timeout: 0.1 })
    const silent = raw(
      url,
      'POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{',
    )
    await new Promise(resolve => setTimeout(resolve, 30))
    const began = performance.now()
    await close()
    expect(performance.now() - began).toBeLessThan(1000)
    await silent
  })
})
