import { createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  type Again,
  backoff,
  comeAgain,
  type FetchContext,
  type FetchRules,
  isSuccess,
  openFetcher,
  retryAfter,
} from '../../src/base/fetch.ts'
import type { Answer } from '../../src/base/request.ts'
import { serve, testClock } from '../server.ts'

const NOW = Date.UTC(2026, 0, 1)

function fetcher(rules: Partial<FetchRules> = {}, more: Partial<FetchContext> = {}) {
  const clock = testClock(NOW)
  const signal = new AbortController().signal
  const all = { allow_private: true, parallel: 4, retries: 3, max_wait: 60, ...rules }
  const made = openFetcher(all, { signal, ...clock, ...more })
  onTestFinished(() => made.close())
  const read = (answer: Answer): Answer | Again => comeAgain(answer, clock.now()) ?? answer
  return { ...made, clock, text: (url: string, headers = {}) => made.get(url, read, headers) }
}

describe('redirects', () => {
  it('are followed, each looked at, with headers for the first origin only', async () => {
    const other = await serve((request, response) => response.end(JSON.stringify(request.headers)))
    const { url } = await serve((request, response) =>
      response.writeHead(302, { location: request.url === '/1' ? '/2' : `${other.url}/3` }).end(),
    )
    const { text } = await fetcher().text(`${url}/1`, { 'x-key': 'secret' })
    expect(text).toContain('sluice')
    expect(text).not.toContain('secret')
  })

  it.each(['file:///etc/passwd', 'http://user:pass@127.0.0.1/'])('to %s are refused', async location => {
    const { url } = await serve((_, response) => response.writeHead(301, { location }).end())
    await expect(fetcher().text(url)).rejects.toMatchObject({ code: 'URL' })
  })

  it('in a circle end', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(307, { location: '/' }).end())
    await expect(fetcher().text(url)).rejects.toMatchObject({ code: 'REDIRECT' })
    expect(requests).toHaveLength(6)
  })
})

describe('what passes is tried again', () => {
  it.each([429, 500, 502, 503, 504])('status %i', async status => {
    let calls = 0
    const { url } = await serve((_, response) => response.writeHead(++calls < 3 ? status : 200).end('x'))
    const { text, clock } = fetcher()
    expect((await text(url)).text).toBe('x')
    expect(clock.slept).toHaveLength(2)
    expect(Math.min(...clock.slept)).toBeGreaterThanOrEqual(500)
  })

  it('a connection that breaks, before and in the middle of the answer', async () => {
    let calls = 0
    const { url } = await serve((request, response) => {
      calls++
      if (calls === 1) request.socket.destroy()
      else if (calls === 2)
        response.writeHead(200, { 'content-length': 100 }).write('half', () => request.socket.destroy())
      else if (calls === 3) response.writeHead(200).write('half', () => request.socket.destroy())
      else response.end('whole')
    })
    expect((await fetcher().text(url)).text).toBe('whole')
    expect(calls).toBe(4)
  })

  it('a server that is silent, or slow for ever', async () => {
    const silent = createServer(socket => void socket.on('error', () => {}))
    await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void silent.close())
    const { port } = silent.address() as { port: number }
    const { text } = fetcher({ retries: 1 }, { bounds: { idle: 20 } })
    await expect(text(`http://127.0.0.1:${port}/`)).rejects.toThrow('failed 2 times, the last time: nothing came')

    const { url } = await serve((_, response) => {
      const drip = setInterval(() => response.write('x'), 5)
      response.on('close', () => clearInterval(drip))
    })
    const slow = fetcher({ retries: 0 }, { bounds: { idle: 50, total: 60 } })
    await expect(slow.text(url)).rejects.toThrow('no whole answer')
  })

  it('so many times, and no longer', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(500).end())
    await expect(fetcher({ retries: 4 }).text(url)).rejects.toMatchObject({ code: 'DOWNLOAD_FAILED', fault: 'data' })
    expect(requests).toHaveLength(5)
  })

  it('and nothing else', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(404).end())
    const answer = await fetcher().text(url)
    expect([answer.status, isSuccess(answer), requests.length]).toEqual([404, false, 1])
  })
})

