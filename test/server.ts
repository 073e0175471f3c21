// A real HTTP server on a free port of this machine, gone after the test.
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface Served {
  url: string
  /** What was asked, in order. */
  requests: IncomingMessage[]
}

export async function serve(answer: RequestListener): Promise<Served> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

/** A clock that moves when somebody sleeps. */
export function testClock(time: number) {
  const slept: number[] = []
  return {
    slept,
    now: () => time,
    sleep: async (ms: number) => {
      slept.push(ms)
      time += ms
    },
  }
}
