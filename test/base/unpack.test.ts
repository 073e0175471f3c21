// Bytes packed by other programs (Google's Snappy and LZ4, through Arrow's C++ library) come back as they were.
import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { unlz4, unsnappy } from '../../src/base/unpack.ts'

const plain = Buffer.concat([
  Buffer.from('sluice sluice sluice '.repeat(5)),
  Buffer.from(Array.from({ length: 40 }, (_, i) => i)),
])
const tail = plain.subarray(-40).toString('hex')
const snappy = Buffer.from(`910118736c7569636520fe07008607009c${tail}`, 'hex')
const lz4 = Buffer.from(`04224d18604082350000007f736c756963652007004ff019${tail}00000000`, 'hex')

describe('packed bytes', () => {
  it('of LZ4', () => expect(Buffer.from(unlz4(lz4))).toEqual(plain))
  it('of Snappy', () => expect(unsnappy(snappy, crc32(plain))).toEqual(plain))
  it('with another checksum are refused', () => expect(() => unsnappy(snappy, 1)).toThrow('checksum'))
  it('that are cut anywhere are refused', () => {
    for (let size = 0; size < lz4.length; size++) expect(() => unlz4(lz4.subarray(0, size))).toThrow()
    for (let size = 0; size < snappy.length; size++)
      expect(() => unsnappy(snappy.subarray(0, size), crc32(plain))).toThrow()
  })
})
