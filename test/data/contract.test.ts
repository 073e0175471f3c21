// What a schema demands of rows, and how it is said which rows broke it.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ingest } from '../../src/data/ingest.ts'
import { dataConfig } from '../../src/data/schema.ts'
import { cleanCsv, dataOf, given, testContext } from './home.ts'

const PRICES = 'id,price,start,end,name,email\n'
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

async function ingested(text: string, schema: object | 'candles', more: object = {}) {
  const home = testContext()
  const path = given(home, 'x.csv', text)
  return { path, home, ...(await ingest(dataOf({ kind: 'file', path }, { schema, ...more }), home)) }
}

describe('a rule over several columns', () => {
  const rules = ['end > start or end == 0', 'price >= 1 and price < 100']
  const rows = '1,5,1,2,a,x\n2,5,2,1,b,x\n3,0.5,1,2,c,x\n4,5,3,0,d,x\n5,,1,2,e,x\n6,7,9,8,f,x\n'

  it('refuses the rows of which it is not true, with its text, where they stand and what they have', async () => {
    const { path, rejected, reasons, broken, quarantine, home } = await ingested(PRICES + rows, { rules })
    expect([rejected, reasons]).toEqual([4, { RULE: 4 }])
    expect(broken).toEqual([
      {
        column: null,
        rule: rules[0],
        code: 'RULE',
        rows: 2,
        first: [`${path}:3`, `${path}:7`],
        example: 'end 1, start 2',
      },
      {
        column: null,
        rule: rules[1],
        code: 'RULE',
        rows: 2,
        first: [`${path}:4`, `${path}:6`],
        example: 'price 0.5',
      },
    ])
    expect(readFileSync(quarantine!, 'utf8').split('\n')[1]).toBe(
      `${path},3,RULE,end > start or end == 0,"2,5,2,1,b,x"`,
    )
    expect(home.warnings[0]).toBe(
      `prices: rows set aside: 4; 2 RULE ${rules[0]} (${path}:3, ...; end 1, start 2), 2 RULE ${rules[1]} (${path}:4, ...; price 0.5)`,
    )
  })

  it('holds for candles, and after the rules of candles', async () => {
    const { broken, path } = await ingested(`${cleanCsv(3)}2021-10-02,5,4,3,4,1\n`, 'candles', {
      rules: ['volume != 1001'],
    })
    expect(broken).toEqual([
      expect.objectContaining({ rule: 'volume != 1001', rows: 1, first: [`${path}:3`], example: 'volume 1001' }),
      expect.objectContaining({
        code: 'OHLC_INVALID',
        example: 'open 5, high 4, low 3, close 4, volume 1',
        first: [`${path}:5`],
      }),
    ])
  })

  it('compares times', async () => {
    const text = 'time,until\n2020-01-01T00:00:00Z,2020-01-02T00:00:00Z\n2020-01-03T00:00:00Z,2020-01-02T00:00:00Z\n'
    const { accepted, broken } = await ingested(text, { rules: ['until > time'] })
    expect(accepted).toBe(1)
    expect(broken[0].example).toBe('until 2020-01-02T00:00:00.000Z, time 2020-01-03T00:00:00.000Z')
  })

  it.each([
    ['until > time', 'reads until, which is no column; there are'],
    ['pric > 1', 'reads pric, which is no column; did you mean price?'],
    ['name > 1', 'reads name, which holds text'],
  ])('%s is refused', async (rule, message) => {
    expect(await refusal(ingested(PRICES + rows, { rules: [rule] }))).toMatchObject({
      code: 'BAD_SCHEMA',
      exit: 2,
      message: expect.stringContaining(message),
    })
  })

  it('is a formula of one row', () => {
    const problems = (rules: string[]) =>
      dataConfig
        .safeParse({ source: { kind: 'simulated', bars: 9 }, rules })
        .error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
    expect(problems(['open >'])).toEqual([expect.stringMatching(/^rules.0: expected a number/)])
    expect(problems(['open > 1', 'open > lag(close, 1)'])).toEqual(['rules.1: a rule is of one row, so it has no lag'])
  })
})

describe('a broken contract', () => {
  const columns = [
    { name: 'id', type: 'integer', unique: true },
    { name: 'price', type: 'number', min: 1, max: 10 },
    { name: 'name', values: ['a', 'b'] },
    { name: 'email', pattern: '\\w+@\\w+', pii: true },
  ]
  const rows =
    '1,5,0,0,a,x@y\n1,5,0,0,a,x@y\n2,0,0,0,a,x@y\n3,11,0,0,a,x@y\n4,5,0,0,c,x@y\n5,5,0,0,b,secret\n6,1O,0,0,b,x@y\n7.5,5,0,0,b,x@y\n'

  it('says of each way how many rows, where, and what one has; nothing that is personal', async () => {
    const { broken, path, home } = await ingested(PRICES + rows, columns)
    const found = broken.map(({ column, code, rows, first, example }) => [column, code, rows, first[0], example])
    expect(found).toEqual([
      ['id', 'NOT_UNIQUE', 1, `${path}:3`, '1'],
      ['price', 'BELOW_MINIMUM', 1, `${path}:4`, '0'],
      ['price', 'ABOVE_MAXIMUM', 1, `${path}:5`, '11'],
      ['name', 'NOT_ALLOWED', 1, `${path}:6`, 'c'],
      ['email', 'PATTERN', 1, `${path}:7`, null],
      ['price', 'NOT_A_NUMBER', 1, `${path}:8`, '1O'],
      ['id', 'NOT_AN_INTEGER', 1, `${path}:9`, '7.5'],
    ])
    expect(home.warnings.join()).toMatch(/rows set aside: 7; 1 NOT_UNIQUE of id \(.*x\.csv:3; 1\).*and 2 more reasons/)
    expect(home.warnings.join()).not.toContain('secret')
  })

  it('is an error under fail, with the same facts', async () => {
    const home = testContext()
    const path = given(home, 'x.csv', PRICES + rows)
    const error = await refusal(
      ingest(dataOf({ kind: 'file', path }, { schema: columns, on_bad_row: 'fail', rules: ['price < 3'] }), home),
    )
    expect(error).toMatchObject({ code: 'BAD_ROW', exit: 4 })
    expect(error.message).toMatch(
      /^8 bad rows: .*x\.csv:2 RULE price < 3 \(price 5\), .*x\.csv:3 NOT_UNIQUE of id \(1\)/,
    )
    expect(error.detail.rows[0]).toEqual({
      place: `${path}:2`,
      line: 2,
      code: 'RULE',
      rule: 'price < 3',
      example: 'price 5',
    })
    expect(error.detail.broken).toContainEqual(
      expect.objectContaining({ column: 'price', code: 'BELOW_MINIMUM', example: '0' }),
    )
  })
})
