// AUDIT: looks for look-ahead and leaks from outside, without trusting the code that should prevent them.
import type { Context } from '../base/context.ts'
import { random } from '../base/random.ts'
import { lowerBound } from '../base/statistics.ts'
import { numbers, sliceRows, type Table, type Values } from '../base/table.ts'
import { isoTime } from '../base/time.ts'
import type { TableManifest } from '../data/manifest.ts'
import { loadTable } from '../data/tables.ts'
import { computeValues, type FeatureConfig, featuresOn, isTimed } from '../features/build.ts'
import { withJoined } from '../features/join.ts'
import { computeLabel } from '../features/labels.ts'
import { type Dataset, readDataset } from '../learn/dataset.ts'
import { indices, type Range } from '../learn/split.ts'

export interface Check {
  name: 'truncation' | 'future_poison' | 'split_overlap'
  ok: boolean
  /** Largest difference of a value that should not have changed, or the number of rows that overlap. */
  worst: number
  detail: string
}

/** Places at which the future is taken away or poisoned. */
const CUTS = 8

/** Features and labels of one table. */
interface Computed {
  names: string[]
  columns: Values[]
}

/** Where a row stands, for a reader: its time, or its number. */
type Place = (row: number) => string

/**
 * truncation: without the bars after a cut, every earlier value is the same, bit for bit.
 * future_poison: with absurd bars after a cut, every earlier feature is the same, and every label whose horizon ends before it.
 * split_overlap: no label interval of an earlier part reaches a bar of a later one, and no row plays two parts.
 */
export async function audit(
  { table: name, version }: Pick<TableManifest, 'table' | 'version'>,
  config: FeatureConfig,
  dataset: Dataset,
  seed: number,
  context: Context,
): Promise<Check[]> {
  const { table: loaded, manifest } = await loadTable(name, version, context)
  const table = await withJoined(loaded, manifest.timeframe, config.features, context)
  const compute = (part: Table): Computed => {
    const features = featuresOn(manifest, config.features)
    return {
      names: features.map(feature => feature.name),
      columns: computeValues(part, manifest, config.features, features),
    }
  }
  const full = compute(table)
  const labels = computeLabel(table, config.label)
  const cuts = Array.from({ length: CUTS }, (_, i) => Math.floor((table.rows * (i + 1)) / (CUTS + 1)))
  const time = isTimed(manifest) ? numbers(table, 'time') : undefined
  const atTime = cuts.map(cut => time?.indexOf(time[cut]) ?? cut) // symbols that share a time are cut together
  const place: Place = row => (time ? isoTime(time[row]) : `row ${row + 1}`)

  const truncation = worstOf(atTime.map(cut => compare(full, compute(sliceRows(table, 0, cut)), cut, place)))
  const poison = worstOf(
    atTime.flatMap(cut => {
      const poisoned = poisonFrom(table, cut, seed)
      const known = knownLabels(dataset.horizon, table, cut)
      const label = { names: ['label'], columns: [known(labels.values)] }
      const after = { names: ['label'], columns: [known(computeLabel(poisoned, config.label).values)] }
      return [compare(full, compute(poisoned), cut, place), compare(label, after, cut, place)]
    }),
  )
  return [
    { name: 'truncation', ...truncation },
    { name: 'future_poison', ...poison },
    { name: 'split_overlap', ...(await splitOverlap(dataset)) },
  ]
}

type Finding = Omit<Check, 'name'>

const worstOf = (findings: Finding[]): Finding => {
  const worst = findings.reduce((a, b) => (b.worst > a.worst ? b : a))
  return worst.ok ? { ok: true, worst: 0, detail: `bit-identical at ${CUTS} cuts` } : worst
}

/** Compares the rows before `cut`; a value that is there on one side only differs without bound. */
function compare(full: Computed, other: Computed, cut: number, place: Place): Finding {
  let finding: Finding = { ok: true, worst: 0, detail: '' }
  for (const [i, name] of full.names.entries())
    for (let row = 0; row < cut; row++) {
      const [a, b] = [full.columns[i][row], other.columns[i][row]]
      if (Object.is(a, b)) continue
      const gap = Math.abs(Number(a) - Number(b))
      const difference = Number.isNaN(gap) ? Number.POSITIVE_INFINITY : gap
      if (finding.ok || difference > finding.worst)
        finding = {
          ok: false,
          worst: difference,
          detail: `${name} at ${place(row)} is ${a}, but ${b} when the rows from ${place(cut)} on are others`,
        }
    }
  return finding
}

/** The same table with absurd, seeded values from row `from` on; times and symbols stay. */
function poisonFrom(table: Table, from: number, seed: number): Table {
  const { next } = random(seed)
  const columns = table.columns.map(column => {
    if (column.type !== 'number' || !(column.values instanceof Float64Array)) return column
    const values = column.values.slice()
    for (let i = from; i < values.length; i++) values[i] *= 1000 * next()
    return { ...column, values }
  })
  return { rows: table.rows, columns }
}

/** Blanks the labels that may rightly know of bars from row `cut` on: the last `horizon` before it, of each symbol. */
function knownLabels(horizon: number, table: Table, cut: number): (values: Float64Array) => Float64Array {
  const symbol = table.columns.find(({ name }) => name === 'symbol')?.values as string[] | undefined
  const left = new Map<string | undefined, number>()
  const blank: number[] = []
  for (let row = cut - 1; row >= 0; row--) {
    const seen = left.get(symbol?.[row]) ?? 0
    if (seen < horizon) blank.push(row)
    left.set(symbol?.[row], seen + 1)
  }
  return values => {
    const known = values.slice()
    for (const row of blank) known[row] = Number.NaN
    return known
  }
}

/** Reads the dataset's times again and trusts no order of rows or ranges. */
export async function splitOverlap(dataset: Dataset): Promise<Finding> {
  const { split } = dataset
  const { time, end } = await readDataset(dataset)
  const pairs: [string, Range[], string, Range[]][] = [
    ['train', split.train, 'valid', split.valid],
    ['train', split.train, 'test', split.test],
    ['valid', split.valid, 'test', split.test],
    ...split.folds.flatMap(({ index, train, fit, stop, valid }): [string, Range[], string, Range[]][] => [
      [`train of fold ${index + 1}`, train, 'its valid', valid],
      [`fit of fold ${index + 1}`, fit, 'its stop', stop],
      [`valid of fold ${index + 1}`, valid, 'test', split.test],
    ]),
  ]
  for (const [earlier, a, later, b] of pairs) {
    if (!b.length) continue
    const seen = Float64Array.from(indices(b), row => time[row]).sort()
    const meeting = indices(a).filter(row => seen[lowerBound(seen, time[row])] <= end[row])
    if (meeting.length) {
      const first = time[meeting[0]]
      return {
        ok: false,
        worst: meeting.length,
        detail: `${meeting.length} rows of ${earlier} reach into ${later}, the first at ${dataset.timed ? isoTime(first) : `row ${first + 1}`}`,
      }
    }
  }
  return { ok: true, worst: 0, detail: `${pairs.length} pairs of parts do not meet` }
}
