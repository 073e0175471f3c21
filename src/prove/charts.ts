// The drawings of the report: SVG by ECharts on the server. Colours are CSS variables of the page, so that one drawing serves light and dark.
import { createRequire } from 'node:module'
import type { EChartsOption, LineSeriesOption, ScatterSeriesOption } from 'echarts'
import { figure } from './page.ts'

type Point = [x: number, y: number | null]

/** Each drawing exists twice, since text in an SVG shrinks with it: `broad` for pages and paper, `narrow` for a phone. */
export interface Drawing {
  broad: string
  narrow: string
}

const BROAD = 900
const NARROW = 370
const MOST_POINTS = 1000
const FONT = { fontFamily: 'system-ui, sans-serif', fontSize: 13, lineHeight: 16 }
/** Text over lines stays legible by a rim of paper. */
const OVER = { ...FONT, textBorderColor: 'var(--paper)', textBorderWidth: 4 }

export interface EquityCurve {
  /** Equity before the first bar, of which all that follows is a multiple. */
  cash: number
  /** Epoch ms, ascending. */
  time: number[]
  /** Marked at every close; all three have equal length, at least one bar. */
  equity: number[]
  benchmark: number[]
}

/** Equity as a multiple of the starting cash above, drawdown in percent below, each beside buy-and-hold. */
export function drawEquity({ cash, time, equity, benchmark }: EquityCurve): Drawing {
  const lines = [
    { name: 'buy and hold', color: 'var(--benchmark)', values: multiples(benchmark, cash), width: 1.2, shade: 0 },
    { name: 'strategy', color: 'var(--strategy)', values: multiples(equity, cash), width: 1.8, shade: 0.18 },
  ]
  const value = lines.map(({ name, color, values, width }) =>
    named(curve(thin(time, values, MOST_POINTS), color, width), `${name}\n${values.at(-1)!.toFixed(2)}×`),
  )
  const falls = lines.flatMap(({ color, values, width, shade }) => {
    const fall = thin(time, drawdown(values), MOST_POINTS)
    const worst = fall.reduce((low, point) => (point[1]! < low[1]! ? point : low))
    const line = named(curve(fall, color, width), `worst\n${percentage(worst[1]!)}`)
    return [onPanel({ ...line, areaStyle: { color, opacity: shade } }, 1), onPanel(dot(worst, color), 1)]
  })
  return bothWidths(450, width => ({
    grid: [
      { left: 52, right: 92, top: 30, height: 230 },
      { left: 52, right: 92, top: 310, height: 110 },
    ],
    xAxis: [0, 1].map(gridIndex => ({ ...timeAxis(width, gridIndex === 1), gridIndex })),
    yAxis: [
      { ...valueAxis('Value, × start', multiple), ...scaleOf(lines.map(line => line.values)) },
      { ...valueAxis('Drawdown', value => `${Math.round(100 * value)} %`), gridIndex: 1, max: 0, splitNumber: 3 },
    ],
    series: [...value, ...falls],
  }))
}

export interface FoldPanel {
  name: string
  /** What a model without skill shows, where that is one number. */
  neutral?: number
  values: (number | null)[]
}

/** A panel per metric: each fold's figure as a line over the time it was measured on. `spans` are epoch ms. */
export function drawFolds(spans: [from: number, to: number][], panels: FoldPanel[]): Drawing {
  const [from, to] = [spans[0][0], spans.at(-1)![1]]
  return bothWidths(panels.length * 124 + 30, width => ({
    grid: panels.map((_, i) => ({ left: 52, right: 14, top: 34 + i * 124, height: 80 })),
    xAxis: panels.map((_, i) => ({ ...timeAxis(width, i === panels.length - 1), gridIndex: i })),
    yAxis: panels.map(({ name }, i) => ({
      ...valueAxis(name, v => String(v)),
      gridIndex: i,
      scale: true,
      splitNumber: 2,
    })),
    series: panels.flatMap(({ values, neutral }, i) => {
      const steps = spans.flatMap<Point>(([start, end], k) => [
        [start, values[k]],
        [end, values[k]],
        [end, null],
      ])
      const middles = spans.map<Point>(([start, end], k) => [(start + end) / 2, values[k]])
      const level: Point[] =
        neutral === undefined
          ? []
          : [
              [from, neutral],
              [to, neutral],
            ]
      return [dashed(level), curve(steps, 'var(--strategy)', 3), figures(middles)].map(series => onPanel(series, i))
    }),
  }))
}

