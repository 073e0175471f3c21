import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { DAY, isoTime } from '../../../src/base/time.ts'
import { ingest } from '../../../src/data/ingest.ts'
import { loadTable } from '../../../src/data/tables.ts'
import { serve } from '../../server.ts'
import { describeShared, shared } from '../../shared.ts'
import { dataOf, testContext } from '../home.ts'

const TODAY = Date.UTC(2026, 9, 1, 12)
const config = (base_url: string, more: object = {}) =>
  dataOf({ kind: 'feargreed', base_url, allow_private: true, retries: 1, max_wait: 30, ...more }, { table: 'fng' })
const context = () => ({ ...testContext(), now: () => TODAY })

interface Case {
  id: string
  status: number
  headers?: Record<string, string>
  body?: { data: { value: string; value_classification: string; timestamp: string }[] }
  body_text?: string
}

async function ingested(answer: Pick<Case, 'status' | 'headers' | 'body' | 'body_text'>) {
  const { url, requests } = await serve((_, response) =>
    response.writeHead(answer.status, answer.headers).end(answer.body_text ?? JSON.stringify(answer.body)),
  )
  const home = context()
  const report = await ingest(config(url), home)
  const { table } = await loadTable('fng', 1, home)
  const rows = Array.from({ length: table.rows }, (_, i) => table.columns.map(({ values }) => values[i]))
  return { report, rows, columns: table.columns.map(({ name, type }) => `${name} ${type}`), requests }
}

describeShared('every case of the corpus', () => {
  const { cases } = JSON.parse(readFileSync(shared('fng/api_cases.json'), 'utf8')) as { cases: Case[] }
  const expected: Record<string, { days?: string[]; code?: string; words?: string }> = {
    ok_limit1: { days: ['2026-09-28'] },
    ok_limit2: { days: ['2026-09-07', '2026-09-08'] },
    ok_doc_sample: { days: ['2019-02-25', '2019-02-26'] },
    error_in_metadata: { code: 'SERVER_ERROR', words: 'Internal error' },
    value_out_of_range: { code: 'EMPTY_INPUT', words: '1 ABOVE_MAXIMUM' },
    '429': { code: 'RATE_LIMITED', words: 'asks to wait 60 s' },
    html: { code: 'BAD_RESPONSE', words: 'no JSON' },
  }

  it('has an expectation each', () => expect(Object.keys(expected).sort()).toEqual(cases.map(({ id }) => id).sort()))

  it.each(cases)('$id', async answer => {
    const { days, code, words } = expected[answer.id]
    const found = await ingested(answer).catch(error => error)
    if (code) {
      expect(found).toMatchObject({ code, fault: 'data' })
      expect(found.message).toContain(words)
      return
    }
    expect(found.columns).toEqual(['time time', 'value number', 'classification string'])
    expect(found.rows.map(([time]: [number]) => isoTime(time))).toEqual(days!.map(day => `${day}T00:00:00.000Z`))
    const { data } = answer.body!
    expect(found.rows.map(([, value, words]: unknown[]) => [value, words])).toEqual(
      data.map(entry => [Number(entry.value), entry.value_classification]).reverse(),
    )
  })

  it('reads a whole body', async () => {
    const body = JSON.parse(readFileSync(shared('fng/api_body_limit365.json'), 'utf8'))
    const { report, rows } = await ingested({ status: 200, body })
    expect([report.rows, report.rejected, report.gaps, report.timeframe]).toEqual([365, 0, 0, '1d'])
    expect(rows.at(-1)).toEqual([1672444800000, 25, 'Extreme Fear'])
  })
})

describe('the index', () => {
  const body = (from: number, days: number) => ({
    data: Array.from({ length: days }, (_, i) => ({
      ...{ value: String((from / DAY + days - i) % 100), value_classification: 'Fear' },
      timestamp: String((from + (days - 1 - i) * DAY) / 1000),
    })),
    metadata: { error: null },
  })

  it('is asked for what is new, with an overlap', async () => {
    const midnight = TODAY - 12 * 3_600_000
    let days = 10
    const { url, requests } = await serve((_, response) =>
      response.end(JSON.stringify(body(midnight - 20 * DAY, days))),
    )
    const home = context()
    await ingest(config(url), home)
    days = 12
    const { added, rows } = await ingest(config(url), home)
    expect(requests.map(({ url }) => url)).toEqual(['/fng/?limit=0&format=json', '/fng/?limit=15&format=json'])
    expect([added, rows]).toEqual([2, 12])
  })

  it.each([
    ['[]', 'BAD_RESPONSE'],
    ['{"data": 1}', 'BAD_RESPONSE'],
    ['{"data": [null]}', 'BAD_RESPONSE'],
    ['{"data": []}', 'EMPTY_INPUT'],
    ['null', 'BAD_RESPONSE'],
    ['{"data": [{"value": "5", "timestamp": "noon"}]}', 'EMPTY_INPUT'],
    ['{"data": [{"value": "5.5", "timestamp": "1517443200"}]}', 'EMPTY_INPUT'],
  ])('%s is %s', async (body_text, code) => {
    await expect(ingested({ status: 200, body_text })).rejects.toMatchObject({ code })
  })
})
