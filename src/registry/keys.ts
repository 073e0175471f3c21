// The ed25519 key that signs bundles, and the public keys that are trusted. The private key never leaves its file.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { temporaryName, writeAtomic } from '../base/blobs.ts'
import { messageOf, usageError } from '../base/errors.ts'

/** The section `registry` of the config. */
export const registrySchema = z.strictObject({
  /** Public keys besides one's own, PEM or base64 of the SPKI. */
  trusted_keys: z.array(z.string()).default([]),
})

export interface SigningKey {
  privateKey: KeyObject
  fingerprint: string
}

/** Public keys by fingerprint. */
export type TrustedKeys = ReadonlyMap<string, KeyObject>

const keyFile = (home: string) => join(home, 'keys', 'ed25519.pem')

/** SHA-256 of the SPKI (DER), in hex. */
export function fingerprint(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/** The key pair of this home, made at first use: the private key readable by its owner only, the public one beside it to hand out. */
export function signingKey(home: string): SigningKey {
  const file = keyFile(home)
  if (!existsSync(file)) createKey(file)
  const privateKey = readPrivateKey(file)
  return { privateKey, fingerprint: fingerprint(createPublicKey(privateKey)) }
}

/** Own key (if this home has made one) and the configured ones; what is no ed25519 public key is a usage error. */
export function trustedKeys(home: string, configured: string[] = []): TrustedKeys {
  const own = existsSync(keyFile(home)) ? [createPublicKey(readPrivateKey(keyFile(home)))] : []
  return new Map([...own, ...configured.map(parsePublicKey)].map(key => [fingerprint(key), key]))
}

/** A public key as PEM, or as base64 of its SPKI. */
export function parsePublicKey(encoded: string): KeyObject {
  try {
    if (encoded.includes('PRIVATE KEY')) throw new Error('it is a private key; give the public one')
    const key = encoded.includes('-----BEGIN')
      ? createPublicKey(encoded)
      : createPublicKey({ key: Buffer.from(encoded, 'base64'), format: 'der', type: 'spki' })
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is ${key.asymmetricKeyType}`)
    return key
  } catch (cause) {
    throw usageError('TRUSTED_KEY', `registry.trusted_keys holds no ed25519 public key: ${messageOf(cause)}`, { cause })
  }
}

function createKey(file: string): void {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const temporary = temporaryName(file)
  writeFileSync(temporary, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flush: true })
  try {
    // A link, unlike a rename, does not replace the key that another process made meanwhile; the public key's writing syncs the folder of both.
    linkSync(temporary, file)
    writeAtomic(join(dirname(file), 'ed25519.pub.pem'), publicKey.export({ type: 'spki', format: 'pem' }).toString())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(temporary, { force: true })
  }
}

function readPrivateKey(file: string): KeyObject {
  if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0)
    throw usageError('KEY_PERMISSIONS', 'the signing key can be read by others', { next: `chmod 600 ${file}` })
  try {
    const key = createPrivateKey(readFileSync(file))
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`it is ${key.asymmetricKeyType}`)
    return key
  } catch (cause) {
    throw usageError('KEY_UNREADABLE', `the signing key ${file} is no ed25519 key: ${messageOf(cause)}`, { cause })
  }
}
