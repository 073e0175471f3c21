import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { ingest } from '../../../src/data/ingest.ts'
import { loadTable } from '../../../src/data/tables.ts'
import { describeShared, shared } from '../../shared.ts'
import { dataOf, given, testContext } from '../home.ts'
import { type Kline, kline, MINUTE, START } from './klines.ts'

describeShared('archives of the market', () => {
  it('without a header are read', async () => {
    const context = testContext()
    given(context, 'ADABTC-1m-2021-11-27.csv', readFileSync(shared('binance_rest/archive_ADABTC-1m-2021-11-27.csv')))
    const archive = join(context.home, 'given')
    await ingest(dataOf({ kind: 'binance', symbols: ['ADABTC'], archive }, { timeframe: '1m' }), context)
    const { table } = await loadTable('prices', 1, context)
    expect(table.rows).toBe(10)
    expect(table.columns.map(({ values }) => values[0])).toEqual([
      ...[1637971200000, 0.00002853, 0.00002854, 0.00002851, 0.00002854, 36304.2, 'ADABTC'],
    ])
  })
})

describe('archives', () => {
  const csv = (rows: Kline[], header = '') => `${header}${rows.map(row => row.join(',')).join('\n')}\n`
  const HEADER =
    'open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n'

  /** A zip archive of one file (APPNOTE 4.3). */
  function zip(name: string, content: string, method = 8): Buffer {
    const packed = method ? deflateRawSync(content) : Buffer.from(content)
    const common = Buffer.alloc(26)
    common.writeUInt16LE(method, 4)
    common.writeUInt32LE(crc32(content), 10)
    common.writeUInt32LE(packed.length, 14)
    common.writeUInt32LE(content.length, 18)
    common.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed])
    const central = Buffer.concat([Buffer.from('PK\x01\x02\0\0'), common, Buffer.alloc(14), Buffer.from(name)])
    const end = Buffer.alloc(22)
    end.write('PK\x05\x06', 'latin1')
    end.writeUInt16LE(1, 10)
    end.writeUInt32LE(local.length, 16)
    return Buffer.concat([local, central, end])
  }

  it('of all layouts are one table, and known ones are not read again', async () => {
    const context = testContext()
    const micro = kline(START + 2 * MINUTE).map((value, i) =>
      i === 0 ? Number(value) * 1000 : i === 6 ? Number(value) * 1000 + 999 : value,
    )
    given(context, 'BTCUSDT-1m-2024-01-01.csv', csv([kline(START)]))
    given(context, 'BTCUSDT-1m-2024-01-02.csv', csv([kline(START + MINUTE)], HEADER))
    given(context, 'BTCUSDT-1m-2024-01-03.zip', zip('BTCUSDT-1m-2024-01-03.csv', csv([micro])))
    given(context, 'BTCUSDT-1m-2024-01-04.zip', zip('x.csv', csv([kline(START + 3 * MINUTE)]), 0))
    given(context, 'BTCUSDT-1h-2024-01-01.csv', 'of another timeframe')
    given(context, 'ETHUSDT-1m-2024-01-01.csv', 'of another symbol')
    const folder = join(context.home, 'given')
    const config = dataOf({ kind: 'binance', symbols: ['BTCUSDT'], archive: folder }, { timeframe: '1m' })
    const { rows, gaps, rejected } = await ingest(config, context)
    expect([rows, gaps, rejected]).toEqual([4, 0, 0])
    given(context, 'BTCUSDT-1m-2024-01-05.csv', csv([kline(START + 4 * MINUTE)]))
    const next = await ingest(config, context)
    expect([next.read, next.added, next.rows]).toEqual([1, 1, 5])
  })

  it('keep what is wrong with a row', async () => {
    const context = testContext()
    const path = given(
      context,
      'BTCUSDT-1m-2024-01.csv',
      `${csv([kline(START)])}1,2,3\n\n${csv([['x', ...kline(START + MINUTE).slice(1)]])}`,
    )
    const config = dataOf({ kind: 'binance', symbols: ['BTCUSDT'], archive: path }, { timeframe: '1m' })
    const { read, accepted, reasons, quarantine } = await ingest(config, context)
    expect([read, accepted, reasons]).toEqual([3, 1, { COLUMN_COUNT: 1, TIMESTAMP_INVALID: 1 }])
    expect(readFileSync(quarantine!, 'utf8')).toContain(
      `${path},2,COLUMN_COUNT,,"1,2,3"\n${path},4,TIMESTAMP_INVALID,time,"x,`,
    )
  })

  it('that are cut or changed are refused', async () => {
    const whole = zip('x.csv', csv([kline(START)]))
    const flipped = Buffer.from(whole)
    flipped[45] ^= 1
    for (const bytes of [whole.subarray(0, -30), flipped, Buffer.from('x'), Buffer.alloc(0)]) {
      const context = testContext()
      const path = given(context, 'BTCUSDT-1m-2024-01.zip', bytes)
      const config = dataOf({ kind: 'binance', symbols: ['BTCUSDT'], archive: path }, { timeframe: '1m' })
      await expect(ingest(config, context)).rejects.toMatchObject({ code: 'CORRUPT_FILE' })
      expect(existsSync(join(context.home, 'tables', 'prices', '1'))).toBe(false)
    }
  })

  it('that are not there are missed', async () => {
    const context = testContext()
    given(context, 'BTCUSDT-1m-2024-01.csv', csv([kline(START)]))
    const archive = join(context.home, 'given')
    const config = dataOf({ kind: 'binance', symbols: ['BTCUSDT', 'ETHUSDT'], archive }, { timeframe: '1m' })
    await expect(ingest(config, context)).rejects.toThrow('no file of ETHUSDT in 1m')
  })
})
