import { generateKeyPairSync, sign } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { sha256 } from '../../src/base/blobs.ts'
import { SluiceError } from '../../src/base/errors.ts'
import { bundleFolder, openBundle, openRegistered, writeBundle } from '../../src/registry/bundle.ts'
import { fingerprint, signingKey, trustedKeys } from '../../src/registry/keys.ts'
import {
  content,
  filesOf,
  type Kind,
  modelFile,
  openHome,
  register,
  type SequenceKind,
  temporaryFolder,
} from './example.ts'

const native = { name: 'model.txt', bytes: Buffer.from('tree\n') }

/** A home with a signed bundle of each kind, made once; tests that spoil one work on a copy. */
const home = mkdtempSync(join(tmpdir(), 'sluice-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))
const key = signingKey(home)
const trusted = trustedKeys(home)
const made = new Map<string, Promise<string>>()

async function signed(kind: Kind | SequenceKind = 'trees') {
  const original = bundleFolder(home, kind, 1)
  if (!made.has(kind)) made.set(kind, writeBundle(original, content(kind), [...filesOf(kind), native], key))
  const digest = await made.get(kind)!
  const folder = join(temporaryFolder(), 'bundle')
  cpSync(original, folder, { recursive: true })
  return { folder, digest, key, trusted }
}

type Signed = Awaited<ReturnType<typeof signed>>

/** Changes the manifest and signs it again: what someone with the key could do. */
function forge({ folder, key }: Signed, change: (manifest: Record<string, unknown>) => void): void {
  const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
  change(manifest)
  const bytes = Buffer.from(JSON.stringify(manifest))
  writeFileSync(join(folder, 'manifest.json'), bytes)
  const signature = sign(null, bytes, key.privateKey).toString('base64')
  const text = JSON.stringify({ algorithm: 'ed25519', fingerprint: key.fingerprint, signature })
  writeFileSync(join(folder, 'signature.json'), `${text}\n`)
}

describe('a bundle', () => {
  it.each(['logistic', 'trees', 'multiclass', 'linear', 'gru', 'attention'] as const)(
    'of %s opens as it was written',
    async kind => {
      const { folder, digest, trusted } = await signed(kind)
      const bundle = await openBundle(folder, trusted)
      expect(readdirSync(folder).sort()).toEqual(['manifest.json', 'model.onnx', 'model.txt', 'signature.json'])
      expect(bundle.manifest).toMatchObject({ format: 1, ...content(kind) })
      expect(Buffer.compare(bundle.model, modelFile(kind))).toBe(0)
      expect([digest, bundle.digest]).toEqual([sha256(readFileSync(join(folder, 'manifest.json'))), digest])
    },
  )

  it('lists the digests of its files', async () => {
    const { folder, trusted } = await signed()
    const { manifest } = await openBundle(folder, trusted)
    expect(manifest.files).toContainEqual({
      name: 'model.txt',
      sha256: 'f27e01fe7624cca3e69811a0bf9a4efd9dca9fd39f7a3a8f939cae0cfe8cdfb8',
      md5: 'a7955749e6beaff7f05824d07b0e5ca9',
      bytes: 5,
    })
  })

  it('is refused for a flipped bit anywhere in any of its files', async () => {
    const { folder, trusted } = await signed()
    const files = new Map(readdirSync(folder).map(name => [name, readFileSync(join(folder, name))]))
    const place = fc
      .constantFrom(...files.keys())
      .chain(name => fc.tuple(fc.constant(name), fc.nat(files.get(name)!.length - 1), fc.nat(7)))
    await fc.assert(
      fc.asyncProperty(place, async ([name, at, bit]) => {
        const changed = Buffer.from(files.get(name)!)
        changed[at] ^= 1 << bit
        writeFileSync(join(folder, name), changed)
        await expect(openBundle(folder, trusted)).rejects.toBeInstanceOf(SluiceError)
        writeFileSync(join(folder, name), files.get(name)!)
      }),
      { numRuns: 60 },
    )
    await openBundle(folder, trusted)
  })

  it('is refused cut off, longer, or with a file more or less', async () => {
    const refuse = async (spoil: (folder: string) => void, code: string) => {
      const { folder, trusted } = await signed()
      spoil(folder)
      await expect(openBundle(folder, trusted)).rejects.toMatchObject({ code, fault: 'data' })
    }
    for (const name of ['model.onnx', 'model.txt']) {
      await refuse(
        folder => writeFileSync(join(folder, name), readFileSync(join(folder, name)).subarray(1)),
        'BUNDLE_FILES',
      )
      await refuse(folder => writeFileSync(join(folder, name), '\n', { flag: 'a' }), 'BUNDLE_FILES')
      await refuse(folder => rmSync(join(folder, name)), 'BUNDLE_FILES')
    }
    await refuse(folder => writeFileSync(join(folder, 'extra.bin'), ''), 'BUNDLE_FILES')
    await refuse(folder => symlinkSync('model.txt', join(folder, 'link')), 'BUNDLE_FILES')
    await refuse(folder => rmSync(join(folder, 'manifest.json')), 'BUNDLE_FILES')
    await refuse(folder => rmSync(folder, { recursive: true }), 'BUNDLE_FILES')
  })

  it('is refused unsigned, and signed by a key that is not trusted, with its fingerprint', async () => {
    const { folder, trusted, key } = await signed()
    const stranger = generateKeyPairSync('ed25519').publicKey
    await expect(openBundle(folder, new Map([[fingerprint(stranger), stranger]]))).rejects.toMatchObject({
      code: 'UNTRUSTED_KEY',
      message: expect.stringContaining(key.fingerprint),
    })
    rmSync(join(folder, 'signature.json'))
    await expect(openBundle(folder, trusted)).rejects.toMatchObject({ code: 'UNSIGNED' })
  })

  it('is refused with the signature of another bundle', async () => {
    const one = await signed('trees')
    const other = await signed('linear')
    cpSync(join(other.folder, 'signature.json'), join(one.folder, 'signature.json'))
    await expect(openBundle(one.folder, one.trusted)).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
  })

  it('is refused when a signed manifest is wrong all the same', async () => {
    const refuse = async (change: (manifest: Record<string, unknown>) => void, code: string) => {
      const bundle = await signed()
      forge(bundle, change)
      await expect(openBundle(bundle.folder, bundle.trusted)).rejects.toMatchObject({ code })
    }
    const file = { name: 'model.onnx', sha256: '', md5: '', bytes: 0 }
    await refuse(manifest => Object.assign(manifest, { format: 2 }), 'BUNDLE_MANIFEST')
    await refuse(manifest => delete manifest.label, 'BUNDLE_MANIFEST')
    await refuse(manifest => Object.assign(manifest, { classes: [0, 1, 2] }), 'BUNDLE_MANIFEST')
    await refuse(manifest => Object.assign(manifest, { decision: null }), 'BUNDLE_MANIFEST')
    await refuse(
      manifest => Object.assign(manifest, { decision: { threshold: 0.4, mode: 'long_short' } }),
      'BUNDLE_MANIFEST',
    )
    const colour = { name: 'f0', nullable: true, categories: ['red', 'blue'] }
    await refuse(
      manifest => Object.assign(manifest, { input: { name: 'features', features: [colour] } }),
      'BUNDLE_MANIFEST',
    )
    await refuse(manifest => Object.assign(manifest, { files: [file, file] }), 'BUNDLE_MANIFEST')
    await refuse(manifest => Object.assign(manifest, { files: [{ ...file, name: '../model.onnx' }] }), 'NAME')
    await refuse(
      manifest => Object.assign(manifest, { input: { name: 'features', features: [{ name: 'f0', nullable: true }] } }),
      'BUNDLE_MODEL',
    )
  })

  it('is refused when manifest and graph differ in how many rows make a sequence', async () => {
    const refuse = async (kind: Kind | SequenceKind, length: number | undefined, code: string) => {
      const bundle = await signed(kind)
      forge(bundle, manifest => Object.assign(manifest.input as object, { length }))
      await expect(openBundle(bundle.folder, bundle.trusted)).rejects.toMatchObject({ code })
    }
    await refuse('gru', 7, 'BUNDLE_MODEL')
    await refuse('gru', undefined, 'BUNDLE_MODEL')
    await refuse('trees', 2, 'BUNDLE_MODEL')
    for (const length of [1, 0, -6, 6.5]) await refuse('gru', length, 'BUNDLE_MANIFEST')
    const write = (input: object) =>
      writeBundle(join(home, 'odd'), { ...content('gru'), input } as ReturnType<typeof content>, filesOf('gru'), key)
    await expect(write({ ...content('gru').input, length: 5 })).rejects.toMatchObject({
      code: 'BUNDLE_MODEL',
      message:
        'the graph gives probability [N, 2] of 6 rows of 3 features, the manifest says probability [N, 2] of 5 rows of 3 features',
    })
  })

  it('is not written over another, nor with a model that could not be opened again', async () => {
    const { folder, key } = await signed()
    await expect(writeBundle(folder, content('trees'), filesOf('trees'), key)).rejects.toMatchObject({
      code: 'BUNDLE_EXISTS',
    })
    const raced = join(folder, '../raced')
    const twice = [1, 2].map(() => writeBundle(raced, content('trees'), filesOf('trees'), key))
    expect(await Promise.allSettled(twice)).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'BUNDLE_EXISTS' } },
    ])
    const next = join(folder, '../next')
    const write = (kind: Kind, file: string) => writeBundle(next, content(kind), filesOf(file), key)
    await expect(write('trees', 'refused/zipmap')).rejects.toMatchObject({ code: 'ZIPMAP' })
    await expect(write('trees', 'multiclass')).rejects.toMatchObject({ code: 'BUNDLE_MODEL' })
    await expect(writeBundle(next, content('trees'), [native], key)).rejects.toMatchObject({ code: 'BUNDLE_FILES' })
    await expect(
      writeBundle(next, content('trees'), [...filesOf('trees'), { ...native, name: '../x' }], key),
    ).rejects.toMatchObject({ code: 'NAME' })
    expect(existsSync(next)).toBe(false)
  })

  it('lies in a folder that no name leads out of', () => {
    for (const name of ['..', '../x', 'a/b', '', 'A'])
      expect(() => bundleFolder('home', name, 1)).toThrowError(expect.objectContaining({ code: 'NAME' }))
  })
})

describe('a registered bundle', () => {
  it('must be the one that its row was written for, though another is signed as well', async () => {
    const home = openHome()
    const old = await register(home, 'trees')
    const newer = await register(home, 'logistic', { version: 2 })
    const trusted = trustedKeys(home.home)
    expect((await openRegistered(home.home, newer, trusted)).digest).toBe(newer.digest)
    const [from, to] = [old, newer].map(row => bundleFolder(home.home, row.name, row.version))
    cpSync(from, to, { recursive: true })
    await expect(openRegistered(home.home, newer, trusted)).rejects.toMatchObject({ code: 'BUNDLE_REPLACED' })
  })
})
