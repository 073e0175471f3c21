// Rows that a server answers with, page after page: each page becomes a file, which is read as files are.
import { dataError, SluiceError } from '../../base/errors.ts'
import { type Again, comeAgain, isSuccess, openFetcher, statusError } from '../../base/fetch.ts'
import type { Answer } from '../../base/request.ts'
import { secretOf, withoutSecrets } from '../../base/secrets.ts'
import { isoTime, parseTimeframe, timeframeLength } from '../../base/time.ts'
import type { DataSchema } from '../columns.ts'
import { openPages } from '../pages.ts'
import type { Rows, Source, SourceContext } from '../rows.ts'
import { fileSource, type HttpSource, READING_KEYS } from '../schema.ts'
import { readFileSource } from './file.ts'
import { listsIn, parseJson } from './records.ts'

/** As many as a source has files. */
const MOST_PAGES = 10_000

/** Where a page is: the value of its paging's param, or the whole URL that the page before names. */
type Position = { value: string } | { url: string }

interface Page {
  /** At least: whether it is empty is exact. */
  rows: number
  text: string
  next?: Position
}

/**
 * Errors: NO_KEY, HTTP_STATUS, SERVER_ERROR (an answer that holds an error), BAD_RESPONSE, REPEATED_PAGE, TOO_MANY_PAGES,
 * those of base/fetch.ts and, of the content, of files.
 */
export function readHttp(config: HttpSource, schema: DataSchema, context: SourceContext): Source {
  const pages = openPages(config, context)
  const paths: string[] = []
  let content: Source | undefined

  async function* blocks(): AsyncGenerator<Rows> {
    const keys: string[] = []
    for await (const { url, shown, text, left, final } of download(config, context, pages.left)) {
      if (!left) pages.keep(url, text, final)
      keys.push(url)
      paths.push(shown)
    }
    if (!keys.length) return
    const files = keys.map(key => pages.path(key))
    content = readFileSource(asFiles(config, files), schema, context)
    try {
      yield* content.blocks
    } catch (error) {
      throw error instanceof SluiceError ? renamed(error, files, paths) : error
    }
  }

  return {
    blocks: blocks(),
    warnings: () => content?.warnings() ?? [],
    paths,
    files: async () => [],
    text: async places => content!.text(places),
    done: pages.clear,
  }
}

const asFiles = (config: HttpSource, paths: string[]) =>
  fileSource.parse({
    ...Object.fromEntries(READING_KEYS.map(key => [key, config[key]])),
    ...{ kind: 'file', format: config.format, paths },
  })

/** A person knows a page by its URL. */
function renamed(error: SluiceError, files: string[], paths: string[]): SluiceError {
  const message = files.reduce((text, file, i) => text.replaceAll(file, paths[i]), error.message)
  const { fault, code, next, detail, cause } = error
  return new SluiceError(fault, code, message, { next, detail, cause })
}

interface Downloaded extends Page {
  url: string
  shown: string
  /** An ingest that came to no end left it. */
  left: boolean
  /** Another page follows it, at a place that is known without this answer. */
  final: boolean
}

/** Every page that has rows. */
async function* download(
  config: HttpSource,
  context: SourceContext,
  left: (key: string) => string | undefined,
): AsyncGenerator<Downloaded> {
  const { signal, now, sleep } = context
  const times = spanOf(config, context)
  const open = variables(context.env)
  const headers = Object.fromEntries(Object.entries(config.headers).map(([name, text]) => [name, open.fill(text, {})]))
  const urlOf = (position: Position, fill: Fill) =>
    'url' in position ? position.url : place(config, position, times, fill)
  urlOf({ value: '' }, open.fill) // now every secret is known
  const fetcher = openFetcher({ ...config, parallel: 1 }, { signal, now, sleep, secrets: open.secrets })
  const seen = new Set<string>()
  let before = ''
  try {
    for (let position = firstOf(config), count = 0; position; count++) {
      const url = urlOf(position, open.fill)
      const shown = 'url' in position ? open.hide(url) : urlOf(position, hidden)
      if (seen.has(url)) throw dataError('REPEATED_PAGE', `${shown} is named as the next page a second time`)
      seen.add(url)
      if (count === MOST_PAGES) throw dataError('TOO_MANY_PAGES', `${shown} would be page ${count + 1}`)
      const at = { position, url, shown, before, now: now() }
      const known = left(url)
      const old = known === undefined ? undefined : readBody(known, {}, config, at)
      const isLeft = old !== undefined && !('again' in old)
      const page = isLeft ? old : await fetcher.get(url, answer => readPage(answer, config, at), headers)
      if (!page.rows) return
      yield { ...page, url, shown, left: isLeft, final: page.next !== undefined && 'value' in page.next }
      before = page.text
      position = page.next
    }
  } finally {
    fetcher.close()
  }
}

const firstOf = ({ paging }: HttpSource): Position | undefined => ({
  value: paging?.kind === 'page' ? String(paging.first) : paging?.kind === 'offset' ? '0' : '',
})

interface At {
  position: Position
  url: string
  /** Without secrets. */
  shown: string
  /** The page before. */
  before: string
  now: number
}

function readPage(answer: Answer, config: HttpSource, at: At): Page | Again {
  const again = comeAgain(answer, at.now)
  if (again) return again
  if (!isSuccess(answer)) throw statusError(answer, at.shown)
  if (config.format !== 'json' && !answer.delimited && answer.text && !answer.text.endsWith('\n'))
    return { again: 'the answer ends within a line', code: 'BAD_RESPONSE' }
  return readBody(answer.text, answer.headers, config, at)
}

