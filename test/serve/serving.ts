// A real server on a free port around a home with one signed model.
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import type { Log } from '../../src/base/log.ts'
import { trustedKeys } from '../../src/registry/keys.ts'
import { promote } from '../../src/registry/versions.ts'
import { championOf } from '../../src/serve/live.ts'
import type { Problem } from '../../src/serve/predict.ts'
import { type ServerOptions, startServer } from '../../src/serve/server.ts'
import { type Kind, openHome, register, type SequenceKind } from '../registry/example.ts'

/** A log that keeps its warnings. */
export function keepLog(): Log & { warnings: string[] } {
  const warnings: string[] = []
  return { warnings, info() {}, debug() {}, progress() {}, close() {}, warn: message => void warnings.push(message) }
}

export type Home = ReturnType<typeof openHome>

/** A home whose models `demo` (and any others) have version 1 as champion. */
export async function homeWith(kinds: Partial<Record<string, Kind | SequenceKind>>): Promise<Home> {
  const home = openHome()
  for (const [name, kind] of Object.entries(kinds)) {
    await register(home, kind!, { name })
    await promote(home.database, name, 1, { reason: 'test', now: 1 })
  }
  return home
}

/** Serves the champions of a home; closed when the test is over, unless it was before. */
export async function serve(home: Home, names: string[], options: Partial<ServerOptions> = {}) {
  const log = keepLog()
  const models = names.map(name => championOf(name, trustedKeys(home.home), home))
  const server = await startServer({ models, log, port: 0, poll: 0.02, ...options })
  onTestFinished(() => server.close())
  return { ...server, warnings: log.warnings, ...client(server.url) }
}

/** What an answer of POST /v1/predict may hold. */
export interface Answer {
  predictions: Record<string, number>[]
  model: { name: string; version: number }
  request_id: string
  code: string
  message: string
  pointer?: string
  problems: Problem[]
  missing?: number
}

/** How to talk to a server. */
export function client(url: string) {
  const get = (path: string, headers: Record<string, string> = {}) => fetch(url + path, { headers })
  const post = async (body: unknown, more: Record<string, string> = {}) => {
    const response = await fetch(`${url}/v1/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...more },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    return { status: response.status, headers: response.headers, answer: (await response.json()) as Answer }
  }
  return { get, post }
}

/** The beginning of a prediction request on the wire. */
export const HEAD = 'POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'

/** Sends text as it is and gives back all that comes until the server hangs up. */
export function raw(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write(text))
    socket.on('data', chunk => (answer += chunk))
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

/** The JSON of an answer that `raw` gave. */
export const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
