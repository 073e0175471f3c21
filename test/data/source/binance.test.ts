import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { random } from '../../../src/base/random.ts'
import { joinTables, type Table } from '../../../src/base/table.ts'
import { gather } from '../../../src/data/gather.ts'
import { countsOf, ingest } from '../../../src/data/ingest.ts'
import type { SourceContext } from '../../../src/data/rows.ts'
import { dataConfig } from '../../../src/data/schema.ts'
import { openSource } from '../../../src/data/sources.ts'
import { loadTable } from '../../../src/data/tables.ts'
import { serve, testClock } from '../../server.ts'
import { describeShared, shared } from '../../shared.ts'
import { dataOf, NOW, testContext } from '../home.ts'
import { type Kline, kline, MINUTE, START } from './klines.ts'

const json = { 'content-type': 'application/json' }

const source = (base_url: string, more: object = {}) =>
  ({ kind: 'binance', symbols: ['BTCUSDT'], start: '2017-01-01', base_url, allow_private: true, ...more }) as z.input<
    typeof dataConfig
  >['source']

/** What a source gives, and how long it waited. */
async function fetched(
  from: z.input<typeof dataConfig>['source'],
  more: Partial<SourceContext> = {},
  schema: 'candles' | object = 'candles',
) {
  const config = dataOf(from, { timeframe: '1m', schema })
  const clock = testClock(NOW)
  const signal = new AbortController().signal
  const opened = openSource(config.source, config.schema, { signal, ...clock, timeframe: '1m', ...more })
  const gathered = await gather(opened, { scratch: '', signal })
  const tables: Table[] = []
  for await (const table of gathered?.tables() ?? []) tables.push(table)
  const report = gathered && countsOf(gathered, { timeframe: '1m', gaps: [], warnings: [] }, opened.warnings())
  return { table: tables.length ? joinTables(tables) : undefined, report, slept: clock.slept, opened }
}

interface Case {
  id: string
  status: number
  headers?: Record<string, string>
  body?: unknown
  body_text?: string
}

describeShared('every case of the REST corpus', () => {
  const { cases } = JSON.parse(readFileSync(shared('binance_rest/error_cases.json'), 'utf8')) as { cases: Case[] }
  const good = readFileSync(shared('binance_rest/klines_ok_spot.json'), 'utf8')
  const end = '2021-10-22T23:13:00Z' // after the ten klines
  const ban = (until: number) => Math.ceil((until - NOW) / 1000)

  /** The waits before the page came, or the code of the error, and what its words hold. */
  const expected: Record<string, { waits?: (number | 'backoff')[]; code?: string; words?: string[] }> = {
    '429_weight': { waits: [7000] },
    '429_weight_real_1200': { waits: ['backoff'] },
    '429_no_json': { waits: [3000] },
    '418_banned': { code: 'BANNED', words: ['2026-10-08', String(ban(1791436066508)), 'max_wait'] },
    '418_old_wording': { code: 'BANNED', words: [String(ban(1778353379518))] },
    '400_invalid_symbol': { code: 'BAD_SYMBOL', words: ['BTCUSDT'] },
    '400_missing_param': { code: 'REQUEST_REFUSED', words: ['-1102'] },
    '400_invalid_interval': { code: 'REQUEST_REFUSED', words: ['-1120', 'Invalid interval'] },
    '401_bad_key': { code: 'BAD_KEY', words: ['TEST_KEY'] },
    '403_waf': { code: 'FORBIDDEN' },
    '451_region': { code: 'REGION' },
    '500': { waits: ['backoff'] },
    '503_busy': { waits: ['backoff'] },
    '504_timeout': { waits: ['backoff'] },
    '200_error_body': { code: 'BANNED', words: [String(ban(1791436066508))] },
    '200_empty': {},
    '200_truncated': { waits: ['backoff'] },
    '200_short_row': { code: 'BAD_RESPONSE', words: ['row 1', '3 values'] },
  }

  it('has an expectation each', () => expect(Object.keys(expected).sort()).toEqual(cases.map(({ id }) => id).sort()))

  it.each(cases)('$id', async ({ id, status, headers, body, body_text }) => {
    const { url, requests } = await serve((_, response) => {
      if (requests.length > 1) response.writeHead(200, json).end(good)
      else response.writeHead(status, headers).end(body_text ?? JSON.stringify(body))
    })
    const { waits, code, words = [] } = expected[id]
    const result = await fetched(source(url, { end, api_key_env: 'TEST_KEY' }), { env: { TEST_KEY: 'k3y' } }).catch(
      error => ({ error }),
    )
    if (code) {
      const { error } = result as { error: { code: string; message: string; next: string } }
      expect(error).toMatchObject({ code, fault: 'data' })
      for (const word of words) expect(error.message).toContain(word)
      expect(`${error.message} ${error.next}`).not.toContain('k3y')
      expect(requests).toHaveLength(1)
      return
    }
    const { table, slept } = result as Awaited<ReturnType<typeof fetched>>
    expect(table?.rows).toBe(id === '200_empty' ? undefined : 10)
    expect(new Set(requests.map(({ url }) => url)).size).toBe(1) // the same page
    expect(slept).toHaveLength(waits?.length ?? 0)
    for (const [i, wait] of (waits ?? []).entries())
      if (wait === 'backoff') expect(slept[i]).toBeGreaterThanOrEqual(500)
      else expect(slept[i]).toBe(wait)
    expect(requests[0].headers['x-mbx-apikey']).toBe('k3y')
  })

  it('reads the klines as they are', async () => {
    const { url } = await serve((_, response) => response.writeHead(200, json).end(good))
    const { table } = await fetched(source(url, { end, keep: ['trades'] }))
    const first = table!.columns.map(({ name, values }) => [name, values[0]])
    expect(Object.fromEntries(first)).toEqual({
      ...{ time: 1634943780000, open: 60685.22, high: 60729.84, low: 60670.9, close: 60719.27, volume: 21.63272 },
      ...{ trades: 617, symbol: 'BTCUSDT' },
    })
  })
})

