// The rows of a source in its own order, each with its place in the file and, if it cannot be taken, why.
import type { Context } from '../base/context.ts'
import { dataError } from '../base/errors.ts'
import { DAY, isoTime } from '../base/time.ts'
import { FAULTS, type Fault, faultNumber, VALUE_COLUMNS } from './schema.ts'
import { epochMs, KIND, localTimes, UNITS, type Unit, unitOf } from './timestamp.ts'

export interface Rows {
  count: number
  /** As written, with its KIND, until `settleTimes`; then UTC ms. */
  time: Float64Array
  kind: Uint8Array
  /** One array for each of VALUE_COLUMNS, then for each of `kept`. */
  values: Float64Array[]
  /** Names of further columns of numbers, in which a value may be missing (NaN). */
  kept: string[]
  /** null: the source has no symbols. */
  symbol: string[] | null
  /** A number of FAULTS; 0 is a row that can be taken. */
  fault: Uint8Array
  /** Line (CSV, the header is 1) or row (Parquet), from 1. */
  line: Uint32Array
  /** Where a row's text begins in its file, and its bytes; 0 where rows are no text. */
  position: Float64Array
  size: Uint32Array
  /** Which of the source's files. */
  file: Uint16Array
}

/** A remark of the report: nothing was refused for it. */
export interface Warning {
  code: string
  message: string
  count: number
}

export interface SourceFile {
  path: string
  sha256: string
  md5: string
  bytes: number
}

/** What a source gives. */
export interface Sourced {
  rows: Rows
  warnings: Warning[]
  /** Paths of the files that `Rows.file` counts; none for a source without files. */
  paths: string[]
  /** Their digests: a reading of their own, so that it can run while the table is written. */
  files(): Promise<SourceFile[]>
  /** The text of rows (ascending) as the source wrote them, for the quarantine. */
  text(rows: number[]): Promise<string[]>
}

export interface SourceContext extends Pick<Context, 'signal' | 'now'> {
  /** Of the config, where it says one. */
  timeframe?: string
}

export function emptyRows(capacity = 1024, kept: string[] = []): Rows {
  return {
    count: 0,
    time: new Float64Array(capacity),
    kind: new Uint8Array(capacity),
    values: [...VALUE_COLUMNS, ...kept].map(() => new Float64Array(capacity)),
    kept,
    symbol: null,
    fault: new Uint8Array(capacity),
    line: new Uint32Array(capacity),
    position: new Float64Array(capacity),
    size: new Uint32Array(capacity),
    file: new Uint16Array(capacity),
  }
}

/** Makes room for one more row and returns its number. */
export function addRow(rows: Rows): number {
  if (rows.count === rows.time.length) {
    const capacity = 2 * rows.count
    rows.time = grown(rows.time, new Float64Array(capacity))
    rows.kind = grown(rows.kind, new Uint8Array(capacity))
    rows.values = rows.values.map(values => grown(values, new Float64Array(capacity)))
    rows.fault = grown(rows.fault, new Uint8Array(capacity))
    rows.line = grown(rows.line, new Uint32Array(capacity))
    rows.position = grown(rows.position, new Float64Array(capacity))
    rows.size = grown(rows.size, new Uint32Array(capacity))
    rows.file = grown(rows.file, new Uint16Array(capacity))
  }
  return rows.count++
}

function grown<T extends Float64Array | Uint8Array | Uint32Array | Uint16Array>(from: T, to: T): T {
  to.set(from)
  return to
}

/** Only the first fault of a row is kept. */
export function refuse(rows: Rows, row: number, fault: Fault): void {
  if (rows.fault[row] === 0) rows.fault[row] = faultNumber(fault)
}

/** A fault of a row's value in `values[i]`; in a kept column it may be missing. */
export function refuseValue(rows: Rows, row: number, i: number, fault: Fault): void {
  if (i < VALUE_COLUMNS.length || fault !== 'NULL_VALUE') refuse(rows, row, fault)
}

