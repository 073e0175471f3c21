// What Weights & Biases is told by, when it is no such process: a shell in its place, no Python.
import { chmodSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Told } from '../../src/base/tracker.ts'
import { openWandb } from '../../src/learn/wandb.ts'
import { put, temporaryFolder } from '../temporary.ts'

const TOLD: Told = {
  ...{ id: '20260101000000-abcdef', name: 'm', command: 'run', started: 0, finished: null, status: 'running' },
  ...{ params: {}, tags: {}, figures: {}, data: null, files: [] },
}

/** A tracker whose process answers the first request with `says`. */
function openShell(says: string) {
  const folder = temporaryFolder()
  const python = put(folder, 'python', `#!/bin/sh\nread request\n${says}\n`)
  chmodSync(python, 0o755)
  const log = { debug: () => {} }
  return openWandb({ mode: 'offline' }, { python, env: { PATH: process.env.PATH }, folder, log })
}

describe('the process of Weights & Biases', () => {
  it.each([
    ['is killed within a line', `printf '{"id": "1", "ev'; kill -9 $$`],
    ['writes half a line', `printf '{"id": "1", "ev\\n'; read more`],
    ['writes what is no answer', 'echo null; read more'],
  ])('is down when it %s, and the run goes on', async (_, says) => {
    const tracker = openShell(says)
    await expect(tracker.begin(TOLD)).rejects.toMatchObject({ code: 'TRACKER_DOWN', fault: 'engine' })
    await tracker.close()
  })
})
