import { describe, expect, it, onTestFinished } from 'vitest'
import { dataError } from '../../src/base/errors.ts'
import { BOUNDS, isPrivate, openRequests } from '../../src/base/request.ts'
import { serve } from '../server.ts'

function guarded(allow_private: boolean) {
  const { signal } = new AbortController()
  const made = openRequests({ allow_private, parallel: 4 }, { signal, bounds: BOUNDS, failure: dataError })
  onTestFinished(() => made.close())
  return made
}

describe('addresses', () => {
  it.each([
    ...[
      '127.0.0.1',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '169.254.169.254',
      '100.64.0.1',
      '0.0.0.0',
    ],
    ...[
      '224.0.0.1',
      '255.255.255.255',
      '::',
      '::1',
      'fe80::1',
      'fc00::1',
      'fd12:3456::1',
      'ff02::1',
      '::ffff:127.0.0.1',
    ],
    ...['::ffff:7f00:1', '::ffff:10.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::'],
  ])('%s is private', address => expect(isPrivate(address)).toBe(true))

  it.each([
    '1.1.1.1',
    '172.32.0.1',
    '100.128.0.1',
    '192.169.0.1',
    '223.255.255.255',
    '2606:4700::1111',
    '::ffff:1.1.1.1',
  ])('%s is public', address => expect(isPrivate(address)).toBe(false))

  it.each(['127.0.0.1', '127.1', '0x7f000001', '2130706433', '[::1]', '[::ffff:127.0.0.1]', 'localhost'])(
    'refuses http://%s before anything is sent',
    async host => {
      const { url, requests } = await serve((_, response) => response.end('x'))
      const { check, get } = guarded(false)
      const asked = async () => get(check(`http://${host}:${new URL(url).port}/`), {})
      await expect(asked()).rejects.toMatchObject({ code: 'ADDRESS' })
      expect(requests).toHaveLength(0)
    },
  )

  it.each([
    'file:///etc/passwd',
    'ftp://example.com/',
    'gopher://x',
    'data:,x',
    'nonsense',
    'http://user:pass@example.com/',
  ])('refuses %s', url => {
    expect(() => guarded(true).check(url)).toThrow(expect.objectContaining({ code: 'URL' }))
  })
})
