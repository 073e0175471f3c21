// How likely it is that a Sharpe ratio is skill and not luck. All Sharpes in this file are per bar, never annualised.
import { moments, normalCdf, normalQuantile, variance } from '../base/statistics.ts'

/** What the formulas need to know of a series of returns. */
export interface ReturnShape {
  /** Number of returns. */
  n: number
  mean: number
  /** Mean over sample deviation (ddof 1), per bar. */
  sharpe: number
  /** Population skewness. */
  skewness: number
  /** Raw population kurtosis (normal 3). */
  kurtosis: number
}

/** Null with fewer than two returns, or when they do not vary (a deviation below 1e-9 of the mean is rounding, not risk). */
export function shapeOf(returns: ArrayLike<number>): ReturnShape | null {
  const n = returns.length
  if (n < 2) return null
  const { mean, variance, skewness, kurtosis } = moments(returns)
  const deviation = Math.sqrt((variance * n) / (n - 1))
  return deviation > 1e-9 * Math.abs(mean) ? { n, mean, sharpe: mean / deviation, skewness, kurtosis } : null
}

/**
 * The probability that the true Sharpe exceeds `benchmarkSharpe`, given the length, skew and tails of `returns` (per bar):
 * Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)). (Bailey & Lopez de Prado 2012.)
 * Null without variance.
 */
export function probabilisticSharpe(returns: ArrayLike<number>, benchmarkSharpe = 0): number | null {
  return probabilityAbove(shapeOf(returns), benchmarkSharpe)
}

/** probabilisticSharpe of returns whose shape is known. */
export function probabilityAbove(shape: ReturnShape | null, benchmarkSharpe = 0): number | null {
  if (!shape) return null
  const spread = estimatorVariance(shape)
  if (!(spread > 0)) return null
  return normalCdf(((shape.sharpe - benchmarkSharpe) * Math.sqrt(shape.n - 1)) / Math.sqrt(spread))
}

/** (n - 1) times the variance of the Sharpe estimator (Mertens 2002). */
const estimatorVariance = ({ sharpe, skewness, kurtosis }: ReturnShape): number =>
  1 - skewness * sharpe + ((kurtosis - 1) / 4) * sharpe ** 2

const EULER_MASCHERONI = 0.5772156649015329

/**
 * The Sharpe that the best of `trials` attempts without any skill is expected to show, when their Sharpes have this variance:
 * sqrt(V) ((1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e))), g Euler-Mascheroni. (Bailey & Lopez de Prado 2014.)
 * One trial is no search: 0. Null when the variance is unknown.
 */
export function expectedMaximumSharpe(trials: number, variance: number | null): number | null {
  if (trials <= 1) return 0
  if (variance === null || !(variance >= 0)) return null
  // Phi^-1(1 - q) = -Phi^-1(q), which keeps its digits for many trials.
  const best =
    -(1 - EULER_MASCHERONI) * normalQuantile(1 / trials) - EULER_MASCHERONI * normalQuantile(1 / (trials * Math.E))
  return Math.sqrt(variance) * best
}

/** The Sharpes per bar of all that was tried (null: never traded), or how many there were and their variance. */
export type Trials = readonly (number | null)[] | { count: number; variance: number | null }

/**
 * The probabilistic Sharpe of `returns` against the best that luck alone would have shown in `trials` x `looks` attempts
 * (Bailey & Lopez de Prado 2014). A trial that never traded counts as an attempt but has no Sharpe to vary.
 * Null without variance of the returns, or of several trials.
 */
export function deflatedSharpe(returns: ArrayLike<number>, trials: Trials, looks = 1): number | null {
  const { count, variance } = 'count' in trials ? trials : spreadOf(trials)
  const benchmark = expectedMaximumSharpe(count * looks, variance)
  return benchmark === null ? null : probabilisticSharpe(returns, benchmark)
}

function spreadOf(sharpes: readonly (number | null)[]): { count: number; variance: number | null } {
  const known = sharpes.filter(sharpe => sharpe !== null)
  return { count: sharpes.length, variance: known.length > 1 ? variance(known, 1) : null }
}

/**
 * The probability that returns beat holding the market at the same mean exposure:
 * the probabilistic Sharpe of returns - meanExposure x marketReturns, bar by bar. Both series have equal length.
 * `meanExposure` (-1..1) is the mean position over the bars on which the market is held (`Backtest.meanPosition`), so that holding
 * the market differs from it by nothing. Null when the difference does not vary.
 */
export function excessSharpeProbability(
  returns: ArrayLike<number>,
  marketReturns: ArrayLike<number>,
  meanExposure: number,
): number | null {
  return probabilisticSharpe(Float64Array.from(returns, (r, i) => r - meanExposure * marketReturns[i]))
}

/**
 * The minimum track record length: how many returns of this shape it takes until the probabilistic Sharpe reaches `probability`,
 * 1 + (1 - g3 SR + (g4 - 1)/4 SR^2) (Phi^-1(p) / (SR - SR*))^2 (Bailey & Lopez de Prado 2012).
 * Infinity when the Sharpe does not exceed the benchmark: no length would do.
 */
export function minimumTrackRecord(shape: ReturnShape, probability: number, benchmarkSharpe = 0): number {
  const edge = shape.sharpe - benchmarkSharpe
  if (edge <= 0) return Number.POSITIVE_INFINITY
  return 1 + estimatorVariance(shape) * (normalQuantile(probability) / edge) ** 2
}

/**
 * The Sharpe per bar at which n returns of this skew and these tails reach `probability` (> 0.5) against a benchmark of 0:
 * the positive root of (n - 1) SR^2 = z^2 (1 - g3 SR + (g4 - 1)/4 SR^2), z = Phi^-1(p). Infinity when n is too small for any.
 */
export function requiredSharpe({ n, skewness, kurtosis }: ReturnShape, probability: number): number {
  const z2 = normalQuantile(probability) ** 2
  const a = n - 1 - (z2 * (kurtosis - 1)) / 4
  const b = z2 * skewness
  return a > 0 ? (-b + Math.sqrt(b * b + 4 * a * z2)) / (2 * a) : Number.POSITIVE_INFINITY
}
