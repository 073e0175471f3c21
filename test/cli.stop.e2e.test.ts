// Commands that are stopped, killed, or whose engine breaks: how they end, what they leave, and what the next one finds.
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { json, sluice, start } from './command.ts'
import { PLANTED } from './planted.ts'
import { childrenOf, isAlive, until } from './processes.ts'
import { put, temporaryFolder } from './temporary.ts'

const QUICK = '{ kind: logistic, params: { C: [0.1, 1, 10] } }'
/** Minutes of work. */
const ENDLESS = '{ kind: xgboost, params: { n_estimators: 500000, max_depth: 8, early_stopping_rounds: null } }'
const CONFIG = PLANTED.replace(/models:\n(?: {2}- .*\n)+/, `models: [${QUICK}, ${ENDLESS}]\n`)

const given = (): string => {
  const folder = temporaryFolder()
  put(folder, 'f.yaml', CONFIG)
  return folder
}

const fits = (folder: string): string[] => readdirSync(join(folder, '.sluice/cache/fits')).sort()
const finished = (folder: string): string[] => fits(folder).filter(name => !name.startsWith('.'))
const newest = async (folder: string) => (await json(folder, ['runs', 'list'])).runs[0]

/** Trains until the quick fits are done and the endless one goes on. */
async function training(folder: string, env: Record<string, string> = {}) {
  const command = start(folder, ['train', '-c', 'f.yaml', '--json'], env)
  onTestFinished(() => void command.kill('SIGKILL'))
  const home = join(folder, '.sluice/cache/fits')
  const three = () => statSync(home, { throwIfNoEntry: false }) !== undefined && finished(folder).length === 3
  await until(three, 'three fits are finished', 60)
  return { command, engines: childrenOf(command.pid!) }
}

/** The three fits are found, not fitted again. */
async function expectFound(folder: string, before: string[]): Promise<void> {
  const time = (name: string) => statSync(join(folder, '.sluice/cache/fits', name, 'fit.json')).mtimeMs
  const times = before.map(time)
  const { candidates } = await json(folder, ['train', '-c', 'f.yaml', '--set', `models=[${QUICK}]`])
  expect(candidates).toHaveLength(3)
  expect(finished(folder)).toEqual(before)
  expect(before.map(time)).toEqual(times)
}

describe('a command', () => {
  it('that is stopped by Ctrl-C ends within two seconds, tidily, and its finished fits are found', async () => {
    const folder = given()
    const { command, engines } = await training(folder)
    expect(engines.length).toBeGreaterThan(0)
    const began = performance.now()
    command.kill('SIGINT')
    const { code, out, err } = await command.ended
    expect(performance.now() - began).toBeLessThan(2000)
    expect(code).toBe(130)
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'INTERRUPTED' } })
    expect(err).toMatch(/error INTERRUPTED: interrupted\n$/)
    expect(engines.filter(isAlive)).toEqual([])
    expect(fits(folder)).toEqual(finished(folder))
    const { run, status } = await newest(folder)
    expect(status).toBe('interrupted')
    const [shown] = (await json(folder, ['runs', 'show', run])).runs
    expect(shown.steps.at(-1)).toMatchObject({ stage: 'train', status: 'interrupted' })
    await expectFound(folder, finished(folder))
  })

  it('that is killed takes its engine along, is buried by the next one, and its finished fits are found', async () => {
    const folder = given()
    const { command, engines } = await training(folder)
    command.kill('SIGKILL')
    await command.ended
    await until(() => !engines.some(isAlive), 'the engine is gone', 5)
    expect(await newest(folder)).toMatchObject({
      status: 'failed',
      reason: expect.stringMatching(/^DIED: process \d+ ended/),
    })
    await expectFound(folder, finished(folder))
  })

  it('whose engine is killed in a fit fails with exit 5 and says so in its row', async () => {
    const folder = given()
    const { command, engines } = await training(folder)
    for (const pid of engines) process.kill(pid, 'SIGKILL')
    const { code, out } = await command.ended
    expect([code, JSON.parse(out).error.code]).toEqual([5, 'ENGINE_CRASHED'])
    expect(await newest(folder)).toMatchObject({
      status: 'failed',
      reason: 'ENGINE_CRASHED: the engine was killed by SIGKILL',
    })
    await expectFound(folder, finished(folder))
  })

  it.each([
    ['is missing', '', 'ENGINE_MISSING', 'sluice engine install core'],
    ['ends at once', 'echo "cannot load libgomp" >&2; exit 1', 'ENGINE_CRASHED', 'sluice doctor'],
    ['prints garbage', 'echo "cannot load libgomp" >&2; echo garbage; exec sleep 60', 'ENGINE_PROTOCOL', undefined],
  ])(
    'whose engine %s fails with exit 5, a reason, and the last words of the engine in the log',
    async (_, body, code, next) => {
      const folder = given()
      const python = join(folder, 'python')
      if (body) chmodSync(put(folder, 'python', `#!/bin/sh\n${body}\n`), 0o755)
      const ended = await start(folder, ['train', '-c', 'f.yaml', '--json', '--quiet'], { SLUICE_PYTHON: python }).ended
      expect(ended.code).toBe(5)
      expect(JSON.parse(ended.out).error).toMatchObject({ code, ...(next && { next }) })
      expect(ended.err.split('\n')[0]).toMatch(new RegExp(`^error ${code}: `))
      const { status, reason } = await newest(folder)
      expect([status, reason]).toEqual(['failed', expect.stringMatching(new RegExp(`^${code}: `))])
      if (body) expect(readFileSync(join(folder, '.sluice/log/sluice.log'), 'utf8')).toContain('cannot load libgomp')
      expect(existsSync(join(folder, '.sluice/cache/fits'))).toBe(false)
    },
  )

  it('that is stopped before it has begun ends too', async () => {
    const folder = given()
    const command = start(folder, ['train', '-c', 'f.yaml'])
    await until(() => statSync(join(folder, '.sluice'), { throwIfNoEntry: false }) !== undefined, 'it has begun')
    command.kill('SIGINT')
    expect((await command.ended).code).toBe(130)
    expect((await sluice(folder, 'runs', 'list')).code).toBe(0)
  })
})
