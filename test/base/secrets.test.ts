import { expect, it } from 'vitest'
import { secretOf, withoutLiterals, withoutSecrets } from '../../src/base/secrets.ts'

it('comes from the environment, or is an error that names the variable', () => {
  expect(secretOf('KEY', { KEY: 'k1' })).toBe('k1')
  for (const env of [{}, { KEY: '' }, undefined])
    expect(() => secretOf('KEY', env)).toThrow(expect.objectContaining({ code: 'NO_KEY', fault: 'usage' }))
})

it('stands in no text, as it is or as a part of a URL', () => {
  expect(withoutSecrets('a/b+c is not a%2Fb%2Bc', ['a/b+c'])).toBe('*** is not ***')
  expect(withoutSecrets('plain', ['', undefined])).toBe('plain')
})

it.each([
  [
    `https://a.com/p/{symbol}?apikey=k1&from={from}&token=\${TOKEN}`,
    `https://a.com/p/{symbol}?apikey=***&from={from}&token=\${TOKEN}`,
  ],
  ['https://a.com/p?k1', 'https://a.com/p?***'],
  [`https://a.com/p?a=x=y?z&b=&c=\${A}z#t=k1`, 'https://a.com/p?a=***&b=&c=***#t=***'],
  ['postgres://me:p@ss@db/prices?sslpassword=k1', 'postgres://***@db/prices?sslpassword=***'],
  [`https://\${USER}@a.com/`, `https://\${USER}@a.com/`],
  ['https://a.com/p@q', 'https://a.com/p@q'],
  ['/folder/a?b=c', '/folder/a?b=c'],
])('is no literal of the URL %s', (url, shown) => {
  expect(withoutLiterals({ source: [{ url }] }).shown).toEqual({ source: [{ url: shown }] })
})

it('is no literal of a header, whose references stay', () => {
  const headers = { a: 'Bearer k1', b: `Bearer \${TOKEN}`, c: `\${TOKEN}`, d: `k2\${TOKEN}`, e: '' }
  const { shown, literals } = withoutLiterals({ headers, limit: 5, on: null, name: 'k1' })
  const starred = { a: '***', b: `Bearer \${TOKEN}`, c: `\${TOKEN}`, d: '***', e: '' }
  expect(shown).toEqual({ headers: starred, limit: 5, on: null, name: 'k1' })
  expect(literals).toEqual(['Bearer', 'k1', `k2\${TOKEN}`])
})
