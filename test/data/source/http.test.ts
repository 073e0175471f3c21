import { readdirSync, readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Context } from '../../../src/base/context.ts'
import { ingest } from '../../../src/data/ingest.ts'
import { dataConfig } from '../../../src/data/schema.ts'
import { loadTable } from '../../../src/data/tables.ts'
import { serve } from '../../server.ts'
import { dataOf, NOW, testContext } from '../home.ts'

const HOUR = 3_600_000
const START = Date.UTC(2024, 0, 1)
const bars = Array.from({ length: 25 }, (_, i) => ({
  ...{ time: START + i * HOUR, open: 100 + i, high: 103 + i, low: 99 + i, close: 101 + i, volume: 10 * i },
}))
const csv = (rows: typeof bars, header = true) =>
  `${header ? 'time,open,high,low,close,volume\n' : ''}${rows.map(row => `${Object.values(row).join(',')}\n`).join('')}`

type Given = Parameters<typeof dataOf>[0]
const http = (url: string, more: object = {}) =>
  dataOf({ kind: 'http', url, allow_private: true, retries: 0, ...more } as Given, { timeframe: '1h' })
const queryOf = (url = '') => new URL(url, 'http://x').searchParams

async function ingested(answer: RequestListener, path: string, more: object = {}, context: Partial<Context> = {}) {
  const { url, requests } = await serve(answer)
  const home = { ...testContext(), ...context }
  const config = http(`${url}${path}`, more)
  const report = await ingest(config, home)
  const { table } = await loadTable('prices', undefined, home)
  return {
    report,
    close: [...table.columns[4].values],
    asked: requests.map(({ url }) => url),
    home,
    config,
    requests,
    url,
  }
}

const whole = bars.map(({ close }) => close)
const failing = (answer: RequestListener, path: string, more?: object) =>
  ingested(answer, path, more).then(
    () => undefined,
    error => error,
  )

describe('an answer', () => {
  it.each([
    ['json', JSON.stringify(bars), {}],
    ['json', JSON.stringify({ meta: 1, data: { items: bars } }), { records: 'data.items' }],
    ['json', JSON.stringify(bars.map(row => Object.values(row))), { header: Object.keys(bars[0]) }],
    ['jsonl', bars.map(row => JSON.stringify(row)).join('\n'), {}],
    ['csv', csv(bars), {}],
    ['csv', csv(bars, false), { header: false }],
    ['csv', csv(bars).replaceAll(',', ';'), { delimiter: ';' }],
  ])('of %s is a table: %.40s', async (format, body, more) => {
    const { close } = await ingested((_, response) => response.end(body), '/', { format, ...more })
    expect(close).toEqual(whole)
  })

  it.each([
    ['{"error": "no such market"}', {}, 'SERVER_ERROR', 'no such market'],
    [
      '{"data": [], "status": {"message": "quota"}}',
      { records: 'data', error: 'status.message' },
      'SERVER_ERROR',
      'quota',
    ],
    ['{"message": "hello"}', {}, 'BAD_RESPONSE', 'hello'],
    ['{"items": [{"a": 1}]}', { records: 'data' }, 'BAD_RESPONSE', 'no list'],
    ['[{"time": 1704067200000, "open": 1', {}, 'BAD_RESPONSE', 'cut off'],
    ['<html>Just a moment</html>', {}, 'BAD_RESPONSE', 'no JSON'],
    ['<html>Just a moment</html>', { format: 'csv' }, 'BAD_RESPONSE', 'Just a moment'],
    ['{"error": 1}', { format: 'csv' }, 'BAD_RESPONSE', 'no CSV'],
    ['[]', {}, 'EMPTY_INPUT', 'no rows'],
    ['time,open\n', { format: 'csv' }, 'EMPTY_INPUT', 'no rows'],
    ['time,open\n1,2\n', { format: 'csv' }, 'MISSING_COLUMN', '/bars has no column'],
  ])('%s is %j %s', async (body, more, code, words) => {
    const error = await failing((_, response) => response.end(body), '/bars', more)
    expect(error).toMatchObject({ code, fault: 'data' })
    expect(error.message).toContain(words)
  })

  it('of another status is told', async () => {
    const error = await failing((_, response) => response.writeHead(401).end('{}'), '/bars')
    expect(error).toMatchObject({ code: 'HTTP_STATUS' })
    expect(error.next).toContain('key')
  })

  it('in CSV that ends within a line is asked for again', async () => {
    let calls = 0
    const { close } = await ingested(
      (request, response) => {
        // Without a length and without chunks only the end of the connection ends a body.
        const text = ++calls === 1 ? csv(bars).slice(0, -3) : csv(bars)
        request.socket.end(`HTTP/1.0 200 OK\r\n\r\n${text}`)
        response.destroy()
      },
      '/',
      { format: 'csv', retries: 1 },
    )
    expect([close, calls]).toEqual([whole, 2])
  })

  it('keeps what is wrong with a row, by the URL of its page', async () => {
    const bad = [...bars.slice(0, 3), { ...bars[3], close: 'x' }]
    const { report } = await ingested((_, response) => response.end(JSON.stringify(bad)), '/bars')
    expect(report.broken).toMatchObject([{ code: 'NOT_A_NUMBER', column: 'close', rows: 1 }])
    expect(report.broken[0].first[0]).toMatch(/\/bars:4$/)
    expect(readFileSync(report.quarantine!, 'utf8')).toContain('""close"":""x""')
  })
})

