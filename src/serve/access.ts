// Who may call what. Every route declares a permission; whoever holds the token has them all.
import { createHash, timingSafeEqual } from 'node:crypto'
import { isIPv4 } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { SluiceError, usageError } from '../base/errors.ts'

export type Permission = 'public' | 'predict' | 'metrics'

declare module 'fastify' {
  interface FastifyContextConfig {
    permission?: Permission
  }
}

/** Only this machine can reach a server that listens there. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** Holds every route to a declared permission, and every request to the token, if there is one. Without one only a loopback address is safe. */
export function guard(app: FastifyInstance, { host, token }: { host: string; token?: string }): void {
  if (token === '') throw usageError('TOKEN', 'the token is empty')
  if (!token && !isLoopback(host))
    throw usageError('TOKEN_REQUIRED', `${host} can be reached from other machines, so a token is needed`, {
      next: 'set SLUICE_API_TOKEN, or serve on 127.0.0.1',
    })
  app.addHook('onRoute', route => {
    if (!route.config?.permission) throw new Error(`${route.method} ${route.url} declares no permission`)
  })
  if (token) app.addHook('onRequest', checkToken(token))
}

function checkToken(token: string): (request: FastifyRequest) => Promise<void> {
  const expected = digest(`Bearer ${token}`)
  return async request => {
    // A route that is not there is no public one.
    if (request.routeOptions.config.permission === 'public') return
    // Digests have equal lengths, which a constant-time comparison needs.
    if (!timingSafeEqual(digest(request.headers.authorization ?? ''), expected))
      throw new SluiceError('usage', 'UNAUTHORIZED', 'a bearer token is needed')
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
