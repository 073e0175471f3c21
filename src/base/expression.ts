// A formula over columns, such as "close / sma_20 - 1" or "high >= low": parsed (Pratt 1973), never evaluated as code.
import { usageError } from './errors.ts'
import { nearest } from './nearest.ts'
import { OPERATIONS } from './operations.ts'

const LONGEST = 2000
/** Far above what a person writes, far below what the stack holds. */
const DEEPEST = 64
const LONGEST_LAG = 100_000

/** `column` is a place in `reads`, `lag` one in `lags`. */
export type Node =
  | { kind: 'number'; value: number }
  | { kind: 'read'; column: number }
  | { kind: 'lag'; of: Node; lag: number }
  | { kind: 'apply'; operation: string; to: Node[] }

export interface Expression {
  root: Node
  /** Names read, each once, in order of appearance. */
  reads: string[]
  /** How many rows each lag looks back, in order of appearance. */
  lags: number[]
}

interface Token {
  kind: 'number' | 'name' | 'symbol' | 'end'
  text: string
  /** Offset of its first character. */
  at: number
}

interface Cursor {
  text: string
  tokens: Token[]
  next: number
  depth: number
  reads: string[]
  lags: number[]
}

/** How tightly an operator between two operands binds; of equals the left one goes first. */
const BINDS = new Map([
  ['or', 1],
  ['and', 2],
  ['<', 4],
  ['<=', 4],
  ['>', 4],
  ['>=', 4],
  ['==', 4],
  ['!=', 4],
  ['+', 5],
  ['-', 5],
  ['*', 6],
  ['/', 6],
])
const NOT = 3
const COMPARISON = 4
const NEGATION = 7
const WORDS = new Set(['and', 'or', 'not'])

/**
 * Parses a formula of numbers, names, `+ - * /`, comparisons (1 or 0), `and or not`, `lag(x, n)` and the functions of
 * `operations.ts`. A name is a column, or for a feature another feature; one with other characters than letters, digits, `_ . @` stands in backquotes.
 * Errors (usage, EXPRESSION): where it stops making sense and what was expected there.
 */
export function parseExpression(text: string): Expression {
  if (text.length > LONGEST)
    throw usageError('EXPRESSION', `the expression has ${text.length} characters, at most ${LONGEST} are read`)
  const cursor: Cursor = { text, tokens: tokenize(text), next: 0, depth: 0, reads: [], lags: [] }
  const root = parse(cursor, 0)
  const rest = peek(cursor)
  if (rest.kind !== 'end') throw unexpected(cursor, rest, 'an operator or the end')
  return { root, reads: cursor.reads, lags: cursor.lags }
}

/** Writes the values of lag number `k` of an expression: those of `of`, some rows earlier. */
export type Lagged = (k: number, of: Float64Array, out: Float64Array) => void

/** A block of rows at once, from the columns of `reads`. A missing operand or a result that is no finite number gives NaN. Without lags no `lagged` is needed. */
export function evaluate(node: Node, columns: Float64Array[], rows: number, lagged?: Lagged): Float64Array {
  if (node.kind === 'read') return columns[node.column]
  const out = new Float64Array(rows)
  if (node.kind === 'number') return out.fill(node.value)
  if (node.kind === 'lag') {
    lagged!(node.lag, evaluate(node.of, columns, rows, lagged), out)
    return out
  }
  const operands = node.to.map(inner => evaluate(inner, columns, rows, lagged))
  OPERATIONS[node.operation].run(operands, out)
  for (let i = 0; i < rows; i++) out[i] += 0 * out[i] // infinities become NaN
  return out
}

function parse(cursor: Cursor, binding: number): Node {
  if (++cursor.depth > DEEPEST)
    throw usageError('EXPRESSION', `the expression nests deeper than ${DEEPEST} levels ${place(cursor, peek(cursor))}`)
  let left = parsePrefix(cursor)
  for (;;) {
    const operator = peek(cursor)
    const binds = BINDS.get(operator.text) ?? 0
    if (binds <= binding) break
    cursor.next++
    left = { kind: 'apply', operation: operator.text, to: [left, parse(cursor, binds)] }
    const after = peek(cursor)
    if (binds === COMPARISON && BINDS.get(after.text) === COMPARISON)
      throw usageError('EXPRESSION', `comparisons do not chain: write a < b and b < c ${place(cursor, after)}`)
  }
  cursor.depth--
  return left
}

