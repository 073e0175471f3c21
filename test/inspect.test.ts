// The commands about tables, as the command line calls them.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Act, Options } from '../src/command.ts'
import { ingest } from '../src/commands.ts'
import { diffData, listTables, profileData, showQuarantine, trackData, verifyData } from '../src/inspect.ts'
import { cleanCsv, cleanLine } from './data/home.ts'
import { put, temporaryFolder } from './temporary.ts'

/** A folder with a config whose source is what `source` was last given. */
function project(
  data = '{ source: { kind: file, path: x.csv } }',
  label = '{ kind: touch, horizon: 5, threshold: 0.01 }',
) {
  const folder = temporaryFolder()
  const config = put(folder, 'prices.yaml', `data: ${data}\nlabel: ${label}\n`)
  const act = async (command: Act, more: Partial<Options> = {}) => {
    const home = join(folder, '.sluice')
    const caller = { env: {}, signal: new AbortController().signal }
    const { json, ...answer } = await command({ home, set: [], quiet: true, limit: 20, ...more } as Options, caller)
    return { ...answer, json: json as Record<string, never> & { [key: string]: unknown } }
  }
  return {
    folder,
    act,
    config,
    source: (text: string) => put(folder, 'x.csv', text),
    async ingest(text: string) {
      put(folder, 'x.csv', text)
      return (await act(ingest, { config })).json
    },
  }
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error,
  )

