// Rows from PostgreSQL: one read-only snapshot, through a cursor on the server. The only file that imports pg.
import type { Client, FieldDef, QueryArrayResult } from 'pg'
import { dataError, messageOf, SluiceError, usageError } from '../../base/errors.ts'
import { withoutSecrets } from '../../base/secrets.ts'
import type { ColumnType } from '../../base/table.ts'
import { isoTime, parseTimeframe, timeframeLength } from '../../base/time.ts'
import { noVolume } from '../candles.ts'
import { type CellReader, cellReader } from '../cells.ts'
import type { DataSchema } from '../columns.ts'
import { type Placed, placer } from '../layout.ts'
import { addRow, emptyRows, type Place, type Rows, type Source, type SourceContext, type Warning } from '../rows.ts'
import type { PostgresSource } from '../schema.ts'
import { timeSettler } from '../times.ts'
import { type Unit, unitOf } from '../timestamp.ts'

/** A row as the server writes it; null is null. */
type Cells = (string | null)[]

const CONNECT_MS = 10_000
/** What the client waits beyond the server's own limit before it takes the connection for dead. */
const PATIENCE_MS = 10_000

/** The built-in types that are more than text, by their OID (pg_type.dat). */
const BOOL = 16
const DATE = 1082
const TIMESTAMP = 1114
const TIMESTAMPTZ = 1184
const TIMES = new Set([DATE, TIMESTAMP, TIMESTAMPTZ])
/** int8, int2, int4, oid, float4, float8, numeric. */
const NUMBERS = new Set([20, 21, 23, 26, 700, 701, 1700])

/**
 * Reads a table or query; where the table has rows already, only what is not older than the newest of each symbol.
 * Errors: DATABASE_URL, DATABASE_UNREACHABLE, DATABASE_LOST, DATABASE_TIMEOUT, DATABASE_QUERY, and header.ts's. None of them says a password.
 */
export function readPostgres(config: PostgresSource, schema: DataSchema, context: SourceContext): Source {
  const settler = timeSettler({ unit: config.unit, zone: config.zone, now: context.now() })
  const cells = cellReader({ decimal: '.', thousands: null })
  const place = placer(schema, config.columns, config.keep)
  const name = config.table ?? 'the query'
  const warnings: Warning[] = []
  let session: Session | undefined

  async function* blocks(): AsyncGenerator<Rows> {
    session = await openSession(config, context)
    const { fields } = await session.query(`${sourceOf(config)} limit 0`)
    const header = fields.map(({ name }) => name)
    const placed = place.place(header, name, fields.map(columnType))
    const statement = await statementOf(config, placed, fields, context.watermark, session)
    await session.query(`declare sluice_rows scroll cursor for ${statement}`)
    const add = rowReader(placed, fields, cells)
    let line = 0
    for (;;) {
      const found = await session.query(`fetch forward ${config.batch} from sluice_rows`)
      if (!found.rows.length) break
      const rows = emptyRows(placed.layout, found.rows.length)
      for (const row of found.rows) add(rows, row, ++line)
      settler.settle(rows)
      yield rows
    }
    if (line && schema === 'candles' && config.columns.volume === null) warnings.push(noVolume(line))
  }

  /** The cursor goes back to them: the same rows in the same order, of the same snapshot. */
  async function text(places: Place[]): Promise<string[]> {
    const texts: string[] = []
    for (let i = 0; i < places.length; ) {
      const first = places[i].line
      await session!.query(`move absolute ${first - 1} in sluice_rows`)
      const { rows } = await session!.query(`fetch forward ${config.batch} from sluice_rows`)
      for (; i < places.length && places[i].line < first + config.batch; i++)
        texts.push(rows[places[i].line - first].map(value => value ?? '').join(','))
    }
    return texts
  }

  return {
    blocks: blocks(),
    warnings: () => [...settler.warnings(), ...warnings],
    paths: [],
    files: async () => [],
    text,
    close: async () => session?.close(),
  }
}

const columnType = ({ dataTypeID }: FieldDef): ColumnType =>
  TIMES.has(dataTypeID) ? 'time' : NUMBERS.has(dataTypeID) ? 'number' : 'string'

/** A function that appends a row of the server to rows. */
function rowReader({ layout, places }: Placed, fields: FieldDef[], cells: CellReader) {
  const read = places.map((place, i) => (place < 0 ? asIs : readerOf(fields[place], layout.columns[i].type)))

  return (rows: Rows, values: Cells, line: number): void => {
    const row = addRow(rows)
    rows.line[row] = line
    for (let i = 0; i < places.length; i++) {
      const value = places[i] < 0 ? null : values[places[i]]
      if (places[i] < 0) cells.absent(rows, row, i)
      else cells.value(rows, row, i, value === null ? null : read[i](value))
    }
  }
}

