// A column of another table as it was known at the end of each bar. Pure: join.ts reads the table.
import { barClose, parseTimeframe, type Timeframe, timeframeLength } from '../base/time.ts'
import { type Feature, gapAwareFeature } from './feature.ts'

export interface SentimentSpec {
  table: string
  column: string
  /** What is 1 on the feature's scale. */
  scale: number
  /** From the time of a row until it is known; 0 or a timeframe. */
  lag: string | 0
  /** A value that has been known for longer is none. */
  max_age: string
  /** The table's version that a build reads; absent: the newest. */
  version?: number
}

/** The column beside a table's own that the feature reads; no column of a user begins so. */
export const joinedColumn = ({
  table,
  column,
  lag,
  max_age,
}: Pick<SentimentSpec, 'table' | 'column' | 'lag' | 'max_age'>) => `#${table} ${column} ${lag} ${max_age}`

export const sentimentName = ({ table, column }: Pick<SentimentSpec, 'table' | 'column'>): string =>
  `${table}_${column}`

/** The value over its scale. */
export function sentiment(spec: SentimentSpec): Feature {
  const shape = { name: sentimentName(spec), reads: [joinedColumn(spec)], warmup: 0 }
  return gapAwareFeature(shape, (_, [known], out) => {
    for (let i = 0; i < out.length; i++) out[i] = known[i] / spec.scale
  })
}

/** What is known of a series: values with the times of their rows, ascending. */
export interface Known {
  time: Float64Array
  value: Float64Array
}

/**
 * For each bar (openings, ascending) the value of the newest row with time + lag <= the bar's end; NaN before the first, and where
 * it has been known for more than max_age at that end.
 */
export function valuesAsOf(
  open: Float64Array,
  frame: Timeframe,
  { time, value }: Known,
  { lag, max_age }: Pick<SentimentSpec, 'lag' | 'max_age'>,
): Float64Array {
  const delay = lag === 0 ? 0 : timeframeLength(parseTimeframe(lag))
  const oldest = timeframeLength(parseTimeframe(max_age))
  const out = new Float64Array(open.length)
  let newest = -1
  for (let i = 0; i < open.length; i++) {
    const end = barClose(open[i], frame)
    while (newest + 1 < time.length && time[newest + 1] + delay <= end) newest++
    out[i] = newest >= 0 && end - time[newest] - delay <= oldest ? value[newest] : Number.NaN
  }
  return out
}