describe('sluice data', () => {
  it('profile, diff and versions take the newest version, or the one that is named', async () => {
    const { act, ingest, config } = project()
    await ingest(cleanCsv(5))
    await ingest(cleanCsv(7))
    expect((await act(profileData, { config })).json).toMatchObject({ table: 'prices', version: 2, rows: 7 })
    const first = await act(profileData, { table: 'prices@1' })
    expect(first.json).toMatchObject({ version: 1, rows: 5 })
    expect(first.text).toMatch(/^prices@1: 5 rows of 1h.*\n\ncolumn +type +missing/)
    expect((await act(listTables)).json).toMatchObject({
      versions: [
        { table: 'prices', version: 1, parent: null, rows: 5, added: 5, revised: 0 },
        { version: 2, parent: 1, rows: 7, digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ],
    })
    const diff = await act(diffData, { table: 'prices' })
    expect(diff.json).toMatchObject({ from: { version: 1 }, to: { version: 2 }, rows: { added: 2, removed: 0 } })
    expect(diff.text).toContain('prices@1 (5 rows) -> prices@2 (7 rows), by time\nrows: 2 added, 0 removed, 0 revised')
    expect((await act(diffData, { table: 'prices@2', other: 'prices@1' })).json).toMatchObject({ rows: { removed: 2 } })
    expect(await refusal(act(diffData, { table: 'prices@1' }))).toMatchObject({ code: 'ONE_VERSION', exit: 2 })
  })

  it('refuses what is no table', async () => {
    const { act, ingest } = project()
    await ingest(cleanCsv(5))
    for (const command of [profileData, diffData, showQuarantine, verifyData, listTables])
      expect(await refusal(act(command, { table: 'nothing' }))).toMatchObject({ code: 'NO_TABLE', exit: 4 })
    expect(await refusal(act(profileData, { table: 'prices@7' }))).toMatchObject({
      code: 'NO_TABLE',
      next: 'sluice data versions prices',
    })
    for (const table of ['prices@', 'prices@x', 'prices@0', '@1', ''])
      expect(await refusal(act(profileData, { table }))).toMatchObject({ code: 'TABLE', exit: 2 })
    expect(await refusal(act(profileData))).toMatchObject({ code: 'TABLE', exit: 2 })
  })

  it('quarantine shows what the newest ingest refused, or that of a version', async () => {
    const { act, ingest } = project()
    await ingest(`${cleanCsv(5)}noon,1,2,3,4,5\n${cleanLine(6)},"a, b"\n`)
    const first = await act(showQuarantine, { table: 'prices', limit: 1 })
    expect(first.json).toMatchObject({
      ...{ table: 'prices', version: 1, rows: 2, reasons: { TIMESTAMP_INVALID: 1, COLUMN_COUNT: 1 } },
      refused: [{ line: 7, code: 'TIMESTAMP_INVALID', column: 'time', row: 'noon,1,2,3,4,5' }],
    })
    expect(first.text).toMatch(/and 1 more in .*\.csv$/)
    const all = (await act(showQuarantine, { table: 'prices' })).json.refused as { row: string }[]
    expect(all[1].row).toBe(`${cleanLine(6)},"a, b"`)
    await ingest(cleanCsv(6))
    expect((await act(showQuarantine, { table: 'prices' })).json).toMatchObject({ version: 2, path: null, rows: 0 })
    expect((await act(showQuarantine, { table: 'prices@1' })).json).toMatchObject({ version: 1, rows: 2 })
    await ingest(`${cleanCsv(6)}1,1,1\n`)
    expect((await act(showQuarantine, { table: 'prices' })).json).toMatchObject({ version: null, rows: 1 })
  })

  it('quarantine shows no row of a table with personal columns', async () => {
    const { act, ingest } = project(
      '{ source: { kind: file, path: x.csv }, schema: [{ name: a, max: 5 }, { name: mail, pii: true }] }',
      '{ kind: column, name: a }',
    )
    await ingest('a,mail\n1,me@x\n9,you@x\n')
    const { json, text } = await act(showQuarantine, { table: 'prices' })
    expect(json).toMatchObject({ refused: [{ line: 3, code: 'ABOVE_MAXIMUM', column: 'a', row: null }] })
    expect(text).not.toContain('@x')
    expect(text).toContain('may be personal')
  })

  it('quarantine of a table that never had a good row goes by its config, and shows none without it', async () => {
    const { act, config, ingest } = project()
    await refusal(ingest('time,open,high,low,close,volume\nnoon,1,2,3,4,5\n'))
    const rowOf = async (options: object) => (await act(showQuarantine, options)).json.refused
    expect(await rowOf({ table: 'prices' })).toMatchObject([{ row: null }])
    expect(await rowOf({ config })).toMatchObject([{ row: 'noon,1,2,3,4,5' }])
  })

  it('dvc points to a version, verified before', async () => {
    const { act, folder, ingest } = project()
    await ingest(cleanCsv(5))
    const options = { table: 'prices', out: join(folder, 'data'), remote: join(folder, 'remote') }
    const { json } = await act(trackData, options)
    expect(json).toMatchObject({ table: 'prices', version: 1, files: 2, pointer: join(folder, 'data/prices.dvc') })
    expect(readFileSync(String(json.pointer), 'utf8')).toContain(`md5: ${json.md5}\n`)
    expect(readdirSync(join(folder, 'remote/files/md5'))).not.toEqual([])
    writeFileSync(join(folder, '.sluice/tables/prices/1/part-all.parquet'), 'x')
    expect(await refusal(act(trackData, options))).toMatchObject({ code: 'PARTITION_CORRUPT' })
  })

  it('verify finds everything that is not what was written', async () => {
    const { act, folder, ingest } = project('{ source: { kind: file, path: x.csv }, partition_rows: 24 }')
    await ingest(cleanCsv(100))
    await ingest(cleanCsv(120))
    await ingest(cleanCsv(140))
    const whole = await act(verifyData)
    expect(whole).toMatchObject({ json: { ok: true, versions: 3, problems: [] } })
    expect(whole.exit).toBeUndefined()
    const path = (version: number, name: string) => join(folder, '.sluice/tables/prices', String(version), name)
    writeFileSync(path(1, 'part-2021-10-01.parquet'), 'x')
    rmSync(path(1, 'part-2021-10-02.parquet'))
    writeFileSync(path(2, 'manifest.json'), '{}')
    rmSync(path(3, ''), { recursive: true })
    const broken = await act(verifyData)
    expect(broken.exit).toBe(4)
    expect(
      (broken.json.problems as { version: number; file: string; code: string }[]).map(
        p => `${p.version} ${p.file} ${p.code}`,
      ),
    ).toEqual([
      '1 part-2021-10-01.parquet PARTITION_CORRUPT',
      '1 part-2021-10-02.parquet PARTITION_MISSING',
      '2 manifest.json MANIFEST_CORRUPT',
      '3 manifest.json MANIFEST_MISSING',
    ])
    expect(await act(verifyData, { table: 'prices@2' })).toMatchObject({ exit: 4, json: { ok: false, versions: 1 } })
  })
})
