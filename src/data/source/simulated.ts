// Candles from a seed, for examples and for tests that must know the truth: whether there is anything to learn.
import { random } from '../../base/random.ts'
import { barClose, DAY, parseTimeframe, timeframeLength } from '../../base/time.ts'
import type { DataSchema } from '../columns.ts'
import { candleLayout } from '../layout.ts'
import { addRow, emptyRows, type Rows, type Source, type SourceContext } from '../rows.ts'
import type { SimulatedSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { KIND } from '../timestamp.ts'

/** Share of a deviation from the trend that is still there a bar later: half of it is gone after three bars. */
const REVERSION = 0.8

/**
 * Log price = trend + deviation, in steps of dt years, with e1, e2 standard normal and s the signal's strength:
 *   trend[t]     = trend[t-1] + drift dt + sqrt(1 - s) v sqrt(dt) e1        (random walk)
 *   deviation[t] = 0.8 deviation[t-1]    + sqrt(s)     v sqrt(dt) e2        (Ornstein & Uhlenbeck 1930, in discrete time)
 * v is the volatility of the current regime; a bar leaves its regime for any other with probability 1 - persistence.
 * s = 0 is a null model: returns do not depend on the past (only their size does, by the regime). With s > 0 the price
 * returns to its trend, so that what lies below its recent average rises more than drift. Bars open at the close before.
 */
export function readSimulated(config: SimulatedSource, _: DataSchema, context: SourceContext): Source {
  async function* blocks(): AsyncGenerator<Rows> {
    const rows = emptyRows(candleLayout({ symbols: config.symbols !== undefined }))
    for (const [i, symbol] of (config.symbols ?? [undefined]).entries()) {
      context.signal.throwIfAborted()
      simulate(config, i, symbol, context.timeframe ?? '1d', rows)
    }
    timeSettler({ unit: 'ms', now: context.now() }).settle(rows)
    yield rows
  }
  return {
    blocks: blocks(),
    warnings: () => [],
    paths: [],
    files: async () => [],
    text: async places => places.map(({ line }) => `bar ${line}`),
  }
}

function simulate(
  config: SimulatedSource,
  series: number,
  symbol: string | undefined,
  timeframe: string,
  rows: Rows,
): void {
  const draw = random(config.seed + series)
  const frame = parseTimeframe(timeframe)
  const years = timeframeLength(frame) / (365.2425 * DAY)
  const volatilities = [config.volatility].flat()
  const strength = config.signal?.strength ?? 0
  let regime = 0
  let trend = Math.log(config.price)
  let deviation = 0
  let close = config.price
  let time = Date.parse(config.start)
  for (let bar = 0; bar < config.bars; bar++) {
    if (draw.next() >= config.persistence && volatilities.length > 1)
      regime = (regime + 1 + Math.floor(draw.next() * (volatilities.length - 1))) % volatilities.length
    const sigma = volatilities[regime] * Math.sqrt(years)
    trend += config.drift * years + Math.sqrt(1 - strength) * sigma * draw.normal()
    deviation = REVERSION * deviation + Math.sqrt(strength) * sigma * draw.normal()
    const open = close
    close = Math.exp(trend + deviation)
    const high = Math.max(open, close) * Math.exp((sigma * Math.abs(draw.normal())) / 2)
    const low = Math.min(open, close) * Math.exp((-sigma * Math.abs(draw.normal())) / 2)
    const surprise = Math.abs(Math.log(close / open)) / sigma
    const volume = Math.round(1e6 * Math.exp(surprise / 2 + 0.3 * draw.normal()))
    pushBar(rows, symbol, [time, open, high, low, close, volume])
    time = barClose(time, frame)
  }
}

function pushBar(rows: Rows, symbol: string | undefined, values: number[]): void {
  const row = addRow(rows)
  rows.kinds[0]![row] = KIND.instant
  rows.line[row] = row + 1
  for (const [i, value] of values.entries()) (rows.values[i] as Float64Array)[row] = value
  if (symbol !== undefined) (rows.values[values.length] as (string | null)[])[row] = symbol
}
