import { describe, expect, it } from 'vitest'
import { dataConfig } from '../../src/data/schema.ts'

const problems = (config: object) =>
  dataConfig.safeParse(config).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
const file = (more: object) => problems({ source: { kind: 'file', path: 'x.csv', ...more } })

describe('the data section', () => {
  it('has defaults for all but the source', () => {
    expect(dataConfig.parse({ source: { kind: 'file', path: 'x.csv' } })).toEqual({
      schema: 'candles',
      adjust: { report_jumps: 0.25 },
      on_bad_row: 'quarantine',
      partition_rows: 1_000_000,
      rules: [],
      source: {
        kind: 'file',
        path: 'x.csv',
        columns: {},
        keep: [],
        unit: 'auto',
        ambiguous: 'refuse',
        dates: 'ymd',
        header: true,
        delimiter: ',',
        encoding: 'auto',
        skip_lines: 0,
        decimal: '.',
      },
    })
    expect(problems({ source: { kind: 'simulated', bars: 100 } })).toBeUndefined()
  })
  it('says what is wrong', () => {
    expect(problems({})).toEqual([expect.stringContaining('source')])
    expect(problems({ source: { kind: 'file', path: 'x.csv' }, schema: { columns: [] } })).toEqual([
      expect.stringMatching(/^schema.columns: /),
    ])
    expect(problems({ source: { kind: 'ftp' } })).toEqual([expect.stringContaining('source.kind')])
    expect(problems({ source: { kind: 'file', path: 'x.csv' }, timeframe: '1y' })).toEqual([
      expect.stringMatching(/^timeframe: .*15m/),
    ])
    expect(problems({ source: { kind: 'file', path: 'x.csv' }, table: 'Up' })).toEqual([
      expect.stringMatching(/^table: /),
    ])
    expect(file({ paths: ['y.csv'] })).toEqual([expect.stringContaining('path or paths')])
    expect(file({ path: undefined })).toEqual([expect.stringContaining('path or paths')])
    expect(file({ zone: 'Mars/Base' })).toEqual([expect.stringContaining('time zone')])
    expect(file({ encoding: 'utf-9' })).toEqual([expect.stringContaining('windows-1252')])
    expect(file({ delimiter: '§' })).toHaveLength(1)
    expect(file({ columns: { time: ['date', 'time'] }, delimiter: 'auto' })).toBeUndefined()
    expect(file({ decimal: ',', thousands: ',' })).toEqual([expect.stringContaining('must differ')])
    expect(file({ colums: {} })).toEqual([expect.stringContaining('colums')])
    expect(problems({ source: { kind: 'simulated', bars: 100, signal: { strength: 2 } } })).toHaveLength(1)
  })
})
