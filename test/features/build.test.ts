// The file of a build, and the table that is written from it.
import { expect, it } from 'vitest'
import { ingest } from '../../src/data/ingest.ts'
import type { SchemaColumn, TableManifest } from '../../src/data/manifest.ts'
import { verifyTable } from '../../src/data/tables.ts'
import { build, buildInputs, featureTable, readFeatures } from '../../src/features/build.ts'
import { cleanCsv, dataOf, given, testContext } from '../data/home.ts'

it('a feature may be called as a column of the file is', async () => {
  const context = testContext()
  const source = { kind: 'file' as const, path: given(context, 'bars.csv', cleanCsv(40)) }
  const { table, version } = await ingest(dataOf(source), context)
  const config = {
    features: [
      ...['open', 'close'].map(name => ({ kind: 'column', name })),
      { kind: 'expr', name: 'end', expr: '-close' },
    ],
    label: { kind: 'direction' as const, horizon: 3 },
    market: true,
  }
  const built = await build(await verifyTable(table, version, context), config, context)
  const { open, close, label, features } = await readFeatures(built)
  expect(close).toEqual(Float64Array.from({ length: 40 }, (_, i) => 101 + i))
  expect(features).toEqual([open, close, close.map(value => -value)])
  const { columns } = await featureTable(built)
  expect(columns.map(({ name }) => name)).toEqual(['time', 'open', 'close', 'end', 'label'])
  expect(columns.at(-1)!.values).toEqual(label)
})

it('numbers that became names are another build', () => {
  const config = {
    features: [{ kind: 'column', name: 'zone' }],
    label: { kind: 'column' as const, name: 'y' },
    market: false,
  }
  const inputs = (zone: object) => {
    const schema = [{ name: 'zone', type: 'number', ...zone } as SchemaColumn, { name: 'y', type: 'number' as const }]
    return buildInputs({ digest: 'd', timeframe: null, schema } as TableManifest, config)
  }
  expect(inputs({ rule: { categorical: true } })).not.toEqual(inputs({ rule: { categorical: false } }))
  expect(inputs({ rule: { categorical: false } })).toEqual(inputs({}))
})
