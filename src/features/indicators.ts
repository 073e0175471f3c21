// Indicators of one series: averages, momentum, dispersion. Conventions and seeding as TA-Lib.
import { type Feature, feature, publish, split, total } from './feature.ts'
import {
  blank,
  ema as exponential,
  lag,
  lagSize,
  momentsSize,
  positive,
  rollingMean,
  rollingMoments,
  rollingWeighted,
  smoothSize,
  sumSize,
  weightedSize,
} from './window.ts'

interface Series {
  /** The column or feature it is computed of; close by default. */
  of?: string
}
type Windowed = Series & { n: number }

const prefixed = (of: string, name: string): string => (of === 'close' ? name : `${of}_${name}`)

function average(n: number, of: string): Feature {
  const shape = { name: `#${prefixed(of, `sma_${n}`)}`, reads: [of], warmup: n - 1, size: sumSize(n) }
  return feature(shape, (state, [x], out) => rollingMean(state, n, x, out))
}

/** Simple moving average, in the units of the series. */
export const sma = ({ n, of = 'close' }: Windowed): Feature => publish(average(n, of), prefixed(of, `sma_${n}`))

/** Exponential moving average with alpha 2 / (n + 1), seeded with the mean of the first n. */
export function ema({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `ema_${n}`), reads: [of], warmup: n - 1, size: smoothSize }
  return feature(shape, (state, [x], out) => exponential(state, n, x, out))
}

/** Linearly weighted moving average, weight n on the newest. */
export function wma({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `wma_${n}`), reads: [of], warmup: n - 1, size: weightedSize(n) }
  return feature(shape, (state, [x], out) => rollingWeighted(state, n, x, out))
}

/** Moving average convergence and divergence (Appel 1979). All three outputs start with the signal, at row slow + signal - 2. */
export function macd(spec: Series & { fast: number; slow: number; signal: number; output: string }): Feature {
  const { fast, slow, signal, output, of = 'close' } = spec
  const name = prefixed(of, `macd_${fast}_${slow}_${signal}_${output}`)
  const line = macdLine(fast, slow, of)
  const mean = feature(
    { name: `${line.name}|ema_${signal}`, reads: [line.name], parts: [line], warmup: signal - 1, size: smoothSize },
    (state, [x], out) => exponential(state, signal, x, out),
  )
  if (output === 'signal') return publish(mean, name)
  const shape = { name, reads: [line.name, mean.name], parts: [line, mean], warmup: 0 }
  if (output === 'macd') return feature(shape, (_, [difference], out) => out.set(difference))
  return feature(shape, (_, [difference, smoothed], out) => {
    for (let i = 0; i < out.length; i++) out[i] = difference[i] - smoothed[i]
  })
}

/** The fast average less the slow one, both seeded with bars that end at row slow - 1. */
function macdLine(fast: number, slow: number, of: string): Feature {
  const sizes = [1, smoothSize, smoothSize]
  const name = `#${prefixed(of, `macd_${fast}_${slow}`)}`
  return feature({ name, reads: [of], warmup: slow - 1, size: total(sizes) }, (state, [x], out) => {
    const [clock, fastState, slowState] = split(state, sizes)
    const late = x.slice().fill(Number.NaN, 0, Math.max(0, slow - fast - clock[0])) // so that it waits for the slow one
    clock[0] += x.length
    exponential(fastState, fast, late, late)
    exponential(slowState, slow, x, out)
    for (let i = 0; i < out.length; i++) out[i] = late[i] - out[i]
  })
}

/** Sum of the squared deviations from the mean of the last n. */
function squares(n: number, of: string): Feature {
  const shape = { name: `#${prefixed(of, `squares_${n}`)}`, reads: [of], warmup: n - 1, size: momentsSize(n) }
  return feature(shape, (state, [x], out) => rollingMoments(state, n, x, out, out))
}

/** Population standard deviation (ddof 0) of the last n. */
export function stddevPop({ n, of = 'close' }: Windowed): Feature {
  const sum = squares(n, of)
  const shape = { name: prefixed(of, `stddev_pop_${n}`), reads: [sum.name], parts: [sum], warmup: 0 }
  return feature(shape, (_, [x], out) => {
    for (let i = 0; i < out.length; i++) out[i] = Math.sqrt(x[i] / n)
  })
}