describe('Retry-After', () => {
  it.each([
    ['7', 7000],
    ['0', 0],
    [new Date(NOW + 9000).toUTCString(), 9000],
    [new Date(NOW - 9000).toUTCString(), 0],
    ['soon', undefined],
    ['', undefined],
  ])('%j', (text, expected) => {
    expect(retryAfter({ headers: { 'retry-after': text } }, NOW)).toBe(expected)
  })

  it('holds back every request to that host', async () => {
    let calls = 0
    const { url } = await serve((_, response) =>
      ++calls === 1 ? response.writeHead(429, { 'retry-after': '7' }).end() : response.end('x'),
    )
    let release = () => {}
    const slept: number[] = []
    const sleep = (ms: number) => {
      slept.push(ms)
      return new Promise<void>(resolve => (release = resolve))
    }
    const { text } = fetcher({}, { sleep })
    const first = text(url)
    await expect.poll(() => slept).toEqual([7000])
    const second = text(url)
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(calls).toBe(1)
    release()
    await Promise.all([first, second])
    expect(calls).toBe(3)
  })

  it('above max_wait ends the download, and all others from that host', async () => {
    const { url, requests } = await serve((_, response) => response.writeHead(503, { 'retry-after': '61' }).end())
    const { text } = fetcher()
    await expect(text(url)).rejects.toThrow(
      /asks to wait 61 s, until 2026-01-01T00:01:01.000Z, and max_wait is 60: status 503/,
    )
    await expect(text(`${url}/other`)).rejects.toThrow('61 s')
    expect(requests).toHaveLength(1)
  })
})

describe('an answer', () => {
  it('may be packed, and is bounded unpacked', async () => {
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(1 << 20))),
    )
    expect((await fetcher().text(url)).text).toHaveLength(1 << 20)
    const small = fetcher({}, { bounds: { bytes: 1 << 19 } })
    await expect(small.text(url)).rejects.toMatchObject({ code: 'TOO_LARGE' })
  })

  it('that is packed and cut off is fetched again', async () => {
    const packed = gzipSync(Buffer.from('x'.repeat(1000)))
    let calls = 0
    const { url } = await serve((_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(++calls === 1 ? packed.subarray(0, -9) : packed),
    )
    expect((await fetcher().text(url)).text).toHaveLength(1000)
  })

  it('comes over connections that are kept', async () => {
    const sockets = new Set<unknown>()
    const { url } = await serve((request, response) => {
      sockets.add(request.socket)
      response.end('x')
    })
    const { text } = fetcher()
    for (let i = 0; i < 5; i++) await text(url)
    expect(sockets.size).toBe(1)
  })
})

it('stops at once when it is told to', async () => {
  const { url } = await serve(() => {})
  const abort = new AbortController()
  const { text } = fetcher({}, { signal: abort.signal })
  const waiting = text(url)
  setTimeout(() => abort.abort(new Error('stopped')), 10)
  await expect(waiting).rejects.toThrow('stopped')
})

it('tells no secret', async () => {
  const { url } = await serve((_, response) => response.writeHead(500).end())
  const { text } = fetcher({ retries: 0 }, { secrets: ['s3 cret&', ''] })
  const error = await text(`${url}/?key=${encodeURIComponent('s3 cret&')}`).catch(error => error)
  expect(error.message).toContain('key=***')
  expect(JSON.stringify([error.message, error.next, error.detail])).not.toContain('s3')
})

it('waits between a floor and a bound that doubles', () => {
  fc.assert(
    fc.property(fc.nat(50), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (tries, draw) => {
      const ms = backoff(tries, () => draw)
      expect(ms).toBeGreaterThanOrEqual(500)
      expect(ms).toBeLessThanOrEqual(Math.min(60_000, 500 * 2 ** (tries + 1)))
    }),
  )
})