/** The history of a market, answered as Binance does: from startTime on, at most `limit`, none after endTime. */
const history = (from: number, minutes: number) => (query: URLSearchParams, seed: number) => {
  const [start, end] = [Number(query.get('startTime')), Number(query.get('endTime') ?? Infinity)]
  const first = Math.max(0, Math.ceil((start - from) / MINUTE))
  const found: Kline[] = []
  for (let i = first; i < minutes && found.length < Number(query.get('limit')); i++) {
    const time = from + i * MINUTE
    if (time <= end && i % 997 !== 500) found.push(kline(time, seed)) // now and then nobody trades
  }
  return found
}

const SYMBOLS = ['AAAUSDT', 'BBBUSDT', 'CCCUSDT']
const seedOf = (symbol: string) => SYMBOLS.indexOf(symbol)

function truth(answer: ReturnType<typeof history>, symbols = SYMBOLS) {
  const all = new URLSearchParams({ startTime: '0', limit: '1000000' })
  return symbols
    .flatMap(symbol => answer(all, seedOf(symbol)).map(row => [row[0] as number, symbol, Number(row[4])] as const))
    .sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1))
}

const rowsOf = (table: Table) => {
  const [time, , , , close, , symbol] = table.columns.map(({ values }) => values)
  return Array.from({ length: table.rows }, (_, i) => [time[i], symbol[i], close[i]])
}

