// A real PostgreSQL server of a test's own: a fresh cluster in a temporary folder, on a free port, gone afterwards.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freePort } from './port.ts'

export const PASSWORD = 'p@ss w0rd'

export interface PostgresServer {
  /** With user and password. */
  url: string
  port: number
  /** Performs statements in order and gives the rows of the last one. */
  execute(...statements: string[]): Promise<unknown[][]>
  /** Ends the server at once, as a crash would. */
  kill(): Promise<void>
}

/** PostgreSQL refuses root, so root runs it as another user. */
const asPostgres = (command: string, args: string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]]
    : [command, args]

/** Starts a server and gives what ends it, too: call that in `afterAll`. */
export async function startPostgres(): Promise<PostgresServer & { stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-postgres-'))
  const [data, secret] = [join(folder, 'data'), join(folder, 'password')]
  writeFileSync(secret, PASSWORD)
  if (process.getuid?.() === 0) execFileSync('chown', ['-R', 'postgres:postgres', folder])
  chmodSync(folder, 0o700)
  const options = ['--username=sluice', `--pwfile=${secret}`, '--auth=scram-sha-256', '--encoding=UTF8', '--no-sync']
  execFileSync(...asPostgres('initdb', ['--pgdata', data, '--locale=C', ...options]), { cwd: '/', stdio: 'pipe' })
  const port = await freePort()
  const settings = [
    'listen_addresses=127.0.0.1',
    `unix_socket_directories=${folder}`,
    'fsync=off',
    'max_connections=20',
  ]
  const server = spawn(
    ...asPostgres('postgres', ['-D', data, '-p', String(port), ...settings.flatMap(setting => ['-c', setting])]),
    { cwd: '/', stdio: 'ignore' },
  )
  const url = `postgres://sluice:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/postgres`
  await untilItAnswers(url, server)

  const kill = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return
    const closed = once(server, 'close')
    server.kill('SIGQUIT')
    await closed
  }
  return {
    url,
    port,
    kill,
    execute: (...statements) => execute(url, statements),
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function execute(url: string, statements: string[]): Promise<unknown[][]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let rows: unknown[][] = []
    for (const text of statements) rows = (await client.query<unknown[]>({ text, rowMode: 'array' })).rows
    return rows
  } finally {
    await client.end()
  }
}

async function untilItAnswers(url: string, server: ChildProcess): Promise<void> {
  for (const end = Date.now() + 30_000; ; await sleep(100)) {
    try {
      await execute(url, ['select 1'])
      return
    } catch (error) {
      if (server.exitCode !== null || Date.now() > end) throw error
    }
  }
}
