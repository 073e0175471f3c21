// Indicators of whole bars: range, direction, position in the range, volume. Conventions and seeding as TA-Lib.
import { type Feature, feature, publish, split, total } from './feature.ts'
import {
  ageSize,
  blank,
  maxAge,
  maxSize,
  positive,
  rollingMax,
  rollingMean,
  rollingSum,
  sign,
  smoothSize,
  sumSize,
  wilder,
} from './window.ts'

interface Bars {
  /** One series that stands in for high, low and close alike (a stochastic of an RSI); absent: the candle's own. */
  of?: string
}
type Windowed = Bars & { n: number }
type Values = Float64Array

/** Rounding noise of a difference, relative to what was subtracted: TA-Lib's bound for "did not move". */
const EPSILON = 1e-14

const prefixed = (of: string | undefined, name: string): string => (of ? `${of}_${name}` : name)

const HIGH = 'high'
const LOW = 'low'
const CLOSE = 'close'

/** True range (Wilder 1978), in price units. */
export function trange({ of }: Bars): Feature {
  const reads = [of ?? HIGH, of ?? LOW, of ?? CLOSE]
  return feature({ name: prefixed(of, 'trange'), reads, warmup: 1, size: 2 }, trueRange)
}

/** High to low, or to the close before where that is further; NaN at the first row. */
function trueRange(state: Values, [high, low, close]: Values[], out: Values): void {
  let before = state[1]
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.max(high[i], before) - Math.min(low[i], before)
    before = close[i]
  }
  if (state[0] === 0) out[0] = Number.NaN
  state[0] = 1
  state[1] = before
}

function averageRange(n: number, of?: string): Feature {
  const range = { ...trange({ of }), name: `#${prefixed(of, 'trange')}` }
  const name = `#${prefixed(of, `atr_${n}`)}`
  const shape = { name, reads: [range.name], parts: [range], warmup: n - 1, size: smoothSize }
  return feature(shape, (state, [x], out) => wilder(state, n, x, out))
}

/** Average true range (Wilder 1978), in price units. */
export const atr = ({ n, of }: Windowed): Feature => publish(averageRange(n, of), prefixed(of, `atr_${n}`))

/** Average true range in percent of the close (Forman 2006); 0 at a close of 0 and, for n = 1, the range itself, as TA-Lib. */
export function natr({ n, of }: Windowed): Feature {
  const range = averageRange(n, of)
  const name = prefixed(of, `natr_${n}`)
  if (n === 1) return publish(range, name)
  return feature({ name, reads: [range.name, of ?? CLOSE], parts: [range], warmup: 0 }, (_, [x, close], out) => {
    for (let i = 0; i < out.length; i++) out[i] = close[i] === 0 ? 0 : (x[i] / close[i]) * 100
  })
}

/** Wilder's sum over n bars of the moves beyond the bar before, upwards (`side` 1) or downwards (-1); the larger of a bar's two counts. */
function moves(n: number, side: 1 | -1, of?: string): Feature {
  const name = `#${prefixed(of, `${side === 1 ? 'ups' : 'downs'}_${n}`)}`
  const shape = { name, reads: [of ?? HIGH, of ?? LOW], warmup: n, size: 4 }
  return feature(shape, (state, [highs, lows], out) => sumMoves(state, n, side, highs, lows, out))
}

function sumMoves(state: Values, n: number, side: 1 | -1, highs: Values, lows: Values, out: Values): void {
  const seen = state[0]
  let high = seen === 0 ? highs[0] : state[1]
  let low = seen === 0 ? lows[0] : state[2]
  let sum = state[3]
  for (let i = 0; i < out.length; i++) {
    const up = positive(highs[i] - high)
    const down = positive(low - lows[i])
    sum *= kept(seen + i, n)
    sum += (side === 1 ? up : down) * positive(sign(side * (up - down)))
    high = highs[i]
    low = lows[i]
    out[i] = sum
  }
  blank(out, n - seen)
  state.set([seen + out.length, high, low, sum])
}

/** Wilder's sum over n bars of the true range. */
function ranges(n: number, of?: string): Feature {
  const range = { ...trange({ of }), name: `#${prefixed(of, 'trange')}` }
  const name = `#${prefixed(of, `ranges_${n}`)}`
  return feature({ name, reads: [range.name], parts: [range], warmup: n - 1, size: 2 }, (state, [x], out) => {
    const seen = state[0]
    let sum = state[1]
    for (let i = 0; i < out.length; i++) out[i] = sum = sum * kept(seen + 1 + i, n) + x[i]
    blank(out, n - 1 - seen)
    state[0] = seen + out.length
    state[1] = sum
  })
}

/** What Wilder's sum keeps of itself at a row: it begins with n - 1 plain terms, at row 1. */
const kept = (row: number, n: number): number => (row < n ? 1 : 1 - 1 / n)

/** Directional indicator up (Wilder 1978), 0..100; for n = 1 a fraction, as TA-Lib. */
export const plusDi = ({ n, of }: Windowed): Feature => directional(`plus_di_${n}`, n, 1, of)

