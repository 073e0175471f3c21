// Bytes packed by other programs (Google's Snappy, LZ4 and Zstandard, through Arrow's C++ library) come back as they were.
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { unlz4, unsnappy, unzstd } from '../../src/base/unpack.ts'

const plain = Buffer.concat([
  Buffer.from('sluice sluice sluice '.repeat(5)),
  Buffer.from(Array.from({ length: 40 }, (_, i) => i)),
])
const tail = plain.subarray(-40).toString('hex')
const snappy = Buffer.from(`910118736c7569636520fe07008607009c${tail}`, 'hex')
const lz4 = Buffer.from(`04224d18604082350000007f736c756963652007004ff019${tail}00000000`, 'hex')
const zstd = Buffer.from(
  '28b52ffd2091bd0100f402736c7569636520000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526270100afa91801',
  'hex',
)

describe('packed bytes', () => {
  it('of LZ4', () => expect(Buffer.from(unlz4(lz4))).toEqual(plain))
  it('of Zstandard', () => expect(Buffer.from(unzstd(zstd))).toEqual(plain))
  it('of Snappy', () => expect(unsnappy(snappy, crc32(plain))).toEqual(plain))
  it('with another checksum are refused', () => expect(() => unsnappy(snappy, 1)).toThrow('checksum'))
  it('that are cut anywhere are refused', () => {
    for (let size = 0; size < lz4.length; size++) expect(() => unlz4(lz4.subarray(0, size))).toThrow()
    for (let size = 0; size < zstd.length; size++) expect(() => unzstd(zstd.subarray(0, size))).toThrow()
    for (let size = 0; size < snappy.length; size++)
      expect(() => unsnappy(snappy.subarray(0, size), crc32(plain))).toThrow()
  })
})
