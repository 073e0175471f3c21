// Every case of the reference set of bad inputs, with the counts and codes stated there.
import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { numbers, tableDigest } from '../../src/base/table.ts'
import { isoTime } from '../../src/base/time.ts'
import { ingest } from '../../src/data/ingest.ts'
import { describeShared, haveShared, shared } from '../shared.ts'
import { dataOf, examine, NOW, testContext } from './home.ts'

interface Case {
  file: string
  rows_ok: number | null
  rows_rejected: number | null
  reason_codes: string[]
}

const cases: Case[] = haveShared ? JSON.parse(readFileSync(shared('dirty/expected.json'), 'utf8')).cases : []
/** Refused as a whole, with this code. */
const REFUSED: Record<string, string> = {
  '11_ms_and_seconds_mixed.csv': 'TIMESTAMP_UNIT_MIXED',
  '16_quoted_thousands.csv': 'EMPTY_INPUT',
  '17_semicolon_decimal_comma.csv': 'DELIMITER',
  '18_empty.csv': 'EMPTY_INPUT',
  '19_header_only.csv': 'EMPTY_INPUT',
  '20_no_header.csv': 'MISSING_COLUMN',
  '21_missing_column.csv': 'MISSING_COLUMN',
  '23_duplicate_header.csv': 'DUPLICATE_COLUMN',
  '26_truncated.parquet': 'CORRUPT_FILE',
  '27_wrong_magic.parquet': 'CORRUPT_FILE',
  '28_wrong_schema.avro': 'MISSING_COLUMN',
  '29_truncated.avro': 'CORRUPT_FILE',
  '35_truncated.csv.gz': 'CORRUPT_FILE',
}
/** Same rows as the control. */
const EQUAL_TO_CLEAN = /^(00|01|03|09|12|13|14|15|22|25|34)_/

const configOf = (file: string, source: object = {}, more: object = {}) =>
  dataOf({ kind: 'file', path: shared(`dirty/${file}`), ...source }, more)
const examineDirty = async (file: string, source: object = {}) => {
  const { table, counts } = await examine(configOf(file, source), {
    signal: new AbortController().signal,
    now: () => NOW,
  })
  return { ...counts, table, digest: tableDigest(table) }
}
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

describeShared('bad inputs', () => {
  it.each(cases.filter(({ file }) => file in REFUSED))(
    '$file: refused, $reason_codes',
    async ({ file, reason_codes }) => {
      const error = await refusal(ingest(configOf(file), testContext()))
      expect(error).toMatchObject({ code: REFUSED[file], fault: 'data' })
      const codes = [error.code, ...Object.keys(error.detail?.reasons ?? {})]
      expect(codes).toEqual(expect.arrayContaining(reason_codes))
    },
  )

  it.each(cases.filter(({ file }) => !(file in REFUSED) && !/^3[34]_/.test(file)))(
    '$file: $rows_ok rows, $rows_rejected rejected',
    async ({ file, rows_ok, rows_rejected, reason_codes }) => {
      const result = await examineDirty(file)
      expect(result).toMatchObject({ accepted: rows_ok, rejected: rows_rejected })
      expect(result.read).toBe(result.accepted + result.rejected + result.duplicates)
      expect(Object.keys(result.reasons)).toEqual(expect.arrayContaining(reason_codes))
      if (EQUAL_TO_CLEAN.test(file)) expect(result.digest).toBe((await examineDirty('00_clean.csv')).digest)
    },
  )
})

