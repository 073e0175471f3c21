import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Context } from '../../src/base/context.ts'
import { compareRows, diffTables, sharedColumns } from '../../src/data/diff.ts'
import { ingest } from '../../src/data/ingest.ts'
import { verifyTable } from '../../src/data/tables.ts'
import { cleanCsv, dataOf, given, HOUR, START, testContext } from './home.ts'

/** Ingests texts one after the other and compares the first version with the last. */
async function difference(texts: string[], more: object = {}, context: Context = testContext()) {
  for (const text of texts) await ingest(dataOf({ kind: 'file', path: given(context, 'x.csv', text) }, more), context)
  const versions = await context.database.selectFrom('table_versions').select('version').execute()
  const [from, to] = [1, versions.length].map(version => verifyTable('prices', version, context))
  return diffTables(await from, await to, context)
}

describe('two versions', () => {
  it('differ in rows by key, with examples and how often each column changed', async () => {
    const lines = cleanCsv(6).trim().split('\n')
    const changed = [
      ...lines.slice(0, 2),
      lines[2].replace(',1001', ',7'),
      ...lines.slice(4),
      `${START + 9 * HOUR},1,2,1,2,3`,
    ]
    const diff = await difference([cleanCsv(6), changed.join('\n')])
    const time = (i: number) => new Date(START + i * HOUR).toISOString()
    expect(diff).toMatchObject({
      key: ['time'],
      rows: { added: 1, removed: 1, revised: 1 },
      changed: { volume: 1 },
      examples: {
        added: [{ time: time(9), open: 1, high: 2, low: 1, close: 2, volume: 3 }],
        removed: [{ time: time(2), volume: 1002 }],
        revised: [{ key: { time: time(1) }, before: { volume: 1001 }, after: { volume: 7 } }],
      },
      columns: { added: [], removed: [], retyped: [] },
    })
    expect(diff.shifts.map(({ column }) => column)).toEqual(['open', 'high', 'low', 'close', 'volume'])
  })

  it('of equal rows differ in nothing', async () => {
    const context = testContext()
    await ingest(dataOf({ kind: 'file', path: given(context, 'x.csv', cleanCsv(9)) }), context)
    const manifest = await verifyTable('prices', 1, context)
    expect(await diffTables(manifest, manifest, context)).toMatchObject({
      rows: { added: 0, removed: 0, revised: 0 },
      shifts: [],
    })
  })

  it('differ in columns and their types', async () => {
    const schema = { schema: { key: ['id'] } }
    const diff = await difference(['id,a,b,c\n1,2,x,1\n2,3,y,2\n', 'id,b,a,d\n1,x,two,5\n2,z,3,5\n'], schema)
    expect(diff.columns).toEqual({
      added: [{ name: 'd', type: 'number' }],
      removed: [{ name: 'c', type: 'number' }],
      retyped: [{ name: 'a', from: 'number', to: 'string' }],
    })
    expect(diff).toMatchObject({ key: ['id'], rows: { added: 0, removed: 0, revised: 1 }, changed: { b: 1 } })
  })

  it('without a key differ in whole rows, counted as often as they are there', async () => {
    const diff = await difference(['a,b\n1,x\n1,x\n2,y\n,z\n', 'a,b\n2,y\n1,x\n,z\n3,z\n'], { schema: 'table' })
    expect(diff).toMatchObject({
      key: [],
      rows: { added: 1, removed: 1, revised: 0 },
      examples: { added: [{ a: 3, b: 'z' }], removed: [{ a: 1, b: 'x' }] },
    })
  })

  it('show no personal value', async () => {
    const schema = [{ name: 'time' }, { name: 'mail', pii: true }, { name: 'age', pii: true }]
    const diff = await difference(
      [
        'time,mail,age\n2020-01-01,a@x,41\n2020-01-02,b@x,42\n',
        'time,mail,age\n2020-01-01,c@x,43\n2020-01-03,d@x,44\n',
      ],
      { schema },
    )
    expect(diff).toMatchObject({ rows: { added: 1, removed: 1, revised: 1 }, changed: { mail: 1, age: 1 }, shifts: [] })
    expect(JSON.stringify(diff)).not.toMatch(/@x|4[1-4]/)
  })

  it('differ in the distribution of a column: scipy.stats.ks_2samp', async () => {
    const text = (values: number[]) => `id,x\n${values.map((value, i) => `${i},${value}`).join('\n')}\n`
    const [a, b] = [
      [1, 2, 3, 4, 5],
      [4, 5, 6, 7, 8, 9],
    ]
    const diff = await difference([text(a), text(b)], { schema: { key: ['id'] } })
    expect(diff.shifts[1]).toEqual({
      ...{ column: 'x', statistic: 2 / 3, mean: [3, 6.5], missing: [0, 0] },
      pvalue: expect.closeTo(0.10822510822510821, 12),
    })
  })

  it('are compared whatever files they are cut into', async () => {
    const [whole, cut] = await Promise.all(
      [100, 24].map(partition_rows => difference([cleanCsv(60), cleanCsv(70)], { partition_rows })),
    )
    expect(cut.rows).toEqual({ added: 10, removed: 0, revised: 0 })
    expect({ ...cut, from: 0, to: 0 }).toEqual({ ...whole, from: 0, to: 0 })
  })
})

it('rows differ as sets of keys and values do', () => {
  const schema = [
    { name: 'time', type: 'time' as const },
    { name: 'symbol', type: 'string' as const },
    { name: 'x', type: 'number' as const },
  ]
  const rows = fc.uniqueArray(
    fc.tuple(fc.nat({ max: 3 }), fc.constantFrom('a', 'b'), fc.constantFrom(0, 1, Number.NaN)),
    {
      selector: ([day, name]) => `${day}${name}`,
      maxLength: 8,
    },
  )
  type Row = [number, string, number]
  const table = (list: Row[]) => {
    const sorted = list.toSorted(([a], [b]) => a - b)
    const values = [
      Float64Array.from(sorted, ([day]) => day * HOUR),
      sorted.map(([, name]) => name),
      Float64Array.from(sorted, ([, , x]) => x),
    ]
    return { rows: list.length, columns: schema.map((column, i) => ({ ...column, values: values[i] })) }
  }
  const keyed = (list: Row[]) => new Map(list.map(([day, name, x]) => [`${day}${name}`, x]))
  const law = fc.property(rows, rows, fc.boolean(), (before, after, byKey) => {
    const [a, b] = [keyed(before), keyed(after)]
    const revised = [...b].filter(([key, x]) => a.has(key) && !Object.is(a.get(key), x)).length
    const added = [...b.keys()].filter(key => !a.has(key)).length
    const removed = [...a.keys()].filter(key => !b.has(key)).length
    const found = compareRows(
      table(before),
      table(after),
      byKey ? ['time', 'symbol'] : [],
      sharedColumns(schema, schema),
    )
    expect(found.rows).toEqual(
      byKey ? { added, removed, revised } : { added: added + revised, removed: removed + revised, revised: 0 },
    )
  })
  fc.assert(law)
})
