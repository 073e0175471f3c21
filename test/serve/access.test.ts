import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { guard, isLoopback } from '../../src/serve/access.ts'

describe('a route', () => {
  it('that declares no permission is refused when it is added', () => {
    const app = Fastify()
    guard(app, { host: '127.0.0.1' })
    expect(() => app.get('/open', async () => 'x')).toThrow('GET /open declares no permission')
    expect(() => app.get('/kept', { config: { permission: 'metrics' } }, async () => 'x')).not.toThrow()
  })
})

describe('loopback', () => {
  it.each(['127.0.0.1', '127.9.9.9', '::1', 'localhost'])('is %s', host => expect(isLoopback(host)).toBe(true))
  it.each(['', '0.0.0.0', '::', '10.0.0.1', '127.0.0.1.example.org', '127.1', 'localhost.example.org'])(
    'is not %j',
    host => expect(isLoopback(host)).toBe(false),
  )
})
