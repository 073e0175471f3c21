import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { numbers } from '../../src/base/table.ts'
import { adjuster, readFactors } from '../../src/data/factors.ts'
import { readCandles } from '../../src/data/files.ts'
import { ingest, ingestInputs } from '../../src/data/ingest.ts'
import { loadTable } from '../../src/data/tables.ts'
import { describeShared, shared } from '../shared.ts'
import { put } from '../temporary.ts'
import { dataOf, given, testContext } from './home.ts'

const HEADER = 'time,open,high,low,close,volume\n'
const FACTORS = '20200102,0.5,0.25,100\n20200104,0.8,1,120\n20501231,1,1,0\n'
const DAYS = [1, 2, 3, 4, 5].map(day => `2020-01-0${day},10,12,8,11,100\n`).join('')

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

/** Rows of a table that was ingested from `text` with these factors. */
async function ingested(text: string, adjust: object, more: object = {}, context = testContext()) {
  const path = given(context, 'x.csv', text)
  const result = await ingest(dataOf({ kind: 'file', path }, { adjust, ...more }), context)
  return { result, context, ...(await loadTable('prices', undefined, context)) }
}

describe('factors', () => {
  it('are those of the first row dated on or after the bar', async () => {
    const context = testContext()
    const factors = given(context, 'f.csv', FACTORS)
    const { table, manifest } = await ingested(HEADER + DAYS, { factors }, {}, context)
    expect([...numbers(table, 'close')]).toEqual([1.375, 1.375, 8.8, 8.8, 11])
    expect([...numbers(table, 'high')]).toEqual([1.5, 1.5, 12 * 0.8, 12 * 0.8, 12])
    expect([...numbers(table, 'volume')]).toEqual([400, 400, 100, 100, 100])
    expect(manifest.source.factors).toEqual([expect.objectContaining({ path: factors, bytes: FACTORS.length })])
  })

  it('change at midnight of the clock of the exchange', () => {
    const folder = testContext().home
    const until = (zone: string) => new Date(readFactors(put(folder, 'f.csv', FACTORS), zone).until[0]).toISOString()
    expect(until('UTC')).toBe('2020-01-03T00:00:00.000Z')
    expect(until('America/New_York')).toBe('2020-01-03T05:00:00.000Z')
    expect(until('Asia/Tokyo')).toBe('2020-01-02T15:00:00.000Z')
    const skipped = readFactors(put(folder, 'g.csv', 'date,price,split\n2018-11-03,1,1\n'), 'America/Sao_Paulo')
    expect(new Date(skipped.until[0]).toISOString()).toBe('2018-11-04T03:00:00.000Z')
  })

  it('of a folder go by symbol; one without a file is reported', async () => {
    const context = testContext()
    put(context.home, 'factors/aa.csv', '20200102,1,0.5\n')
    put(context.home, 'factors/BB.csv', '20200103,0.1,1\n')
    const text = `symbol,${HEADER}${['AA', 'BB', 'CC']
      .flatMap(name =>
        DAYS.trim()
          .split('\n')
          .map(line => `${name},${line}\n`),
      )
      .join('')}`
    const adjust = { factors: join(context.home, 'factors') }
    const { table, result } = await ingested(text, adjust, {}, context)
    expect([...numbers(table, 'close')].slice(3, 12)).toEqual([5.5, 1.1, 11, 11, 1.1, 11, 11, 11, 11])
    expect(result.reasons).toMatchObject({ NO_FACTORS: 5 })
    expect(result.warnings.map(({ message }) => message).join()).toContain('no factor file for CC')
    const one = await ingested(HEADER + DAYS, { ...adjust, symbol: 'AA' }, { table: 'one' }, context)
    expect(one.result.reasons).not.toHaveProperty('NO_FACTORS')
    expect(await refusal(ingested(HEADER + DAYS, adjust))).toMatchObject({ code: 'FACTORS', exit: 2 })
    const single = { factors: join(context.home, 'factors/aa.csv') }
    expect(await refusal(ingested(text, single))).toMatchObject({ code: 'FACTORS', exit: 2 })
  })

  it.each([
    ['', 'has no rows'],
    ['20200102,1\n', ':1: "20200102,1" is no row'],
    ['20200102,1,1\nnoon,1,1\n', ':2: "noon,1,1" is no row'],
    ['20200102,0,1\n', 'is no row'],
    ['20200102,1,-1\n', 'is no row'],
    ['20200103,1,1\n20200102,1,1\n', 'row 2 is not later'],
    ['20200103,1,1\n20200103,1,1\n', 'row 2 is not later'],
    [`${HEADER}2020-01-02,10,12,8,11,100\n`, ':1: "time,open,high,low,close,volume" is no row'],
    ['2020-01-02,10,12,8,11,100\n', ':1: "2020-01-02,10,12,8,11,100" is no row'],
  ])('%j are none', async (text, message) => {
    const context = testContext()
    const error = await refusal(ingested(HEADER + DAYS, { factors: given(context, 'f.csv', text) }, {}, context))
    expect(error).toMatchObject({ code: 'FACTORS', exit: 4, message: expect.stringContaining(message) })
  })

  it('that changed are not mixed with rows that others adjusted', async () => {
    const context = testContext()
    const factors = given(context, 'f.csv', FACTORS)
    const load = { load: 'incremental' }
    await ingested(HEADER + DAYS, { factors }, load, context)
    const later = `${HEADER}2020-01-06,10,12,8,11,100\n`
    expect((await ingested(later, { factors }, load, context)).table.rows).toBe(6)
    expect(await refusal(ingested(`${HEADER}2020-01-07,1,1,1,1,1\n`, {}, load, context))).toMatchObject({
      code: 'FACTORS_CHANGED',
    })
    const before = await ingestInputs(dataOf({ kind: 'file', path: factors }, { adjust: { factors } }))
    given(context, 'f.csv', FACTORS.replace('0.8', '0.7'))
    expect(await ingestInputs(dataOf({ kind: 'file', path: factors }, { adjust: { factors } }))).not.toEqual(before)
    expect(await refusal(ingested(later, { factors }, load, context))).toMatchObject({
      code: 'FACTORS_CHANGED',
      exit: 4,
    })
    expect((await ingested(HEADER + DAYS, { factors }, {}, context)).table.rows).toBe(5)
  })

  it('are for candles', async () => {
    const context = testContext()
    const adjust = { factors: given(context, 'f.csv', FACTORS) }
    expect(await refusal(ingested(HEADER + DAYS, adjust, { schema: 'table' }))).toMatchObject({
      code: 'FACTORS',
      exit: 2,
    })
  })
})

