// The few distributions and sample statistics that several stages need. Plain arrays in, numbers out; NaN in gives NaN out.

const SQRT_2PI = Math.sqrt(2 * Math.PI)

const normalDensity = (x: number): number => Math.exp((-x * x) / 2) / SQRT_2PI

/**
 * P(Z <= x) of the standard normal, to 1e-15; the lower tail to 1e-13 of its own size.
 * Near zero the series of Marsaglia (2004), in the tails the continued fraction of Laplace for Mills' ratio.
 */
export function normalCdf(x: number): number {
  if (Number.isNaN(x)) return Number.NaN
  if (Math.abs(x) > 2.5) return x < 0 ? upperTail(-x) : 1 - upperTail(x)
  let sum = x
  let term = x
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
    term *= (x * x) / k
    sum += term
  }
  return 0.5 + sum * normalDensity(x)
}

/** P(Z > x) for x > 2.5: 90 levels of the fraction leave an error below 1e-15 there. */
function upperTail(x: number): number {
  if (x > 39) return 0
  let fraction = x
  for (let k = 90; k > 0; k--) fraction = x + k / fraction
  return normalDensity(x) / fraction
}

/**
 * The x with P(Z <= x) = p, to 1e-12; -Infinity at 0, Infinity at 1, NaN outside [0, 1].
 * Starts from Abramowitz & Stegun (1964) 26.2.23 and takes Halley steps on normalCdf, each of which triples the digits.
 */
export function normalQuantile(p: number): number {
  if (!(p >= 0 && p <= 1)) return Number.NaN
  if (p === 0) return Number.NEGATIVE_INFINITY
  if (p > 0.5) return p === 1 ? Number.POSITIVE_INFINITY : -normalQuantile(1 - p)
  const t = Math.sqrt(-2 * Math.log(p))
  let x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t
  for (let step = 0; step < 3; step++) {
    const error = (normalCdf(x) - p) / normalDensity(x)
    x -= error / (1 + (x * error) / 2)
  }
  return x
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return sum / values.length
}

/** The mean squared deviation, over n - ddof. */
export function variance(values: ArrayLike<number>, ddof = 0): number {
  const center = mean(values)
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += (values[i] - center) ** 2
  return sum / (values.length - ddof)
}

export interface Moments {
  n: number
  mean: number
  /** Over n. */
  variance: number
  /** Population skewness; NaN without variance. */
  skewness: number
  /** Population kurtosis, raw: 3 for a normal; NaN without variance. */
  kurtosis: number
}

/** The first four moments in two passes. */
export function moments(values: ArrayLike<number>): Moments {
  const n = values.length
  const center = mean(values)
  let m2 = 0
  let m3 = 0
  let m4 = 0
  for (let i = 0; i < n; i++) {
    const d = values[i] - center
    const square = d * d
    m2 += square
    m3 += square * d
    m4 += square * square
  }
  m2 /= n
  return { n, mean: center, variance: m2, skewness: m3 / n / m2 ** 1.5, kurtosis: m4 / n / m2 ** 2 }
}

/** The q-quantile (q in 0..1), linear between order statistics (Hyndman & Fan 1996, type 7: numpy's default); NaN of nothing. */
export function quantile(values: ArrayLike<number>, q: number): number {
  return sortedQuantile(Float64Array.from(values).sort(), q)
}

/** As `quantile`, of ascending values. */
export function sortedQuantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return Number.NaN
  const at = q * (sorted.length - 1)
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (at - below) * (sorted[above] - sorted[below])
}

/** The place of the first of ascending values that is not below `value`; their number where there is none. */
export function lowerBound<T extends number | string>(sorted: ArrayLike<T>, value: T): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Above this sample size the exact p-value gives way to the limit, as in scipy's `ks_2samp`. */
const EXACT_UP_TO = 10_000

