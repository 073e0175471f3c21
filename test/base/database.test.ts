import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Database, openDatabase } from '../../src/base/database.ts'
import { put, temporaryFolder } from '../temporary.ts'

describe('database', () => {
  it('migrates once and reads back what was written', async () => {
    const database = openDatabase(':memory:')
    const version = {
      name: 'sp500',
      version: 1,
      digest: 'd',
      manifest_sha256: 'm',
      rows: 3,
      created: 1_700_000_000_000,
    }
    await database.insertInto('table_versions').values(version).execute()
    expect(await database.selectFrom('table_versions').selectAll().execute()).toEqual([version])
    await database.destroy()
  })

  it('lets transactions of two connections wait for each other', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-database-'))
    const connections = [1, 2].map(() => openDatabase(join(folder, 'store.db')))
    const move = { model: 'm', alias: 'champion', from_version: null, to_version: 1, reason: 'r', moved: 1 }
    const countAndAdd = (database: Database) =>
      database.transaction().execute(async transaction => {
        const rows = await transaction.selectFrom('alias_moves').selectAll().execute()
        await transaction
          .insertInto('alias_moves')
          .values({ ...move, to_version: rows.length })
          .execute()
      })
    await Promise.all(Array.from({ length: 20 }, (_, i) => countAndAdd(connections[i % 2])))
    const rows = await connections[0].selectFrom('alias_moves').select('to_version').orderBy('id').execute()
    expect(rows.map(row => row.to_version)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    for (const database of connections) await database.destroy()
    rmSync(folder, { recursive: true })
  })

  it('rolls a failed transaction back', async () => {
    const database = openDatabase(':memory:')
    const move = { model: 'm', alias: 'champion', from_version: null, to_version: 1, reason: 'r', moved: 1 }
    const failing = database.transaction().execute(async transaction => {
      await transaction.insertInto('alias_moves').values(move).execute()
      throw new Error('stop')
    })
    await expect(failing).rejects.toThrow('stop')
    expect(await database.selectFrom('alias_moves').selectAll().execute()).toEqual([])
    await database.destroy()
  })

  it('waits for a store that another process is making', async () => {
    const file = join(temporaryFolder(), 'store.db')
    await lockFrom(file, 200)
    await openDatabase(file).destroy()
  })

  it('says in words that it is locked for longer than anyone waits', async () => {
    const file = join(temporaryFolder(), 'store.db')
    const busy = { code: 'STORE_BUSY', exit: 2, next: expect.any(String) }
    const database = openDatabase(file, { patience_ms: 20 })
    await lockFrom(file, 5000)
    const alias = { model: 'm', alias: 'champion', version: 1, moved: 1 }
    const write = (store: Database) => store.insertInto('aliases').values(alias).execute()
    await expect(write(database)).rejects.toMatchObject(busy)
    await expect(database.transaction().execute(write)).rejects.toMatchObject(busy)
    await database.destroy()
    const unmade = join(temporaryFolder(), 'store.db')
    await lockFrom(unmade, 5000)
    expect(() => openDatabase(unmade, { patience_ms: 20 })).toThrow(expect.objectContaining(busy))
  })
})

it('says that a file is no store, or a damaged one', async () => {
  const file = put(temporaryFolder(), 'store.db', 'x'.repeat(5000))
  expect(() => openDatabase(file)).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT', exit: 4 }))
})

/** Another process that holds the store's lock for some time, from when this resolves. */
async function lockFrom(file: string, milliseconds: number): Promise<void> {
  const code = `const store = new (require('libsql'))(process.argv[1])
    store.exec('begin exclusive')
    console.log('locked')
    setTimeout(() => store.close(), process.argv[2])`
  const child = spawn(process.execPath, ['-e', code, file, String(milliseconds)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill())
  await once(child.stdout, 'data')
}