const asIs = (text: string): string | number => text

/** Numbers are parsed once, to the nearest float64; as text they keep every digit. */
function readerOf({ dataTypeID }: FieldDef, type: ColumnType): typeof asIs {
  if (dataTypeID === BOOL) return text => (text === 't' ? 'true' : 'false')
  if (type === 'string' || !NUMBERS.has(dataTypeID)) return asIs
  return text => (Number.isFinite(Number(text)) ? Number(text) : text)
}

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const sourceOf = ({ table, query = '' }: PostgresSource): string =>
  table === undefined
    ? `select source.* from (\n${query.replace(/[\s;]+$/, '')}\n) as source`
    : `select source.* from ${table.split('.').map(identifier).join('.')} as source`

/** What is read: everything, or with a watermark what is at least as new, and of symbols that are not known everything. By the cursor, so that of equal keys the later one wins. */
async function statementOf(
  config: PostgresSource,
  { layout, places }: Placed,
  fields: FieldDef[],
  watermark: Record<string, number> | undefined,
  session: Session,
): Promise<string> {
  const theirs = (i: number) => `source.${identifier(fields[places[i]].name)}`
  const field = fields.find(({ name }) => name === config.cursor) ?? fields[places[layout.time]]
  if (config.cursor !== undefined && field?.name !== config.cursor)
    throw dataError(
      'MISSING_COLUMN',
      `there is no column ${config.cursor} for the cursor; there are ${fields.map(({ name }) => name).join(', ')}`,
    )
  if (!field) return sourceOf(config)
  const cursor = `source.${identifier(field.name)}`
  const order = `order by ${cursor}`
  const known = Object.entries(watermark ?? {})
  const instant = known.length ? await instantIn(field, cursor, config, session) : undefined
  if (!instant) return `${sourceOf(config)} ${order}`
  const overlap = config.overlap === undefined ? 0 : timeframeLength(parseTimeframe(config.overlap))
  const newest = known.map(([symbol, time]) => [literal(symbol), instant(time - overlap)])
  if (layout.symbol < 0) return `${sourceOf(config)} where ${cursor} >= ${newest[0][1]} or ${cursor} is null ${order}`
  const list = newest.map(pair => `(${pair.join(', ')})`).join(', ')
  return `${sourceOf(config)} left join (values ${list}) as known (symbol, newest) on known.symbol = ${theirs(layout.symbol)}::text
    where known.newest is null or ${cursor} >= known.newest or ${cursor} is null ${order}`
}

const PER_UNIT: Record<Unit, (ms: bigint) => bigint> = {
  s: ms => ms / 1000n,
  ms: ms => ms,
  us: ms => ms * 1000n,
  ns: ms => ms * 1_000_000n,
}

/** How UTC ms are written as values of the cursor's column; undefined where that has no order in time. */
async function instantIn(
  { dataTypeID }: FieldDef,
  cursor: string,
  config: PostgresSource,
  session: Session,
): Promise<((ms: number) => string) | undefined> {
  const utc = (ms: number) => `timestamptz ${literal(isoTime(ms))}`
  if (dataTypeID === TIMESTAMPTZ) return utc
  if (dataTypeID === TIMESTAMP) return ms => `(${utc(ms)} at time zone ${literal(config.zone ?? 'UTC')})`
  if (dataTypeID === DATE) return ms => `(${utc(ms)} at time zone 'UTC')::date` // a day is midnight UTC in any zone
  if (!NUMBERS.has(dataTypeID)) return undefined
  const unit = config.unit === 'auto' ? await unitIn(cursor, config, session) : config.unit
  return unit && (ms => String(PER_UNIT[unit](BigInt(Math.floor(ms)))))
}

async function unitIn(cursor: string, config: PostgresSource, session: Session): Promise<Unit | undefined> {
  const { rows } = await session.query(sourceOf(config).replace('source.*', `max(${cursor})`))
  return unitOf(Number(rows[0][0] ?? Number.NaN))
}

/** A connection inside its transaction. */
interface Session {
  query(text: string): Promise<QueryArrayResult<Cells>>
  close(): Promise<void>
}

