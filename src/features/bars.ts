// Indicators of whole bars: range, direction, position in the range, volume. Conventions and seeding as TA-Lib.
import { type Feature, feature, split, total } from './feature.ts'
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
const hlc = (of?: string): string[] => (of ? [of, of, of] : ['high', 'low', 'close'])

const rangeSize = 2

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

/** True range (Wilder 1978), in price units. */
export function trange({ of }: Bars): Feature {
  const shape = { name: prefixed(of, 'trange'), reads: hlc(of), warmup: 1, size: rangeSize }
  return feature(shape, trueRange)
}

/** Average true range (Wilder 1978), in price units. */
export function atr({ n, of }: Windowed): Feature {
  const shape = { name: prefixed(of, `atr_${n}`), reads: hlc(of), warmup: n, size: rangeSize + smoothSize }
  return feature(shape, (state, bars, out) => averageRange(state, n, bars, out))
}

/** Average true range in percent of the close (Forman 2006); 0 at a close of 0 and, for n = 1, the range itself, as TA-Lib. */
export function natr({ n, of }: Windowed): Feature {
  const shape = { name: prefixed(of, `natr_${n}`), reads: hlc(of), warmup: n, size: rangeSize + smoothSize }
  return feature(shape, (state, bars, out) => {
    const close = bars[2]
    averageRange(state, n, bars, out)
    if (n > 1) for (let i = 0; i < out.length; i++) out[i] = close[i] === 0 ? 0 * out[i] : (out[i] / close[i]) * 100
  })
}

function averageRange(state: Values, n: number, bars: Values[], out: Values): void {
  const [range, average] = split(state, [rangeSize, smoothSize])
  trueRange(range, bars, out)
  wilder(average, n, out, out)
}

/** Directional indicator up (Wilder 1978), 0..100; for n = 1 a fraction, as TA-Lib. */
export const plusDi = ({ n, of }: Windowed): Feature => directional('plus_di', n, n, of)

/** Directional indicator down (Wilder 1978), 0..100; for n = 1 a fraction, as TA-Lib. */
export const minusDi = ({ n, of }: Windowed): Feature => directional('minus_di', n, n, of)

/** Average directional index (Wilder 1978), 0..100: how one-sided the moves were, whichever side; stands still while nothing moves. */
export const adx = ({ n, of }: Windowed): Feature => directional('adx', n, 2 * n - 1, of)

function directional(kind: 'adx' | 'plus_di' | 'minus_di', n: number, warmup: number, of?: string): Feature {
  const shape = { name: prefixed(of, `${kind}_${n}`), reads: hlc(of), warmup, size: 9 }
  return feature(shape, (state, bars, out) => {
    const [sums, index] = split(state, [7, 2])
    const plus = new Float64Array(out.length)
    const minus = new Float64Array(out.length)
    directionalSums(sums, n, bars, plus, minus, out)
    if (kind === 'adx') directionalIndex(index, n, plus, minus, out)
    else share(kind === 'plus_di' ? plus : minus, out, n === 1 ? 1 : 100)
    blank(out, warmup - (sums[0] - out.length))
  })
}

/** Wilder's sums over n bars of the moves beyond the bar before, up and down, and of the true range; they begin with n - 1 plain terms. */
function directionalSums(state: Values, n: number, bars: Values[], plus: Values, minus: Values, range: Values): void {
  const [highs, lows, closes] = bars
  let seen = state[0]
  let high = state[1]
  let low = state[2]
  let close = state[3]
  let ups = state[4]
  let downs = state[5]
  let ranges = state[6]
  for (let i = 0; i < range.length; i++, seen++) {
    if (seen > 0) {
      const up = positive(highs[i] - high)
      const down = positive(low - lows[i])
      const larger = sign(up - down)
      const keep = seen < n ? 1 : 1 - 1 / n
      ups = ups * keep + up * positive(larger)
      downs = downs * keep + down * positive(-larger)
      ranges = ranges * keep + (Math.max(highs[i], close) - Math.min(lows[i], close))
    }
    plus[i] = ups
    minus[i] = downs
    range[i] = ranges
    high = highs[i]
    low = lows[i]
    close = closes[i]
  }
  state.set([seen, high, low, close, ups, downs, ranges])
}