/** Directional indicator down (Wilder 1978), 0..100; for n = 1 a fraction, as TA-Lib. */
export const minusDi = ({ n, of }: Windowed): Feature => directional(`minus_di_${n}`, n, -1, of)

function directional(name: string, n: number, side: 1 | -1, of?: string): Feature {
  const parts = [moves(n, side, of), ranges(n, of)]
  const whole = n === 1 ? 1 : 100
  const shape = { name: prefixed(of, name), reads: parts.map(part => part.name), parts, warmup: 0 }
  return feature(shape, (_, [moved, range], out) => {
    for (let i = 0; i < out.length; i++) out[i] = range[i] > 0 ? whole * (moved[i] / range[i]) : 0
  })
}

/**
 * Average directional index (Wilder 1978), 0..100: how one-sided the moves were, whichever side. Starts as the mean of n
 * bars, and stands still while nothing moves.
 */
export function adx({ n, of }: Windowed): Feature {
  const parts = [moves(n, 1, of), moves(n, -1, of), ranges(n, of)]
  const reads = parts.map(part => part.name)
  const shape = { name: prefixed(of, `adx_${n}`), reads, parts, warmup: n - 1, size: 2 }
  return feature(shape, (state, [plus, minus, range], out) => {
    const seen = state[0]
    let index = state[1]
    for (let i = 0; i < out.length; i++) {
      const both = plus[i] + minus[i]
      if (100 * both > EPSILON * range[i]) {
        const imbalance = (100 * Math.abs(plus[i] - minus[i])) / both
        index += (seen + i < n ? imbalance : imbalance - index) / n
      }
      out[i] = index
    }
    blank(out, n - 1 - seen)
    state[0] = seen + out.length
    state[1] = index
  })
}

function highest(n: number, of?: string): Feature {
  const shape = { name: `#${prefixed(of, `highest_${n}`)}`, reads: [of ?? HIGH], warmup: n - 1, size: maxSize(n) }
  return feature(shape, (state, [x], out) => rollingMax(state, n, 1, x, out))
}

function lowest(n: number, of?: string): Feature {
  const shape = { name: `#${prefixed(of, `lowest_${n}`)}`, reads: [of ?? LOW], warmup: n - 1, size: maxSize(n) }
  return feature(shape, (state, [x], out) => {
    rollingMax(state, n, -1, x, out)
    for (let i = 0; i < out.length; i++) out[i] = -out[i]
  })
}

/** Where the close stands between the lowest low and the highest high of n bars, 0..100; 0 without a range. */
function position(n: number, of?: string): Feature {
  const parts = [highest(n, of), lowest(n, of)]
  const reads = [...parts.map(part => part.name), of ?? CLOSE]
  return feature(
    { name: `#${prefixed(of, `position_${n}`)}`, reads, parts, warmup: 0 },
    (_, [top, bottom, close], out) => {
      for (let i = 0; i < out.length; i++) {
        const range = top[i] - bottom[i]
        const flat = range <= EPSILON * (Math.abs(top[i]) + Math.abs(bottom[i]))
        out[i] = flat ? 0 : (100 * (close[i] - bottom[i])) / range
      }
    },
  )
}

/** Mean of the last n of a part. */
function averaged(part: Feature, n: number): Feature {
  const shape = { name: `${part.name}|sma_${n}`, reads: [part.name], parts: [part], warmup: n - 1, size: sumSize(n) }
  return feature(shape, (state, [x], out) => rollingMean(state, n, x, out))
}

/** Stochastic (Lane 1957): K is the position smoothed over `smooth` bars, D is K smoothed over `d`; both start with D. */
export function stoch(spec: Bars & { k: number; smooth: number; d: number; output: string }): Feature {
  const { k, smooth, d, output, of } = spec
  const name = prefixed(of, `stoch_${k}_${smooth}_${d}_${output}`)
  return lineOrSignal(name, averaged(position(k, of), smooth), d, output)
}

/** Fast stochastic (Lane 1957): K is the position itself, D is K smoothed over `d` bars; both start with D. */
export function stochf(spec: Bars & { k: number; d: number; output: string }): Feature {
  const { k, d, output, of } = spec
  return lineOrSignal(prefixed(of, `stochf_${k}_${d}_${output}`), position(k, of), d, output)
}

function lineOrSignal(name: string, line: Feature, d: number, output: string): Feature {
  const signal = averaged(line, d)
  if (output === 'd') return publish(signal, name)
  const shape = { name, reads: [line.name, signal.name], parts: [line, signal], warmup: 0 }
  return feature(shape, (_, [x], out) => out.set(x))
}

/** Williams' %R (Williams 1973), -100..0; 0 without a range. */
export function willr({ n, of }: Windowed): Feature {
  const parts = [highest(n, of), lowest(n, of)]
  const reads = [...parts.map(part => part.name), of ?? CLOSE]
  return feature({ name: prefixed(of, `willr_${n}`), reads, parts, warmup: 0 }, (_, [top, bottom, close], out) => {
    for (let i = 0; i < out.length; i++) {
      const range = top[i] - bottom[i]
      out[i] = range === 0 ? 0 : (-100 * (top[i] - close[i])) / range
    }
  })
}

