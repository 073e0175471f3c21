// The Crypto Fear & Greed Index of alternative.me: one value a day.
import { dataError } from '../../base/errors.ts'
import { type Again, comeAgain, isSuccess, NO_JSON, openFetcher, statusError } from '../../base/fetch.ts'
import type { Answer } from '../../base/request.ts'
import { DAY } from '../../base/time.ts'
import { cellReader } from '../cells.ts'
import { type DataSchema, dataSchema } from '../columns.ts'
import { placer } from '../layout.ts'
import { addRow, emptyRows, type Rows, refuse, type Source, type SourceContext } from '../rows.ts'
import type { FearGreedSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { KIND } from '../timestamp.ts'
import { parseJson } from './records.ts'

interface Entry {
  value?: unknown
  value_classification?: unknown
  timestamp?: unknown
}

const NAMES = ['time', 'value', 'classification']
/** What rows are held to where the config has no schema of its own. */
const SCHEMA = dataSchema.parse([
  { name: 'time', type: 'time' },
  { name: 'value', type: 'integer', min: 0, max: 100 },
  { name: 'classification', type: 'string', nullable: true },
])
/** Days before the newest known one that are asked for again. */
const OVERLAP = 3

/** The time is 00:00 UTC of the day that the value stands for, whatever the stamp's hour. Errors: SERVER_ERROR, BAD_RESPONSE, HTTP_STATUS, and those of base/fetch.ts. */
export function readFearGreed(config: FearGreedSource, schema: DataSchema, context: SourceContext): Source {
  const { signal, now, sleep, watermark = {} } = context
  const days = '' in watermark ? Math.ceil((now() - watermark['']) / DAY) + OVERLAP : 0 // 0: all
  const url = new URL(`/fng/?limit=${days}&format=json`, config.base_url).href
  const place = placer(schema === 'candles' ? SCHEMA : schema, {}, [])
  const { layout, places } = place.place(NAMES, url, ['time', 'number', 'string'])
  const cells = cellReader({ decimal: '.', thousands: null })
  let entries: Entry[] = []

  async function* blocks(): AsyncGenerator<Rows> {
    const fetcher = openFetcher({ ...config, parallel: 1 }, { signal, now, sleep })
    try {
      entries = await fetcher.get(url, answer => entriesOf(answer, url, now()))
    } finally {
      fetcher.close()
    }
    const rows = emptyRows(layout)
    for (let i = entries.length - 1; i >= 0; i--) addEntry(rows, entries[i], i + 1) // the newest comes first
    timeSettler({ unit: 's', now: now() }).settle(rows)
    if (rows.count) yield rows
  }

  function addEntry(rows: Rows, entry: Entry, line: number): void {
    const row = addRow(rows)
    rows.line[row] = line
    const day = Math.floor(Number(entry.timestamp) / 86_400) * DAY
    const values = [day, entry.value, entry.value_classification]
    for (const [i, place] of places.entries()) {
      const { type } = layout.columns[i]
      if (place < 0) cells.absent(rows, row, i)
      else if (type !== 'time') cells.value(rows, row, i, values[place])
      else {
        cells.time(rows, row, i, day, Number.isNaN(day) ? KIND.invalid : KIND.instant)
        if (Number.isNaN(day)) refuse(rows, row, 'TIMESTAMP_INVALID', i)
      }
    }
  }

  return {
    blocks: blocks(),
    warnings: () => [],
    paths: [url],
    files: async () => [],
    text: async places => places.map(({ line }) => JSON.stringify(entries[line - 1])),
  }
}

function entriesOf(answer: Answer, url: string, now: number): Entry[] | Again {
  const again = comeAgain(answer, now)
  if (again) return again
  if (!isSuccess(answer)) throw statusError(answer, url)
  const body = parseJson(answer.text) as { data?: Entry[]; metadata?: { error?: unknown } } | null | undefined
  if (body === undefined) return NO_JSON
  if (body?.metadata?.error) throw dataError('SERVER_ERROR', `${url} answers with an error: ${body.metadata.error}`)
  if (!Array.isArray(body?.data)) throw dataError('BAD_RESPONSE', `the answer of ${url} has no list data`)
  const bad = body.data.findIndex(entry => !entry || typeof entry !== 'object')
  if (bad >= 0) throw dataError('BAD_RESPONSE', `entry ${bad + 1} of ${url} is no object`)
  return body.data
}
