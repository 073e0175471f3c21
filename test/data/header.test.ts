import { describe, expect, it } from 'vitest'
import { placeColumns } from '../../src/data/header.ts'
import type { ColumnNames } from '../../src/data/schema.ts'

const place = (header: string, names: ColumnNames = {}) => {
  const columns = header.split(';')
  const { symbol, ...rest } = placeColumns(columns, names, 'x.csv')
  const name = (i: number) => (i < 0 ? null : columns[i])
  return { ...Object.fromEntries(Object.entries(rest).map(([ours, i]) => [ours, name(i)])), symbol: name(symbol) }
}
const refusal = (header: string, names?: ColumnNames) => {
  try {
    return place(header, names)
  } catch (error) {
    return error
  }
}

describe('common spellings', () => {
  it.each([
    'time;open;high;low;close;volume',
    'Date;Open;High;Low;Close;Volume',
    ' TIMESTAMP ; o;h;l;c;v',
    'open time;open;high;low;close;vol',
    '<DATE>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>',
    ';open;high;low;close;volume',
    'Unnamed: 0;open;high;low;close;volume',
  ])('%j', header => {
    const [time, open, high, low, close, volume] = header.split(';')
    expect(place(header)).toEqual({ time, open, high, low, close, volume, symbol: null })
  })
  it('columns of no interest stay where they are', () => {
    const header = ';Ticker;date;close_time;adj close;open;high;low;close;volume;trades'
    expect(place(header)).toMatchObject({ time: 'date', close: 'close', symbol: 'Ticker' })
  })
})

describe('names of the config', () => {
  const header = 'when;first;max;min;last;units;date'
  const names = { time: 'When', open: 'first', high: 'max', low: 'min', close: 'last', volume: 'units' }
  it('go before spellings, whatever their case', () => {
    expect(place(header, names)).toMatchObject({ time: 'when', close: 'last', symbol: null })
  })
  it('null is a column that is not looked for', () => {
    expect(refusal(header, { ...names, symbol: 'sym' })).toMatchObject({ detail: { missing: ['symbol'] } })
    expect(place('time;open;high;low;close;symbol', { volume: null, symbol: null })).toMatchObject({
      volume: null,
      symbol: null,
    })
    expect(place('time;open;high;low;close;volume', { volume: null })).toMatchObject({ volume: null })
  })
  it('that are not there are missing', () => {
    expect(refusal(header, { ...names, close: 'settle' })).toMatchObject({
      code: 'MISSING_COLUMN',
      detail: { missing: ['close'] },
    })
  })
})

describe('refusals', () => {
  it('name every missing column and the way out', () => {
    expect(refusal('time;open;high')).toMatchObject({
      code: 'MISSING_COLUMN',
      exit: 4,
      detail: { missing: ['low', 'close', 'volume'] },
    })
    expect(refusal('ts;open;high;low;close')).toMatchObject({
      next: expect.stringContaining('columns: {volume: null}'),
    })
    expect(refusal('1633046400000;1;2;3;4;5')).toMatchObject({ next: expect.stringContaining('header: false') })
  })
  it('never guess between two', () => {
    expect(refusal('date;time;open;high;low;close;volume')).toMatchObject({
      code: 'AMBIGUOUS_COLUMN',
      message: expect.stringContaining('date, time'),
    })
    expect(refusal('time;open;high;low;close;close;volume')).toMatchObject({ code: 'DUPLICATE_COLUMN' })
    expect(refusal('time;open;high;low;close; Close ;volume')).toMatchObject({ code: 'DUPLICATE_COLUMN' })
    expect(place('time;open;high;low;close;Close;volume', { close: 'Close' })).toMatchObject({ close: 'Close' })
  })
})
