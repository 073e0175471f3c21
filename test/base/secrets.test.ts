import { expect, it } from 'vitest'
import { secretOf, withoutSecrets } from '../../src/base/secrets.ts'

it('comes from the environment, or is an error that names the variable', () => {
  expect(secretOf('KEY', { KEY: 'k1' })).toBe('k1')
  for (const env of [{}, { KEY: '' }, undefined])
    expect(() => secretOf('KEY', env)).toThrow(expect.objectContaining({ code: 'NO_KEY', fault: 'usage' }))
})

it('stands in no text, as it is or as a part of a URL', () => {
  expect(withoutSecrets('a/b+c is not a%2Fb%2Bc', ['a/b+c'])).toBe('*** is not ***')
  expect(withoutSecrets('plain', ['', undefined])).toBe('plain')
})