function typicalPrice(of?: string): Feature {
  const shape = { name: `#${prefixed(of, 'typical')}`, reads: [of ?? HIGH, of ?? LOW, of ?? CLOSE], warmup: 0 }
  return feature(shape, (_, [high, low, close], out) => {
    for (let i = 0; i < out.length; i++) out[i] = (high[i] + low[i] + close[i]) / 3
  })
}

/** Commodity channel index (Lambert 1980): the typical price less its mean, in mean absolute deviations x 0.015; 0 when they are noise. */
export function cci({ n, of }: Windowed): Feature {
  const price = typicalPrice(of)
  const sizes = [1, n, sumSize(n)]
  const shape = {
    name: prefixed(of, `cci_${n}`),
    reads: [price.name],
    parts: [price],
    warmup: n - 1,
    size: total(sizes),
  }
  return feature(shape, (state, [x], out) => {
    const [clock, ring, window] = split(state, sizes)
    rollingMean(window, n, x, out)
    let at = clock[0]
    for (let i = 0; i < out.length; i++) {
      ring[at] = x[i]
      if (++at === n) at = 0
      const mean = out[i]
      const spread = meanDeviation(ring, mean)
      const noise = EPSILON * Math.abs(mean)
      const distance = x[i] - mean
      out[i] = Math.abs(distance) <= noise || spread <= noise ? 0 : distance / (0.015 * spread)
    }
    clock[0] = at
  })
}

function meanDeviation(x: Values, mean: number): number {
  const fours = x.length - (x.length % 4)
  let a = 0 // four sums, as each addition would have to wait for the one before
  let b = 0
  let c = 0
  let d = 0
  for (let j = 0; j < fours; j += 4) {
    a += Math.abs(x[j] - mean)
    b += Math.abs(x[j + 1] - mean)
    c += Math.abs(x[j + 2] - mean)
    d += Math.abs(x[j + 3] - mean)
  }
  for (let j = fours; j < x.length; j++) a += Math.abs(x[j] - mean)
  return (a + b + (c + d)) / x.length
}

/** Money flow index (Quong and Soudack 1989), 0..100: the share of price x volume that moved up; 0 without any flow. */
export function mfi({ n, of }: Windowed): Feature {
  const price = typicalPrice(of)
  const sizes = [2, sumSize(n), sumSize(n)]
  const reads = [price.name, 'volume']
  const shape = { name: prefixed(of, `mfi_${n}`), reads, parts: [price], warmup: n, size: total(sizes) }
  return feature(shape, (state, [x, volume], out) => {
    const [last, inflows, flows] = split(state, sizes)
    const inflow = new Float64Array(out.length)
    moneyFlow(last, x, volume, inflow, out)
    rollingSum(inflows, n, inflow, inflow)
    rollingSum(flows, n, out, out)
    for (let i = 0; i < out.length; i++) out[i] = out[i] <= 0 ? 0 : 100 * (inflow[i] / out[i])
  })
}

/** Price x volume of the rows where the price moved, and of those where it moved up; NaN at the first row. */
function moneyFlow(state: Values, price: Values, volume: Values, inflow: Values, flow: Values): void {
  let before = state[1]
  for (let i = 0; i < flow.length; i++) {
    const move = price[i] - before
    const still = Math.abs(move) <= EPSILON * (Math.abs(price[i]) + Math.abs(before))
    flow[i] = still ? 0 : price[i] * volume[i]
    inflow[i] = flow[i] * positive(sign(move))
    before = price[i]
  }
  if (state[0] === 0) inflow[0] = flow[0] = Number.NaN
  state[0] = 1
  state[1] = before
}

/** On-balance volume (Granville 1963), in units of volume; starts with the first row's volume. */
export function obv({ of }: Bars): Feature {
  const shape = { name: prefixed(of, 'obv'), reads: [of ?? CLOSE, 'volume'], warmup: 0, size: 3 }
  return feature(shape, (state, [close, volume], out) => {
    const fresh = state[0] === 0
    let before = fresh ? close[0] : state[1]
    let balance = fresh ? volume[0] : state[2]
    for (let i = 0; i < out.length; i++) {
      balance += volume[i] * sign(close[i] - before)
      before = close[i]
      out[i] = balance
    }
    state.set([1, before, balance])
  })
}

/** Aroon (Chande 1995), 0..100: how recent the highest high (`up`) or the lowest low (`down`) of the last n + 1 bars is. */
export function aroon({ n, output, of }: Windowed & { output: string }): Feature {
  const up = output === 'up'
  const reads = [of ?? (up ? HIGH : LOW)]
  const shape = { name: prefixed(of, `aroon_${n}_${output}`), reads, warmup: n, size: ageSize(n + 1) }
  return feature(shape, (state, [x], out) => {
    maxAge(state, n + 1, up ? 1 : -1, x, out)
    for (let i = 0; i < out.length; i++) out[i] = (100 * (n - out[i])) / n
  })
}