/** As a fit wrote it down. */
export interface Epoch {
  epoch: number
  train_loss: number | null
  /** Of the rows that stop it; null where there are none. */
  stop_loss: number | null
  learning_rate: number | null
  seconds: number
}

/** Loss in training and of the rows that stop it above, the learning rate below; of two epochs or more. */
export function drawHistory(epochs: Epoch[]): Drawing {
  const line = (key: 'train_loss' | 'stop_loss' | 'learning_rate') => {
    const known = epochs.filter(epoch => epoch[key] !== null)
    return thin(
      known.map(({ epoch }) => epoch),
      known.map(epoch => epoch[key]!),
      MOST_POINTS,
    )
  }
  const stop = line('stop_loss')
  const lowest = stop.reduce<Point | undefined>((low, point) => (low && low[1]! <= point[1]! ? low : point), undefined)
  return bothWidths(370, width => ({
    grid: [
      { left: 52, right: 92, top: 30, height: 190 },
      { left: 52, right: 92, top: 264, height: 60 },
    ],
    xAxis: [0, 1].map(gridIndex => ({ ...epochAxis(epochs, width, gridIndex === 1), gridIndex })),
    yAxis: [
      { ...valueAxis('Loss', value => String(Number(value.toPrecision(5)))), scale: true, splitNumber: 4 },
      { ...valueAxis('Learning rate', tiny), gridIndex: 1, splitNumber: 2 },
    ],
    series: [
      named(curve(line('train_loss'), 'var(--benchmark)', 1.4), 'training'),
      ...(lowest ? [named(curve(stop, 'var(--strategy)', 1.8), 'held out'), dot(lowest, 'var(--strategy)')] : []),
      onPanel(curve(line('learning_rate'), 'var(--muted)', 1.4), 1),
    ],
  }))
}

const epochAxis = (epochs: Epoch[], width: number, show: boolean) => ({
  type: 'value' as const,
  splitNumber: width === BROAD ? 8 : 3,
  min: epochs[0].epoch,
  max: epochs.at(-1)!.epoch,
  minInterval: 1,
  ...(show && {
    name: 'epoch',
    nameLocation: 'middle' as const,
    nameGap: 26,
    nameTextStyle: { ...FONT, color: 'var(--ink)' },
  }),
  axisLine: { onZero: false, ...rule },
  axisTick: rule,
  splitLine: { show: false },
  axisLabel: axisLabel({ show }),
})

export interface CalibrationBin {
  /** Mean predicted probability, share of the class that was observed, number of rows. */
  mean: number
  observed: number
  count: number
}

/** Observed frequency against predicted probability, with 95 % intervals; on the diagonal a probability means what it says. */
export function drawCalibration(bins: CalibrationBin[]): string {
  const intervals = bins.map(({ observed, count }) => wilson(observed, count))
  const reach = [...bins.map(bin => bin.mean), ...intervals.flat()]
  const step = Math.max(...reach) - Math.min(...reach) > 0.5 ? 0.2 : 0.1
  const low = round(Math.floor(Math.min(...reach) / step) * step)
  const high = round(Math.ceil(Math.max(...reach) / step) * step)
  const largest = Math.max(...bins.map(bin => bin.count))
  const axis = { type: 'value' as const, min: low, max: high, interval: step }
  const whiskers = bins.flatMap<Point>(({ mean }, k) => [
    [mean, intervals[k][0]],
    [mean, intervals[k][1]],
    [mean, null],
  ])
  const points: ScatterSeriesOption = {
    type: 'scatter',
    data: bins.map(({ mean, observed, count }) => ({
      value: [mean, observed],
      symbolSize: 5 + 9 * Math.sqrt(count / largest),
    })),
    itemStyle: { color: 'var(--strategy)', opacity: 1 },
  }
  return draw(400, 400, {
    grid: { left: 52, right: 16, top: 30, bottom: 48 },
    xAxis: { ...valueAxis('predicted probability', tenths), ...axis, nameLocation: 'middle', nameGap: 28 },
    yAxis: { ...valueAxis('observed frequency', tenths), ...axis },
    series: [
      dashed([
        [low, low],
        [high, high],
      ]),
      curve(whiskers, 'var(--strategy)', 1.2),
      points,
    ],
  })
}

