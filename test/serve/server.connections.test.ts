// What happens to connections: slow ones, broken ones, and those that are open when the server closes.
import { Agent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { rowsOf } from '../registry/example.ts'
import { bodyOf, HEAD, homeWith, raw, serve } from './serving.ts'

const rows = rowsOf('trees')

describe('a sender that', () => {
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
    const { url, get, post, close } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { drain_delay: 0.4 })
    const inFlight = Array.from({ length: 5 }, () => post({ rows }))
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
    const headers = { 'content-type': 'application/json', 'content-length': body.length, expect: '100-continue' }
    const sender = httpRequest(`${url}/v1/predict`, { method: 'POST', headers, agent })
    const status = new Promise((resolve, reject) => {
      sender.on('response', response => resolve(response.statusCode)).on('error', reject)
    })
    sender.flushHeaders()
    // The server has the headers once it says that it wants the body.
    await new Promise(resolve => sender.once('continue', resolve))
    const closed = close()
    sender.end(body)
    expect(await status).toBe(200)
    await closed
    agent.destroy()
  })

  it('does not wait for ever for one that says nothing', async () => {
    const { url, close } = await serve(await homeWith({ demo: 'trees' }), ['demo'], { drain_timeout: 0.1 })
    const silent = raw(url, `${HEAD}content-length: 99\r\n\r\n{`)
    await new Promise(resolve => setTimeout(resolve, 30))
    const began = performance.now()
    await close()
    expect(performance.now() - began).toBeLessThan(1000)
    await silent
  })
})
