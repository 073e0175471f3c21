import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type CsvRecord, csvCell, fieldText, scanCsv } from '../../src/data/csv.ts'
import { given, testContext } from './home.ts'

interface Seen {
  line: number
  fields: string[]
  broken: boolean
}

async function scan(path: string, delimiter = ','): Promise<Seen[]> {
  const seen: Seen[] = []
  const visit = (record: CsvRecord) => {
    const fields = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
    seen.push({ line: record.line, fields, broken: record.broken })
  }
  for await (const _ of scanCsv(path, { delimiter }, visit));
  return seen
}
const scanText = (text: string | Uint8Array, delimiter?: string) => scan(given(testContext(), 'x.csv', text), delimiter)
const fields = async (text: string, delimiter?: string) =>
  (await scanText(text, delimiter)).map(record => record.fields)

describe('records', () => {
  it.each([
    [
      'a,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'a,b\r\n1,2',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'a,b\r1,2\r',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['a,,\n', [['a', '', '']]],
    ['"a,b",""\n', [['a,b', '']]],
    ['"say ""no""",x\n', [['say "no"', 'x']]],
    ['"two\nlines",x\n', [['two\nlines', 'x']]],
    ['\n  \na\n\n', [['a']]],
    ['', []],
  ])('%j', async (text, want) => {
    expect(await fields(text)).toEqual(want)
  })

  it('other delimiters', async () => {
    expect(await fields('a;"b;c"\n', ';')).toEqual([['a', 'b;c']])
    expect(await fields('a\tb\n', '\t')).toEqual([['a', 'b']])
  })

  it('count physical lines, blank ones and those inside quotes too', async () => {
    const seen = await scanText('h\n\n"a\r\nb"\r\nc\rd\n')
    expect(seen.map(({ line, fields }) => [line, fields[0]])).toEqual([
      [1, 'h'],
      [3, 'a\r\nb'],
      [5, 'c'],
      [6, 'd'],
    ])
  })

  it('a quote that never closes, or has text after it, costs its own line only', async () => {
    const seen = await scanText('a,b\n"1,2\n3,4\n"5"x,6\n7,8\n')
    expect(seen.map(({ line, broken }) => [line, broken])).toEqual([
      [1, false],
      [2, true],
      [3, false],
      [4, true],
      [5, false],
    ])
    expect(seen[4].fields).toEqual(['7', '8'])
  })

  it('any fields come back as they were written, wherever the file is cut into chunks', async () => {
    const home = testContext()
    // A long first field pushes the rest across the edge of the first megabyte.
    const pad = 'p'.repeat(30_000)
    const record = fc.array(fc.string({ unit: fc.constantFrom('a', '"', ',', '\n', '\r', 'ü', ' ') }), {
      minLength: 2,
      maxLength: 4,
    })
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 12 }), fc.nat(1500), async (records, shift) => {
        const padding = [...Array.from({ length: 34 }, () => [pad, 'x']), ['p'.repeat(27_000 + shift), 'x']]
        const text = [...padding, ...records].map(list => list.map(csvCell).join(',')).join('\r\n')
        const got = (await scan(given(home, 'y.csv', text))).slice(padding.length)
        expect(got.map(({ fields }) => fields)).toEqual(records)
      }),
      { numRuns: 8 },
    )
  })
})

describe('bytes', () => {
  const rows = [
    ['a', 'ü'],
    ['1', '2'],
  ]
  const text = 'a,ü\n1,2\n'
  const utf16 = (order: 'le' | 'be') => {
    const bytes = Buffer.from(`\uFEFF${text}`, 'utf16le')
    return order === 'le' ? bytes : bytes.swap16()
  }
  it.each([
    ['UTF-8', Buffer.from(text)],
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${text}`)],
    ['UTF-16 little endian', utf16('le')],
    ['UTF-16 big endian', utf16('be')],
    ['gzip', gzipSync(text)],
  ])('%s', async (_, bytes) => {
    expect((await scanText(bytes)).map(({ fields }) => fields)).toEqual(rows)
  })

  it.each([
    ['UTF-16 without a byte order mark', Buffer.from(text, 'utf16le'), 'ENCODING'],
    ['a cut gzip', gzipSync(text).subarray(0, -6), 'CORRUPT_FILE'],
    ['Parquet', Buffer.from('PAR1....PAR1'), 'CORRUPT_FILE'],
  ])('%s is refused', async (_, bytes, code) => {
    await expect(scanText(bytes)).rejects.toMatchObject({ code, exit: 4 })
  })

  it('a file that is not there, or no file, is a data error', async () => {
    await expect(scan('/nowhere/x.csv')).rejects.toMatchObject({ code: 'FILE_UNREADABLE', exit: 4 })
    await expect(scan(testContext().home)).rejects.toMatchObject({ code: 'FILE_UNREADABLE', exit: 4 })
  })
})
