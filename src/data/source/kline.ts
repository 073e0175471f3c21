// A kline of Binance, of its API and its archives alike, as a row.
import { cellReader } from '../cells.ts'
import type { DataSchema } from '../columns.ts'
import { type Layout, placer } from '../layout.ts'
import { addRow, type Rows, refuse, type Warning } from '../rows.ts'
import type { KLINE_EXTRAS } from '../schema.ts'
import { epochMs, KIND, unitOf } from '../timestamp.ts'

/** Open time, open, high, low, close, volume, close time, quote volume, trades, taker buy base, taker buy quote, unused. */
export type Kline = (string | number)[]
export const WIDTH = 12

/** Ours and where a kline has them. */
const PLACES = {
  time: 0,
  open: 1,
  high: 2,
  low: 3,
  close: 4,
  volume: 5,
  quote_volume: 7,
  trades: 8,
  taker_buy_base: 9,
  taker_buy_quote: 10,
}
const NAMES = [...Object.keys(PLACES), 'symbol']
const AT = Object.values(PLACES)

/** Times are in ms, or in us (archives of spot from 2025 on): their size tells, row by row. NaN for what is none. */
export function klineTime(kline: readonly unknown[], place = 0): number {
  const time = Number(kline[place])
  const unit = unitOf(time)
  return unit === 'ms' || unit === 'us' ? epochMs(time, unit) : Number.NaN
}

export const isKline = (row: unknown): row is Kline =>
  Array.isArray(row) && row.length >= WIDTH - 1 && Number.isFinite(klineTime(row)) && Number.isFinite(klineTime(row, 6))

export interface KlineWriter {
  layout: Layout
  /** The cells that cannot be what they should refuse the row. */
  add(rows: Rows, kline: Kline, symbol: string, place: { file: number; line: number }): void
}

export function klineWriter(schema: DataSchema, keep: readonly (typeof KLINE_EXTRAS)[number][]): KlineWriter {
  const types = NAMES.map(name => (name === 'time' ? 'time' : name === 'symbol' ? 'string' : 'number'))
  const { layout, places } = placer(schema, {}, [...keep]).place(NAMES, 'Binance', types)
  const cells = cellReader({ decimal: '.', thousands: null })
  const symbolPlace = NAMES.length - 1

  function addCell(rows: Rows, row: number, i: number, kline: Kline, symbol: string): void {
    const place = places[i]
    if (place < 0) cells.absent(rows, row, i)
    else if (layout.columns[i].type === 'time' && place === 0) addTime(rows, row, i, klineTime(kline))
    else cells.value(rows, row, i, place === symbolPlace ? symbol : kline[AT[place]])
  }

  function addTime(rows: Rows, row: number, i: number, time: number): void {
    cells.time(rows, row, i, time, Number.isNaN(time) ? KIND.invalid : KIND.instant)
    if (Number.isNaN(time)) refuse(rows, row, 'TIMESTAMP_INVALID', i)
  }

  return {
    layout,
    add(rows, kline, symbol, { file, line }) {
      const row = addRow(rows)
      rows.file[row] = file
      rows.line[row] = line
      if (kline.length < WIDTH - 1) refuse(rows, row, 'COLUMN_COUNT')
      for (let i = 0; i < places.length; i++) addCell(rows, row, i, kline, symbol)
    },
  }
}

export const openBarWarning = (count: number): Warning[] =>
  count ? [{ code: 'OPEN_BAR', message: `bars left out, since they were not closed yet: ${count}`, count }] : []
