// Where a series should have bars and has none. Markets close: a slot of the week that is regularly empty is not missed.
import { barClose, DAY, parseTimeframe, timeframeLength } from '../base/time.ts'

export interface Gap {
  symbol?: string
  /** End of the bar before, UTC ms. */
  start: number
  /** Open of the bar after. */
  end: number
  /** Bars missed. */
  bars: number
}

const WEEK = 7 * DAY
/** Before a slot of the week has come this often, nothing is known of it, and its bars are missed. */
const WEEKS_TO_LEARN = 4
/** A slot is closed when it is filled this much more rarely than the one that the typical bar lies in. */
const CLOSED = 0.75

/** The bar length of ascending times, from the most frequent step: '1d', '15m', '1M'; undefined for fewer than two bars or odd steps. */
export function commonTimeframe(series: Float64Array[]): string | undefined {
  const counts = new Map<number, number>()
  for (const times of series)
    for (let i = 1, run = 1; i < times.length; i++, run++) {
      const step = times[i] - times[i - 1]
      if (i + 1 < times.length && times[i + 1] - times[i] === step) continue
      counts.set(step, (counts.get(step) ?? 0) + run)
      run = 0
    }
  const [step] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0] ?? []
  if (!step) return undefined
  if (step >= 28 * DAY) return `${Math.round(step / (30.44 * DAY))}M`
  const unit = (['w', 'd', 'h', 'm', 's'] as const).find(
    unit => step % timeframeLength(parseTimeframe(`1${unit}`)) === 0,
  )
  return unit && `${step / timeframeLength(parseTimeframe(`1${unit}`))}${unit}`
}

/** Gaps of one symbol's ascending times (UTC ms). Steps within half a bar of the length (daylight saving) are no gaps. */
export function findGaps(times: Float64Array, timeframe: string): Gap[] {
  const frame = parseTimeframe(timeframe)
  const length = timeframeLength(frame)
  const byWeek = frame.unit !== 'M' && WEEK % length === 0 && length <= WEEK / 2
  let missed: ReturnType<typeof expectedBars> | undefined
  const gaps: Gap[] = []
  for (let i = 1; i < times.length; i++) {
    const before = times[i - 1]
    const after = times[i]
    if (after - before < 1.5 * length) continue
    if (byWeek) missed ??= expectedBars(times, length)
    const bars = missed ? missed(before, after) : Math.round((after - before) / length) - 1
    if (bars > 0) gaps.push({ start: barClose(before, frame), end: after, bars })
  }
  return gaps
}

/** How many bars of the open slots of the week lie between two bars. */
function expectedBars(times: Float64Array, length: number): (before: number, after: number) => number {
  const slots = WEEK / length
  // Rounded, so that a day stamped 00:00 in winter and 23:00 in summer stays one slot.
  const slotOf = (time: number) => Math.round(time / length)
  const inWeek = (slot: number) => ((slot % slots) + slots) % slots
  const filled = new Float64Array(slots)
  for (const time of times) filled[inWeek(slotOf(time))]++
  const first = slotOf(times[0])
  const last = slotOf(times[times.length - 1])
  const came = (slot: number) => Math.floor((last - slot) / slots) - Math.floor((first - 1 - slot) / slots)
  let typical = 0
  for (let slot = 0; slot < slots; slot++) if (filled[slot]) typical += filled[slot] ** 2 / came(slot) / times.length
  // upTo[s] = open slots before s: the bars of any stretch are a difference of two of them.
  const upTo = new Float64Array(slots + 1)
  for (let slot = 0; slot < slots; slot++) {
    const closed = came(slot) >= WEEKS_TO_LEARN && filled[slot] < CLOSED * typical * came(slot)
    upTo[slot + 1] = upTo[slot] + (closed ? 0 : 1)
  }
  const openBefore = (slot: number) => Math.floor(slot / slots) * upTo[slots] + upTo[inWeek(slot)]
  return (before, after) => openBefore(slotOf(after)) - openBefore(slotOf(before) + 1)
}
