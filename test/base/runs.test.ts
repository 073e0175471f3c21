// Runs and steps in a real store.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, utimesSync } from 'node:fs'
import { join, relative } from 'node:path'
import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import type { Context } from '../../src/base/context.ts'
import { dataError, interruption } from '../../src/base/errors.ts'
import { failRun, finishRun, listRuns, showRun, startRun, step } from '../../src/base/runs.ts'
import { NOW, testContext } from '../data/home.ts'
import { put, temporaryFolder } from '../temporary.ts'

const begin = (context: Context, more: object = {}) =>
  startRun({ name: 'm', command: 'run', config: { seed: 1 }, folder: context.home, ...more }, context)

/** A process id that nobody has: one that has just ended. */
const deadPid = (): number => Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }))

/** A context that a person has stopped. */
function stopped(): Context {
  const abort = new AbortController()
  abort.abort(interruption())
  return { ...testContext(), signal: abort.signal }
}

describe('a run', () => {
  it('is a row from its first moment to its end', async () => {
    const context = testContext()
    const run = await begin(context)
    expect(run.id).toMatch(/^20260101000000-[0-9a-f]{6}$/)
    const row = async () => (await showRun(run.id, context)).run
    expect(await row()).toMatchObject({
      status: 'running',
      pid: process.pid,
      started: NOW,
      finished: null,
      config: '{"seed":1}',
    })
    await finishRun(run, 'refused', { gates: [] }, context)
    expect(await row()).toMatchObject({ status: 'refused', finished: NOW, result: '{"gates":[]}', error: null })
  })

  it('that failed says why, with the detail of the error', async () => {
    const context = testContext()
    const run = await begin(context)
    await failRun(run, dataError('BAD_ROW', 'row 3', { detail: { line: 4 } }), context)
    const { status, error } = (await showRun(run.id, context)).run
    expect(status).toBe('failed')
    expect(JSON.parse(error!)).toEqual({ code: 'BAD_ROW', message: 'row 3', detail: { line: 4 } })
  })

  it('that was stopped is interrupted, whatever its stage threw', async () => {
    const context = stopped()
    const run = await begin(context)
    await failRun(run, new Error('the pipe broke'), context)
    expect((await showRun(run.id, context)).run.status).toBe('interrupted')
  })

  it('that met a fault of ours keeps the stack', async () => {
    const context = testContext()
    const run = await begin(context)
    await failRun(run, new TypeError('x is not a function'), context)
    const { status, error } = (await showRun(run.id, context)).run
    expect([status, JSON.parse(error!).code]).toEqual(['failed', 'UNEXPECTED'])
    expect(JSON.parse(error!).detail).toContain('runs.test.ts')
  })

  it('whose process is gone is buried with its step, and one that lives is not', async () => {
    const context = testContext()
    const [dead, alive] = [await begin(context), await begin(context)]
    await expect(step(dead, 'train', {}, () => Promise.reject(new Error('x')), context)).rejects.toThrow()
    await context.database.updateTable('steps').set({ status: 'running' }).execute()
    await context.database.updateTable('runs').set({ pid: deadPid() }).where('id', '=', dead.id).execute()
    const runs = await listRuns(context)
    expect(runs.find(({ id }) => id === alive.id)).toMatchObject({ status: 'running' })
    expect(runs.find(({ id }) => id === dead.id)).toMatchObject({
      status: 'failed',
      error: expect.stringContaining('"DIED"'),
    })
    expect((await showRun(dead.id, context)).steps).toMatchObject([{ stage: 'train', status: 'failed' }])
  })

  it('that begins removes what dead processes left half-written, and nothing else', async () => {
    const context = testContext()
    const places = ['', 'keys', 'cache/features', 'cache/fits', 'runs/r', 'models/m', 'tables/t', 'tables/t/quarantine']
    const left = (pid: number) => places.map(place => join(place, `.x.y.${pid}.0123abcd.tmp`))
    const others = ['keys/.x.tmp', 'cache/fits/whole/fit.json', 'elsewhere/deep/.x.y.1.0123abcd.tmp']
    const dead = deadPid()
    for (const name of [...left(dead), ...left(process.pid), ...others]) put(context.home, name, '')
    mkdirSync(join(context.home, `tables/t/.next.${dead}.0123abcd.tmp`))
    await begin(context)
    const files = readdirSync(context.home, { recursive: true, withFileTypes: true }).filter(file => file.isFile())
    const names = files.map(({ parentPath, name }) => relative(context.home, join(parentPath, name)))
    expect(names.sort()).toEqual([...left(process.pid), ...others].sort())
    expect(existsSync(join(context.home, `tables/t/.next.${dead}.0123abcd.tmp`))).toBe(false)
  })

  it('that begins removes checkpoints that were not added to for 30 days', async () => {
    const context = testContext()
    const folder = join(context.home, 'cache/checkpoints')
    for (const [name, days] of Object.entries({ fresh: 0, kept: 29.9, abandoned: 30.1 })) {
      put(folder, `${name}/checkpoint-0000000001.safetensors`, '')
      const added = new Date(NOW - days * 86_400_000)
      utimesSync(join(folder, name), added, added)
    }
    await begin(context)
    expect(readdirSync(folder).sort()).toEqual(['fresh', 'kept'])
  })

  it('knows the commit it ran on and whether something was changed', async () => {
    const context = testContext()
    expect((await begin(context, { folder: temporaryFolder() })).git).toEqual({ commit: null, dirty: null })
    const folder = temporaryFolder()
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', folder, '-c', 'user.name=t', '-c', 'user.email=t@t', ...args])
    put(folder, 'a', '1')
    git('init', '-q')
    git('add', 'a')
    git('commit', '-qm', 'one')
    expect((await begin(context, { folder })).git).toEqual({
      commit: expect.stringMatching(/^[0-9a-f]{40}$/),
      dirty: false,
    })
    put(folder, 'a', '2')
    expect((await begin(context, { folder })).git.dirty).toBe(true)
  })

  it('is found by the beginning of its id, if that is of one only', async () => {
    const context = testContext()
    const [one] = [await begin(context), await begin(context)]
    expect((await showRun(one.id.slice(0, -1), context)).run.id).toBe(one.id)
    await expect(showRun('2026', context)).rejects.toMatchObject({
      code: 'RUN',
      exit: 2,
      message: 'several runs begin with 2026',
    })
    for (const id of ['x', '%', `${one.id}0`])
      await expect(showRun(id, context)).rejects.toMatchObject({ code: 'RUN', exit: 2 })
  })
})

