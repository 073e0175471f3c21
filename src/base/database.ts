// The store: SQLite through libsql, typed by Kysely. The only file that imports a SQL driver.
// Keeps to the part of the driver that libsql, better-sqlite3 and node:sqlite share.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Generated, Kysely, type Selectable, type SqliteDatabase, SqliteDialect } from 'kysely'
import Driver from 'libsql'
import { dataError, messageOf, SluiceError } from './errors.ts'

export interface Schema {
  table_versions: {
    name: string
    version: number
    digest: string
    manifest_sha256: string
    rows: number
    created: number
  }
  runs: {
    id: string
    name: string
    command: string
    status: 'running' | 'deployed' | 'registered' | 'refused' | 'done' | 'failed' | 'interrupted'
    config: string
    git_commit: string | null
    git_dirty: number | null
    pid: number
    started: number
    finished: number | null
    result: string | null
    error: string | null
  }
  steps: {
    run: string
    stage: string
    digest: string
    status: 'running' | 'done' | 'failed' | 'interrupted'
    cached: Generated<number>
    started: number
    finished: number | null
    seconds: number | null
    cpu_seconds: number | null
    peak_memory_mb: number | null
    output: string | null
    error: string | null
  }
  model_versions: {
    name: string
    version: number
    digest: string
    status: 'registered' | 'refused'
    run: string | null
    manifest: string
    created: number
  }
  aliases: { model: string; alias: string; version: number; moved: number }
  alias_moves: {
    id: Generated<number>
    model: string
    alias: string
    from_version: number | null
    to_version: number
    reason: string
    moved: number
  }
  looks: {
    id: Generated<number>
    run: string
    /** JSON list, sorted. */
    symbols: string
    timeframe: string
    test_from: number
    test_to: number
    looked: number
  }
  points: {
    id: Generated<number>
    run: string
    series: string
    name: string
    step: number
    /** Null: it was no finite number. */
    value: number | null
    at: number
  }
}

export type Database = Kysely<Schema>
export type Row<Name extends keyof Schema> = Selectable<Schema[Name]>

/**
 * Opens (and creates or migrates) the store at `file`; `:memory:` is a store for tests.
 * What finds the store locked for `patience_ms` by another command, now or later, is STORE_BUSY (exit 2); a file that is damaged STORE_CORRUPT (exit 4).
 */
export function openDatabase(file: string, { patience_ms = 10_000 } = {}): Database {
  const driver = new Driver(file)
  // The timeout lets commands share a home, and comes first: the others take locks too. FULL: a row that was answered for is on the disk.
  const pragmas = [`busy_timeout = ${patience_ms}`, 'journal_mode = WAL', 'synchronous = FULL', 'foreign_keys = ON']
  inWords(() => {
    for (const pragma of pragmas) driver.exec(`pragma ${pragma}`)
    migrate(driver)
  })
  const dialect = new SqliteDialect({ database: saidInWords(driver) })
  const createDriver = dialect.createDriver.bind(dialect)
  dialect.createDriver = () =>
    Object.assign(createDriver(), { beginTransaction: () => beginImmediate(driver, patience_ms) })
  return new Kysely<Schema>({ dialect })
}

/** The driver as Kysely knows it, whose statements say in words that the store is busy. */
function saidInWords(driver: InstanceType<typeof Driver>): SqliteDatabase {
  return {
    close: () => void driver.close(),
    prepare(sql) {
      const statement = inWords(() => driver.prepare(sql))
      return {
        reader: statement.reader,
        all: parameters => inWords(() => statement.all(parameters)),
        run: parameters => inWords(() => statement.run(parameters)),
        iterate: parameters => statement.iterate(parameters),
      }
    },
  }
}

function inWords<Result>(work: () => Result): Result {
  try {
    return work()
  } catch (cause) {
    throw isBusy(cause) ? busy(cause) : isDamaged(cause) ? damaged(cause) : cause
  }
}

const busy = (cause: unknown) =>
  new SluiceError('usage', 'STORE_BUSY', 'another command keeps the store locked', {
    cause,
    next: 'the same again when that one is done; sluice runs list shows it',
  })

const damaged = (cause: unknown) =>
  dataError('STORE_CORRUPT', `the store (store.db of the home) is damaged: ${messageOf(cause)}`, {
    cause,
    next: 'put a copy of it back, or begin anew in another --home',
  })

const isDamaged = (error: unknown): boolean =>
  ['SQLITE_NOTADB', 'SQLITE_CORRUPT'].includes((error as { code?: string }).code ?? '')

const isBusy = (error: unknown): boolean => (error as { code?: string }).code === 'SQLITE_BUSY'

const POLL_MS = 20

/**
 * A transaction takes the write lock when it begins, so it never has to give up in the middle; it waits for the lock without
 * blocking the event loop, at jittered intervals. (By exec: a prepared statement of libsql that fails as busy stays open.)
 */
async function beginImmediate(driver: InstanceType<typeof Driver>, patience_ms: number): Promise<void> {
  const until = Date.now() + patience_ms
  driver.exec('pragma busy_timeout = 0')
  try {
    for (;;) {
      try {
        driver.exec('begin immediate')
        return
      } catch (error) {
        if (!isBusy(error)) throw error
        if (Date.now() > until) throw busy(error)
      }
      await sleep(POLL_MS * Math.random())
    }
  } finally {
    driver.exec(`pragma busy_timeout = ${patience_ms}`)
  }
}

const MIGRATIONS = join(dirname(fileURLToPath(import.meta.url)), '../../sql')

function migrate(driver: InstanceType<typeof Driver>): void {
  const files = readdirSync(MIGRATIONS)
    .filter(file => file.endsWith('.sql'))
    .sort()
  const version = () => Number((driver.prepare('pragma user_version').get() as { user_version: number }).user_version)
  if (version() === files.length) return
  if (version() > files.length)
    throw new SluiceError(
      'usage',
      'STORE_TOO_NEW',
      `the store has schema ${version()}, this version of sluice knows ${files.length}`,
      {
        next: 'use the newer sluice, or another --home',
      },
    )
  driver.exec('begin immediate')
  try {
    // Read again inside the lock: another process may have migrated meanwhile.
    for (const file of files.slice(version())) driver.exec(readFileSync(join(MIGRATIONS, file), 'utf8'))
    driver.exec(`pragma user_version = ${files.length}`)
    driver.exec('commit')
  } catch (error) {
    driver.exec('rollback')
    throw error
  }
}
