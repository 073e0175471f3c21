import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { bundleFolder } from '../../src/registry/bundle.ts'
import { promote, rollback } from '../../src/registry/versions.ts'
import { register, rowsOf } from '../registry/example.ts'
import { type Home, homeWith, serve } from './serving.ts'

const move = { reason: 'test', now: 1 }

/** Adds and promotes version `version`, a model of another kind. */
async function succeed(home: Home, version: number, spoil: (folder: string) => void = () => {}): Promise<void> {
  await register(home, 'logistic', { version })
  spoil(bundleFolder(home.home, 'demo', version))
  await promote(home.database, 'demo', version, move)
}

const flipByte = (folder: string) => {
  const file = join(folder, 'model.onnx')
  const bytes = readFileSync(file)
  bytes[40] ^= 1
  writeFileSync(file, bytes)
}

describe('a server', () => {
  it('follows its champion forth and back, and loses no request over it', async () => {
    const home = await homeWith({ demo: 'trees' })
    const { post, warnings } = await serve(home, ['demo'])
    // Both models have these features, so that every answer must be a good one whoever gives it.
    const [row] = rowsOf('trees').slice(1)
    const ask = async () => (await post({ rows: [row] })).answer.model.version
    expect(await ask()).toBe(1)
    await register(home, 'trees', { version: 2 })
    const seen = new Set<number>()
    let asking = true
    const asker = (async () => {
      while (asking) seen.add(await ask())
    })()
    await promote(home.database, 'demo', 2, move)
    await vi.waitFor(() => expect(seen).toContain(2))
    await rollback(home.database, 'demo', move)
    await vi.waitFor(async () => expect(await ask()).toBe(1))
    asking = false
    await asker
    expect([...seen].sort()).toEqual([1, 2])
    expect(warnings).toEqual([])
  })

  it('keeps the old model when the new one cannot be verified, says so once, and counts', async () => {
    const home = await homeWith({ demo: 'trees' })
    const { get, post, warnings } = await serve(home, ['demo'])
    await succeed(home, 2, flipByte)
    await vi.waitFor(async () =>
      expect(await (await get('/metrics')).text()).toMatch(/takeover_failures_total\{model="demo"\} [2-9]/),
    )
    expect(warnings).toEqual([expect.stringContaining('demo@1 goes on')])
    expect(warnings[0]).toContain('model.onnx is not the file that was signed')
    expect((await post({ rows: rowsOf('trees') })).answer.model.version).toBe(1)
    await succeed(home, 3)
    await vi.waitFor(async () =>
      expect(await (await get('/metrics')).text()).toContain('sluice_serving_version{model="demo"} 3'),
    )
    expect((await post({ rows: rowsOf('logistic') })).answer.model.version).toBe(3)
  })

  it('does not start on a champion that cannot be verified', async () => {
    const home = await homeWith({ demo: 'trees' })
    flipByte(bundleFolder(home.home, 'demo', 1))
    await expect(serve(home, ['demo'])).rejects.toMatchObject({ code: 'BUNDLE_FILES', exit: 4 })
  })
})