describe('a history', () => {
  it('comes whole through faults drawn at random', async () => {
    const answer = history(START, 2700)
    const { next } = random(7)
    const before = new Map<string, string>()
    const faults = new Map<string, number>()
    const { url } = await serve((request, response) => {
      const query = new URL(request.url!, 'http://x').searchParams
      const symbol = query.get('symbol')!
      const page = JSON.stringify(answer(query, seedOf(symbol)))
      const draw = next()
      const fault = (name: string) => faults.set(name, (faults.get(name) ?? 0) + 1)
      if (draw < 0.1) {
        fault('drop')
        request.socket.destroy()
      } else if (draw < 0.2) {
        fault('429')
        response.writeHead(429, { 'retry-after': '3' }).end('slow down')
      } else if (draw < 0.25) {
        fault('503')
        response.writeHead(503, json).end('{"code":-1008,"msg":"busy"}')
      } else if (draw < 0.35) {
        fault('cut')
        response.writeHead(200, json).end(page.slice(0, Math.floor(next() * page.length)))
      } else if (draw < 0.45) {
        fault('broken')
        response.writeHead(200, { ...json, 'content-length': page.length })
        response.write(page.slice(0, page.length >> 1), () => request.socket.destroy())
      } else if (draw < 0.55 && before.has(symbol)) {
        fault('repeated')
        response.writeHead(200, json).end(before.get(symbol))
      } else if (draw < 0.65) {
        fault('short')
        response.writeHead(200, json).end(JSON.stringify(JSON.parse(page).slice(0, 300)))
      } else {
        before.set(symbol, page)
        response.writeHead(200, json).end(page)
      }
    })
    const from = source(url, { symbols: SYMBOLS, start: '2024-01-01', retries: 20 })
    const { table, report, slept } = await fetched(from)
    expect(rowsOf(table!)).toEqual(truth(answer))
    expect(report!.read).toBe(report!.accepted + report!.rejected + report!.duplicates)
    expect(report!.rejected).toBe(0)
    expect([...faults.keys()].sort()).toEqual(['429', '503', 'broken', 'cut', 'drop', 'repeated', 'short'])
    expect(slept.filter(ms => ms === 3000).length).toBe(faults.get('429'))
  })

  it('is read over again where pages overlap, each bar once', async () => {
    const answer = history(START, 2500)
    const { url } = await serve((request, response) => {
      const query = new URL(request.url!, 'http://x').searchParams
      query.set('startTime', String(Number(query.get('startTime')) - 50 * MINUTE))
      response.end(JSON.stringify(answer(query, 0)))
    })
    // The server ends with the page that it gave before: no end that could be believed.
    const ended = await fetched(source(url, { start: '2024-01-01', retries: 2 })).catch(error => error)
    expect(ended).toMatchObject({ code: 'DOWNLOAD_FAILED' })
    expect(ended.message).toContain('came before already')
    const { table, report } = await fetched(source(url, { start: '2024-01-01', end: '2024-01-02T17:40:00Z' }))
    expect(rowsOf(table!).map(([time]) => time)).toEqual(truth(answer, ['AAAUSDT']).map(([time]) => time))
    expect(report!.duplicates).toBe(100)
  })

  it('leaves out the bar that is not closed', async () => {
    const { url, requests } = await serve((_, response) =>
      response.end(JSON.stringify([kline(NOW - 2 * MINUTE), kline(NOW - MINUTE), kline(NOW)])),
    )
    const { table, report } = await fetched(source(url))
    expect(table!.rows).toBe(2)
    expect(report!.reasons).toEqual({ OPEN_BAR: 1 })
    expect(requests).toHaveLength(1)
  })

  it('may be in microseconds', async () => {
    const micro = ([time, ...rest]: Kline) => [
      Number(time) * 1000,
      ...rest.slice(0, 5),
      Number(rest[5]) * 1000 + 999,
      ...rest.slice(6),
    ]
    const { url } = await serve((_, response) =>
      response.end(JSON.stringify([kline(START), micro(kline(START + MINUTE))])),
    )
    const { table } = await fetched(source(url, { end: '2024-01-01T00:02:00Z' }))
    expect([...table!.columns[0].values]).toEqual([START, START + MINUTE])
  })

  it('keeps what is no number out, and says what it was', async () => {
    const bad = kline(START + MINUTE)
    bad[4] = 'NaN?'
    const { url } = await serve((_, response) => response.end(JSON.stringify([kline(START), bad])))
    const { report, opened } = await fetched(source(url, { end: '2024-01-01T00:02:00Z' }))
    expect(report!.broken).toMatchObject([{ column: 'close', code: 'NOT_A_NUMBER', rows: 1 }])
    expect(report!.broken[0].first[0]).toMatch(/symbol=BTCUSDT&interval=1m:2$/)
    expect(await opened.text([{ file: 0, line: 2, position: 0, size: 0 }])).toEqual([JSON.stringify(bad)])
  })

  it('stays below the weight of a minute', async () => {
    const answer = history(START, 2500)
    let weight = 4791
    const { url } = await serve((request, response) => {
      weight += 2
      response.setHeader('x-mbx-used-weight-1m', weight)
      response.end(JSON.stringify(answer(new URL(request.url!, 'http://x').searchParams, 0)))
      weight = 0 // the minute is over
    })
    const { slept } = await fetched(source(url, { start: '2024-01-01', parallel: 4 }))
    expect(slept).toEqual([MINUTE])
  })

  it('of futures has its own path and pages', async () => {
    const { url, requests } = await serve((_, response) => response.end('[]'))
    await fetched(source(url, { market: 'futures' }))
    expect(requests[0].url).toBe('/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=1483228800000&limit=1500')
  })

  it('can be a table of all its columns', async () => {
    const { url } = await serve((_, response) => response.end(JSON.stringify([kline(START)])))
    const { table } = await fetched(source(url, { end: '2024-01-01T00:01:00Z' }), {}, 'table' as never)
    expect(table!.columns.map(({ name, type }) => `${name} ${type}`)).toEqual([
      ...['time time', 'open number', 'high number', 'low number', 'close number', 'volume number'],
      ...['quote_volume number', 'trades number', 'taker_buy_base number', 'taker_buy_quote number', 'symbol string'],
    ])
  })
})

