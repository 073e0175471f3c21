import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Database, openDatabase } from '../../src/base/database.ts'
import {
  addVersion,
  aliasVersion,
  history,
  lineage,
  listVersions,
  nextVersion,
  parseSpec,
  promote,
  resolveVersion,
  rollback,
} from '../../src/registry/versions.ts'
import { openHome, temporaryFolder } from './example.ts'

const row = (version: number, changes = {}) => ({
  name: 'demo',
  version,
  digest: `digest ${version}`,
  status: 'registered' as const,
  run: null,
  manifest: '{}',
  created: version,
  ...changes,
})

/** A store with versions 1..count of `demo`. */
async function openWith(count: number): Promise<Database> {
  const { database } = openHome()
  for (let version = 1; version <= count; version++) await addVersion(database, row(version))
  return database
}

const move = { reason: 'test', now: 1 }

describe('versions', () => {
  it('count up, past rows and past folders that have no row', async () => {
    const { database, home } = openHome()
    expect(await nextVersion(database, home, 'demo')).toBe(1)
    await addVersion(database, row(2))
    expect(await nextVersion(database, home, 'demo')).toBe(3)
    mkdirSync(join(home, 'models/demo/7'), { recursive: true })
    mkdirSync(join(home, 'models/demo/.8.tmp'), { recursive: true })
    expect(await nextVersion(database, home, 'demo')).toBe(8)
    expect(await nextVersion(database, home, 'other')).toBe(1)
  })

  it('are added once: again is the same row, another model under the number is refused', async () => {
    const database = await openWith(1)
    expect(await addVersion(database, row(1, { created: 99 }))).toMatchObject({ created: 1 })
    await expect(addVersion(database, row(1, { digest: 'other' }))).rejects.toMatchObject({ code: 'VERSION_TAKEN' })
    await expect(addVersion(database, row(1, { name: '../x' }))).rejects.toMatchObject({ code: 'NAME' })
    expect(await listVersions(database)).toHaveLength(1)
  })

  it('are listed with their aliases', async () => {
    const database = await openWith(2)
    await addVersion(database, row(1, { name: 'another' }))
    await promote(database, 'demo', 2, move)
    await promote(database, 'demo', 2, { ...move, alias: 'challenger' })
    const listed = (await listVersions(database)).map(({ name, version, aliases }) => [name, version, aliases])
    expect(listed).toEqual([
      ['another', 1, []],
      ['demo', 1, []],
      ['demo', 2, ['challenger', 'champion']],
    ])
    expect(await listVersions(database, 'another')).toHaveLength(1)
  })

  it('are found by number, by alias, and by a bare name as the champion', async () => {
    const database = await openWith(2)
    await promote(database, 'demo', 1, move)
    await promote(database, 'demo', 2, { ...move, alias: 'challenger' })
    const found = async (spec: string) => (await resolveVersion(database, spec)).version
    expect([
      await found('demo'),
      await found('demo@champion'),
      await found('demo@challenger'),
      await found('demo@2'),
    ]).toEqual([1, 1, 2, 2])
  })

  it('say what there is when they are not found', async () => {
    const database = await openWith(1)
    await addVersion(database, row(2, { status: 'refused' }))
    const refused = (spec: string) => expect(resolveVersion(database, spec)).rejects
    await refused('nothing').toMatchObject({ code: 'MODEL_UNKNOWN', message: expect.stringContaining('demo') })
    await refused('demo@9').toMatchObject({
      code: 'VERSION_UNKNOWN',
      message: expect.stringContaining('1, 2 (refused)'),
    })
    await refused('demo').toMatchObject({ code: 'ALIAS_UNKNOWN', next: expect.stringContaining('promote demo@1') })
    await refused('demo@canary').toMatchObject({
      code: 'ALIAS_UNKNOWN',
      next: expect.stringContaining('--alias canary'),
    })
    for (const spec of ['', '@', 'demo@', 'demo@1@2', '../demo', 'demo@../x'])
      await refused(spec).toMatchObject({ code: 'NAME' })
    expect(parseSpec('demo@3')).toEqual({ name: 'demo', at: '3' })
    const { database: empty } = openHome()
    await expect(resolveVersion(empty, 'demo')).rejects.toMatchObject({ next: expect.stringContaining('sluice run') })
  })
})