/** `out`, a range, into the share that `part` has of it; 0 without a range. */
function share(part: Values, out: Values, whole: number): void {
  for (let i = 0; i < out.length; i++) out[i] = out[i] > 0 ? whole * (part[i] / out[i]) : 0
}

/** The smoothed imbalance of the two moves, from their sums and the range in `out`; a row without moves leaves it as it was. */
function directionalIndex(state: Values, n: number, plus: Values, minus: Values, out: Values): void {
  let seen = state[0]
  let index = state[1]
  for (let i = 0; i < out.length; i++, seen++) {
    const moves = plus[i] + minus[i]
    if (seen >= n && 100 * moves > EPSILON * out[i]) {
      const imbalance = (100 * Math.abs(plus[i] - minus[i])) / moves
      index += (seen < 2 * n ? imbalance : imbalance - index) / n
    }
    out[i] = index
  }
  state[0] = seen
  state[1] = index
}

const positionSize = (n: number): number => 2 * maxSize(n)

/** Where the close stands between the lowest low and the highest high of n bars, 0..100; 0 without a range. */
function position(state: Values, n: number, [high, low, close]: Values[], out: Values): void {
  const [top, bottom] = split(state, [maxSize(n), maxSize(n)])
  const negated = new Float64Array(out.length)
  rollingMax(top, n, 1, high, out)
  rollingMax(bottom, n, -1, low, negated)
  for (let i = 0; i < out.length; i++) {
    const lowest = -negated[i]
    const range = out[i] - lowest
    const flat = range <= EPSILON * (Math.abs(out[i]) + Math.abs(lowest))
    out[i] = flat ? 0 : (100 * (close[i] - lowest)) / range
  }
}

/** Stochastic (Lane 1957): K is the position smoothed over `smooth` bars, D is K smoothed over `d`; both start with D. */
export function stoch(spec: Bars & { k: number; smooth: number; d: number; output: string }): Feature {
  const { k, smooth, d, output, of } = spec
  const sizes = [positionSize(k), sumSize(smooth), sumSize(d)]
  const name = prefixed(of, `stoch_${k}_${smooth}_${d}_${output}`)
  return feature({ name, reads: hlc(of), warmup: k + smooth + d - 3, size: total(sizes) }, (state, bars, out) => {
    const [place, slow, slower] = split(state, sizes)
    const line = new Float64Array(out.length)
    position(place, k, bars, line)
    rollingMean(slow, smooth, line, line)
    rollingMean(slower, d, line, out)
    if (output === 'k') takeBegun(line, out)
  })
}

/** Fast stochastic (Lane 1957): K is the position itself, D is K smoothed over `d` bars; both start with D. */
export function stochf(spec: Bars & { k: number; d: number; output: string }): Feature {
  const { k, d, output, of } = spec
  const sizes = [positionSize(k), sumSize(d)]
  const name = prefixed(of, `stochf_${k}_${d}_${output}`)
  return feature({ name, reads: hlc(of), warmup: k + d - 2, size: total(sizes) }, (state, bars, out) => {
    const [place, slow] = split(state, sizes)
    const line = new Float64Array(out.length)
    position(place, k, bars, line)
    rollingMean(slow, d, line, out)
    if (output === 'k') takeBegun(line, out)
  })
}

/** The rows of `line` into those of `out` that have begun. */
function takeBegun(line: Values, out: Values): void {
  for (let i = 0; i < out.length; i++) if (!Number.isNaN(out[i])) out[i] = line[i]
}

