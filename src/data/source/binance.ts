// Klines of Binance's REST API (spot and USD-M futures), or from the archives of data.binance.vision.
import { concurrently } from '../../base/concurrent.ts'
import { dataError, type SluiceError } from '../../base/errors.ts'
import { type Again, comeAgain, type Fetcher, isSuccess, NO_JSON, openFetcher, retryAfter } from '../../base/fetch.ts'
import type { Answer } from '../../base/request.ts'
import { secretOf } from '../../base/secrets.ts'
import { barClose, isoTime, parseTimeframe, timeframeLength } from '../../base/time.ts'
import type { DataSchema } from '../columns.ts'
import { openPages, type Pages, pageIndex } from '../pages.ts'
import { BLOCK_ROWS, emptyRows, type Rows, type Source, type SourceContext } from '../rows.ts'
import type { BinanceSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { readArchive } from './archive.ts'
import { isKline, type Kline, klineTime, klineWriter, openBarWarning, WIDTH } from './kline.ts'
import { parseJson } from './records.ts'

/** `weight`: of a request for a whole page; `weight_limit`: of a minute, four fifths of what is allowed, since others may share the address. */
const MARKETS = {
  spot: { host: 'https://api.binance.com', path: '/api/v3/klines', limit: 1000, weight: 2, weight_limit: 4800 },
  futures: { host: 'https://fapi.binance.com', path: '/fapi/v1/klines', limit: 1500, weight: 10, weight_limit: 1920 },
}
const MINUTE = 60_000
/** Errors of the server, not of the request (its documentation, errors.md). */
const PASSING_CODES = new Set([-1000, -1001, -1006, -1007, -1008, -1016])
const RATE_CODE = -1003

/** Candles with their symbol. Errors: BAD_SYMBOL, BAD_KEY, FORBIDDEN, REGION, BANNED, RATE_LIMITED, BAD_RESPONSE, REQUEST_REFUSED, and those of base/fetch.ts and of the archives. */
export function readBinance(config: BinanceSource, schema: DataSchema, context: SourceContext): Source {
  return config.archive === undefined ? readApi(config, schema, context) : readArchive(config, schema, context)
}

function readApi(config: BinanceSource, schema: DataSchema, context: SourceContext): Source {
  const timeframe = context.timeframe!
  const { host, path } = MARKETS[config.market]
  const address = new URL(path, config.base_url ?? host)
  const paths = config.symbols.map(symbol => `${address}?${new URLSearchParams({ symbol, interval: timeframe })}`)
  const pages = openPages({ config, timeframe }, context)
  const index = pageIndex(pages)
  const settler = timeSettler({ unit: 'ms', now: context.now() })
  const writer = klineWriter(schema, config.keep)
  let open = 0

  async function* blocks(): AsyncGenerator<Rows> {
    const server = openServer(config, address, context)
    const series = config.symbols.map(
      (symbol, file) => () => download(server, pages, { symbol, file, ...span(symbol) }),
    )
    let rows = emptyRows(writer.layout)
    try {
      for await (const page of concurrently(series, config.parallel)) {
        const first = index.add(page.file, page.key, page.klines.length)
        open += page.open
        for (let i = 0; i < page.klines.length - page.open; i++)
          writer.add(rows, page.klines[i], page.symbol, { file: page.file, line: first + i })
        context.log?.progress(`${page.symbol}: to ${isoTime(klineTime(page.klines.at(-1)!))}`)
        if (rows.count < BLOCK_ROWS) continue
        settler.settle(rows)
        yield rows
        rows = emptyRows(writer.layout)
      }
    } finally {
      server.close()
    }
    settler.settle(rows)
    if (rows.count) yield rows
  }

  /** From the newest bar that is known, and some before it, which may have been revised. */
  function span(symbol: string): { from: number; to: number } {
    const known = context.watermark?.[symbol]
    const start = Date.parse(config.start!)
    const again = config.overlap * timeframeLength(parseTimeframe(timeframe))
    const to = config.end === undefined ? Number.POSITIVE_INFINITY : Date.parse(config.end)
    return { from: known === undefined ? start : Math.max(start, known - again), to }
  }

  return {
    blocks: blocks(),
    warnings: () => openBarWarning(open),
    paths,
    files: async () => [],
    text: async places => index.text(places, parseJson as (text: string) => unknown[]),
    done: pages.clear,
  }
}

interface Wanted {
  symbol: string
  file: number
  /** First opening, and the time before which bars open. */
  from: number
  to: number
}

interface Page extends Wanted {
  key: string
  klines: Kline[]
  /** Klines at the end that are not closed yet. */
  open: number
}

/** The pages of one symbol, in the order of time. One that is full of closed bars can not change any more. */
async function* download(server: Server, pages: Pages, wanted: Wanted): AsyncGenerator<Page> {
  for (let from = wanted.from; from < wanted.to; ) {
    const key = server.urlOf(wanted, from)
    const left = pages.left(key)
    const klines = left === undefined ? await server.page(wanted, from) : (JSON.parse(left) as Kline[])
    if (!klines.length) return
    const open = klines.filter(kline => server.isOpen(kline)).length
    if (left === undefined) pages.keep(key, JSON.stringify(klines), klines.length >= server.limit && !open)
    yield { ...wanted, key, klines, open }
    const last = klineTime(klines.at(-1)!)
    if (open || server.next(last) >= wanted.to) return
    from = last + 1
  }
}

interface Server extends Pick<Fetcher, 'close'> {
  limit: number
  urlOf(wanted: Wanted, from: number): string
  /** The page that begins at `from`: only an empty one is the end. */
  page(wanted: Wanted, from: number): Promise<Kline[]>
  isOpen(kline: Kline): boolean
  /** Opening of the bar after. */
  next(open: number): number
}

function openServer(config: BinanceSource, address: URL, context: SourceContext): Server {
  const { limit, weight, weight_limit } = MARKETS[config.market]
  const frame = parseTimeframe(context.timeframe!)
  const key = config.api_key_env === undefined ? undefined : secretOf(config.api_key_env, context.env)
  const { signal, now, sleep } = context
  const fetcher = openFetcher(config, { signal, now, secrets: key ? [key] : [], sleep })
  const most = config.weight_limit ?? weight_limit

  function urlOf({ symbol, to }: Wanted, from: number): string {
    const query = { symbol, interval: frame.name, startTime: String(from), limit: String(limit) }
    return `${address}?${new URLSearchParams({ ...query, ...(to < Infinity && { endTime: String(to - 1) }) })}`
  }

  /** Those who ask at the same time count too. */
  function heed({ headers }: Answer): void {
    const used = Number(headers['x-mbx-used-weight-1m'] ?? 0)
    if (used + weight * config.parallel > most) fetcher.pause(address.href, MINUTE - (now() % MINUTE))
  }

  return {
    limit,
    urlOf,
    isOpen: kline => klineTime(kline, 6) >= now(),
    next: open => barClose(open, frame),
    page: (wanted, from) =>
      fetcher.get(
        urlOf(wanted, from),
        answer => {
          const body = parseJson(answer.text)
          if (!isSuccess(answer) || !Array.isArray(body)) return explain(answer, body, wanted.symbol, config, now())
          heed(answer)
          return checked(body, wanted, from)
        },
        key ? { 'x-mbx-apikey': key } : {},
      ),
    close: fetcher.close,
  }
}

/** A page as it was asked for: bars of the span, in the order of time, and no page that was there before. */
function checked(body: unknown[], { symbol, to }: Wanted, from: number): Kline[] | Again {
  const bad = body.findIndex(row => !isKline(row))
  if (bad >= 0) {
    const row = body[bad]
    const has = Array.isArray(row) ? `${row.length} values` : typeof row
    throw dataError(
      'BAD_RESPONSE',
      `row ${bad + 1} of the klines of ${symbol} from ${isoTime(from)} is none: ${has}, a kline has ${WIDTH}, times first`,
    )
  }
  const klines = body as Kline[]
  const times = klines.map(kline => klineTime(kline))
  const page = `the page of ${symbol} from ${isoTime(from)}`
  if (times.some((time, i) => i > 0 && time <= times[i - 1])) return { again: `${page} is not in the order of time` }
  if (times.length && times.at(-1)! < from) return { again: `${page} came before already` }
  if (times.length && times.at(-1)! >= to) return { again: `${page} has bars after its end` }
  return klines
}

/** What an answer that is no page says: to come again, or why not. */
function explain(answer: Answer, body: unknown, symbol: string, config: BinanceSource, now: number): Again {
  const { status } = answer
  const { code, msg } = (body && typeof body === 'object' ? body : {}) as { code?: number; msg?: string }
  const words = msg ? `status ${status}, ${code}: ${msg}` : `status ${status}`
  if (status === 418 || status === 429 || code === RATE_CODE) {
    const wait = waitOf(answer, msg, now)
    return { again: words, wait, code: status === 418 || banTime(msg) ? 'BANNED' : 'RATE_LIMITED' }
  }
  if (PASSING_CODES.has(code!)) return { again: words, wait: retryAfter(answer, now) }
  if (isSuccess(answer) && body === undefined) return NO_JSON
  const again = comeAgain(answer, now)
  if (again) return again
  throw refusal(status, code, words, symbol, config)
}

/** Ms since the epoch, of "IP banned until 1791436066508". */
const banTime = (msg?: string): number | undefined => {
  const found = /banned until (\d{13})/.exec(msg ?? '')
  return found ? Number(found[1]) : undefined
}

function waitOf(answer: Answer, msg: string | undefined, now: number): number | undefined {
  const ban = banTime(msg)
  const waits = [retryAfter(answer, now), ban === undefined ? undefined : Math.max(0, ban - now)]
  const known = waits.filter(wait => wait !== undefined)
  return known.length ? Math.max(...known) : undefined
}

function refusal(
  status: number,
  code: number | undefined,
  words: string,
  symbol: string,
  config: BinanceSource,
): SluiceError {
  const { market, api_key_env } = config
  if (code === -1121)
    return dataError('BAD_SYMBOL', `Binance (${market}) has no symbol ${symbol} (${words})`, {
      next: `correct symbols, or set market: ${market === 'spot' ? 'futures' : 'spot'}`,
    })
  if (status === 401 || code === -2014 || code === -2015)
    return dataError('BAD_KEY', `Binance refuses the key of ${api_key_env ?? 'no variable'} (${words})`, {
      next: 'candles need no key: remove api_key_env, or correct the variable',
    })
  if (status === 403)
    return dataError('FORBIDDEN', `the firewall of Binance refuses this address (${words})`, {
      next: 'wait some minutes; then a smaller parallel and weight_limit',
    })
  if (status === 451)
    return dataError('REGION', `Binance does not serve this region (${words})`, {
      next: 'base_url: https://data-api.binance.vision (spot, public data), or archive with files from data.binance.vision',
    })
  return dataError('REQUEST_REFUSED', `Binance refuses the klines of ${symbol} (${words})`)
}
