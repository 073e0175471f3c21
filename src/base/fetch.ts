// The one way to a URL that a user gave: http(s) only, no private address, bounded in size and time, repeated only where that may help.
import { lookup } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { pipeline } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { createGunzip } from 'node:zlib'
import { dataError, messageOf, SluiceError } from './errors.ts'
import { withoutSecrets } from './secrets.ts'
import { isoTime } from './time.ts'

/** What a config says of its downloads. */
export interface FetchRules {
  /** Also addresses of this machine and of private networks. */
  allow_private: boolean
  /** Requests at once. */
  parallel: number
  /** How often a request is repeated. */
  retries: number
  /** Seconds; a server that asks for a longer wait ends the download. */
  max_wait: number
}

export interface FetchContext {
  signal: AbortSignal
  now(): number
  /** Words that appear in no message. */
  secrets?: string[]
  /** Ms. */
  sleep?: (ms: number, signal: AbortSignal) => Promise<unknown>
  bounds?: Partial<typeof BOUNDS>
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** Its end was told by a length or by chunks; else a body that was cut off looks like one that was not. */
  delimited: boolean
}

/** An answer that may be another one next time. */
export interface Again {
  again: string
  /** Ms that the server asks to wait, all requests to it included; default: a backoff. */
  wait?: number
  /** Of the error when that is too long, or happened too often. */
  code?: string
}

export interface Fetcher {
  /**
   * GETs a URL until `read` takes the answer, of whatever status. Headers go to the URL's own origin only.
   * Errors: URL, ADDRESS, REDIRECT, TOO_LARGE, DOWNLOAD_FAILED after the last try, RATE_LIMITED (or the code of Again) where a wait exceeds max_wait, and what `read` throws.
   */
  get<T extends object>(url: string, read: (answer: Answer) => T | Again, headers?: Record<string, string>): Promise<T>
  /** Lets no request to the host of a URL begin for so many ms. */
  pause(url: string, ms: number): void
  /** Ends what is under way. */
  close(): void
}

const BOUNDS = {
  /** Ms until a connection stands, between two pieces of an answer, and for the whole of it. */
  connect: 10_000,
  idle: 30_000,
  total: 600_000,
  /** Of an answer, unpacked. */
  bytes: 1 << 28,
}
/** Ms. */
const BACKOFF = { floor: 500, cap: 60_000 }
const MOST_REDIRECTS = 5

/** Not of the public Internet (IANA special-purpose address registries). */
const PRIVATE = new BlockList()
for (const range of [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/3'],
  ...['::/127', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '2001::/23', '2001:db8::/32', '2002::/16'],
  ...['fc00::/7', 'fe80::/9', 'ff00::/8'],
]) {
  const [address, bits] = range.split('/')
  PRIVATE.addSubnet(address, Number(bits), familyOf(address))
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4'
}

export const isPrivate = (address: string): boolean => PRIVATE.check(address, familyOf(address))