function parsePrefix(cursor: Cursor): Node {
  const token = take(cursor)
  if (token.kind === 'number') return { kind: 'number', value: Number(token.text) }
  if (token.text === '-') return { kind: 'apply', operation: 'negate', to: [parse(cursor, NEGATION)] }
  if (token.text === 'not') return { kind: 'apply', operation: 'not', to: [parse(cursor, NOT)] }
  if (token.text === '(') {
    const inner = parse(cursor, 0)
    expect(cursor, ')')
    return inner
  }
  if (token.kind !== 'name' || WORDS.has(token.text)) throw unexpected(cursor, token, 'a number, a name or (')
  return peek(cursor).text === '(' ? parseCall(cursor, token) : parseName(cursor, token.text)
}

function parseName(cursor: Cursor, text: string): Node {
  const name = text.startsWith('`') ? text.slice(1, -1) : text
  if (!cursor.reads.includes(name)) cursor.reads.push(name)
  return { kind: 'read', column: cursor.reads.indexOf(name) }
}

function parseCall(cursor: Cursor, name: Token): Node {
  expect(cursor, '(')
  const first = parse(cursor, 0)
  if (name.text === 'lag') return parseLag(cursor, first)
  const arity = Object.hasOwn(FUNCTIONS, name.text) ? FUNCTIONS[name.text] : 0
  if (!arity) {
    const close = nearest(name.text, ['lag', ...Object.keys(FUNCTIONS)])
    const hint = close ? `; did you mean ${close}?` : ` (there are lag, ${Object.keys(FUNCTIONS).join(', ')})`
    throw usageError('EXPRESSION', `no function ${name.text} ${place(cursor, name)}${hint}`)
  }
  const to = [first]
  while (to.length < arity) {
    expect(cursor, ',')
    to.push(parse(cursor, 0))
  }
  expect(cursor, ')')
  return { kind: 'apply', operation: name.text, to }
}

function parseLag(cursor: Cursor, of: Node): Node {
  expect(cursor, ',')
  const count = take(cursor)
  const n = Number(count.text)
  if (count.kind !== 'number' || !Number.isInteger(n) || n < 1 || n > LONGEST_LAG)
    throw unexpected(cursor, count, `a whole number of rows from 1 to ${LONGEST_LAG}`)
  expect(cursor, ')')
  return { kind: 'lag', of, lag: cursor.lags.push(n) - 1 }
}

/** Operations that are written as a call, with their number of operands. */
const FUNCTIONS = Object.fromEntries(
  Object.entries(OPERATIONS)
    .filter(([name]) => /^[a-z]+$/.test(name) && name !== 'negate' && !WORDS.has(name))
    .map(([name, { operands }]) => [name, operands]),
)

const TOKEN =
  /\s*(?:(?<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?<name>[A-Za-z_][\w.@]*|`[^`]+`)|(?<symbol><=|>=|==|!=|[-+*/<>(),]))/y

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = 0
  const end = text.trimEnd().length
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex
    const groups = TOKEN.exec(text)?.groups
    if (!groups) {
      const at = from + text.slice(from).search(/\S/)
      throw usageError('EXPRESSION', `${quote(text[at])} at position ${at + 1} of ${quote(text)} means nothing here`)
    }
    const kind = groups.number ? 'number' : groups.name ? 'name' : 'symbol'
    tokens.push({ kind, text: groups[kind], at: TOKEN.lastIndex - groups[kind].length })
  }
  return [...tokens, { kind: 'end', text: '', at: end }]
}

const peek = (cursor: Cursor): Token => cursor.tokens[cursor.next]
const take = (cursor: Cursor): Token => cursor.tokens[cursor.next++]

function expect(cursor: Cursor, symbol: string): void {
  const token = take(cursor)
  if (token.text !== symbol) throw unexpected(cursor, token, symbol)
}

const unexpected = (cursor: Cursor, token: Token, wanted: string) =>
  usageError(
    'EXPRESSION',
    `expected ${wanted}, found ${token.kind === 'end' ? 'the end' : quote(token.text)} ${place(cursor, token)}`,
  )

const place = (cursor: Cursor, token: Token): string => `at position ${token.at + 1} of ${quote(cursor.text)}`

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text)
