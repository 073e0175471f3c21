import { describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/base/database.ts'

describe('database', () => {
  it('migrates once and reads back what was written', async () => {
    const database = openDatabase(':memory:')
    const version = { name: 'sp500', version: 1, digest: 'd', manifest_sha256: 'm', rows: 3, created: 1_700_000_000_000 }
    await database.insertInto('table_versions').values(version).execute()
    expect(await database.selectFrom('table_versions').selectAll().execute()).toEqual([version])
    await database.destroy()
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
})
