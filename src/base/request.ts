// One request to a URL that a user gave: http(s) only, no private address, bounded in size and time. fetch.ts says when a GET is repeated.
import { lookup } from 'node:dns'
import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { SluiceError } from './errors.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  /** Its end was told by a length or by chunks; else a body that was cut off looks like one that was not. */
  delimited: boolean
}

/** A data error in whose words no secret stands. */
export type Failure = (code: string, message: string, more?: { next?: string }) => SluiceError

export interface Requests {
  /** A URL that may be asked. Errors: URL, ADDRESS. */
  check(url: string): URL
  /** Follows redirects, with the headers for the URL's own origin only. Errors: ADDRESS, REDIRECT, TOO_LARGE, and what breaks on the way. */
  get(url: URL, headers: Record<string, string>): Promise<Answer>
  /** Sends a body and follows nothing. Errors: as `get`. */
  send(method: 'POST' | 'PUT', url: URL, headers: Record<string, string>, body: string | Uint8Array): Promise<Answer>
  close(): void
}

export const BOUNDS = {
  /** Ms until a connection stands, between two pieces of an answer, and for the whole of it. */
  connect: 10_000,
  idle: 30_000,
  total: 600_000,
  /** Of an answer, unpacked. */
  bytes: 1 << 28,
}
const MOST_REDIRECTS = 5

interface RequestContext {
  signal: AbortSignal
  bounds: typeof BOUNDS
  failure: Failure
}

/** `parallel`: connections to a host. */
export function openRequests(
  { allow_private, parallel }: { allow_private: boolean; parallel: number },
  { signal, bounds, failure }: RequestContext,
): Requests {
  const options = { keepAlive: true, maxSockets: parallel }
  const agents = { 'http:': new HttpAgent(options), 'https:': new HttpsAgent(options) }
  const { check, lookup } = guard(allow_private, failure)

  function send(
    method: string,
    url: URL,
    headers: Record<string, string>,
    body?: string | Uint8Array,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const protocol = url.protocol as 'http:' | 'https:'
      const send = protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(url, {
        method,
        agent: agents[protocol],
        headers: { accept: '*/*', 'accept-encoding': 'gzip', 'user-agent': 'sluice', ...headers },
        lookup,
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
      request.on('response', response => collect(response, url, bounds.bytes, failure).then(resolve, reject))
      request.end(body)
    })
  }

  async function get(url: URL, headers: Record<string, string>, hops = 0): Promise<Answer> {
    const answer = await send('GET', url, headers)
    const { location } = answer.headers
    if (answer.status < 300 || answer.status >= 400 || location === undefined) return answer
    const next = check(location, url)
    if (hops === MOST_REDIRECTS) throw failure('REDIRECT', `${url.host} redirects more than ${MOST_REDIRECTS} times`)
    if (url.protocol === 'https:' && next.protocol === 'http:')
      throw failure('REDIRECT', `${url.host} redirects from https to http`)
    return get(next, next.origin === url.origin ? headers : {}, hops + 1)
  }

  return {
    check,
    get: (url, headers) => get(url, headers),
    send,
    close() {
      for (const agent of Object.values(agents)) agent.destroy()
    },
  }
}

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

/** Looks at every URL, and at every address that a name stands for. */
function guard(allowPrivate: boolean, failure: Failure) {
  const isInside = (host: string, address: string) =>
    failure('ADDRESS', `${host} is not on the public Internet (${address})`, {
      next: 'allow_private: true, if this config may reach it',
    })

  function check(text: string, base?: URL): URL {
    if (!URL.canParse(text, base?.href)) throw failure('URL', `${text} is no URL`)
    const url = new URL(text, base)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw failure('URL', `${text} is neither http nor https`)
    if (url.username || url.password) throw failure('URL', `the URL of ${url.host} holds a name or a password`)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) && !allowPrivate && isPrivate(host)) throw isInside(host, host)
    return url
  }

  /** The address that is connected to is the one that was looked at. */
  const guardedLookup: LookupFunction = (host, options, done) =>
    lookup(host, { ...options, all: true }, (error, found) => {
      if (error) return done(error, '')
      const inside = allowPrivate ? undefined : found.find(({ address }) => isPrivate(address))
      if (inside) return done(isInside(host, inside.address), '')
      if (options.all) done(null, found)
      else done(null, found[0].address, found[0].family)
    })

  return { check, lookup: guardedLookup }
}

async function collect(response: IncomingMessage, { host }: URL, mostBytes: number, failure: Failure): Promise<Answer> {
  const { headers, statusCode: status = 0 } = response
  const packed = headers['content-encoding'] === 'gzip'
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of packed ? pipeline(response, createGunzip(), () => {}) : response) {
    size += chunk.length
    // Leaving the loop destroys the stream, and with it the connection.
    if (size > mostBytes) throw failure('TOO_LARGE', `an answer of ${host} has over ${mostBytes} bytes`)
    chunks.push(chunk)
  }
  const delimited = 'content-length' in headers || headers['transfer-encoding'] === 'chunked' || packed
  return { status, headers, text: Buffer.concat(chunks).toString('utf8'), delimited }
}