/** All files of a source have symbols, or none has. */
export function useSymbols(rows: Rows, has: boolean, file: number): string[] | null {
  if (file === 0) rows.symbol = has ? [] : null
  else if (has !== (rows.symbol !== null))
    throw dataError('MISSING_COLUMN', `only some of the files have a symbol column`, {
      next: 'columns: {symbol: null} reads all of them without it',
    })
  return rows.symbol
}

export const faultOf = (rows: Rows, row: number): Fault => FAULTS[rows.fault[row]]

const EARLIEST = Date.UTC(1900, 0, 1)
const LATEST = Date.UTC(10_000, 0, 1)
/** Seconds taken for a finer unit land here: within 50 days of 1970-01-01. */
const NEAR_EPOCH = 50 * DAY

/**
 * Turns every row's time into UTC ms and refuses those before 1900, later than a day after `now`, or at no certain instant.
 * Errors: TIMESTAMP_UNIT_MIXED when the numbers of a column speak for different units.
 */
export function settleTimes(
  rows: Rows,
  { unit, zone, now }: { unit: 'auto' | Unit; zone?: string; now: number },
): Warning[] {
  const epoch = unit === 'auto' ? commonUnit(rows) : unit
  const local = zone === undefined ? undefined : localTimes(zone)
  let naive = 0
  for (let row = 0; row < rows.count; row++) {
    if (rows.fault[row]) continue
    const kind = rows.kind[row]
    let time = rows.time[row]
    if (kind === KIND.epoch) {
      time = epoch ? epochMs(time, epoch) : NaN
      if (epoch !== 's' && Math.abs(time) < NEAR_EPOCH) time = NaN
    } else if (kind === KIND.naive) {
      naive++
      if (local) time = certainTime(rows, row, local(time))
    }
    rows.time[row] = time
    if (!(time >= EARLIEST && time < LATEST)) refuse(rows, row, 'OUT_OF_RANGE')
    else if (time > now + DAY) refuse(rows, row, 'FUTURE_TIMESTAMP')
  }
  if (!naive || zone !== undefined) return []
  return [
    {
      code: 'NAIVE_TIME',
      message: `${naive} times have no offset and were taken as UTC (zone: says otherwise)`,
      count: naive,
    },
  ]
}

/** A wall clock that shows the same time twice, or never, tells no instant; nothing is guessed. */
function certainTime(rows: Rows, row: number, instants: number[]): number {
  if (instants.length === 1) return instants[0]
  refuse(rows, row, instants.length ? 'AMBIGUOUS_LOCAL_TIME' : 'NONEXISTENT_LOCAL_TIME')
  return NaN
}

/** The one unit that the epoch numbers of the rows speak for; undefined where none does. */
function commonUnit(rows: Rows): Unit | undefined {
  const lines = new Map<Unit, { first: number; rows: number }>()
  for (let row = 0; row < rows.count; row++) {
    if (rows.fault[row] || rows.kind[row] !== KIND.epoch) continue
    const unit = unitOf(rows.time[row])
    const seen = unit && lines.get(unit)
    if (seen) seen.rows++
    else if (unit) lines.set(unit, { first: row, rows: 1 })
  }
  if (lines.size <= 1) return lines.keys().next().value
  const found = UNITS.flatMap(unit => {
    const seen = lines.get(unit)
    return seen
      ? [{ unit, rows: seen.rows, line: rows.line[seen.first], time: isoTime(epochMs(rows.time[seen.first], unit)) }]
      : []
  })
  const list = found.map(({ unit, rows, line, time }) => `${rows} in ${unit} (line ${line}: ${time})`)
  throw dataError('TIMESTAMP_UNIT_MIXED', `the times are in different units: ${list.join(', ')}`, {
    next: 'make them one, or set unit: s, ms, us or ns to refuse the others',
    detail: found,
  })
}
