// How far in time rows reach.
import { findColumn, type Table, timesOf } from '../base/table.ts'
import { isoTime } from '../base/time.ts'

/** Raises the newest time of each symbol ('' without symbols) to that of rows, which ascend. */
export function raise(watermark: Record<string, number>, table: Table): void {
  const time = timesOf(table)
  if (!time) return
  const symbol = findColumn(table, 'symbol')?.values
  for (let row = table.rows - 1; row >= 0; row--) {
    const name = symbol ? String(symbol[row]) : ''
    const value = time[row]
    if (!(watermark[name] >= value)) watermark[name] = value
    else if (!symbol) return
  }
}

/** ISO times of the first and of the last row; null where rows have no time. */
export function timeRange(table: Table): { from: string | null; to: string | null } {
  const time = timesOf(table)
  return time ? { from: isoTime(time[0]), to: isoTime(time[table.rows - 1]) } : { from: null, to: null }
}
