import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fingerprint, parsePublicKey, registrySchema, signingKey, trustedKeys } from '../../src/registry/keys.ts'
import { temporaryFolder } from './example.ts'

describe('keys', () => {
  it('are made once, the private one for its owner only', () => {
    const home = temporaryFolder()
    const first = signingKey(home)
    expect(signingKey(home).fingerprint).toBe(first.fingerprint)
    expect(first.fingerprint).toMatch(/^[0-9a-f]{64}$/)
    expect(statSync(join(home, 'keys/ed25519.pem')).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(home, 'keys')).sort()).toEqual(['ed25519.pem', 'ed25519.pub.pem'])
  })

  it('verify what they sign, by the public key that can be handed out', () => {
    const home = temporaryFolder()
    const { privateKey, fingerprint: own } = signingKey(home)
    const handedOut = parsePublicKey(readFileSync(join(home, 'keys/ed25519.pub.pem'), 'utf8'))
    expect(fingerprint(handedOut)).toBe(own)
    expect(verify(null, Buffer.from('text'), handedOut, sign(null, Buffer.from('text'), privateKey))).toBe(true)
  })

  it('trust the own key, once there is one, and the configured ones, as PEM or base64', () => {
    const home = temporaryFolder()
    expect(trustedKeys(home).size).toBe(0)
    const { fingerprint: own } = signingKey(home)
    const [a, b] = [generateKeyPairSync('ed25519').publicKey, generateKeyPairSync('ed25519').publicKey]
    const configured = [
      a.export({ type: 'spki', format: 'pem' }).toString(),
      b.export({ type: 'spki', format: 'der' }).toString('base64'),
    ]
    expect([...trustedKeys(home, configured).keys()]).toEqual([own, fingerprint(a), fingerprint(b)])
    expect(registrySchema.parse({})).toEqual({ trusted_keys: [] })
  })

  it('refuse what is no ed25519 public key', () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'pem' })
    const own = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
    for (const text of ['', 'nonsense', rsa.toString(), own.toString()])
      expect(() => parsePublicKey(text)).toThrowError(expect.objectContaining({ code: 'TRUSTED_KEY' }))
  })

  it('refuse a private key that others can read, or that is none', () => {
    const home = temporaryFolder()
    const file = join(home, 'keys/ed25519.pem')
    signingKey(home)
    chmodSync(file, 0o644)
    expect(() => signingKey(home)).toThrowError(expect.objectContaining({ code: 'KEY_PERMISSIONS' }))
    chmodSync(file, 0o600)
    writeFileSync(file, 'nonsense')
    expect(() => signingKey(home)).toThrowError(expect.objectContaining({ code: 'KEY_UNREADABLE' }))
  })

  it('have the fingerprint that openssl prints for the SPKI', () => {
    // openssl pkey -pubin -in key.pem -outform der | sha256sum
    const pem = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----`
    expect(fingerprint(createPublicKey(pem))).toBe('06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9')
  })
})
