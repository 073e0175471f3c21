// Rows from JSON lines: an object or a list a line; a line that is no JSON costs itself alone.
import type { FileFormat } from '../format.ts'
import { cutText, scanLines } from '../text.ts'
import { parseJson, shapeFinder } from './records.ts'
import { type Batch, type Open, typed } from './typed.ts'

interface Line {
  line: number
  position: number
  size: number
  /** Undefined where it is no JSON. */
  record: unknown
}

/** The columns are those of the first lines where their types are known, else of all. Errors: those of text.ts. */
const open: Open = async (path, { config, types, signal }) => {
  const finder = shapeFinder(path, config, types)
  for await (const lines of linesOf(path, config.encoding)) {
    signal.throwIfAborted()
    for (const { record } of lines) finder.add(record)
    if (!types && lines.some(({ record }) => record !== undefined)) break
  }
  const shape = finder.shape()
  async function* batches(): AsyncGenerator<Batch> {
    let names = shape.named
    for await (const lines of linesOf(path, config.encoding)) {
      const header = names ? lines.findIndex(({ record }) => Array.isArray(record)) : -1
      if (header >= 0) lines.splice(header, 1)
      names &&= header < 0
      yield {
        rows: lines.length,
        value: (row, column) => shape.value(lines[row].record, column),
        fault: row => (lines[row].record === undefined ? 'JSON_PARSE' : shape.fault(lines[row].record)),
        place: row => lines[row],
      }
    }
  }
  return { columns: shape.columns, batches: batches() }
}

export const jsonl: FileFormat = {
  read: typed(open).read,
  text: (path, places, { config }) => cutText(path, places, config.encoding),
}

/** About a megabyte of lines at a time. */
async function* linesOf(path: string, encoding: string): AsyncGenerator<Line[]> {
  let lines: Line[] = []
  const visit = (bytes: Buffer, from: number, to: number, line: number, position: number) => {
    lines.push({ line, position, size: to - from, record: parseJson(bytes.toString('utf8', from, to)) })
  }
  for await (const _ of scanLines(path, { encoding }, visit)) {
    if (lines.length) yield lines
    lines = []
  }
}
