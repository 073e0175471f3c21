import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Column,
  canonicalJson,
  jsonDigest,
  numbers,
  rowsBySymbol,
  sliceRows,
  strings,
  type Table,
  tableDigest,
  takeRows,
} from '../../src/base/table.ts'
import { readColumns, writeTable } from '../../src/data/files.ts'
import { temporaryFolder } from '../temporary.ts'

const number = (name: string, ...values: number[]): Column => ({
  name,
  type: 'number',
  values: Float64Array.from(values),
})
const text = (name: string, ...values: (string | null)[]): Column => ({ name, type: 'string', values })
const table = (...columns: Column[]): Table => ({ rows: columns[0].values.length, columns })

describe('tableDigest', () => {
  it('is of the logical content: CSV and Parquet of the same rows agree', async () => {
    const rows: Table = {
      rows: 3,
      columns: [
        { name: 'time', type: 'time', values: Float64Array.of(0, 86_400_000, 1.7e12) },
        number('x', 0.1, Number.NaN, -1e-300),
        text('s', 'a', null, 'c, "d"\né'),
      ],
    }
    const folder = temporaryFolder()
    const digests = await Promise.all(
      ['t.csv', 't.parquet'].map(async name => {
        await writeTable(rows, `${folder}/${name}`)
        return tableDigest(await readColumns(`${folder}/${name}`))
      }),
    )
    expect(digests).toEqual([tableDigest(rows), tableDigest(rows)])
  })

  it('does not tell zeros or NaNs apart, as no file does', () => {
    const odd = new Float64Array(new BigUint64Array([0x7ff8dead_00000001n, 0x8000000000000000n]).buffer)
    expect(tableDigest(table({ name: 'x', type: 'number', values: odd }))).toBe(
      tableDigest(table(number('x', Number.NaN, 0))),
    )
  })

  it('leaves the values as they are', () => {
    const given = table(number('x', -0))
    tableDigest(given)
    expect(Object.is(numbers(given, 'x')[0], -0)).toBe(true)
  })

  const base = table(number('a', 1, 2), text('b', 'x', null))
  it.each<[string, Table]>([
    ['another value', table(number('a', 1, 3), text('b', 'x', null))],
    ['the last bit of a value', table(number('a', 1, 2 + 2 ** -51), text('b', 'x', null))],
    ['another order of rows', table(number('a', 2, 1), text('b', null, 'x'))],
    ['another order of columns', table(text('b', 'x', null), number('a', 1, 2))],
    ['another name', table(number('c', 1, 2), text('b', 'x', null))],
    ['an empty text for none', table(number('a', 1, 2), text('b', 'x', ''))],
    ['another type', table({ ...number('a', 1, 2), type: 'time' }, text('b', 'x', null))],
    ['a row less', sliceRows(base, 0, 1)],
  ])('differs by %s', (_, other) => {
    expect(tableDigest(other)).not.toBe(tableDigest(base))
  })

  it('knows where a text ends', () => {
    expect(tableDigest(table(text('s', 'ab', 'c')))).not.toBe(tableDigest(table(text('s', 'a', 'bc'))))
  })
})

describe('jsonDigest', () => {
  it('does not depend on the order of keys, but on that of lists', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1}]}')
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), value => {
        const turned = Object.fromEntries(Object.entries(value).reverse())
        expect(jsonDigest(turned)).toBe(jsonDigest(value))
      }),
    )
    expect(jsonDigest([1, 2])).not.toBe(jsonDigest([2, 1]))
  })
})

describe('rows', () => {
  const given = table(number('x', 1, 2, 3, 4), text('symbol', 'B', 'A', 'B', null))

  it('of each symbol stand in order; without the column there is one series', () => {
    expect([...rowsBySymbol(given)].map(([name, rows]) => [name, ...rows])).toEqual([
      ['B', 0, 2],
      ['A', 1],
      ['', 3],
    ])
    expect([...rowsBySymbol(table(number('x', 1, 2)))].map(([name, rows]) => [name, ...rows])).toEqual([['', 0, 1]])
  })

  it('are cut as views and taken as copies', () => {
    const cut = sliceRows(given, 1, 3)
    expect(cut).toEqual(table(number('x', 2, 3), text('symbol', 'A', 'B')))
    expect(numbers(cut, 'x').buffer).toBe(numbers(given, 'x').buffer)
    expect(sliceRows(given, 3, 9).rows).toBe(1)
    expect(sliceRows(given, 4, 4).rows).toBe(0)
    expect(takeRows(given, [3, 0])).toEqual(table(number('x', 4, 1), text('symbol', null, 'B')))
  })

  it('taken by a slice of row numbers are the slice', () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { minLength: 1 }), fc.nat(), fc.nat(), (values, a, b) => {
        const rows = table(number('x', ...values))
        const [from, to] = [a % (values.length + 1), b % (values.length + 1)].sort((x, y) => x - y)
        const list = Array.from({ length: to - from }, (_, i) => from + i)
        expect(takeRows(rows, list)).toEqual(sliceRows(rows, from, to))
      }),
    )
  })
})

describe('a column', () => {
  it('that is missing or of the other type is a data error that names what is there', () => {
    const given = table(number('x', 1), text('s', 'a'))
    expect(() => numbers(given, 'y')).toThrow(
      expect.objectContaining({ code: 'MISSING_COLUMN', message: 'no column y; there are x, s' }),
    )
    expect(() => strings(given, 'y')).toThrow(expect.objectContaining({ code: 'MISSING_COLUMN', exit: 4 }))
    expect(() => numbers(given, 's')).toThrow(expect.objectContaining({ code: 'TYPE_MISMATCH' }))
    expect(() => strings(given, 'x')).toThrow(expect.objectContaining({ code: 'TYPE_MISMATCH' }))
  })
})