/**
 * Two-sample Kolmogorov-Smirnov test, two-sided: the largest distance of the empirical distributions and its p-value.
 * The p-value is exact up to `exactUpTo` values a side (10,000, as scipy), else Kolmogorov's limit with the correction of Vrbik (2018), to 1e-5.
 */
export function kolmogorovSmirnov(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { exactUpTo = EXACT_UP_TO } = {},
): { statistic: number; pvalue: number } {
  const n = a.length
  const m = b.length
  if (n === 0 || m === 0) return { statistic: Number.NaN, pvalue: Number.NaN }
  const x = Float64Array.from(a).sort()
  const y = Float64Array.from(b).sort()
  // Distances are kept as whole numbers, |i m - j n|, so that ties of the statistic are ties.
  let widest = 0
  for (let i = 0, j = 0; i < n && j < m; ) {
    const value = Math.min(x[i], y[j])
    while (i < n && x[i] === value) i++
    while (j < m && y[j] === value) j++
    widest = Math.max(widest, Math.abs(i * m - j * n))
  }
  const statistic = widest / (n * m)
  const pvalue = Math.max(n, m) <= exactUpTo ? exactKs(n, m, widest) : limitKs(n, m, statistic)
  return { statistic, pvalue }
}

/**
 * P(some point of the walk has |i m - j n| >= widest) when all orders of the n + m values are equally likely:
 * the mass that leaves the band, summed as it leaves, so that small p-values keep their digits (after Hodges 1958).
 */
function exactKs(n: number, m: number, widest: number): number {
  if (widest === 0) return 1
  let outside = 0
  let first = 0 // the lowest j of the row that is inside the band
  let row = new Float64Array(m + 1)
  row[0] = 1
  for (let i = 0; i <= n; i++) {
    const next = new Float64Array(m + 1)
    const low = Math.max(0, Math.floor((i * m - widest) / n) + 1)
    const high = Math.min(m, Math.ceil((i * m + widest) / n) - 1)
    for (let j = first; j < low; j++) outside += row[j]
    for (let j = low; j <= high; j++) {
      const left = n + m - i - j
      if (left === 0) break
      next[j] += (row[j] * (n - i)) / left
      const right = (row[j] * (m - j)) / left
      if (j < high) row[j + 1] += right
      else outside += right
    }
    first = low
    row = next
  }
  return Math.min(1, outside)
}

function limitKs(n: number, m: number, statistic: number): number {
  const size = (n * m) / (n + m)
  const root = Math.sqrt(size)
  const lambda = root * statistic + 1 / (6 * root) + (root * statistic - 1) / (4 * size)
  // The alternating series needs too many terms below 0.2, where the value is 1 to 13 digits.
  if (lambda < 0.2) return 1
  let sum = 0
  for (let k = 1; k <= 100; k++) sum += (k % 2 ? 2 : -2) * Math.exp(-2 * k * k * lambda * lambda)
  return Math.min(1, Math.max(0, sum))
}

/** Spearman's rank correlation, ties at their mean rank; null when either side is constant. */
export function spearman(a: ArrayLike<number>, b: ArrayLike<number>): number | null {
  const [x, y] = [ranks(a), ranks(b)]
  const middle = (x.length + 1) / 2
  let [xy, xx, yy] = [0, 0, 0]
  for (let i = 0; i < x.length; i++) {
    xy += (x[i] - middle) * (y[i] - middle)
    xx += (x[i] - middle) ** 2
    yy += (y[i] - middle) ** 2
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : null
}

/** Ranks from 1, ties at their mean. */
function ranks(values: ArrayLike<number>): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i] - values[j])
  const rank = new Float64Array(values.length)
  for (let from = 0, to = 0; from < order.length; from = to) {
    to = from + 1
    while (to < order.length && values[order[to]] === values[order[from]]) to++
    for (let i = from; i < to; i++) rank[order[i]] = (from + 1 + to) / 2
  }
  return rank
}