async function openSession(config: PostgresSource, { env = {}, signal }: SourceContext): Promise<Session> {
  signal.throwIfAborted()
  const url = config.url ?? env[config.url_env]
  if (!url || !/^postgres(ql)?:\/\//.test(url))
    throw usageError(
      'DATABASE_URL',
      `the variable ${config.url_env}, which holds the address of the database, ${url ? 'does not begin with postgres://' : 'is not set'}`,
      {
        next: `export ${config.url_env}=postgres://user:password@host:5432/name`,
      },
    )
  const { default: pg } = await import('pg')
  const connect = async (): Promise<Client> => {
    const client = new pg.Client({
      connectionString: url,
      ...(config.ssl && { ssl: config.ssl === 'off' ? false : { rejectUnauthorized: config.ssl === 'on' } }),
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: config.timeout * 1000 + PATIENCE_MS,
      keepAlive: true,
      application_name: 'sluice',
      types: { getTypeParser: () => (text: string) => text },
    })
    if (config.url !== undefined) client.password = env.PGPASSWORD // the URL would have the last word
    client.on('error', () => {}) // the query that waits is told, too
    await client.connect()
    return client
  }
  const explain = (error: unknown, connected: boolean) =>
    signal.aborted ? signal.reason : failureOf(error, connected, url)

  const client = await connect().catch(error => {
    throw explain(error, false)
  })
  // Extended: a query that holds a second statement is refused instead of leaving the transaction.
  const query = (text: string) =>
    client
      .query<Cells>({ text, rowMode: 'array', queryMode: 'extended' } as { text: string; rowMode: 'array' })
      .catch(error => {
        throw explain(error, true)
      })

  async function cancel(pid: string): Promise<void> {
    const other = await connect()
    await other.query('select pg_cancel_backend($1)', [pid]).finally(() => other.end())
  }

  const close = () => client.end().catch(() => {})
  const pid = await begin(query, config).catch(async error => {
    await close()
    throw error
  })
  const stop = () => void cancel(pid).catch(() => {}) // an unreachable server ends it by its own limit
  signal.addEventListener('abort', stop, { once: true })

  return {
    query,
    async close() {
      signal.removeEventListener('abort', stop)
      await close()
    },
  }
}

/** One snapshot, in which nothing can be written, and one way to write values; gives the number of the server's process. */
async function begin(query: Session['query'], { timeout }: PostgresSource): Promise<string> {
  await query('begin transaction isolation level repeatable read read only')
  for (const setting of [
    `statement_timeout = ${Math.ceil(timeout * 1000)}`,
    "datestyle = 'ISO'",
    "timezone = 'UTC'",
    'extra_float_digits = 3',
    'standard_conforming_strings = on',
  ])
    await query(`set local ${setting}`)
  return (await query('select pg_backend_pid()')).rows[0][0]!
}

/** The server is going, or the connection is (PostgreSQL, appendix A: classes 08 and 57P). */
const GONE = /^(08|57P)/
const CANCELED = '57014'
/** What the driver says in its own words. */
const NO_PASSWORD = /client password must be a string/

/** Without the cause: that may hold the address with its password. */
function failureOf(error: unknown, connected: boolean, url: string): SluiceError {
  if (error instanceof SluiceError) return error
  const { code = '' } = error as { code?: string }
  const fact = withoutSecrets(messageOf(error) || code, secretsOf(url))
  if (!connected)
    return dataError(
      'DATABASE_UNREACHABLE',
      `cannot connect to the database: ${NO_PASSWORD.test(fact) ? 'it asks for a password, and neither the address nor PGPASSWORD has one' : fact}`,
      {
        next: 'look at its address, user and password, and whether it runs',
      },
    )
  if (code === CANCELED || fact === 'Query read timeout')
    return dataError('DATABASE_TIMEOUT', `the database took too long: ${fact}`, {
      next: 'timeout: more seconds, or an index on the column of the cursor',
    })
  if (GONE.test(code) || !/^[0-9A-Z]{5}$/.test(code))
    return dataError('DATABASE_LOST', `the connection to the database was lost: ${fact}; nothing was saved`, {
      next: 'run it again',
    })
  return dataError('DATABASE_QUERY', `the database refuses to read: ${fact} (${code})`)
}

/** An address, and the password in it. */
function secretsOf(url: string): (string | undefined)[] {
  const given = /^\w+:\/\/[^/@]*?:([^/]*)@/.exec(url)?.[1] ?? /[?&]password=([^&]*)/.exec(url)?.[1]
  return [url, given, given && decoded(given)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