/** Actual against predicted values on one scale; on the diagonal a prediction was right. */
export function drawPredicted(points: [predicted: number, actual: number][]): string {
  let [low, high] = [Infinity, -Infinity]
  for (const point of points)
    for (const value of point) {
      if (value < low) low = value
      if (value > high) high = value
    }
  const scatter: ScatterSeriesOption = {
    type: 'scatter',
    data: points,
    symbolSize: points.length > 200 ? 4 : 6,
    itemStyle: { color: 'var(--strategy)', opacity: points.length > 200 ? 0.5 : 0.8 },
  }
  const axis = { scale: true, splitNumber: 4 }
  return draw(400, 400, {
    grid: { left: 60, right: 16, top: 30, bottom: 48 },
    xAxis: { ...valueAxis('predicted', short), ...axis, nameLocation: 'middle', nameGap: 28 },
    yAxis: { ...valueAxis('actual', short), ...axis },
    series: [
      dashed([
        [low, low],
        [high, high],
      ]),
      scatter,
    ],
  })
}

/**
 * At most `most` (>= 4) points of a line: both ends, and the lowest and highest of each of equal buckets between them,
 * so that no extreme is lost. A line that is short enough is returned whole.
 */
export function thin(x: ArrayLike<number>, y: ArrayLike<number>, most: number): Point[] {
  const n = y.length
  const at = (i: number): Point => [x[i], y[i]]
  if (n <= most) return Array.from({ length: n }, (_, i) => at(i))
  const buckets = Math.floor(most / 2) - 1
  const edge = (b: number) => 1 + Math.floor((b * (n - 2)) / buckets)
  const points = [at(0)]
  for (let b = 0; b < buckets; b++) {
    let [low, high] = [edge(b), edge(b)]
    for (let i = low; i < edge(b + 1); i++) {
      if (y[i] < y[low]) low = i
      if (y[i] > y[high]) high = i
    }
    points.push(at(Math.min(low, high)))
    if (low !== high) points.push(at(Math.max(low, high)))
  }
  return [...points, at(n - 1)]
}

/** Fall from the highest multiple so far, the start (1) included, as a fraction <= 0. */
export function drawdown(values: Float64Array): Float64Array {
  const fall = new Float64Array(values.length)
  let peak = 1
  for (let i = 0; i < values.length; i++) {
    peak = Math.max(peak, values[i])
    fall[i] = values[i] / peak - 1
  }
  return fall
}

/** The 95 % interval of a frequency `p` seen in `n` independent rows (Wilson 1927). */
export function wilson(p: number, n: number): [low: number, high: number] {
  const z = 1.959963984540054
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n)
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n))
  return [Math.max(0, middle - half), Math.min(1, middle + half)]
}

const multiples = (values: number[], of: number): Float64Array => Float64Array.from(values, value => value / of)

/** Equal distances are equal factors once the values span more than five of them. */
function scaleOf(lines: Float64Array[]) {
  let [low, high] = [Infinity, -Infinity]
  for (const values of lines)
    for (let i = 0; i < values.length; i++) {
      if (values[i] < low) low = values[i]
      if (values[i] > high) high = values[i]
    }
  if (!(low > 0 && high / low > 5)) return { type: 'value' as const, scale: true }
  return { type: 'log' as const, logBase: high / low > 200 ? 10 : 2 }
}

const multiple = (value: number): string => `${Number(value.toPrecision(3))}×`
const percentage = (value: number): string => `${(100 * value).toFixed(1)} %`.replace('-', '−')

const short = (value: number): string => String(Number(value.toPrecision(3)))
/** 0.0005 as 5e-4, so that it fits beside an axis. */
const tiny = (value: number): string =>
  value !== 0 && Math.abs(value) < 0.01 ? String(Number(value.toPrecision(2)).toExponential()) : short(value)
const round = (value: number): number => Number(value.toFixed(6))
const tenths = (value: number): string => value.toFixed(1)

