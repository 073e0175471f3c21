// Points in a real store: written in batches, found again, and never in the way of the run.
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import type { Context } from '../../src/base/context.ts'
import { openDatabase } from '../../src/base/database.ts'
import { openPoints, readPoints, summarisePoints } from '../../src/base/points.ts'
import { startRun } from '../../src/base/runs.ts'
import { testContext } from '../data/home.ts'
import { temporaryFolder } from '../temporary.ts'

const begin = async (context: Context) =>
  (await startRun({ name: 'm', command: 'run', config: {}, folder: context.home }, context)).id

const loss = (values: number[], first = 0) =>
  values.map((value, i) => ({ series: 'cnn-1/fold-2', name: 'loss', step: first + i, value }))

describe('points', () => {
  it('are in the store when they are closed, in the order in which they came', async () => {
    const context = testContext()
    const run = await begin(context)
    const points = openPoints(run, context)
    points.take(loss([3, 2, 1]))
    points.take([{ series: 'machine', name: 'temperature', step: 0, value: 61.5 }])
    await points.close()
    const rows = await readPoints(run, context.database)
    expect(rows.map(({ series, name, step, value }) => [series, name, step, value])).toEqual([
      ['cnn-1/fold-2', 'loss', 0, 3],
      ['cnn-1/fold-2', 'loss', 1, 2],
      ['cnn-1/fold-2', 'loss', 2, 1],
      ['machine', 'temperature', 0, 61.5],
    ])
    expect(rows.map(({ at }) => at)).toEqual(Array(4).fill(context.now()))
  })

  it('are written while the run works, and whoever listens is told', async () => {
    const context = testContext()
    const run = await begin(context)
    const written = vi.fn()
    const points = openPoints(run, context, { written, every_ms: 20 })
    points.take(loss([1]))
    expect(written).not.toHaveBeenCalled()
    await vi.waitFor(() => expect(written).toHaveBeenCalledTimes(1), { timeout: 5000 })
    expect(await readPoints(run, context.database)).toHaveLength(1)
    await points.close()
    expect(written).toHaveBeenCalledTimes(1)
  })

  it('are cut into statements that SQLite takes', async () => {
    const context = testContext()
    const run = await begin(context)
    const points = openPoints(run, context)
    points.take(loss(Array.from({ length: 12_345 }, (_, i) => i)))
    await points.close()
    const [summary] = await summarisePoints(run, context.database)
    expect(summary).toMatchObject({ points: 12_345, step: 12_344, last: 12_344, min: 0, max: 12_344 })
    const page = await readPoints(run, context.database, { after: 12_000, limit: 100 })
    expect([page.length, page[0].step]).toEqual([100, 12_000])
  })

  it('say in a line what was measured; a loss that diverged is null', async () => {
    const context = testContext()
    const run = await begin(context)
    const points = openPoints(run, context)
    points.take([...loss([3, 0.5, Number.NaN]), { series: 'a', name: 'lr', step: 9, value: Number.POSITIVE_INFINITY }])
    await points.close()
    expect(await summarisePoints(run, context.database)).toEqual([
      { series: 'a', name: 'lr', points: 1, step: 9, last: null, min: null, max: null },
      { series: 'cnn-1/fold-2', name: 'loss', points: 3, step: 2, last: null, min: 0.5, max: 3 },
    ])
  })

  it('told again take the place of what was told before', async () => {
    const context = testContext()
    const run = await begin(context)
    const points = openPoints(run, context)
    points.take(loss([3, 2, 1]))
    points.take(loss([2.5], 1))
    await points.close()
    const values = (await readPoints(run, context.database)).map(({ step, value }) => [step, value])
    expect(values).toEqual([
      [0, 3],
      [2, 1],
      [1, 2.5],
    ])
  })

  it.each([
    ['waits for its lock', 10_000],
    ['gives up on its lock', 20],
  ])('go on being written after a write that %s', async (_, patience_ms) => {
    const file = join(temporaryFolder(), 'store.db')
    const context = { ...testContext(), database: openDatabase(file, { patience_ms }) }
    const run = await begin(context)
    const other = openDatabase(file)
    const points = openPoints(run, context, { every_ms: 20 })
    const areWritten = (count: number) =>
      vi.waitFor(async () => expect(await readPoints(run, context.database)).toHaveLength(count), { timeout: 5000 })
    await other.transaction().execute(async () => {
      points.take(loss([1]))
      await sleep(60) // the write is under way
      points.take(loss([2], 1))
      await sleep(120)
    })
    await areWritten(2)
    points.take(loss([3], 2))
    await areWritten(3)
    await points.close()
    expect(context.warnings).toEqual([])
    await other.destroy()
    await context.database.destroy()
  })

  it('that the store will not take are a warning, and the run goes on', async () => {
    const file = join(temporaryFolder(), 'store.db')
    const context = { ...testContext(), database: openDatabase(file, { patience_ms: 20 }) }
    const run = await begin(context)
    const other = openDatabase(file)
    const points = openPoints(run, context)
    await other.transaction().execute(async () => {
      points.take(loss([1, 2]))
      await points.close()
    })
    expect(context.warnings).toEqual([`POINTS_LOST: the store could not take 2 measured points of run ${run}`])
    await points.close()
    expect(await readPoints(run, context.database)).toHaveLength(2) // it had let go by then
    await other.destroy()
    await context.database.destroy()
  })

  it('without a step that counts are not kept, and that is said', async () => {
    const context = testContext()
    const run = await begin(context)
    const points = openPoints(run, context)
    points.take([{ series: 'a', name: 'b', step: Number.NaN, value: 1 }, ...loss([1])])
    await points.close()
    expect(await readPoints(run, context.database)).toHaveLength(1)
    expect(context.warnings).toHaveLength(1)
  })
})
