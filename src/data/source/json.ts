// Rows from one JSON document: a list of objects or of lists, at its top or where `records` says. It is held in memory as a whole.
import { dataError, messageOf } from '../../base/errors.ts'
import type { FileSource } from '../schema.ts'
import { textBytes } from '../text.ts'
import { listsIn, shapeFinder, valueAt } from './records.ts'
import { type Batch, typed } from './typed.ts'

/** More does not fit into one string. */
const MOST_BYTES = 1 << 28

/** Errors: JSON_PARSE, RECORDS, TOO_LARGE, and those of text.ts. */
export const json = typed(async (path, { config, types }) => {
  const records = recordsOf(await readJson(path, config), config, path)
  const finder = shapeFinder(path, config, types)
  for (const record of records) finder.add(record)
  const shape = finder.shape()
  const rows = shape.named ? records.slice(1) : records
  async function* batches(): AsyncGenerator<Batch> {
    yield {
      rows: rows.length,
      value: (row, column) => shape.value(rows[row], column),
      fault: row => shape.fault(rows[row]),
      text: row => JSON.stringify(rows[row]),
    }
  }
  return { columns: shape.columns, batches: batches() }
})

async function readJson(path: string, { encoding }: FileSource): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of textBytes(path, encoding)) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > MOST_BYTES)
      throw dataError('TOO_LARGE', `${path} is JSON of more than ${MOST_BYTES} bytes, which is read as a whole`, {
        next: 'write it as JSON lines (.jsonl), a row a line',
      })
  }
  if (!size) throw dataError('EMPTY_INPUT', `${path} is empty`)
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch (cause) {
    throw dataError('JSON_PARSE', `${path} is not valid JSON: ${messageOf(cause)}`, {
      next: 'NaN and Infinity are no JSON (null is); a file of a row a line is format: jsonl',
      cause,
    })
  }
}

function recordsOf(document: unknown, { records }: FileSource, path: string): unknown[] {
  const found = valueAt(document, records?.split('.') ?? [])
  if (Array.isArray(found)) return found
  const lists = listsIn(document)
  throw dataError('RECORDS', `${path} has no list of rows ${records ? `at ${records}` : 'at its top'}`, {
    next: lists.length
      ? `say where it is: records: ${lists.join(', or ')}`
      : 'rows are a list of objects or of lists; one row a line is format: jsonl',
    detail: { lists },
  })
}
