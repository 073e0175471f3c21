// Operations over the last n values, a block at a time: read `x`, write `out` (which may be `x`), go on from `state`.
// Knows no prices. A NaN (a series that has not begun, the return of a price of 0) makes the sums and moments that hold it
// NaN; extremes and smoothing take none but in front.
//
// Windows are van Herk's (1992): values come in groups of n. The ring holds the last full group as suffix aggregates, a
// prefix grows over the group that is being filled, and the window is the two together. Nothing is ever subtracted, so
// no rounding error outlives its window. Groups are counted from the first value, not from the block's, so that any
// cutting into blocks gives the same bits. O(1) a row, whatever n.
import { split } from './feature.ts'

/** Where in its group the next value goes; `| 0` tells the compiler that it is an index. */
const place = (seen: number, n: number): number => (seen % n) | 0

export const sumSize = (n: number): number => n + 2

/** Sum of the last n values. */
export function rollingSum(state: Float64Array, n: number, x: Float64Array, out: Float64Array): void {
  const ring = state.subarray(2)
  const seen = state[0]
  let prefix = state[1]
  let at = place(seen, n)
  for (let i = 0; i < x.length; i++) {
    ring[at] = x[i]
    prefix += x[i]
    if (++at === n) {
      sumSuffixes(ring, n)
      at = prefix = 0
    }
    out[i] = prefix + ring[at]
  }
  blank(out, n - 1 - seen)
  state[0] = seen + x.length
  state[1] = prefix
}

function sumSuffixes(ring: Float64Array, n: number): void {
  let sum = 0
  for (let j = n - 1; j >= 0; j--) ring[j] = sum += ring[j]
}

/** Mean of the last n values. */
export function rollingMean(state: Float64Array, n: number, x: Float64Array, out: Float64Array): void {
  rollingSum(state, n, x, out)
  for (let i = 0; i < out.length; i++) out[i] /= n
}

export const weightedSize = (n: number): number => n + 3

/** Mean of the last n values with weights 1 (the oldest) to n (the newest). */
export function rollingWeighted(state: Float64Array, n: number, x: Float64Array, out: Float64Array): void {
  const ring = state.subarray(3)
  const weights = (n * (n + 1)) / 2
  const seen = state[0]
  let prefix = state[1]
  let weighted = state[2]
  let at = place(seen, n)
  for (let i = 0; i < x.length; i++) {
    ring[at++] = x[i]
    prefix += x[i]
    weighted += at * x[i]
    if (at === n) {
      weightSuffixes(ring, n)
      at = prefix = weighted = 0
    }
    out[i] = (ring[at] + (n - at) * prefix + weighted) / weights
  }
  blank(out, n - 1 - seen)
  state[0] = seen + x.length
  state[1] = prefix
  state[2] = weighted
}

/** A place further to the left adds one to every weight, that is the plain sum. */
function weightSuffixes(ring: Float64Array, n: number): void {
  let sum = 0
  let weighted = 0
  for (let j = n - 1; j >= 0; j--) {
    sum += ring[j]
    ring[j] = weighted += sum
  }
}

export const maxSize = (n: number): number => n + 2

/** Largest of the last n values times `sign`: with -1 the smallest, negated. */
export function rollingMax(state: Float64Array, n: number, sign: 1 | -1, x: Float64Array, out: Float64Array): void {
  const ring = state.subarray(2)
  const seen = state[0]
  let at = place(seen, n)
  let prefix = at === 0 ? Number.NEGATIVE_INFINITY : state[1]
  for (let i = 0; i < x.length; i++) {
    for (const stop = Math.min(x.length, i + n - 1 - at); i < stop; i++) {
      const value = sign * x[i]
      ring[at++] = value
      prefix = value > prefix ? value : prefix
      const suffix = ring[at]
      out[i] = prefix > suffix ? prefix : suffix
    }
    if (i === x.length) break
    let suffix = sign * x[i]
    ring[at] = suffix
    for (let j = n - 2; j >= 0; j--) {
      const value = ring[j]
      ring[j] = suffix = suffix > value ? suffix : value
    }
    at = 0
    prefix = Number.NEGATIVE_INFINITY
    out[i] = ring[0]
  }
  blank(out, n - 1 - seen)
  state[0] = seen + x.length
  state[1] = prefix
}

export const ageSize = (n: number): number => 2 * n + 3

