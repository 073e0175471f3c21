// Prices adjusted for splits and dividends by factor files as Lean has them: `date,price_factor,split_factor[,reference_price]`.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { dataError, fileUnreadable, usageError } from '../base/errors.ts'
import { type Column, findColumn, numbers, type Table } from '../base/table.ts'
import { DAY } from '../base/time.ts'
import { type SourceFile, sourceFiles, type Warning } from './rows.ts'
import type { Adjustment } from './schema.ts'
import { KIND, localTimes, readTime } from './timestamp.ts'

/** Of one symbol, ascending: row i holds for bars before `until[i]` and not before `until[i - 1]`. */
export interface Factors {
  /** UTC ms: the end of the row's day. */
  until: Float64Array
  price: Float64Array
  split: Float64Array
}

/** Adjusts the rows of one table after another. */
export interface Adjuster {
  adjust(table: Table): Table
  /** The factor files that were used. */
  files(): Promise<SourceFile[]>
  /** Symbols that have none: their rows stay as they are. */
  warnings(): Warning[]
}

/** A factor file, or all of a folder. */
export const factorPaths = (path: string): string[] =>
  isFolder(path)
    ? readdirSync(path)
        .filter(name => /\.csv$/i.test(name))
        .sort()
        .map(name => join(path, name))
    : [path]

/**
 * Adjusted price = price x price_factor x split_factor, adjusted volume = volume / split_factor, of the first row dated on or
 * after the bar; after the last row nothing is adjusted. Days are those of `zone`. Errors: FACTORS, FILE_UNREADABLE.
 */
export function adjuster({ factors, symbol }: Adjustment & { factors: string }, zone = 'UTC'): Adjuster {
  const folder = isFolder(factors)
  const found = new Map<string, Factors | null>()
  const used = new Set<string>()
  const unknown = new Map<string, number>()

  /** As Lean names them: the symbol in small letters. */
  function fileOf(name: string): string {
    if (!folder) return factors
    if (/[/\\]/.test(name)) throw dataError('FACTORS', `the symbol ${name} names no file`)
    const [exact, small] = [join(factors, `${name}.csv`), join(factors, `${name.toLowerCase()}.csv`)]
    return isFile(exact) ? exact : small
  }

  function factorsOf(name: string): Factors | null {
    let known = found.get(name)
    if (known !== undefined) return known
    const path = fileOf(name)
    known = folder && !isFile(path) ? null : readFactors(path, zone)
    if (known) used.add(path)
    found.set(name, known)
    if (!folder && found.size > 1)
      throw usageError(
        'FACTORS',
        `${factors} has the factors of one symbol, and there are ${[...found.keys()].join(', ')}`,
        {
          next: 'factors: a folder with a file SYMBOL.csv for each',
        },
      )
    return known
  }

  function adjust(table: Table): Table {
    const names = findColumn(table, 'symbol')?.values as string[] | undefined
    if (!names && folder && symbol === undefined)
      throw usageError('FACTORS', 'the rows have no symbol, so it is open whose factors they need', {
        next: 'adjust: {symbol: NAME}, or factors: the path of one file',
      })
    const time = numbers(table, 'time')
    const [price, split] = [new Float64Array(table.rows).fill(1), new Float64Array(table.rows).fill(1)]
    const at = new Map<string, number>() // rows ascend in time, so each symbol's place only moves forward
    for (let row = 0; row < table.rows; row++) {
      const name = names ? names[row] : (symbol ?? '')
      const known = factorsOf(name)
      if (!known) {
        unknown.set(name, (unknown.get(name) ?? 0) + 1)
        continue
      }
      let i = at.get(name) ?? 0
      while (i < known.until.length && !(time[row] < known.until[i])) i++
      at.set(name, i)
      if (i === known.until.length) continue
      price[row] = known.price[i] * known.split[i]
      split[row] = known.split[i]
    }
    return { rows: table.rows, columns: table.columns.map(column => adjusted(column, price, split)) }
  }

  return {
    adjust,
    files: () => sourceFiles([...used]),
    warnings() {
      const names = [...unknown.keys()]
      if (!names.length) return []
      const message = `no factor file for ${names.slice(0, 5).join(', ')}${names.length > 5 ? `, and ${names.length - 5} more symbols` : ''}: their prices are as they came`
      return [{ code: 'NO_FACTORS', message, count: [...unknown.values()].reduce((sum, rows) => sum + rows, 0) }]
    },
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

const PRICES = new Set(['open', 'high', 'low', 'close'])

function adjusted(column: Column, price: Float64Array, split: Float64Array): Column {
  const { name, values } = column
  if (!(values instanceof Float64Array)) return column
  if (PRICES.has(name)) return { ...column, values: values.map((value, row) => value * price[row]) }
  return name === 'volume' ? { ...column, values: values.map((value, row) => value / split[row]) } : column
}

/** Reads a factor file. Errors: FILE_UNREADABLE, FACTORS with its line. */
export function readFactors(path: string, zone = 'UTC'): Factors {
  const rows = readText(path)
    .split(/\r?\n/)
    .flatMap((line, i) =>
      line.trim() === '' || (i === 0 && HEADER.test(line)) ? [] : [readRow(line, `${path}:${i + 1}`)],
    )
  if (!rows.length) throw dataError('FACTORS', `${path} has no rows`)
  const again = rows.findIndex(({ date }, i) => i > 0 && date <= rows[i - 1].date)
  if (again > 0) throw dataError('FACTORS', `${path}: row ${again + 1} is not later than the one before it`)
  const local = localTimes(zone)
  return {
    // Where a clock change skips midnight, the day ends as soon as it can.
    until: Float64Array.from(rows, ({ date }) => local(date + DAY)[0] ?? local(date + DAY + DAY / 24)[0]),
    price: Float64Array.from(rows, ({ price }) => price),
    split: Float64Array.from(rows, ({ split }) => split),
  }
}

/** Other names are those of another file: candles read as factors would be wrong in silence. */
const HEADER = /^\s*date\s*,\s*price[^,]*,\s*split[^,]*(,[^,]*)?$/i

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw fileUnreadable(path, cause)
  }
}

function readRow(line: string, place: string): { date: number; price: number; split: number } {
  const [day, price, split, ...more] = line.split(',').map(cell => cell.trim())
  const bytes = Buffer.from(day)
  const cell = { value: Number.NaN, kind: KIND.invalid as number }
  readTime(bytes, 0, bytes.length, () => Number.NaN, cell)
  const isFactor = (text = '') => text !== '' && Number(text) > 0 && Number.isFinite(Number(text))
  if (cell.kind !== KIND.date || !isFactor(price) || !isFactor(split) || more.length > 1)
    throw dataError(
      'FACTORS',
      `${place}: ${JSON.stringify(line.slice(0, 80))} is no row of date, price factor and split factor`,
    )
  return { date: cell.value, price: Number(price), split: Number(split) }
}