function readBody(text: string, headers: Answer['headers'], config: HttpSource, at: At): Page | Again {
  if (at.before && text === at.before) return { again: 'the page before came again', code: 'REPEATED_PAGE' }
  const body = config.format === 'json' ? parseJson(text) : undefined
  if (config.format === 'json' && body === undefined)
    return {
      again: `the answer is no JSON (format: csv, or jsonl?), or cut off: ${JSON.stringify(text.slice(0, 80))}`,
      code: 'BAD_RESPONSE',
    }
  const rows = config.format === 'json' ? records(body, config, at.shown) : lines(text, config, at.shown)
  return { rows, text, next: rows ? nextOf(config, at, rows, body, headers) : undefined }
}

/** How many there are, or what the answer says instead. */
function records(body: unknown, { records, error }: HttpSource, shown: string): number {
  const problem = valueAt(body, error)
  if (problem && !(Array.isArray(problem) && !problem.length))
    throw dataError('SERVER_ERROR', `${shown} answers with an error: ${JSON.stringify(problem).slice(0, 200)}`)
  const list = records === undefined ? body : valueAt(body, records)
  if (Array.isArray(list)) return list.length
  throw dataError('BAD_RESPONSE', `${shown} has no list of rows: ${JSON.stringify(body).slice(0, 200)}`, {
    next: `say where it is: records: ${listsIn(body).join(', or ') || 'data.items'}`,
  })
}

function lines(text: string, { format, header, skip_lines }: HttpSource, shown: string): number {
  if (/^\s*<|^\s*\{/.test(text) && format === 'csv')
    throw dataError('BAD_RESPONSE', `${shown} answers with no CSV: ${text.trim().slice(0, 200)}`)
  const count = text.split('\n').filter(line => line.trim()).length
  return Math.max(0, count - (format === 'csv' ? skip_lines + (header === true ? 1 : 0) : 0))
}

const valueAt = (body: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (value, key) => (value && typeof value === 'object' ? (value as Record<string, unknown>)[key] : undefined),
      body,
    )

function nextOf(
  { paging }: HttpSource,
  { position, url, shown }: At,
  rows: number,
  body: unknown,
  headers: Answer['headers'],
): Position | undefined {
  if (paging?.kind === 'link') return linked(headers.link, url, shown)
  if (!paging || !('value' in position)) return undefined
  if (paging.kind === 'page') return { value: String(Number(position.value) + 1) }
  if (paging.kind === 'offset') return { value: String(Number(position.value) + rows) }
  const cursor = valueAt(body, paging.path)
  return cursor === undefined || cursor === null || cursor === '' || cursor === false
    ? undefined
    : { value: String(cursor) }
}

/** The next page of a Link header (RFC 8288); it has to be on the same server, which is given the headers. */
function linked(header: string | string[] | undefined, of: string, shown: string): Position | undefined {
  const found = /<([^>]*)>\s*;[^,]*\brel="?next"?/.exec([header ?? ''].flat().join(', '))
  if (!found) return undefined
  const base = new URL(of)
  const url = new URL(found[1], base)
  if (url.origin !== base.origin)
    throw dataError('BAD_RESPONSE', `${shown} names a next page on another server, ${url.origin}`)
  return { url: url.href }
}

type Fill = (text: string, values: Record<string, string>) => string

const NAME = /(\$?)\{(\w+)\}/g
const hidden: Fill = (text, values) =>
  text.replace(NAME, (whole, secret, name) => (secret ? '***' : encoded(values[name], whole)))
const encoded = (value: string | undefined, otherwise: string) =>
  value === undefined ? otherwise : encodeURIComponent(value)

/** Puts variables of the environment where `${NAME}` stands, and remembers them. */
function variables(env: SourceContext['env']) {
  const secrets: string[] = []
  const variable = (name: string): string => {
    const value = secretOf(name, env)
    if (!secrets.includes(value)) secrets.push(value)
    return value
  }
  const fill: Fill = (text, values) =>
    text.replace(NAME, (whole, secret, name) => (secret ? variable(name) : encoded(values[name], whole)))
  return { fill, hide: (text: string) => withoutSecrets(text, secrets), secrets }
}

/** The URL of a page: its value stands where the param's name does in braces, else in the query. */
function place(
  { url, paging }: HttpSource,
  { value }: { value: string },
  times: Record<string, string>,
  fill: Fill,
): string {
  const param = paging && 'param' in paging ? paging.param : undefined
  const filled = fill(url, { ...times, ...(param && { [param]: value }) })
  if (param === undefined || url.includes(`{${param}}`) || value === '') return filled
  const whole = new URL(filled)
  whole.searchParams.set(param, value)
  return whole.href
}

/** `{from}` and `{to}`: from the newest row that every symbol has, or the start, to now. */
function spanOf(
  { start, overlap, time_format }: HttpSource,
  { watermark = {}, now }: SourceContext,
): Record<string, string> {
  const known = Object.values(watermark)
  const again = overlap === undefined ? 0 : timeframeLength(parseTimeframe(overlap))
  const from = known.length ? Math.min(...known) - again : start === undefined ? undefined : Date.parse(start)
  const written = (time: number) => {
    if (time_format === 's') return String(Math.floor(time / 1000))
    return time_format === 'ms' ? String(time) : isoTime(time).slice(0, time_format === 'date' ? 10 : undefined)
  }
  return { ...(from !== undefined && { from: written(from) }), to: written(now()) }
}