export function openFetcher(rules: FetchRules, context: FetchContext): Fetcher {
  const { now, secrets = [], sleep = pass } = context
  const bounds = { ...BOUNDS, ...context.bounds }
  const closed = new AbortController()
  const signal = AbortSignal.any([context.signal, closed.signal])
  const options = { keepAlive: true, maxSockets: rules.parallel }
  const agents = { 'http:': new HttpAgent(options), 'https:': new HttpsAgent(options) }
  /** By host: a time in which nothing is sent there, and why nothing will be any more. */
  const pauses = new Map<string, Promise<unknown>>()
  const stopped = new Map<string, SluiceError>()

  const failure = (code: string, message: string, more?: { next?: string }) =>
    dataError(code, withoutSecrets(message, secrets), more)

  function checked(text: string, base?: URL): URL {
    if (!URL.canParse(text, base?.href)) throw failure('URL', `${text} is no URL`)
    const url = new URL(text, base)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw failure('URL', `${text} is neither http nor https`)
    if (url.username || url.password) throw failure('URL', `the URL of ${url.host} holds a name or a password`)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) && !rules.allow_private && isPrivate(host)) throw isInside(host, host)
    return url
  }

  const isInside = (host: string, address: string) =>
    failure('ADDRESS', `${host} is not on the public Internet (${address})`, {
      next: 'allow_private: true, if this config may reach it',
    })

  /** The address that is connected to is the one that was looked at. */
  const guardedLookup: LookupFunction = (host, options, done) =>
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error) return done(error, '')
      const inside = rules.allow_private ? undefined : found.find(({ address }) => isPrivate(address))
      if (inside) return done(isInside(host, inside.address), '')
      if (options.all) done(null, found)
      else done(null, found[0].address, found[0].family)
    })

  function send(url: URL, headers: Record<string, string>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const protocol = url.protocol as 'http:' | 'https:'
      const send = protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(url, {
        agent: agents[protocol],
        headers: { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'sluice', ...headers },
        lookup: guardedLookup,
        signal,
        timeout: bounds.idle,
      })
      const endAfter = (ms: number, what: string) =>
        setTimeout(() => request.destroy(new Error(`${what} in ${ms / 1000} s`)), ms)
      const total = endAfter(bounds.total, 'no whole answer')
      request.on('socket', socket => {
        if (!socket.connecting) return
        const connecting = endAfter(bounds.connect, 'no connection')
        socket.once('connect', () => clearTimeout(connecting)).once('close', () => clearTimeout(connecting))
      })
      request.on('timeout', () => request.destroy(new Error(`nothing came for ${bounds.idle / 1000} s`)))
      request.on('close', () => clearTimeout(total))
      request.on('error', reject)
      request.on('response', response => collect(response, url).then(resolve, reject))
      request.end()
    })
  }

  async function collect(response: IncomingMessage, { host }: URL): Promise<Answer> {
    const { headers, statusCode: status = 0 } = response
    const packed = headers['content-encoding'] === 'gzip'
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of packed ? pipeline(response, createGunzip(), () => {}) : response) {
      size += chunk.length
      // Leaving the loop destroys the stream, and with it the connection.
      if (size > bounds.bytes) throw failure('TOO_LARGE', `an answer of ${host} has over ${bounds.bytes} bytes`)
      chunks.push(chunk)
    }
    const delimited = 'content-length' in headers || headers['transfer-encoding'] === 'chunked' || packed
    return { status, headers, text: Buffer.concat(chunks).toString('utf8'), delimited }
  }

  async function follow(url: URL, headers: Record<string, string>, hops = 0): Promise<Answer> {
    const answer = await send(url, headers)
    const { location } = answer.headers
    if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer
    const next = checked(location, url)
    if (hops === MOST_REDIRECTS) throw failure('REDIRECT', `${url.host} redirects more than ${MOST_REDIRECTS} times`)
    if (url.protocol === 'https:' && next.protocol === 'http:')
      throw failure('REDIRECT', `${url.host} redirects from https to http`)
    return follow(next, next.origin === url.origin ? headers : {}, hops + 1)
  }

  /** What breaks on the way may hold next time; what is refused here will not. */
  async function attempt(url: URL, headers: Record<string, string>): Promise<Answer | Again> {
    try {
      return await follow(url, headers)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SluiceError) throw error
      return { again: messageOf(error) || (error as NodeJS.ErrnoException).code || 'no connection' }
    }
  }

  function pause({ host }: URL, ms: number): void {
    const until = Promise.all([pauses.get(host), sleep(ms, signal)]).finally(() => {
      if (pauses.get(host) === until) pauses.delete(host)
    })
    until.catch(() => {}) // whoever waits for it is told
    pauses.set(host, until)
  }

  /** Waits as the server asks, the others with it, or for a while of its own. */
  async function wait(url: URL, { again, wait, code = 'RATE_LIMITED' }: Again, tries: number): Promise<void> {
    if (wait === undefined) {
      await sleep(backoff(tries), signal)
      return
    }
    if (wait <= rules.max_wait * 1000) return pause(url, wait)
    const until = isoTime(now() + wait)
    const error = failure(
      code,
      `${url.host} asks to wait ${Math.ceil(wait / 1000)} s, until ${until}, and max_wait is ${rules.max_wait}: ${again}`,
      { next: `the same command after ${until}; what came so far is kept` },
    )
    stopped.set(url.host, error)
    throw error
  }

  return {
    async get(text, read, headers = {}) {
      const url = checked(text)
      for (let tries = 0; ; tries++) {
        while (pauses.has(url.host)) await pauses.get(url.host)
        signal.throwIfAborted()
        const no = stopped.get(url.host)
        if (no) throw no
        const answer = await attempt(url, headers)
        const found = 'again' in answer ? answer : read(answer)
        if (!('again' in found)) return found
        if (tries === rules.retries)
          throw failure(
            found.code ?? 'DOWNLOAD_FAILED',
            `${url} failed ${tries + 1} times, the last time: ${found.again}`,
            {
              next: 'the same command later; what came so far is kept',
            },
          )
        await wait(url, found, tries)
      }
    },
    pause: (url, ms) => pause(new URL(url), ms),
    close() {
      closed.abort()
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }
}

const pass = (ms: number, signal: AbortSignal) => delay(ms, undefined, { signal })

/** Ms before the next try: drawn evenly between a floor and a bound that doubles ("full jitter", Brooker 2015). */
export function backoff(tries: number, draw = Math.random): number {
  const { floor, cap } = BACKOFF
  return floor + draw() * (Math.min(cap, floor * 2 ** (tries + 1)) - floor)
}

/** Ms of a Retry-After header, in seconds or as a date; undefined where there is none that can be read. */
export function retryAfter({ headers }: Pick<Answer, 'headers'>, now: number): number | undefined {
  const text = headers['retry-after']?.trim()
  if (!text) return undefined
  if (/^\d+$/.test(text)) return Number(text) * 1000
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** Statuses that say nothing of the request itself. */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504])

/** What the status of an answer asks for, where it was no success: to come again, or nothing. */
export function comeAgain(answer: Answer, now: number): Again | undefined {
  const { status } = answer
  if (!PASSING.has(status)) return undefined
  return { again: `status ${status}`, wait: retryAfter(answer, now), ...(status === 429 && { code: 'RATE_LIMITED' }) }
}

/** An answer that is no success and that another try will not change. */
export function statusError({ status }: Answer, url: string): SluiceError {
  const next =
    status === 401 || status === 403
      ? `does it need a key? headers: {Authorization: "Bearer \${NAME}"} takes it from the environment`
      : undefined
  return dataError('HTTP_STATUS', `${url} answers with status ${status}`, { next })
}

export const isSuccess = ({ status }: Pick<Answer, 'status'>): boolean => status >= 200 && status < 300

/** An answer that should have been JSON. */
export const NO_JSON: Again = { again: 'the answer is no JSON, or cut off', code: 'BAD_RESPONSE' }