/** Bollinger bands (Bollinger 1983): the moving average and k population deviations above and below it. */
export function bb({ n, k, output, of = 'close' }: Windowed & { k: number; output: string }): Feature {
  const name = prefixed(of, `bb_${n}_${k}_${output}`)
  const middle = average(n, of)
  if (output === 'middle') return publish(middle, name)
  const sum = squares(n, of)
  const reach = output === 'upper' ? k : -k
  const shape = { name, reads: [middle.name, sum.name], parts: [middle, sum], warmup: 0 }
  return feature(shape, (_, [mean, squared], out) => {
    for (let i = 0; i < out.length; i++) out[i] = mean[i] + reach * Math.sqrt(squared[i] / n)
  })
}

/**
 * Deviations (sample, ddof 1) from the mean of the last n.
 * A window without variance has 0: a value that stands at its mean is no deviation away from it, and a halted market is
 * not a gap in the data.
 */
export function zscore({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `zscore_${n}`), reads: [of], warmup: n - 1, size: momentsSize(n) }
  return feature(shape, (state, [x], out) => {
    const deviation = new Float64Array(out.length)
    rollingMoments(state, n, x, deviation, out)
    for (let i = 0; i < out.length; i++) out[i] = out[i] === 0 ? 0 : deviation[i] / Math.sqrt(out[i] / (n - 1))
  })
}

/** Realised volatility: sample deviation (ddof 1) of the last n one-row logarithmic returns, per row, not annualised. */
export function realvol({ n, of = 'close' }: Windowed): Feature {
  const sizes = [lagSize(1), momentsSize(n)]
  const shape = { name: prefixed(of, `realvol_${n}_sample`), reads: [of], warmup: n, size: total(sizes) }
  return feature(shape, (state, [x], out) => {
    const [past, window] = split(state, sizes)
    logReturns(past, 1, x, out)
    rollingMoments(window, n, out, out, out)
    for (let i = 0; i < out.length; i++) out[i] = Math.sqrt(out[i] / (n - 1))
  })
}

/** Relative strength index (Wilder 1978), 0..100; 0 when the series has not moved at all, as TA-Lib. */
export function rsi({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `rsi_${n}`), reads: [of], warmup: n, size: 4 }
  return feature(shape, (state, [x], out) => {
    const seen = state[0]
    let before = seen === 0 ? x[0] : state[1]
    let gain = state[2]
    let moved = state[3]
    for (let i = 0; i < out.length; i++) {
      const move = x[i] - before
      const keep = seen + i <= n ? 1 : 1 - 1 / n // the first average is a plain mean
      gain = gain * keep + positive(move) / n
      moved = moved * keep + Math.abs(move) / n
      before = x[i]
      out[i] = moved === 0 ? 0 : 100 * (gain / moved)
    }
    blank(out, n - seen)
    state.set([seen + out.length, before, gain, moved])
  })
}

/** Momentum: the difference to the value n rows ago, in the units of the series. */
export function mom({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `mom_${n}`), reads: [of], warmup: n, size: lagSize(n) }
  return feature(shape, (state, [x], out) => {
    lag(state, n, x, out)
    for (let i = 0; i < out.length; i++) out[i] = x[i] - out[i]
  })
}

/** Rate of change over n rows in percent; 0 where the value n rows ago was 0, as TA-Lib. */
export function roc({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `roc_${n}`), reads: [of], warmup: n, size: lagSize(n) }
  return feature(shape, (state, [x], out) => {
    lag(state, n, x, out)
    for (let i = 0; i < out.length; i++) out[i] = out[i] === 0 ? 0 : (x[i] / out[i] - 1) * 100
  })
}

/** Simple return over n rows, a fraction; NaN where the value n rows ago was 0. */
export function ret({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `ret_${n}`), reads: [of], warmup: n, size: lagSize(n) }
  return feature(shape, (state, [x], out) => {
    lag(state, n, x, out)
    for (let i = 0; i < out.length; i++) out[i] = out[i] === 0 ? Number.NaN : x[i] / out[i] - 1
  })
}

/** Logarithmic return over n rows; NaN unless both values are positive. */
export function logret({ n, of = 'close' }: Windowed): Feature {
  const shape = { name: prefixed(of, `logret_${n}`), reads: [of], warmup: n, size: lagSize(n) }
  return feature(shape, (state, [x], out) => logReturns(state, n, x, out))
}

function logReturns(state: Float64Array, n: number, x: Float64Array, out: Float64Array): void {
  lag(state, n, x, out)
  for (let i = 0; i < out.length; i++) out[i] = x[i] > 0 && out[i] > 0 ? Math.log(x[i] / out[i]) : Number.NaN
}
