// Real candles: what a validator must find in each file is stated beside them.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { numbers } from '../../src/base/table.ts'
import { describeShared, haveShared, shared } from '../shared.ts'
import { dataOf, examine, NOW } from './home.ts'

interface Facts {
  rows: number
  first: string
  last: string
  mode_step_ms: number
  duplicate_ts: number
  out_of_order: number
  ohlc_violations: number
  null_cells: number
  steps_longer_than_mode: number
  missing_bars_if_24x7: number
}

const facts: [string, Facts][] = haveShared
  ? Object.entries(JSON.parse(readFileSync(shared('integrity.json'), 'utf8')))
  : []
const BID = { open: 'bid_open', high: 'bid_high', low: 'bid_low', close: 'bid_close', volume: null }
const FRAME: Record<number, string> = { 86400000: '1d', 3600000: '1h', 300000: '5m', 60000: '1m' }
const context = { signal: new AbortController().signal, now: () => NOW }

describeShared('real candles', () => {
  it.each(facts)('%s', async (file, want) => {
    const columns = /oanda|fxcm/.test(file) ? BID : {}
    const header = !file.endsWith('.json')
    const source = { kind: 'file' as const, path: shared(file), columns, header }
    const { table, timeframe, counts } = await examine(dataOf(source), context)
    const time = numbers(table, 'time')
    expect([time[0], time[table.rows - 1]]).toEqual([Date.parse(want.first), Date.parse(want.last)])
    expect(counts).toMatchObject({ read: want.rows, accepted: want.rows, duplicates: want.duplicate_ts })
    expect(counts.rejected).toBe(want.ohlc_violations + want.null_cells)
    expect(counts.reasons.OUT_OF_ORDER ?? 0).toBe(want.out_of_order)
    expect(timeframe).toBe(FRAME[want.mode_step_ms])
    // Nights and weekends are no gaps, so there are never more than the steps longer than usual.
    expect(counts.reasons.GAP ?? 0).toBeLessThanOrEqual(want.steps_longer_than_mode)
    if (want.missing_bars_if_24x7 === 0) expect(counts.gaps).toBe(0)
  })

  it('ett/ETTh1.csv as a table, in order of its time', async () => {
    const source = { kind: 'file' as const, path: shared('ett/ETTh1.csv') }
    const named = await examine(dataOf({ ...source, columns: { time: 'date' } }, { schema: 'table' }), context)
    expect(named.table.columns.map(({ name }) => name)).toEqual([
      'time',
      'HUFL',
      'HULL',
      'MUFL',
      'MULL',
      'LUFL',
      'LULL',
      'OT',
    ])
    expect(named.counts).toMatchObject({ read: 17_420, accepted: 17_420, rejected: 0, gaps: 0 })
    expect(named.timeframe).toBe('1h')
    const plain = await examine(dataOf(source, { schema: 'table' }), context)
    expect(plain.table.columns[0]).toMatchObject({ name: 'date', type: 'time' })
  })

  it('reports holidays of a stock exchange, not its weekends', async () => {
    const path = shared('candles/sp500_1d_2000_2020.csv')
    const { gaps, gap_list } = (await examine(dataOf({ kind: 'file', path }), context)).counts
    const closed = gap_list.filter(({ bars }) => bars > 2).map(({ start, bars }) => [start.slice(0, 10), bars])
    expect(closed).toEqual([['2001-09-11', 4]])
    expect(gaps / 20.3).toBeGreaterThan(8)
    expect(gaps / 20.3).toBeLessThan(10)
  })
})
