// What becomes of requests when a process is missing, broken, silent or killed, and that none outlives its pool.
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { interruption } from '../../src/base/errors.ts'
import { pythonOf } from '../../src/learn/install.ts'
import { childrenOf, isAlive, until } from '../processes.ts'
import { put, temporaryFolder } from '../temporary.ts'
import { fit, openPool, PYTHON, pool, writeDataset } from './pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'sluice-engine-'))

beforeAll(() => writeDataset(folder))
afterAll(() => rmSync(folder, { recursive: true }))

/** Seconds of work, with progress at every tenth. */
const SLOW = { params: { n_estimators: 5000, max_depth: 8, early_stopping_rounds: null } }

/** An executable that takes the interpreter's place; `exec` so that a kill leaves no child of the shell. */
function script(body: string): string {
  const path = put(temporaryFolder(), 'python', `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

describe('a process', () => {
  it.each<[string, () => string, object]>([
    ['that is missing', () => '/nowhere/python', { code: 'ENGINE_MISSING', next: 'sluice engine install core' }],
    ['that is no program', () => put(temporaryFolder(), 'python', 'x'), { code: 'ENGINE_MISSING' }],
    [
      'that ends at once',
      () => script('echo "no module named numpy" >&2; exit 7'),
      {
        code: 'ENGINE_CRASHED',
        message: expect.stringContaining('ended with code 7: no module named numpy'),
        detail: { stderr: ['no module named numpy'] },
      },
    ],
    [
      'that prints garbage',
      () => script('echo "Segmentation fault"; exec sleep 60'),
      { code: 'ENGINE_PROTOCOL', message: expect.stringContaining('"Segmentation fault"') },
    ],
    [
      'that answers something else',
      () => script(`echo '{"id": "99", "event": "done"}'; exec sleep 60`),
      { code: 'ENGINE_PROTOCOL' },
    ],
    [
      'that speaks another protocol',
      () => script(`echo '{"id": "1", "event": "done", "protocol": 99, "versions": {}}'; exec sleep 60`),
      { code: 'ENGINE_PROTOCOL', message: 'the engine speaks protocol 99, not 1' },
    ],
  ])('%s is an error with its reason, and no process is left', async (_, python, error) => {
    const { engine, lines } = pool({ python: python(), size: 2 })
    const before = childrenOf(process.pid)
    const asked = [engine.versions(), engine.versions(), engine.versions()]
    for (const answer of await Promise.allSettled(asked))
      expect(answer).toMatchObject({ status: 'rejected', reason: { fault: 'engine', exit: 5, ...error } })
    await until(() => childrenOf(process.pid).every(pid => before.includes(pid)), 'no child is left')
    const { detail } = error as { detail?: { stderr: string[] } }
    expect(lines).toEqual(expect.arrayContaining(detail?.stderr ?? []))
  })

  it('that says nothing is given up after a minute', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { engine } = pool({ python: script('exec sleep 300'), size: 1 })
    const asked = engine.versions().catch(error => error)
    vi.advanceTimersByTime(60_000)
    expect(await asked).toMatchObject({ code: 'ENGINE_START', exit: 5, message: expect.stringContaining('60 s') })
  })

  it('that is killed in the middle of a fit fails that fit, and the next one gets a fresh process', async () => {
    const { engine } = pool({ size: 1 })
    const before = childrenOf(process.pid)
    await engine.versions()
    const [pid] = childrenOf(process.pid).filter(child => !before.includes(child))
    let started = false
    const slow = fit(engine, folder, 'xgboost', { ...SLOW, onEvent: () => (started = true) }).catch(error => error)
    await until(() => started, 'the fit has begun')
    process.kill(pid, 'SIGKILL')
    expect(await slow).toMatchObject({ code: 'ENGINE_CRASHED', exit: 5, message: 'the engine was killed by SIGKILL' })
    expect((await fit(engine, folder, 'logistic')).p).toHaveLength(100)
  })

  it('that cannot start leaves the work to one that can', async () => {
    const lock = join(temporaryFolder(), 'lock')
    const python = script(
      `if mkdir "${lock}" 2>/dev/null; then exec "${PYTHON}" "$@"; fi; echo "out of memory" >&2; exit 1`,
    )
    const { engine } = pool({ python, size: 2 })
    const fits = await Promise.all(
      ['logistic', 'logistic', 'lightgbm', 'lightgbm'].map(kind => fit(engine, folder, kind)),
    )
    expect(fits.map(({ p }) => p.length)).toEqual([100, 100, 100, 100])
  })
})

describe('a pool', () => {
  it('ends within two seconds of Ctrl-C, fits and all', async () => {
    const { engine, abort } = pool({ size: 2 })
    const before = childrenOf(process.pid)
    let events = 0
    const fits = [1, 2, 3].map(seed =>
      fit(engine, folder, 'xgboost', { ...SLOW, seed, onEvent: () => events++ }).catch(error => error),
    )
    await until(() => events > 0, 'a fit has begun')
    const mine = childrenOf(process.pid).filter(pid => !before.includes(pid))
    const began = performance.now()
    abort.abort(interruption())
    for (const error of await Promise.all(fits)) expect(error).toMatchObject({ fault: 'interrupted', exit: 130 })
    await until(() => !mine.some(isAlive), 'every process is gone')
    expect(performance.now() - began).toBeLessThan(2000)
    await expect(engine.versions()).rejects.toMatchObject({ fault: 'interrupted' })
  })

  it('leaves no process when it is closed', async () => {
    const before = childrenOf(process.pid)
    const { engine } = openPool({ size: 2 })
    await Promise.all([engine.versions(), engine.versions()])
    const mine = childrenOf(process.pid).filter(pid => !before.includes(pid))
    expect(mine).toHaveLength(2)
    await engine.close()
    expect(mine.filter(isAlive)).toEqual([])
  })

  it('that is closed after a failed fit starts nothing more for the work that waits', async () => {
    const started = put(temporaryFolder(), 'started', '')
    const python = script(
      `echo $$ >> "${started}"
      read hello
      echo '{"id": "1", "event": "done", "protocol": 1, "versions": {}}'
      while read line; do
        id=$(echo "$line" | sed 's/.*"id":"\\([0-9]*\\)".*/\\1/')
        sleep 0.0$id
        echo "{\\"id\\": \\"$id\\", \\"event\\": \\"failed\\", \\"code\\": \\"FIT_FAILED\\", \\"reason\\": \\"no\\"}"
      done`,
    )
    const { engine } = openPool({ python, size: 2 })
    const asked = Array.from({ length: 12 }, () => engine.request('fit', {}))
    const answers = Promise.allSettled(asked)
    await expect(Promise.all(asked)).rejects.toMatchObject({ code: 'FIT_FAILED' })
    await engine.close()
    expect((await answers).every(({ status }) => status === 'rejected')).toBe(true)
    expect((await answers).at(-1)).toMatchObject({ reason: { fault: 'interrupted' } })
    expect(readFileSync(started, 'utf8').trim().split('\n')).toHaveLength(2)
  })

  it('gives every process one thread, whatever the environment says', async () => {
    const python = script(
      `read hello
      versions="{\\"threads\\": \\"$SLUICE_THREADS $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS\\"}"
      echo "{\\"id\\": \\"1\\", \\"event\\": \\"done\\", \\"protocol\\": 1, \\"versions\\": $versions}"
      read line
      echo "{\\"id\\": \\"2\\", \\"event\\": \\"done\\", \\"versions\\": $versions}"
      exec cat > /dev/null`,
    )
    const env = { ...process.env, SLUICE_THREADS: '7', OMP_NUM_THREADS: '7' }
    expect(await pool({ python, size: 1, env }).engine.versions()).toEqual({ threads: '1 1 1' })
  })

  it('is known by the libraries that run: our own environment by its lock, another by what it says', async () => {
    const says = (version: string) =>
      script(
        `read hello
        versions='{"numpy": "${version}"}'
        echo "{\\"id\\": \\"1\\", \\"event\\": \\"done\\", \\"protocol\\": 1, \\"versions\\": $versions}"
        read line
        echo "{\\"id\\": \\"2\\", \\"event\\": \\"done\\", \\"versions\\": $versions}"
        exec cat > /dev/null`,
      )
    const digest = (python: string) => pool({ python, size: 1 }).engine.digest()
    const others = await Promise.all([says('2.0'), says('2.0'), says('2.1')].map(digest))
    expect(others[1]).toBe(others[0])
    expect(others[2]).not.toBe(others[0])
    // Nothing is started for the digest of our own: there is no such file.
    const own = await digest(pythonOf('/nowhere'))
    expect(own).toMatch(/^[0-9a-f]{64}$/)
    expect(others).not.toContain(own)
    await expect(digest('/nowhere/python')).rejects.toMatchObject({ code: 'ENGINE_MISSING' })
  })

  it('gives a process the work whose matrix it holds', async () => {
    // Each answer names the process that gave it; the first two meet, so that both are up.
    const python = script(
      `echo '{"id": "1", "event": "done", "protocol": 1, "versions": {}}'
      read hello
      while read line; do
        id=$(echo "$line" | sed 's/.*"id":"\\([0-9]*\\)".*/\\1/')
        sleep 0.05
        echo "{\\"id\\": \\"$id\\", \\"event\\": \\"done\\", \\"pid\\": $$}"
      done`,
    )
    const { engine } = pool({ python, size: 2 })
    const ask = async (affinity: string) => ({
      affinity,
      pid: (await engine.request<{ pid: number }>('fit', {}, { affinity })).pid,
    })
    const answers = await Promise.all(['a', 'b', 'a', 'b', 'b', 'a'].map(ask))
    const pids = (affinity: string) =>
      new Set(answers.filter(answer => answer.affinity === affinity).map(({ pid }) => pid))
    expect(pids('a').size).toBe(1)
    expect(pids('b').size).toBe(1)
    expect([...pids('a')]).not.toEqual([...pids('b')])
  })
})