describe('a table of klines', () => {
  it('goes on from its newest bars, and takes a revised one', async () => {
    const context = testContext()
    const bars = Array.from({ length: 30 }, (_, i) => kline(NOW - (40 - i) * MINUTE))
    const { url, requests } = await serve((request, response) => {
      const from = Number(new URL(request.url!, 'http://x').searchParams.get('startTime'))
      response.end(JSON.stringify(bars.filter(([time]) => Number(time) >= from)))
    })
    const config = dataOf(source(url, { start: '2025-12-31', overlap: 5 }), { timeframe: '1m' })
    const first = await ingest(config, context)
    expect([first.version, first.rows]).toEqual([1, 30])
    const again = await ingest(config, context)
    expect([again.version, again.created, again.added, again.revised]).toEqual([1, false, 0, 0])
    requests.length = 0
    bars[27] = [...bars[27].slice(0, 5), '99', ...bars[27].slice(6)]
    bars.push(kline(NOW - 10 * MINUTE), kline(NOW - 9 * MINUTE))
    const next = await ingest(config, context)
    expect([next.version, next.rows, next.added, next.revised]).toEqual([2, 32, 2, 1])
    expect(new URL(requests[0].url!, 'http://x').searchParams.get('startTime')).toBe(String(NOW - 16 * MINUTE))
    const { table, manifest } = await loadTable('prices', 2, context)
    expect(table.columns[5].values[27]).toBe(99)
    expect(manifest.revisions).toHaveLength(1)
  })

  it('goes on where an ingest was ended, and leaves nothing behind', async () => {
    const context = testContext()
    const now = Date.now
    const answer = history(START, 4500)
    let broken = true
    const { url, requests } = await serve((request, response) => {
      const query = new URL(request.url!, 'http://x').searchParams
      if (broken && Number(query.get('startTime')) > START + 3000 * MINUTE) response.writeHead(403).end()
      else response.end(JSON.stringify(answer(query, 0)))
    })
    const config = dataOf(source(url, { start: '2024-01-01' }), { timeframe: '1m' })
    await expect(ingest(config, { ...context, now })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    expect(requests).toHaveLength(4)
    const downloads = join(context.home, 'cache', 'downloads')
    expect(readdirSync(join(downloads, readdirSync(downloads)[0]))).toHaveLength(3)
    broken = false
    requests.length = 0
    const { rows } = await ingest(config, { ...context, now })
    expect(rows).toBe(truth(answer, ['AAAUSDT']).length)
    expect(requests).toHaveLength(3) // the fourth page, the fifth, the end
    expect(readdirSync(downloads)).toEqual([])
  })

  it('is refused a key that is not there, before anything is asked', async () => {
    const { url, requests } = await serve((_, response) => response.end('[]'))
    const config = dataOf(source(url, { api_key_env: 'NO_SUCH_KEY' }), { timeframe: '1m' })
    await expect(ingest(config, testContext())).rejects.toMatchObject({ code: 'NO_KEY', fault: 'usage' })
    expect(requests).toHaveLength(0)
  })
})

describe('its config', () => {
  const problems = (source: object, timeframe?: string) =>
    dataConfig
      .safeParse({ source: { kind: 'binance', symbols: ['BTCUSDT'], start: '2024-01-01', ...source }, timeframe })
      .error?.issues.map(({ path }) => path.join('.'))

  it.each([
    [{}, '1m', undefined],
    [{}, undefined, ['timeframe']],
    [{}, '7m', ['timeframe']],
    [{ market: 'futures' }, '1s', ['timeframe']],
    [{ start: undefined }, '1m', ['source.start']],
    [{ archive: 'x' }, '1m', ['source.start']],
    [{ start: 'noon' }, '1m', ['source.start']],
    [{ symbols: ['A', 'A'] }, '1m', ['source.symbols']],
    [{ symbols: ['BTC/USDT'] }, '1m', ['source.symbols.0']],
    [{ base_url: 'file:///x' }, '1m', ['source.base_url']],
    [{ keep: ['close_time'] }, '1m', ['source.keep.0']],
  ])('%j of %s', (source, timeframe, expected) => expect(problems(source, timeframe)).toEqual(expected))
})