describe('promote', () => {
  it('moves the champion, once, and remembers why', async () => {
    const database = await openWith(2)
    expect(await promote(database, 'demo', 1, move)).toEqual({ from: null, to: 1 })
    expect(await promote(database, 'demo', 2, { ...move, reason: 'better', now: 5 })).toEqual({ from: 1, to: 2 })
    expect(await promote(database, 'demo', 2, move)).toEqual({ from: 2, to: 2 })
    expect(await aliasVersion(database, 'demo')).toBe(2)
    expect((await history(database, 'demo')).map(({ id, ...rest }) => rest)).toEqual([
      { model: 'demo', alias: 'champion', from_version: null, to_version: 1, reason: 'test', moved: 1 },
      { model: 'demo', alias: 'champion', from_version: 1, to_version: 2, reason: 'better', moved: 5 },
    ])
  })

  it('is compare-and-set', async () => {
    const database = await openWith(3)
    await promote(database, 'demo', 1, { ...move, expected: null })
    await expect(promote(database, 'demo', 2, { ...move, expected: null })).rejects.toMatchObject({
      code: 'ALIAS_MOVED',
      exit: 3,
    })
    await expect(promote(database, 'demo', 3, { ...move, expected: 2 })).rejects.toMatchObject({
      detail: { from: 1, expected: 2 },
    })
    expect(await promote(database, 'demo', 3, { ...move, expected: 1 })).toEqual({ from: 1, to: 3 })
    expect(await history(database, 'demo')).toHaveLength(2)
  })

  it('refuses what a gate refused, unless forced with a reason', async () => {
    const database = await openWith(1)
    await addVersion(database, row(2, { status: 'refused' }))
    await expect(promote(database, 'demo', 2, move)).rejects.toMatchObject({ code: 'REFUSED_VERSION', exit: 3 })
    await expect(promote(database, 'demo', 2, { ...move, reason: ' ', force: true })).rejects.toMatchObject({
      code: 'REASON',
    })
    await promote(database, 'demo', 2, { ...move, reason: 'an incident', force: true })
    expect((await history(database, 'demo'))[0].reason).toBe('forced: an incident')
    await expect(promote(database, 'demo', 9, move)).rejects.toMatchObject({ code: 'VERSION_UNKNOWN' })
    await expect(promote(database, 'demo', 1, { ...move, alias: '7' })).rejects.toMatchObject({ code: 'NAME' })
  })

  it('lets one of two win that saw the same champion, on one connection or on two', async () => {
    const file = join(temporaryFolder(), 'store.db')
    const stores = [openDatabase(file), openDatabase(file)]
    onTestFinished(async () => {
      for (const store of stores) await store.destroy()
    })
    for (let version = 1; version <= 5; version++) await addVersion(stores[0], row(version))
    await promote(stores[0], 'demo', 1, move)
    const seen = await Promise.all(stores.map(store => aliasVersion(store, 'demo')))
    expect(await promote(stores[1], 'demo', 2, { ...move, expected: seen[1] })).toEqual({ from: 1, to: 2 })
    await expect(promote(stores[0], 'demo', 3, { ...move, expected: seen[0] })).rejects.toMatchObject({
      code: 'ALIAS_MOVED',
    })
    const rivals = [4, 5].map(version => promote(stores[0], 'demo', version, { ...move, expected: 2 }))
    const outcomes = await Promise.allSettled(rivals)
    expect(outcomes.map(outcome => outcome.status)).toEqual(['fulfilled', 'rejected'])
    expect(await aliasVersion(stores[1], 'demo')).toBe(4)
    expect(await history(stores[1], 'demo')).toHaveLength(3)
  })
})

describe('rollback', () => {
  const back = (database: Database) => rollback(database, 'demo', move)

  it('goes back, and again further back, until there is nothing', async () => {
    const database = await openWith(3)
    for (const version of [1, 2, 3]) await promote(database, 'demo', version, move)
    expect([await back(database), await back(database)]).toEqual([
      { from: 3, to: 2 },
      { from: 2, to: 1 },
    ])
    await expect(back(database)).rejects.toMatchObject({ code: 'NO_PREVIOUS' })
    expect(await aliasVersion(database, 'demo')).toBe(1)
  })

  it('forgets what it went back from', async () => {
    const database = await openWith(3)
    for (const version of [1, 2]) await promote(database, 'demo', version, move)
    await back(database)
    await promote(database, 'demo', 3, move)
    expect(await back(database)).toEqual({ from: 3, to: 1 })
  })

  it('has nothing to go back to where nothing was promoted', async () => {
    await expect(back(await openWith(1))).rejects.toMatchObject({ code: 'NO_PREVIOUS' })
  })

  it('follows a chain without repeats that ends at the present', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }), versions => {
        const chain = lineage(versions.map(to_version => ({ to_version })))
        expect(chain.at(-1)).toBe(versions.at(-1))
        expect(new Set(chain).size).toBe(chain.length)
        // Undoing step by step ends at the first version of all.
        expect(chain[0]).toBe(versions[0])
      }),
    )
  })
})