describe('a jump', () => {
  it('is reported with its first places, at any cutting, and where it is over the bound', async () => {
    const closes = [100, 130, 97, 97, 20, 21]
    const text = HEADER + closes.map((close, i) => `2020-01-0${i + 1},50,200,10,${close},1\n`).join('')
    const { result } = await ingested(text, {})
    const message =
      'closes that move by over 25 % (a split? adjust.factors): 3; 2020-01-02T00:00:00.000Z 30.0 %, 2020-01-03T00:00:00.000Z -25.4 %, 2020-01-05T00:00:00.000Z -79.4 %'
    expect(result.warnings).toContainEqual({ code: 'PRICE_JUMP', message, count: 3 })
    expect((await ingested(text, { report_jumps: 0.5 })).result.reasons).toMatchObject({ PRICE_JUMP: 1 })
    expect((await ingested(text, { report_jumps: null })).result.reasons).not.toHaveProperty('PRICE_JUMP')
  })
})

describeShared('factor files of Lean', () => {
  it.each(['aapl', 'spy'])('leave no split in %s', async name => {
    const path = shared(`candles/${name}_1d_raw.csv`)
    const raw = await readCandles(path)
    const { adjust } = adjuster({ factors: shared(`candles/factor_files/${name}.csv`), report_jumps: null })
    const [before, after] = [raw, adjust(raw)].map(table => numbers(table, 'close'))
    const moves = (close: Float64Array) => close.slice(1).map((value, i) => value / close[i] - 1)
    if (name === 'aapl') {
      const day = numbers(raw, 'time').indexOf(Date.UTC(2020, 7, 31)) - 1
      expect(moves(before)[day]).toBeCloseTo(-0.7415, 3)
      expect(moves(after)[day]).toBeCloseTo(0.034, 3)
      // The crash of 2000-09-29, after a warning on profits, was none of a split.
      expect(moves(after).filter(move => Math.abs(move) > 0.25)).toEqual(Float64Array.of(moves(after).toSorted()[0]))
      expect(moves(after).toSorted()[0]).toBeCloseTo(-0.519, 2)
    } else expect(moves(after).filter(move => Math.abs(move) > 0.15)).toHaveLength(0)
  })
})