describe('pages', () => {
  const slice = (from: number, size: number) => bars.slice(from, from + size)

  it('by number, to the first empty one', async () => {
    const { close, asked } = await ingested(
      (request, response) => response.end(JSON.stringify(slice((Number(queryOf(request.url).get('p')) - 1) * 10, 10))),
      '/bars?size=10',
      { paging: { kind: 'page', param: 'p' } },
    )
    expect(close).toEqual(whole)
    expect(asked).toEqual([1, 2, 3, 4].map(page => `/bars?size=10&p=${page}`))
  })

  it('by number in the path', async () => {
    const { close, asked } = await ingested(
      (request, response) => response.end(csv(slice(Number(request.url!.split('/').at(-1)) * 10, 10))),
      '/bars/{page}',
      { format: 'csv', paging: { kind: 'page', first: 0 } },
    )
    expect([close, asked.length]).toEqual([whole, 4])
  })

  it('by offset, of whatever size they come', async () => {
    let size = 0
    const { close, asked } = await ingested(
      (request, response) =>
        response.end(JSON.stringify(slice(Number(queryOf(request.url).get('offset')), ++size * 3))),
      '/bars',
      { paging: { kind: 'offset' } },
    )
    expect(close).toEqual(whole)
    expect(asked.slice(0, 4).map(url => queryOf(url).get('offset'))).toEqual(['0', '3', '9', '18'])
  })

  it('by cursor', async () => {
    const { close, asked } = await ingested(
      (request, response) => {
        const from = Number(queryOf(request.url).get('after') ?? 0)
        const next = from + 10 < bars.length ? from + 10 : null
        response.end(JSON.stringify({ rows: slice(from, 10), meta: { next } }))
      },
      '/bars',
      { records: 'rows', paging: { kind: 'cursor', param: 'after', path: 'meta.next' } },
    )
    expect([close, asked]).toEqual([whole, ['/bars', '/bars?after=10', '/bars?after=20']])
  })

  it('by link', async () => {
    const { close } = await ingested(
      (request, response) => {
        const from = Number(queryOf(request.url).get('from') ?? 0)
        if (from + 10 < bars.length)
          response.setHeader('link', `<?from=0>; rel="first", <?from=${from + 10}>; rel="next"`)
        response.end(JSON.stringify(slice(from, 10)))
      },
      '/bars',
      { paging: { kind: 'link' } },
    )
    expect(close).toEqual(whole)
  })

  it('by a link to another server are refused', async () => {
    const error = await failing(
      (_, response) => response.setHeader('link', '<http://127.0.0.1:1/>; rel=next').end(JSON.stringify(bars)),
      '/bars',
      { paging: { kind: 'link' } },
    )
    expect(error).toMatchObject({ code: 'BAD_RESPONSE' })
  })

  it('that are the same for ever are refused', async () => {
    const all = JSON.stringify({ rows: bars, next: 'x' })
    const answer: RequestListener = (_, response) => response.end(all)
    const paging = { kind: 'page' }
    expect(await failing(answer, '/', { records: 'rows', paging })).toMatchObject({ code: 'REPEATED_PAGE' })
    const cursor = { kind: 'cursor', path: 'next' }
    expect(await failing(answer, '/', { records: 'rows', paging: cursor })).toMatchObject({ code: 'REPEATED_PAGE' })
    let other = 0
    const circle = await failing(
      (_, response) => response.end(JSON.stringify({ rows: bars, next: 'x', other: ++other })),
      '/',
      { records: 'rows', paging: cursor },
    )
    expect(circle).toMatchObject({ code: 'REPEATED_PAGE' })
  })

  it('that came are not asked for again after an ingest that was ended', async () => {
    let broken = true
    const { url, requests } = await serve((request, response) => {
      const page = Number(queryOf(request.url).get('page'))
      if (broken && page === 3) response.writeHead(404).end()
      else response.end(JSON.stringify(slice((page - 1) * 10, 10)))
    })
    const home = { ...testContext(), now: Date.now }
    const config = http(`${url}/bars`, { paging: { kind: 'page' } })
    await expect(ingest(config, home)).rejects.toMatchObject({ code: 'HTTP_STATUS' })
    broken = false
    requests.length = 0
    const { rows } = await ingest(config, home)
    expect([rows, requests.length]).toEqual([25, 2])
    expect(readdirSync(join(home.home, 'cache', 'downloads'))).toEqual([])
  })
})

