import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/base/errors.ts'
import { parseExpression } from '../../src/base/expression.ts'
import { expressionFeature, expressionWarmup } from '../../src/features/expression.ts'
import { type Columns, compute } from './series.ts'

const evaluate = (text: string, columns: Columns = { x: Float64Array.of(0) }) => [
  ...compute(expressionFeature('y', parseExpression(text)), columns),
]

/** The value of a formula without names. */
const value = (text: string) => evaluate(`${text} + 0 * x`)[0]

function problem(text: string): string {
  try {
    parseExpression(text)
  } catch (error) {
    if (error instanceof SluiceError && error.fault === 'usage' && error.code === 'EXPRESSION') return error.message
    throw error
  }
  return 'none'
}

describe('a formula', () => {
  it.each([
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['8 - 3 - 2', 3],
    ['16 / 4 / 2', 2],
    ['-2 * -3', 6],
    ['--2', 2],
    ['-(2 + 3)', -5],
    ['.5e1 + 1.', 6],
    ['(1 + 1 < 3)', 1],
    ['(2 <= 1)', 0],
    ['(2 >= 2)', 1],
    ['(3 > 4)', 0],
    ['(1 == 1)', 1],
    ['(1 != 1)', 0],
    ['(1 == 2)', 0],
    ['(1 != 2)', 1],
    ['(0 or 1 and 0)', 0],
    ['(1 or 0 and 0)', 1],
    ['(not 1 == 2)', 1],
    ['(not 0 and not 0)', 1],
    ['(1 and not 3)', 0],
    ['min(2, 3) + max(2, 3)', 5],
    ['abs(-2) + sign(-2) + sqrt(9)', 4],
    ['log(exp(2))', 2],
    ['if(2 > 1, 5, 6) + if(0, 5, 6)', 11],
  ])('%s is %d', (text, expected) => {
    expect(value(text)).toBe(expected)
  })

  it('reads columns and features, each once; odd names in backquotes', () => {
    const { reads } = parseExpression('rsi_14@1w / close + `my column` - close * bb_20_2.5_upper')
    expect(reads).toEqual(['rsi_14@1w', 'close', 'my column', 'bb_20_2.5_upper'])
    expect(evaluate('`a b` + `and`', { 'a b': Float64Array.of(1), and: Float64Array.of(2) })).toEqual([3])
  })

  it('equals arithmetic written in JavaScript', () => {
    const number = fc.integer({ min: 1, max: 99 })
    const { formula } = fc.letrec<{ formula: string }>(tie => ({
      formula: fc.oneof(
        { maxDepth: 5 },
        number.map(String),
        fc
          .tuple(tie('formula'), fc.constantFrom('+', '-', '*', '/'), tie('formula'))
          .map(([a, o, b]) => `${a} ${o} ${b}`),
        tie('formula').map(inner => `(${inner})`),
        tie('formula').map(inner => `-(${inner})`),
      ),
    }))
    const law = fc.property(formula, text => {
      const expected = new Function(`return ${text}`)() as number
      expect(evaluate(`(${text}) * x`, { x: Float64Array.of(1) })[0]).toBe(
        Number.isFinite(expected) ? expected : Number.NaN,
      )
    })
    fc.assert(law, { numRuns: 200 })
  })
})

describe('a value that is missing', () => {
  const x = Float64Array.of(Number.NaN)
  it.each(['1 / 0', '0 / 0', 'log(0)', 'log(-1)', 'sqrt(-1)', 'exp(1000)', '1e308 * 10'])('comes of %s', text => {
    expect(value(text)).toBeNaN()
  })
  it.each(['x > 1', 'x <= 1', 'x == x', 'x != 1', 'x and 0', '1 or x', 'not x', 'if(x, 1, 2)', 'max(x, 1)', 'sign(x)'])(
    'goes through %s',
    text => {
      expect(evaluate(text, { x })[0]).toBeNaN()
    },
  )
  it('does not matter in the branch not taken', () => {
    expect(evaluate('if(1, 2, x) + if(0, x, 3)', { x })).toEqual([5])
  })
  it('is passed over, not a new beginning', () => {
    expect(evaluate('x * 2', { x: Float64Array.of(1, Number.NaN, 3) })).toEqual([2, Number.NaN, 6])
  })
})

describe('lag', () => {
  const x = Float64Array.of(1, 2, 4, 8)
  it('gives the value n rows ago', () => {
    expect(evaluate('x / lag(x, 2)', { x })).toEqual([Number.NaN, Number.NaN, 4, 4])
    expect(evaluate('lag(x, 1) + lag(lag(x, 1) + 1, 1)', { x })).toEqual([Number.NaN, Number.NaN, 4, 7])
  })
  it('counts in the warm-up, with that of what is read', () => {
    const of = (name: string) => ({ sma_20: 19 })[name] ?? 0
    expect(expressionWarmup(parseExpression('lag(sma_20, 5) + lag(close, 30) + 1'), of)).toBe(30)
    expect(expressionWarmup(parseExpression('lag(sma_20, 5)'), of)).toBe(24)
    expect(expressionWarmup(parseExpression('if(close > open, close, sma_20)'), of)).toBe(0)
  })
})

describe('what is no formula', () => {
  it.each([
    ['', 'expected a number, a name or (, found the end at position 1'],
    ['close +', 'expected a number, a name or (, found the end at position 8'],
    ['close open', 'expected an operator or the end, found "open" at position 7'],
    ['(close', 'expected ), found the end at position 7'],
    ['close)', 'expected an operator or the end, found ")" at position 6'],
    ['close $ 2', '"$" at position 7'],
    ['a = 2', '"=" at position 3'],
    ['a < b < c', 'comparisons do not chain: write a < b and b < c at position 7'],
    ['maxx(a, b)', 'no function maxx at position 1 of "maxx(a, b)"; did you mean max?'],
    ['constructor(a)', 'no function constructor at position 1'],
    ['negate(a)', 'no function negate'],
    ['a constructor b', 'expected an operator or the end, found "constructor"'],
    ['and', 'expected a number, a name or (, found "and"'],
    ['max(a)', 'expected ,, found ")" at position 6'],
    ['lag(a, b)', 'expected a whole number of rows from 1 to 100000, found "b" at position 8'],
    ['lag(a, 0)', 'expected a whole number'],
    ['lag(a, 1.5)', 'expected a whole number'],
    ['lag(a)', 'expected ,, found ")"'],
    [`${'1+'.repeat(1000)}1`, 'the expression has 2001 characters, at most 2000 are read'],
    [`${'('.repeat(900)}1${')'.repeat(900)}`, 'nests deeper than 64 levels at position 65'],
    ['-'.repeat(1999), 'nests deeper than 64 levels'],
  ])('%s', (text, message) => {
    expect(problem(text)).toContain(message)
  })

  it('is said with the code EXPRESSION, whatever the text', () => {
    const piece = fc.constantFrom(
      'a',
      '1',
      '(',
      ')',
      ',',
      '+',
      '-',
      '<',
      'and',
      'not',
      'lag',
      'if',
      '`',
      '$',
      ' ',
      '.',
      '@',
      '==',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), pieces => void problem(pieces.join(''))),
      { numRuns: 500 },
    )
  })

  it('nests as deep as allowed, and long chains do not count as depth', () => {
    expect(value(`${'('.repeat(60)}1${')'.repeat(60)}`)).toBe(1)
    expect(value(`${'1+'.repeat(990)}1`)).toBe(991)
  })
})
