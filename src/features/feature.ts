// What a feature is, and the one place where missing values are met. Knows no formula.

/**
 * A column computed from earlier and present rows only.
 * All that it remembers is in `state` (all zeros = fresh), so a snapshot is a copy, and any cutting of the rows into
 * blocks gives bit-identical output.
 */
export interface Feature {
  name: string
  /** Columns of the table, names of other features or of `parts`; `time` is the bar's opening, epoch ms. */
  reads: string[]
  /** Features that stand in no table: steps on the way to this one, computed once for all that have a part of that name: #..., with a | before a further step. */
  parts: Feature[]
  /** Rows before the first value: of its own, or, as makeFeatures gives it, with those of what it reads. A lower bound for higher timeframes. */
  warmup: number
  /** Length of `state`. */
  size: number
  /** Raised when the output of the formula, or of a part's, changes; part of the cache's digest. */
  version: number
  /** Reads rows `from` (inclusive) to `to` (exclusive) of `columns`, in the order of `reads`, and writes the same rows of `out`. */
  advance(state: Float64Array, columns: Float64Array[], out: Float64Array, from: number, to: number): void
}

/** Reads one block of every column and writes `out`, all of equal length. Goes on from `state` and leaves it ready for the next block. */
export type Kernel = (state: Float64Array, columns: Float64Array[], out: Float64Array) => void

/** `version`: of the formula itself. */
type Shape = Pick<Feature, 'name' | 'reads' | 'warmup'> & { size?: number; parts?: Feature[]; version?: number }

/**
 * A feature that computes nothing across a gap: a row with a missing or infinite input has no value,
 * and the row after it starts the feature anew, warm-up included.
 */
export function feature(shape: Shape, kernel: Kernel): Feature {
  return {
    ...complete(shape),
    advance(state, columns, out, from, to) {
      let start = from
      while (start < to) {
        const end = gapless(columns, start, to)
        if (end > start) run(kernel, state, columns, out, start, end)
        else {
          state.fill(0)
          out[start] = Number.NaN
        }
        start = Math.max(end, start + 1)
      }
    },
  }
}

/** A feature whose kernel deals with missing values itself. */
export function gapAwareFeature(shape: Shape, kernel: Kernel): Feature {
  return {
    ...complete(shape),
    advance: (state, columns, out, from, to) => run(kernel, state, columns, out, from, to),
  }
}

function complete({ parts = [], size = 0, version = 1, ...shape }: Shape) {
  return { ...shape, parts, size, version: version + total(parts.map(part => part.version)) }
}

/** A column of the table as it is. */
export function passThrough(name: string): Feature {
  return gapAwareFeature({ name, reads: [name], warmup: 0 }, (_, [column], out) => out.set(column))
}

/** A part as a column of its own. */
export function publish(part: Feature, name: string): Feature {
  return gapAwareFeature({ name, reads: [part.name], parts: [part], warmup: 0 }, (_, [column], out) => out.set(column))
}

/** Consecutive parts of a state, one for each rolling operation of a kernel. */
export function split(state: Float64Array, sizes: number[]): Float64Array[] {
  let start = 0
  return sizes.map(size => state.subarray(start, (start += size)))
}

export const total = (sizes: number[]): number => sizes.reduce((sum, size) => sum + size, 0)

function run(
  kernel: Kernel,
  state: Float64Array,
  columns: Float64Array[],
  out: Float64Array,
  from: number,
  to: number,
): void {
  const block = columns.map(column => column.subarray(from, to))
  kernel(state, block, out.subarray(from, to))
}

/** The first row from `from` on where some column holds no finite number, else `to`. */
function gapless(columns: Float64Array[], from: number, to: number): number {
  let end = to
  for (const column of columns) {
    let row = from
    while (row + AT_ONCE <= end && Number.isFinite(sumOf(column, row))) row += AT_ONCE
    while (row < end && Number.isFinite(column[row])) row++
    end = row
  }
  return end
}

const AT_ONCE = 64

/** Of AT_ONCE values: finite only if every one is. Four sums, as each addition would have to wait for the one before. */
function sumOf(x: Float64Array, from: number): number {
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  for (let i = from; i < from + AT_ONCE; i += 4) {
    a += x[i]
    b += x[i + 1]
    c += x[i + 2]
    d += x[i + 3]
  }
  return a + b + (c + d)
}
