// Rows without a time: numbers with missing values, words, and a label of each task that they tell.
import { join } from 'node:path'
import type { Context } from '../../src/base/context.ts'
import { random } from '../../src/base/random.ts'
import type { Column, Table } from '../../src/base/table.ts'
import { writeTable } from '../../src/data/files.ts'
import { ingest } from '../../src/data/ingest.ts'
import type { TableManifest } from '../../src/data/manifest.ts'
import { verifyTable } from '../../src/data/tables.ts'
import { type FeatureConfig, planFeatures } from '../../src/features/build.ts'
import type { Task } from '../../src/features/labels.ts'
import { dataOf } from '../data/home.ts'

const COLOURS = ['amber', 'blue', 'green', 'red']

/** `height`, `width` (missing in every eleventh row), `colour` (missing in every thirteenth), and `label`. */
export function flowers(rows: number, task: Task, seed = 5): Table {
  const { next, normal } = random(seed)
  const height = Float64Array.from({ length: rows }, normal)
  const width = Float64Array.from({ length: rows }, (_, row) => (row % 11 === 10 ? Number.NaN : 3 * normal()))
  const colour = Array.from({ length: rows }, (_, row) => (row % 13 === 12 ? null : COLOURS[Math.floor(4 * next())]))
  const score = Float64Array.from(height, (value, row) => {
    const seen = COLOURS.indexOf(colour[row] ?? 'blue') - 1.5
    return value + 0.3 * (Number.isNaN(width[row]) ? 0 : width[row]) + seen + 0.3 * normal()
  })
  const number = (name: string, values: Float64Array): Column => ({ name, type: 'number', values })
  const word = (name: string, values: (string | null)[]): Column => ({ name, type: 'string', values })
  const label = {
    binary: () =>
      word(
        'label',
        Array.from(score, value => (value > 0 ? 'yes' : 'no')),
      ),
    multiclass: () =>
      word(
        'label',
        Array.from(score, value => (value > 1 ? 'tall' : value < -1 ? 'small' : 'middling')),
      ),
    regression: () => number('label', score),
  }[task]()
  return { rows, columns: [number('height', height), number('width', width), word('colour', colour), label] }
}

/** A version of the table, and what is built of it when nothing is said. */
export async function tableVersion(
  table: Table,
  context: Context,
  { features = [{ kind: 'set', name: 'columns' }], schema = 'table' }: Given = {},
): Promise<{ manifest: TableManifest; plan: FeatureConfig }> {
  const path = join(context.home, 'flowers.parquet')
  await writeTable(table, path)
  const data = dataOf({ kind: 'file', path }, { table: 'flowers', schema })
  const { version } = await ingest(data, context)
  const manifest = await verifyTable('flowers', version, context)
  return {
    manifest,
    plan: planFeatures(manifest, { features, label: { kind: 'column', name: 'label' }, schema: data.schema }),
  }
}

interface Given {
  features?: FeatureConfig['features']
  /** `data.schema`. */
  schema?: unknown
}