describe('what is new', () => {
  it('of rows without a time or a key is all of them, not the same ones a second time', async () => {
    let rows = [{ item: 'a', price: 1 }]
    const { url } = await serve((_, response) => response.end(JSON.stringify(rows)))
    const home = testContext()
    const config = dataOf({ kind: 'http', url, allow_private: true } as Given, { schema: 'table' })
    const first = await ingest(config, home)
    expect(await ingest(config, home)).toMatchObject({ version: 1, created: false, rows: 1, digest: first.digest })
    rows = [...rows, { item: 'b', price: 2 }]
    expect(await ingest(config, home)).toMatchObject({ version: 2, rows: 2, read: 2 })
    expect(await ingest({ ...config, load: 'incremental' }, home)).toMatchObject({ version: 3, rows: 4, added: 2 })
  })

  it('is asked for from the newest row on', async () => {
    let shown = 20
    const { report, asked, home, config, requests } = await ingested(
      (request, response) => {
        const from = Date.parse(queryOf(request.url).get('from')!)
        response.end(JSON.stringify(bars.slice(0, shown).filter(({ time }) => time >= from)))
      },
      '/bars?from={from}&to={to}',
      { start: '2024-01-01', overlap: '2h' },
    )
    expect([report.rows, asked]).toEqual([
      ...[20, ['/bars?from=2024-01-01T00%3A00%3A00.000Z&to=2026-01-01T00%3A00%3A00.000Z']],
    ])
    shown = 25
    const next = await ingest(config, home)
    expect([next.read, next.added, next.rows]).toEqual([8, 5, 25])
    expect(queryOf(requests[1].url).get('from')).toBe('2024-01-01T17:00:00.000Z')
    expect((await ingest(config, home)).created).toBe(false)
  })

  it.each([
    ['date', '2024-01-01', '2026-01-01'],
    ['s', '1704067200', String(NOW / 1000)],
    ['ms', '1704067200000', String(NOW)],
  ])('with times as %s', async (time_format, from, to) => {
    const { asked } = await ingested((_, response) => response.end(JSON.stringify(bars)), '/{from}/{to}', {
      ...{ time_format, start: '2024-01-01' },
    })
    expect(asked).toEqual([`/${from}/${to}`])
  })
})

describe('secrets', () => {
  const env = { KEY: 's3 cret', TOKEN: 't0ken' }

  it('come from the environment', async () => {
    const { requests } = await ingested(
      (_, response) => response.end(JSON.stringify(bars)),
      `/bars?key=\${KEY}`,
      { headers: { Authorization: `Bearer \${TOKEN}` } },
      { env },
    )
    expect(requests[0].url).toBe('/bars?key=s3%20cret')
    expect(requests[0].headers.authorization).toBe('Bearer t0ken')
  })

  it('are in no message, no report and no table', async () => {
    const answers = ['{"error": "no"}', '[]', '[{"a": 1}]', 'x', JSON.stringify([{ ...bars[0], close: 'x' }, bars[1]])]
    for (const answer of answers) {
      const { url } = await serve((_, response) => response.end(answer))
      const home = { ...testContext(), env }
      const config = http(`${url}/?key=\${KEY}`, { headers: { 'x-token': `\${TOKEN}` } })
      const result = await ingest(config, home).catch(({ message, next, detail }) => ({ message, next, detail }))
      expect(JSON.stringify(result)).not.toMatch(/s3|t0ken/)
      expect(JSON.stringify(home.warnings)).not.toMatch(/s3|t0ken/)
    }
  })

  it('that are missing are missed before anything is asked', async () => {
    const { url, requests } = await serve((_, response) => response.end('[]'))
    await expect(ingest(http(`${url}/\${NONE}`), testContext())).rejects.toMatchObject({
      code: 'NO_KEY',
      fault: 'usage',
    })
    expect(requests).toHaveLength(0)
  })
})

describe('its config', () => {
  const problems = (source: object) =>
    dataConfig
      .safeParse({ source: { kind: 'http', ...source } })
      .error?.issues.map(({ path }) => path.slice(1).join('.'))

  it.each([
    [{ url: 'https://x.com/{page}', paging: { kind: 'page' } }, undefined],
    [{ url: 'https://x.com/{page}' }, ['url']],
    [{ url: 'https://x.com/{from}' }, ['start']],
    [{ url: `https://x.com/\${KEY}` }, undefined],
    [{ url: 'ftp://x.com' }, ['url']],
    [{ url: 'https://a:b@x.com' }, ['url']],
    [{ url: '/etc/passwd' }, ['url']],
    [{ url: 'https://x.com', paging: { kind: 'cursor', path: 'a' }, format: 'csv' }, ['paging']],
    [{ url: 'https://x.com', headers: { 'a b': 'c' } }, ['headers.a b']],
    [{ url: 'https://x.com', headers: { a: 'c\r\nd: e' } }, ['headers.a']],
    [{ url: 'https://x.com', decimal: ',', thousands: ',' }, ['thousands']],
  ])('%j', (source, expected) => expect(problems(source)).toEqual(expected))
})
