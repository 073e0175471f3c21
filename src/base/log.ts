// What a person reads while a command works (stderr), and the log file beside the store (JSON lines, by pino).
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import pino from 'pino'

type Fields = Record<string, unknown>

export interface Log {
  /** A line for the person and the file. */
  info(message: string, fields?: Fields): void
  warn(message: string, fields?: Fields): void
  /** Only for the file. */
  debug(message: string, fields?: Fields): void
  /** A line that the next progress line may overwrite on a terminal; elsewhere at most one every few seconds. */
  progress(message: string): void
  close(): void
}

const PROGRESS_EVERY_MS = 5000

/** `file` gets everything; `stream` (stderr) gets info, warnings and progress unless `quiet`. */
export function openLog({
  file,
  stream = process.stderr,
  quiet = false,
}: {
  file?: string
  stream?: NodeJS.WriteStream
  quiet?: boolean
}): Log {
  if (file) mkdirSync(dirname(file), { recursive: true })
  const sink = file ? pino.destination({ dest: file, sync: true }) : undefined
  const json = sink ? pino({ base: { pid: process.pid }, level: 'debug' }, sink) : undefined
  let dirty = false
  let shown = 0
  const line = (text: string) => {
    if (dirty) stream.write('\r\x1b[2K')
    dirty = false
    stream.write(`${text}\n`)
  }
  return {
    info(message, fields = {}) {
      json?.info(fields, message)
      if (!quiet) line(message)
    },
    warn(message, fields = {}) {
      json?.warn(fields, message)
      line(`warning: ${message}`)
    },
    debug(message, fields = {}) {
      json?.debug(fields, message)
    },
    progress(message) {
      if (quiet) return
      if (stream.isTTY) {
        stream.write(`\r\x1b[2K${message.slice(0, (stream.columns ?? 80) - 1)}`)
        dirty = true
      } else if (Date.now() - shown > PROGRESS_EVERY_MS) {
        shown = Date.now()
        line(message)
      }
    },
    close() {
      if (dirty) stream.write('\r\x1b[2K')
      sink?.end()
    },
  }
}