const axisLabel = ({ show = true } = {}) => ({ ...FONT, color: 'var(--muted)', show, hideOverlap: true })
const rule = { lineStyle: { color: 'var(--rule)' } }

const TIMES = { year: '{yyyy}', month: '{MMM}', day: '{d} {MMM}', hour: '{HH}:{mm}', minute: '{HH}:{mm}' }

const timeAxis = (width: number, show: boolean) => ({
  type: 'time' as const,
  axisLine: { onZero: false, ...rule },
  axisTick: rule,
  splitNumber: width === BROAD ? 8 : 3,
  axisLabel: { ...axisLabel({ show }), formatter: TIMES },
})

const valueAxis = (name: string, formatter: (value: number) => string) => ({
  name,
  nameTextStyle: { ...FONT, color: 'var(--ink)', align: 'left' as const, padding: [0, 0, 0, -44] },
  nameGap: 12,
  axisLabel: { ...axisLabel(), formatter: (value: number) => formatter(value).replace('-', '−') },
  axisLine: { show: false, onZero: false, ...rule },
  axisTick: { show: false },
  splitLine: rule,
})

const curve = (data: Point[], color: string, width: number): LineSeriesOption => ({
  type: 'line',
  data,
  showSymbol: false,
  lineStyle: { color, width, join: 'round' },
})

const dashed = (data: Point[]): LineSeriesOption => ({
  type: 'line',
  data,
  showSymbol: false,
  lineStyle: { color: 'var(--benchmark)', width: 1.2, type: [4, 3] },
})

/** The figure itself above each point, which is not drawn. */
const figures = (data: Point[]): ScatterSeriesOption => ({
  type: 'scatter',
  data,
  symbolSize: 1,
  itemStyle: { color: 'none', opacity: 1 },
  label: {
    ...OVER,
    show: true,
    position: 'top',
    color: 'var(--ink)',
    formatter: ({ value }) => label((value as Point)[1]),
  },
  labelLayout: { hideOverlap: true },
})

const label = (value: number | null): string => (value === null ? '' : figure(value))

const dot = (point: Point, color: string): ScatterSeriesOption => ({
  type: 'scatter',
  data: [point],
  symbolSize: 5,
  itemStyle: { color, opacity: 1 },
})

/** A line with its name at its end; names that would overlap move apart. */
const named = (line: LineSeriesOption, name: string): LineSeriesOption => ({
  ...line,
  endLabel: { ...FONT, show: true, formatter: name, color: line.lineStyle!.color as string },
  labelLayout: { moveOverlap: 'shiftY' },
})

/** The series on the axes of panel `index`. */
const onPanel = <S extends LineSeriesOption | ScatterSeriesOption>(series: S, index: number): S => ({
  ...series,
  xAxisIndex: index,
  yAxisIndex: index,
})

const bothWidths = (height: number, option: (width: number) => EChartsOption): Drawing => ({
  broad: draw(BROAD, height, option(BROAD)),
  narrow: draw(NARROW, height, option(NARROW)),
})

let loaded: typeof import('echarts', { with: { 'resolution-mode': 'require' }}) | undefined

/** Loaded at the first drawing, and by `require`: that is one file in 0.1 s, where the ES modules are 600 in 0.7 s. */
const echarts = () => (loaded ??= createRequire(import.meta.url)('echarts') as NonNullable<typeof loaded>)

/** What ECharts writes for a lone interactive file: styles for hovering, numbered clip paths (nothing here needs one), namespaces that HTML implies. */
const SURPLUS =
  /<(style|defs)\b[\s\S]*?<\/\1>| (?:class|clip-path|pointer-events|ecmeta_\w+|xmlns|xmlns:xlink|xml:space|version|baseProfile)="[^"]*"/g

function draw(width: number, height: number, option: EChartsOption): string {
  const chart = echarts().init(null, null, { renderer: 'svg', ssr: true, width, height })
  try {
    const series = [option.series ?? []].flat().map(one => ({ ...one, silent: true, emphasis: { disabled: true } }))
    chart.setOption({ ...option, series, animation: false, useUTC: true, textStyle: FONT } as EChartsOption)
    return chart.renderToSVGString().replace(SURPLUS, '')
  } finally {
    // Otherwise its timer keeps the process alive.
    chart.dispose()
  }
}
