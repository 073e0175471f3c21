// Candles from a CSV file: which cell is which, and what is wrong with a row's cells.
import { dataError } from '../../base/errors.ts'
import { type CsvRecord, fieldText, scanCsv } from '../csv.ts'
import { type ColumnPlaces, placeColumns, placeKept } from '../header.ts'
import { isNull, type NumberReader, numberFault, numberReader } from '../number.ts'
import { addRow, type Rows, refuse, refuseValue, useSymbols } from '../rows.ts'
import { CANDLE_COLUMNS, type FileSource, VALUE_COLUMNS } from '../schema.ts'
import { KIND, readTime, type TimeCell } from '../timestamp.ts'

/** Appends the file's records to `rows`. Errors: EMPTY_INPUT, DELIMITER, ENCODING, and those of csv.ts and header.ts. */
export async function readDelimited(
  path: string,
  file: number,
  config: FileSource,
  rows: Rows,
  signal?: AbortSignal,
): Promise<void> {
  const readNumber = numberReader({ decimal: config.decimal, thousands: config.thousands ?? null })
  const names = headerNames(config)
  let width = config.header === false ? 0 : (names?.length ?? 0)
  const readerOf = (header: string[]) => {
    const places = placeColumns(header, config.columns, path)
    return rowReader(places, placeKept(header, config.keep, path), readNumber, file, rows)
  }
  let add = names && readerOf(names)
  await scanCsv(
    path,
    config.delimiter,
    record => {
      if (add) return add(record, (width ||= record.fields))
      const header = headerOf(record, config, path)
      width = header.length
      add = readerOf(header)
    },
    signal,
  )
  if (!add) throw dataError('EMPTY_INPUT', `${path} is empty`)
}

/** Column names of a file that has no header line; undefined where the first record has them. */
function headerNames({ header }: FileSource): string[] | undefined {
  if (header === true) return undefined
  return header === false ? CANDLE_COLUMNS.slice(0, 1 + VALUE_COLUMNS.length) : header
}

function headerOf(record: CsvRecord, { delimiter }: FileSource, path: string): string[] {
  const header = Array.from({ length: record.fields }, (_, i) => fieldText(record, i))
  if (header.some(name => name.includes('\uFFFD')))
    throw dataError('ENCODING', `the header of ${path} is no UTF-8`, { next: 'save the file as UTF-8' })
  const other = [',', ';', '\t', '|'].find(sign => sign !== delimiter && header[0].includes(sign))
  if (header.length === 1 && other)
    throw dataError(
      'DELIMITER',
      `the header of ${path} has no ${JSON.stringify(delimiter)} but ${JSON.stringify(other)}`,
      {
        next: `delimiter: ${JSON.stringify(other)}${other === ';' ? ', and decimal: "," if its numbers are like 1,5' : ''}`,
      },
    )
  return header
}

/** A function that appends a record to `rows`: cells into columns, and a fault where they cannot be. */
function rowReader(places: ColumnPlaces, kept: number[], readNumber: NumberReader, file: number, rows: Rows) {
  const values = [...VALUE_COLUMNS.map(name => places[name]), ...kept]
  const last = Math.max(...Object.values(places), ...kept)
  const cell: TimeCell = { value: NaN, kind: KIND.invalid }
  const symbols = useSymbols(rows, places.symbol >= 0, file)
  const known = new Map<string, string>()

  function readCells(record: CsvRecord, row: number): void {
    const { bytes, starts, ends } = record
    readTime(bytes, starts[places.time], ends[places.time], readNumber, cell)
    rows.time[row] = cell.value
    rows.kind[row] = cell.kind
    if (cell.kind === KIND.invalid)
      refuse(rows, row, isNull(fieldText(record, places.time)) ? 'NULL_VALUE' : 'TIMESTAMP_INVALID')
    for (let i = 0; i < values.length; i++) {
      const place = values[i]
      const value = place < 0 ? 0 : readNumber(bytes, starts[place], ends[place])
      rows.values[i][row] = value
      if (!Number.isFinite(value)) refuseValue(rows, row, i, numberFault(value, fieldText(record, place)))
    }
    if (symbols) symbols[row] = readSymbol(fieldText(record, places.symbol).trim(), row)
  }

  /** The same text is one string in memory, however many rows have it. */
  function readSymbol(text: string, row: number): string {
    if (text === '') refuse(rows, row, 'NULL_VALUE')
    else if (text.includes('\uFFFD')) refuse(rows, row, 'ENCODING')
    const symbol = known.get(text) ?? text
    known.set(symbol, symbol)
    return symbol
  }

  return (record: CsvRecord, width: number): void => {
    const row = addRow(rows)
    rows.line[row] = record.line
    rows.position[row] = record.position
    rows.size[row] = record.to - record.from
    rows.file[row] = file
    symbols?.push('')
    if (record.broken) refuse(rows, row, 'QUOTE')
    else if (record.fields !== width || last >= width) refuse(rows, row, 'COLUMN_COUNT')
    else readCells(record, row)
  }
}