describe('a step', () => {
  /** Counts how often it works. */
  function worker() {
    const counted = { times: 0, work: async () => ({ n: ++counted.times }) }
    return counted
  }

  it('is done once: a later run finds its output by stage and inputs', async () => {
    const context = testContext()
    const { work } = worker()
    const [first, second] = [await begin(context), await begin(context)]
    expect(await step(first, 'build', { a: 1, b: 2 }, work, context)).toEqual({ n: 1 })
    expect(await step(second, 'build', { b: 2, a: 1 }, work, context)).toEqual({ n: 1 })
    expect([first, second].map(({ stages }) => stages.map(({ name, cached }) => [name, cached]))).toEqual([
      [['build', false]],
      [['build', true]],
    ])
    expect((await showRun(second.id, context)).steps).toMatchObject([
      { stage: 'build', status: 'done', cached: 1, output: '{"n":1}' },
    ])
  })

  it.each([
    ['other inputs', 'build', { a: 2 }],
    ['another stage', 'train', { a: 1 }],
  ])('is done again for %s', async (_, stage, inputs) => {
    const context = testContext()
    const { work } = worker()
    await step(await begin(context), 'build', { a: 1 }, work, context)
    expect(await step(await begin(context), stage, inputs, work, context)).toEqual({ n: 2 })
  })

  it('is done again when its artefacts are gone, and the newest output counts', async () => {
    let clock = NOW
    const context = { ...testContext(), now: () => clock++ }
    const { work } = worker()
    await step(await begin(context), 'build', {}, work, context)
    expect(await step(await begin(context), 'build', {}, work, context, ({ n }) => n > 1)).toEqual({ n: 2 })
    expect(await step(await begin(context), 'build', {}, work, context, ({ n }) => n > 1)).toEqual({ n: 2 })
  })

  it('that failed says so and is done again', async () => {
    const context = testContext()
    const run = await begin(context)
    const error = dataError('BAD_ROW', 'row 3')
    await expect(step(run, 'build', {}, () => Promise.reject(error), context)).rejects.toBe(error)
    const [row] = (await showRun(run.id, context)).steps
    expect(row).toMatchObject({ status: 'failed', error: expect.stringContaining('BAD_ROW'), output: null })
    expect(await step(await begin(context), 'build', {}, worker().work, context)).toEqual({ n: 1 })
  })

  it('whose end the store does not take is told by its first error, and is no stage of the run', async () => {
    const context = testContext()
    const run = await begin(context)
    const error = dataError('BAD_ROW', 'row 3')
    const losingTheStore = async () => {
      await context.database.destroy()
      throw error
    }
    await expect(step(run, 'build', {}, losingTheStore, context)).rejects.toBe(error)
    await failRun(run, error, context)
    expect(run.stages).toEqual([])
  })

  it('that cannot be written as done has failed, once', async () => {
    const context = testContext()
    const run = await begin(context)
    const refused = 'the step is not taken'
    await sql`create trigger no_end before update on steps when new.status = 'done'
      begin select raise(abort, ${sql.lit(refused)}); end`.execute(context.database)
    await expect(step(run, 'build', {}, async () => 1, context)).rejects.toThrow(refused)
    expect(run.stages).toEqual([])
    expect((await showRun(run.id, context)).steps).toMatchObject([{ status: 'failed', output: null }])
  })

  it('that is stopped half way is interrupted and done again', async () => {
    const abort = new AbortController()
    const context = { ...testContext(), signal: abort.signal }
    const run = await begin(context)
    const work = async () => {
      abort.abort(interruption())
      throw new Error('the pipe broke')
    }
    await expect(step(run, 'build', {}, work, context)).rejects.toThrow('the pipe broke')
    expect((await showRun(run.id, context)).steps).toMatchObject([{ status: 'interrupted', output: null }])
    const later = { ...context, signal: new AbortController().signal }
    expect(await step(await begin(later), 'build', {}, worker().work, later)).toEqual({ n: 1 })
  })

  it('does not begin after Ctrl-C', async () => {
    const context = stopped()
    const counted = worker()
    const run = await begin(context)
    await expect(step(run, 'build', {}, counted.work, context)).rejects.toMatchObject({ exit: 130 })
    expect(counted.times).toBe(0)
    expect((await showRun(run.id, context)).steps).toEqual([])
  })

  it('says what it took', async () => {
    const context = testContext()
    const run = await begin(context)
    await step(run, 'build', {}, () => new Promise(resolve => setTimeout(() => resolve({}), 60)), context)
    const [{ seconds, cpu_seconds, peak_memory_mb }] = run.stages
    expect(seconds).toBeGreaterThan(0.05)
    expect(cpu_seconds).toBeLessThan(seconds + 1)
    expect(peak_memory_mb).toBeGreaterThan(20)
    expect((await showRun(run.id, context)).steps).toMatchObject([{ seconds, cpu_seconds, peak_memory_mb }])
  })
})