/** Williams' %R (Williams 1973), -100..0; 0 without a range. */
export function willr({ n, of }: Windowed): Feature {
  const sizes = [maxSize(n), maxSize(n)]
  const shape = { name: prefixed(of, `willr_${n}`), reads: hlc(of), warmup: n - 1, size: total(sizes) }
  return feature(shape, (state, [high, low, close], out) => {
    const [top, bottom] = split(state, sizes)
    const negated = new Float64Array(out.length)
    rollingMax(top, n, 1, high, out)
    rollingMax(bottom, n, -1, low, negated)
    for (let i = 0; i < out.length; i++) {
      const range = out[i] + negated[i]
      out[i] = range === 0 ? 0 : (-100 * (out[i] - close[i])) / range
    }
  })
}

/** Commodity channel index (Lambert 1980): the typical price less its mean, in mean absolute deviations x 0.015; 0 when they are noise. */
export function cci({ n, of }: Windowed): Feature {
  const sizes = [1, n, sumSize(n)]
  const shape = { name: prefixed(of, `cci_${n}`), reads: hlc(of), warmup: n - 1, size: total(sizes) }
  return feature(shape, (state, bars, out) => {
    const [clock, ring, window] = split(state, sizes)
    const price = typicalPrice(bars)
    rollingMean(window, n, price, out)
    let at = clock[0]
    for (let i = 0; i < out.length; i++) {
      ring[at] = price[i]
      if (++at === n) at = 0
      const mean = out[i]
      const spread = meanDeviation(ring, mean)
      const noise = EPSILON * Math.abs(mean)
      const distance = price[i] - mean
      out[i] = Math.abs(distance) <= noise || spread <= noise ? 0 : distance / (0.015 * spread)
    }
    clock[0] = at
  })
}

function meanDeviation(x: Values, mean: number): number {
  let sum = 0
  for (let j = 0; j < x.length; j++) sum += Math.abs(x[j] - mean)
  return sum / x.length
}

function typicalPrice([high, low, close]: Values[]): Values {
  const out = new Float64Array(close.length)
  for (let i = 0; i < out.length; i++) out[i] = (high[i] + low[i] + close[i]) / 3
  return out
}

/** Money flow index (Quong and Soudack 1989), 0..100: the share of price x volume that moved up; 0 without any flow. */
export function mfi({ n, of }: Windowed): Feature {
  const sizes = [2, sumSize(n), sumSize(n)]
  const shape = { name: prefixed(of, `mfi_${n}`), reads: [...hlc(of), 'volume'], warmup: n, size: total(sizes) }
  return feature(shape, (state, [high, low, close, volume], out) => {
    const [last, inflows, flows] = split(state, sizes)
    const inflow = new Float64Array(out.length)
    moneyFlow(last, typicalPrice([high, low, close]), volume, inflow, out)
    rollingSum(inflows, n, inflow, inflow)
    rollingSum(flows, n, out, out)
    for (let i = 0; i < out.length; i++) out[i] = out[i] <= 0 ? 0 : 100 * (inflow[i] / out[i])
  })
}

/** Price x volume of the rows where the price moved, and of those where it moved up; NaN at the first row. */
function moneyFlow(state: Values, price: Values, volume: Values, inflow: Values, flow: Values): void {
  let before = state[1]
  for (let i = 0; i < price.length; i++) {
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
  const shape = { name: prefixed(of, 'obv'), reads: [of ?? 'close', 'volume'], warmup: 0, size: 3 }
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
  const reads = [of ?? (up ? 'high' : 'low')]
  const shape = { name: prefixed(of, `aroon_${n}_${output}`), reads, warmup: n, size: ageSize(n + 1) }
  return feature(shape, (state, [x], out) => {
    maxAge(state, n + 1, up ? 1 : -1, x, out)
    for (let i = 0; i < out.length; i++) out[i] = (100 * (n - out[i])) / n
  })
}
