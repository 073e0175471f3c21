// Columns of other tables beside a table's own, for the features that read them.
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { numbers, type Table } from '../base/table.ts'
import { parseTimeframe } from '../base/time.ts'
import type { TableManifest } from '../data/manifest.ts'
import { currentTable, loadTable } from '../data/tables.ts'
import type { FeatureSpec } from './catalog.ts'
import { joinedColumn, type SentimentSpec, sentimentName, valuesAsOf } from './sentiment.ts'

type Stores = Pick<Context, 'home' | 'database' | 'signal' | 'log'>

const reads = (spec: FeatureSpec): SentimentSpec | undefined =>
  spec.kind === 'sentiment' ? (spec as unknown as SentimentSpec) : undefined

/**
 * Specs that say which content of other tables they read: that of the newest version now. One that is optional and has no table is left out.
 * Errors: NO_TABLE, and as checkJoined.
 */
export async function pinTables(specs: FeatureSpec[], context: Stores): Promise<FeatureSpec[]> {
  const pinned = await Promise.all(
    specs.map(async spec => {
      const wanted = reads(spec)
      if (!wanted) return spec
      const manifest = await currentTable(wanted.table, context)
      if (manifest) return { ...spec, version: checkJoined(manifest, wanted).version, digest: manifest.digest }
      if (!spec.optional) throw noTable(wanted)
      context.log.warn(`there is no table ${wanted.table}: ${sentimentName(wanted)} is left out`)
      return undefined
    }),
  )
  return pinned.filter(spec => spec !== undefined)
}

/** The table with a column for each spec that reads another one. Errors: TIMEFRAME where bars have no length, NO_TABLE, and as checkJoined and loadTable. */
export async function withJoined(
  table: Table,
  timeframe: string | null,
  specs: FeatureSpec[],
  context: Stores,
): Promise<Table> {
  const wanted = new Map(specs.flatMap(spec => (reads(spec) ? [[joinedColumn(reads(spec)!), reads(spec)!]] : [])))
  if (!wanted.size) return table
  if (timeframe === null)
    throw dataError('TIMEFRAME', 'the bars have no fixed length, so what is known at their end cannot be told', {
      next: 'set data.timeframe',
    })
  const open = numbers(table, 'time')
  const columns = [...table.columns]
  for (const [name, spec] of wanted) {
    const { table: other } = await loadJoined(spec, context)
    const known = { time: numbers(other, 'time'), value: numbers(other, spec.column) }
    const values = valuesAsOf(open, parseTimeframe(timeframe), known, spec)
    columns.push({ name, type: 'number', values })
  }
  return { rows: table.rows, columns }
}

async function loadJoined(spec: SentimentSpec, context: Stores) {
  const loaded = await loadTable(spec.table, spec.version, context).catch(cause => {
    throw cause.code === 'NO_TABLE' ? noTable(spec) : cause
  })
  checkJoined(loaded.manifest, spec)
  return loaded
}

/** Errors: MISSING_COLUMN, SYMBOLS where the rows are of several series. */
function checkJoined(manifest: TableManifest, { table, column }: SentimentSpec): TableManifest {
  const typeOf = (name: string) => manifest.schema.find(column => column.name === name)?.type
  if (typeOf('time') !== 'time')
    throw dataError('MISSING_COLUMN', `the table ${table} has no column time that holds times`, {
      next: 'its config can say so: schema: [{name: time, type: time}, ...]',
    })
  if (typeOf(column) !== 'number')
    throw dataError('MISSING_COLUMN', `the table ${table} has no column ${column} of numbers`, {
      next: `it has ${manifest.schema.map(({ name }) => name).join(', ')}`,
    })
  if (manifest.symbols.length > 1)
    throw dataError(
      'SYMBOLS',
      `the table ${table} holds ${manifest.symbols.length} symbols; a feature reads one series`,
    )
  return manifest
}

const noTable = (spec: SentimentSpec) =>
  dataError('NO_TABLE', `the feature ${sentimentName(spec)} reads the table ${spec.table}, and there is none`, {
    next: `sluice ingest -c a config with table: ${spec.table}, in the same home; or optional: true`,
  })