/** Rows since the largest of the last n values times `sign`; the newest of equals counts. */
export function maxAge(state: Float64Array, n: number, sign: 1 | -1, x: Float64Array, out: Float64Array): void {
  const [, ring, rows] = split(state, [3, n, n])
  let seen = state[0]
  let at = place(seen, n)
  let best = at === 0 ? Number.NEGATIVE_INFINITY : state[1]
  let bestRow = state[2]
  for (let i = 0; i < x.length; i++, seen++) {
    const value = sign * x[i]
    ring[at] = value
    rows[at] = seen
    if (value >= best) {
      best = value
      bestRow = seen
    }
    if (++at === n) {
      newestSuffixes(ring, rows, n)
      at = 0
      best = Number.NEGATIVE_INFINITY
    }
    out[i] = seen - (best >= ring[at] ? bestRow : rows[at])
  }
  blank(out, n - 1 - (seen - x.length))
  state[0] = seen
  state[1] = best
  state[2] = bestRow
}

function newestSuffixes(ring: Float64Array, rows: Float64Array, n: number): void {
  for (let j = n - 2; j >= 0; j--) {
    if (ring[j] > ring[j + 1]) continue
    ring[j] = ring[j + 1]
    rows[j] = rows[j + 1]
  }
}

export const momentsSize = (n: number): number => 2 * n + 4

/**
 * `deviation`: x minus the mean of the last n; `squares`: the sum of their squared deviations from it.
 * Sums are taken of x - pivot, the pivot being the last value of the last full group. It always lies in the window, so
 * what cancels is bounded by the window's own spread, whatever the offset or the length of the series, and a window
 * without variance has exactly 0.
 */
export function rollingMoments(
  state: Float64Array,
  n: number,
  x: Float64Array,
  deviation: Float64Array,
  squares: Float64Array,
): void {
  const [, first, second] = split(state, [4, n, n])
  const seen = state[0]
  let pivot = state[1]
  let sum = state[2]
  let squared = state[3]
  let at = place(seen, n)
  for (let i = 0; i < x.length; i++) {
    const value = x[i]
    const d = value - pivot
    first[at] = value
    sum += d
    squared += d * d
    if (++at === n) {
      pivot = value
      momentSuffixes(first, second, n, pivot)
      at = sum = squared = 0
    }
    const shifted = sum + first[at]
    const rest = squared + second[at] - (shifted * shifted) / n
    deviation[i] = value - pivot - shifted / n
    squares[i] = rest < 0 ? 0 : rest
  }
  blank(deviation, n - 1 - seen)
  blank(squares, n - 1 - seen)
  state[0] = seen + x.length
  state[1] = pivot
  state[2] = sum
  state[3] = squared
}

function momentSuffixes(first: Float64Array, second: Float64Array, n: number, pivot: number): void {
  let sum = 0
  let squared = 0
  for (let j = n - 1; j >= 0; j--) {
    const d = first[j] - pivot
    first[j] = sum += d
    second[j] = squared += d * d
  }
}

export const lagSize = (n: number): number => n + 1

/** The value n rows ago. The state holds the last n, oldest first. */
export function lag(state: Float64Array, n: number, x: Float64Array, out: Float64Array): void {
  const past = state.subarray(1)
  const recent = x.slice(-n)
  out.set(x.subarray(0, Math.max(0, x.length - n)), Math.min(n, x.length))
  out.set(past.subarray(0, x.length))
  past.copyWithin(0, x.length)
  past.set(recent, n - recent.length)
  blank(out, n - state[0])
  state[0] += x.length
}

export const smoothSize = 2

/** Exponential smoothing that starts as the plain mean of the first n values; NaNs in front are not counted. */
export function smooth(state: Float64Array, n: number, alpha: number, x: Float64Array, out: Float64Array): void {
  if (n === 1) {
    out.set(x) // the recursion would round
    return
  }
  let seen = state[0]
  let mean = state[1]
  for (let i = 0; i < x.length; i++) {
    if (seen >= n) mean += (x[i] - mean) * alpha
    else if (!Number.isNaN(x[i])) {
      mean += x[i] // a sum until the n-th
      if (++seen === n) mean /= n
    }
    out[i] = seen < n ? Number.NaN : mean
  }
  state[0] = seen
  state[1] = mean
}

/** Exponential moving average, alpha 2 / (n + 1). */
export const ema = (state: Float64Array, n: number, x: Float64Array, out: Float64Array): void =>
  smooth(state, n, 2 / (n + 1), x, out)

/** Wilder's smoothing (1978), alpha 1 / n. */
export const wilder = (state: Float64Array, n: number, x: Float64Array, out: Float64Array): void =>
  smooth(state, n, 1 / n, x, out)

/** No value in the first `rows` rows. */
export function blank(out: Float64Array, rows: number): void {
  if (rows > 0) out.fill(Number.NaN, 0, rows)
}

/** x where it is positive, else 0. Exact, and without a branch, which prices would mispredict every other row. */
export const positive = (x: number): number => (Math.abs(x) + x) / 2

/** -1, 0 or 1; exact and without a branch. */
export const sign = (x: number): number => x / (Math.abs(x) || 1)
