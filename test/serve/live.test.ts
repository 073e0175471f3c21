import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { bundleFolder } from '../../src/registry/bundle.ts'
import { promote, rollback } from '../../src/registry/versions.ts'
import { expectedSequences, register, rowsOf } from '../registry/example.ts'
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

  it('goes on with the rows of a key when its champion changes, unless they are rows of other features', async () => {
    const home = await homeWith({ demo: 'gru' })
    const { post } = await serve(home, ['demo'])
    const rows = expectedSequences.gru.sequences.flat()
    const length = expectedSequences.gru.sequences[0].length
    const push = async (...pushed: (typeof rows)[number][]) => {
      const { answer } = await post({
        key: 'a',
        rows: pushed.map(row => Object.fromEntries(row.map((value, j) => [`f${j}`, value]))),
      })
      return answer
    }
    const version = async () => (await post({ sequence: rows.slice(0, length) })).answer.model.version
    const change = async (to: number) => {
      await promote(home.database, 'demo', to, move)
      await vi.waitFor(async () => expect(await version()).toBe(to))
    }
    await register(home, 'gru', { version: 2 })
    await register(home, 'gru', { version: 3, features: [{ kind: 'sma', n: 5 }] })
    await push(...rows.slice(0, length))
    await change(2)
    const { answer } = await post({ sequence: rows.slice(1, length + 1) })
    expect(await push(rows[length])).toMatchObject({ predictions: answer.predictions, model: { version: 2 } })
    await change(3)
    expect(await push(rows[length + 1])).toMatchObject({ code: 'WARMING_UP', missing: length - 1 })
    // The rows of version 2 would lack the one that came meanwhile.
    await change(2)
    expect(await push(rows[length + 2])).toMatchObject({ code: 'WARMING_UP', missing: length - 1 })
  })

  it('answers every push with the version it began with, while versions come and go', async () => {
    const home = await homeWith({ demo: 'gru' })
    const { post, warnings } = await serve(home, ['demo'])
    await register(home, 'gru', { version: 2 })
    const row = { f0: 1, f1: null, f2: 3 }
    const seen = new Set<number>()
    let pushing = true
    const pushers = ['a', 'a', 'b'].map(async key => {
      for (let i = 0; pushing; i++) {
        const { status, answer } = await post({ key, rows: Array.from({ length: 1 + (i % 40) }, () => row) })
        expect(status === 200 || answer.code === 'WARMING_UP').toBe(true)
        if (status === 200) seen.add(answer.model.version)
      }
    })
    for (let turn = 0; turn < 6; turn++) {
      const to = 2 - (turn % 2)
      await promote(home.database, 'demo', to, move)
      seen.clear()
      await vi.waitFor(() => expect([...seen]).toContain(to))
    }
    pushing = false
    await Promise.all(pushers)
    expect(warnings).toEqual([])
  })

  it('does not start on a champion that cannot be verified', async () => {
    const home = await homeWith({ demo: 'trees' })
    flipByte(bundleFolder(home.home, 'demo', 1))
    await expect(serve(home, ['demo'])).rejects.toMatchObject({ code: 'BUNDLE_FILES', exit: 4 })
  })
})
