import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkName, fileDigests, resolveInside, sha256, writeAtomic, writeFolder } from '../../src/base/blobs.ts'
import { put, temporaryFolder } from '../temporary.ts'

describe('resolveInside', () => {
  it.each([
    '..',
    '.',
    '',
    'a/b',
    'a\\b',
    '/etc',
    '../x',
    'a..b',
    'a\0',
    'A',
    'ä',
    '-rf',
    '.hidden',
    'x'.repeat(65),
    'a b',
    'a\n',
  ])('refuses the name %j', name => {
    expect(() => resolveInside('/root', name)).toThrow(expect.objectContaining({ code: 'NAME', exit: 2 }))
    expect(() => resolveInside('/root', 'fine', name)).toThrow(expect.objectContaining({ code: 'NAME' }))
  })

  it('joins names below the root', () => {
    expect(resolveInside('/root', 'sp500_1d', '1')).toBe(['', 'root', 'sp500_1d', '1'].join(sep))
    expect(checkName('a.b-c_d', 'the name')).toBe('a.b-c_d')
  })

  it('leads nowhere else, whatever the names', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom('a', '.', '/', '\\', '~', '%', '0') }), { minLength: 1 }),
        names => {
          let path: string
          try {
            path = resolveInside('/root', ...names)
          } catch {
            return
          }
          expect(path).toBe(`/root/${names.join('/')}`)
        },
      ),
    )
  })
})

describe('writeAtomic', () => {
  it('makes folders, replaces what is there and leaves nothing else', () => {
    const path = join(temporaryFolder(), 'a/b/file.txt')
    writeAtomic(path, 'one')
    writeAtomic(path, Uint8Array.of(116, 119, 111))
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(readdirSync(join(path, '..'))).toEqual(['file.txt'])
  })

  it('leaves the old file whole when the new one cannot take its place', () => {
    const folder = temporaryFolder()
    const path = put(folder, 'taken/inside.txt', 'old')
    expect(() => writeAtomic(join(folder, 'taken'), 'new')).toThrow()
    expect(readFileSync(path, 'utf8')).toBe('old')
    expect(readdirSync(folder)).toEqual(['taken'])
  })
})

describe('writeFolder', () => {
  it('lets several files appear together and gives what the filling gave', async () => {
    const path = join(temporaryFolder(), 'x/1')
    const seen = await writeFolder(path, async folder => {
      writeFileSync(join(folder, 'a'), '1')
      writeFileSync(join(folder, 'b'), '2')
      return existsSync(path)
    })
    expect(seen).toBe(false)
    expect(readdirSync(path).sort()).toEqual(['a', 'b'])
  })

  it('leaves nothing when the filling fails', async () => {
    const root = temporaryFolder()
    const filling = writeFolder(join(root, '1'), async folder => {
      writeFileSync(join(folder, 'a'), '1')
      throw new Error('half way')
    })
    await expect(filling).rejects.toThrow('half way')
    expect(readdirSync(root)).toEqual([])
  })

  it('does not replace a folder that is there', async () => {
    const root = temporaryFolder()
    put(root, '1/a', 'old')
    await expect(
      writeFolder(join(root, '1'), async folder => writeFileSync(join(folder, 'b'), 'new')),
    ).rejects.toThrow()
    expect(readdirSync(root)).toEqual(['1'])
    expect(readdirSync(join(root, '1'))).toEqual(['a'])
  })
})

describe('fileDigests', () => {
  it('are those of RFC 1321 and FIPS 180-4 for abc', async () => {
    expect(await fileDigests(put(temporaryFolder(), 'abc', 'abc'))).toEqual({
      sha256: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      md5: '900150983cd24fb0d6963f7d28e17f72',
      bytes: 3,
    })
  })

  it('are of the whole file, in however many pieces it is read', async () => {
    const bytes = new Uint8Array(3_000_000).map((_, i) => i % 251)
    const digests = await fileDigests(put(temporaryFolder(), 'large', bytes))
    expect(digests).toMatchObject({ sha256: sha256(bytes), bytes: bytes.length })
  })

  it('of what cannot be read are a data error', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'd'))
    for (const name of ['none', 'd'])
      await expect(fileDigests(join(folder, name))).rejects.toMatchObject({ code: 'FILE_UNREADABLE', exit: 4 })
  })
})
