// The one way to a URL that a user gave: a guarded GET (request.ts), repeated only where that may help.
import { setTimeout as delay } from 'node:timers/promises'
import { dataError, messageOf, SluiceError } from './errors.ts'
import { type Answer, BOUNDS, openRequests } from './request.ts'
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

/** Ms. */
const BACKOFF = { floor: 500, cap: 60_000 }

export function openFetcher(rules: FetchRules, context: FetchContext): Fetcher {
  const { now, secrets = [], sleep = pass } = context
  const closed = new AbortController()
  const signal = AbortSignal.any([context.signal, closed.signal])
  const failure = (code: string, message: string, more?: { next?: string }) =>
    dataError(code, withoutSecrets(message, secrets), more)
  const requests = openRequests(rules, { signal, bounds: { ...BOUNDS, ...context.bounds }, failure })
  /** By host: a time in which nothing is sent there, and why nothing will be any more. */
  const pauses = new Map<string, Promise<unknown>>()
  const stopped = new Map<string, SluiceError>()

  /** What breaks on the way may hold next time; what is refused here will not. */
  async function attempt(url: URL, headers: Record<string, string>): Promise<Answer | Again> {
    try {
      return await requests.get(url, headers)
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
      const url = requests.check(text)
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
      requests.close()
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
