import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { bundleFolder } from '../../src/registry/bundle.ts'
import { trustedKeys } from '../../src/registry/keys.ts'
import { promote, rollback } from '../../src/registry/versions.ts'
import { answerBody } from '../../src/serve/body.ts'
import { championOf, goLive } from '../../src/serve/live.ts'
import { expectedSequences, register, rowsOf } from '../registry/example.ts'
import { type Home, homeWith, keepLog, serve } from './serving.ts'

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

  it('answers what began with a version before it lets go of it, all runs of it', async () => {
    const home = await homeWith({ demo: 'gru' })
    const limits = { maxWaiting: 65_536, maxWindows: 10, windowIdle: 60 }
    const live = await goLive(championOf('demo', trustedKeys(home.home), home), { log: keepLog(), limits })
    onTestFinished(() => live.close())
    const old = live.served()
    const row = { f0: 1, f1: null, f2: 3 }
    // Windows of 6 x 9000 rows are more than one run makes, and the second push waits for the first.
    const pushes = [9000, 1].map(count => old.use(answerBody(old, { key: 'a', rows: Array(count).fill(row) })))
    await register(home, 'gru', { version: 2 })
    await promote(home.database, 'demo', 2, move)
    await live.follow()
    const [{ predictions }, { answered }] = await Promise.all(pushes)
    expect([predictions.length, answered, live.served().version]).toEqual([9000, 1, 2])
    await expect(old.run(new Float32Array(18), 1)).rejects.toThrow()
  })

  it('does not start on a champion that cannot be verified', async () => {
    const home = await homeWith({ demo: 'trees' })
    flipByte(bundleFolder(home.home, 'demo', 1))
    await expect(serve(home, ['demo'])).rejects.toMatchObject({ code: 'BUNDLE_FILES', exit: 4 })
  })
})