const quarantined = async (file: string, source: object = {}) => {
  const { quarantine } = await ingest(configOf(file, source), testContext())
  const rows = readFileSync(quarantine as string, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
  return rows.map(row => row.split(',').slice(1, 3).join(' '))
}

describeShared('bad inputs in detail', () => {
  it('names the line of each rejected row', async () => {
    expect(await quarantined('05_nan_close.csv')).toEqual(['7 NULL_VALUE', '8 NULL_VALUE', '9 NULL_VALUE'])
    expect(await quarantined('24_ragged_rows.csv')).toEqual(['10 COLUMN_COUNT', '11 COLUMN_COUNT'])
    expect(await quarantined('30_one_broken_line.jsonl')).toEqual(['18 JSON_PARSE'])
    expect(await quarantined('31_nan_infinity_literals.jsonl')).toHaveLength(2)
    expect(await quarantined('02_duplicate_conflict.csv')).toEqual(['12 DUPLICATE_TIMESTAMP_CONFLICT'])
  })
  it('names both rows of a conflict when it must fail', async () => {
    const error = await refusal(
      ingest(configOf('02_duplicate_conflict.csv', {}, { on_bad_row: 'fail' }), testContext()),
    )
    expect(error).toMatchObject({
      code: 'BAD_ROW',
      exit: 4,
      detail: { rejected: 1, rows: [{ line: 12, other: expect.stringContaining(':13') }] },
    })
  })
  it('says where the gap is', async () => {
    const [gap, ...more] = (await examineDirty('04_gap_3_bars.csv')).gap_list
    expect(more).toEqual([])
    expect(gap.bars).toBe(3)
    expect(Date.parse(gap.end) - Date.parse(gap.start)).toBe(3 * 3_600_000)
  })
  it('counts both swapped rows as out of order', async () => {
    expect((await examineDirty('03_out_of_order.csv')).reasons.OUT_OF_ORDER).toBe(2)
  })
  it('decodes UTF-16 by its byte order mark', async () => {
    expect((await examineDirty('34_utf16le.csv')).digest).toBe((await examineDirty('00_clean.csv')).digest)
  })
  it('takes the options that the refusals name', async () => {
    const { digest } = await examineDirty('00_clean.csv')
    expect((await examineDirty('16_quoted_thousands.csv', { thousands: ',' })).accepted).toBe(48)
    expect((await examineDirty('17_semicolon_decimal_comma.csv', { delimiter: ';', decimal: ',' })).digest).toBe(digest)
    expect((await examineDirty('20_no_header.csv', { header: false })).digest).toBe(digest)
    expect((await examineDirty('12_seconds.csv', { unit: 's' })).digest).toBe(digest)
  })
  it('never takes a wrong unit for dates of 1970 or of the far future', async () => {
    for (const file of ['12_seconds.csv', '13_microseconds.csv'])
      expect(await refusal(ingest(configOf(file, { unit: 'ms' }), testContext()))).toMatchObject({
        code: 'EMPTY_INPUT',
        detail: { reasons: { OUT_OF_RANGE: 48 } },
      })
  })
  it('rejects wall clocks that a zone shows never or twice', async () => {
    const result = await examineDirty('33_local_new_york_dst.csv', { zone: 'America/New_York' })
    expect(result.reasons).toMatchObject({ NONEXISTENT_LOCAL_TIME: 1, AMBIGUOUS_LOCAL_TIME: 2 })
    expect(result).toMatchObject({ accepted: 5, rejected: 3 })
    const hours = Array.from(numbers(result.table, 'time'), isoTime)
    expect([hours[0], hours[4]]).toEqual(['2021-03-14T05:30:00.000Z', '2021-11-07T07:30:00.000Z'])
  })
  it('takes the two showings of an autumn hour as the config says', async () => {
    const read = async (ambiguous: string) => {
      const result = await examineDirty('33_local_new_york_dst.csv', { zone: 'America/New_York', ambiguous })
      const hours = Array.from(numbers(result.table, 'time'), isoTime).filter(time => /T0[56]:30/.test(time))
      return { hours: hours.filter(time => time > '2021-11').map(time => time.slice(11, 16)), ...result }
    }
    expect(await read('in_order')).toMatchObject({
      hours: ['05:30', '06:30'],
      accepted: 7,
      reasons: { NONEXISTENT_LOCAL_TIME: 1, AMBIGUOUS_LOCAL_TIME: 2 },
    })
    expect(await read('earlier')).toMatchObject({ hours: ['05:30'], reasons: { DUPLICATE_TIMESTAMP_CONFLICT: 1 } })
    expect(await read('later')).toMatchObject({ hours: ['06:30'], reasons: { DUPLICATE_TIMESTAMP_CONFLICT: 1 } })
  })
  it('says all that is wrong with the columns of an Avro file', async () => {
    const error = await refusal(examineDirty('28_wrong_schema.avro'))
    expect(error.message).toMatch(/no column for close, volume;.*timestamp \(string\), open \(string\)/)
    expect(error.detail).toMatchObject({
      missing: ['close', 'volume'],
      reasons: { MISSING_COLUMN: 2, TYPE_MISMATCH: 4 },
    })
  })
  it('has a case for every file', () => {
    const files = readdirSync(shared('dirty')).filter(file => file !== 'expected.json')
    expect(cases.map(({ file }) => file).sort()).toEqual(files.sort())
    expect(cases.filter(({ file }) => file in REFUSED || !/^3[34]_/.test(file)).length).toBe(cases.length - 2)
  })
  it('without a zone takes a naive clock as UTC and says so', async () => {
    const result = await examineDirty('33_local_new_york_dst.csv')
    expect(result.reasons).toMatchObject({ NAIVE_TIME: 8, DUPLICATE_TIMESTAMP_CONFLICT: 1 })
  })
  it('without its symbols sees one conflict for each bar of the second series', async () => {
    const result = await examineDirty('36_two_symbols.csv', { columns: { symbol: null } })
    expect(result).toMatchObject({ accepted: 48, rejected: 48 })
  })
})
