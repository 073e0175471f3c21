// Windows against the definition of a window: the last rows of all that were pushed.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openWindows } from '../../src/serve/windows.ts'

const [length, width] = [3, 2]
const wide = { length, width, most: 1000, idle: 3600, maxWaiting: 1_000_000 }

/** Rows of which each has its number in it twice. */
const numbered = (...numbers: number[]) => Float32Array.from(numbers.flatMap(n => [n, n]))

/** Every window as the numbers of its rows. */
const readBack = async (windows: Float32Array, count: number) =>
  Array.from({ length: count }, (_, i) => Array.from({ length }, (_, j) => windows[(i * length + j) * width]))

const later = () => new Promise<void>(resolve => setImmediate(resolve))

describe('windows', () => {
  it('are the last rows of a key, however they are pushed, and every full one is answered once', async () => {
    const keys = fc.constantFrom('a', 'b', '__proto__')
    const pushes = fc.array(fc.tuple(keys, fc.integer({ min: 1, max: 9 }), fc.boolean()), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(pushes, async list => {
        const { push } = openWindows(wide)
        const all = new Map<string, number[]>()
        let next = 0
        const checks: Promise<void>[] = []
        for (const [key, count, wait] of list) {
          const numbers = Array.from({ length: count }, () => next++)
          const before = all.get(key) ?? []
          const after = [...before, ...numbers]
          all.set(key, after)
          const full = after.flatMap((_, i) =>
            i >= before.length && i + 1 >= length ? [after.slice(i + 1 - length, i + 1)] : [],
          )
          const expected = { before: Math.min(before.length, length), answers: full }
          checks.push(push(key, numbered(...numbers), readBack).then(found => expect(found).toEqual(expected)))
          if (wait) await later()
        }
        await Promise.all(checks)
      }),
      { numRuns: 200 },
    )
  })

  it('are as they were after a push that failed, and after those that waited behind it and failed with it', async () => {
    const outcomes = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.boolean(), fc.boolean()), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(outcomes, async list => {
        const [tried, spared] = [openWindows(wide), openWindows(wide)]
        let next = 0
        let hasFailed = false
        let checks: Promise<void>[] = []
        for (const [count, fails, waits] of list) {
          const rows = numbered(...Array.from({ length: count }, () => next++))
          const failing = async () => {
            await later()
            throw new Error('unlucky')
          }
          const check = async () => {
            const found = await tried.push('a', rows, fails ? failing : readBack).catch((error: Error) => error)
            if (hasFailed) return expect(found).toMatchObject({ code: 'EARLIER_PUSH_FAILED' })
            hasFailed = found instanceof Error
            if (hasFailed) return expect(found).toMatchObject({ message: 'unlucky' })
            return expect(found).toEqual(await spared.push('a', rows, readBack))
          }
          checks.push(check())
          if (!waits) continue
          await Promise.all(checks)
          checks = []
          hasFailed = false
        }
        await Promise.all(checks)
      }),
      { numRuns: 200 },
    )
  })

  it('of other keys do not fail with a push', async () => {
    const { push } = openWindows(wide)
    const failing = () => later().then(() => Promise.reject(new Error('unlucky')))
    const failed = push('a', numbered(1, 2, 3), failing)
    const behind = push('a', numbered(4), readBack)
    const other = push('b', numbered(1, 2, 3), readBack)
    await expect(failed).rejects.toThrow('unlucky')
    await expect(behind).rejects.toMatchObject({ code: 'EARLIER_PUSH_FAILED' })
    expect((await other).answers).toEqual([[1, 2, 3]])
    expect(await push('a', numbered(1, 2, 3), readBack)).toEqual({ before: 0, answers: [[1, 2, 3]] })
  })

  it('of the key that was pushed to longest ago are forgotten when there are too many, but not by a failed push', async () => {
    const { push } = openWindows({ ...wide, most: 2 })
    const before = async (key: string) => (await push(key, numbered(1), readBack)).before
    await push('a', numbered(1, 2, 3), readBack)
    await push('b', numbered(1, 2, 3), readBack)
    expect(await before('a')).toBe(3)
    const failing = () => Promise.reject(new Error('unlucky'))
    await expect(push('c', numbered(1, 2, 3), failing)).rejects.toThrow('unlucky')
    expect(await before('b')).toBe(3)
    expect([await before('c'), await before('a'), await before('c')]).toEqual([0, 0, 1])
  })

  it('of a key without a push for too long are forgotten', async () => {
    let now = 0
    const { push } = openWindows({ ...wide, idle: 60 }, () => now)
    const before = async (key: string) => (await push(key, numbered(1), readBack)).before
    await before('a')
    await before('b')
    now = 60_000
    expect(await before('a')).toBe(1)
    now = 60_001
    expect([await before('a'), await before('b')]).toEqual([2, 0])
  })

  it('of a long push are answered some at a time, all of them, in order', async () => {
    const sizes: number[] = []
    const { push } = openWindows({ ...wide, length: 1 << 13 })
    const count = (1 << 13) + 5
    const { answers } = await push(
      'a',
      new Float32Array(2 * count).map((_, i) => Math.floor(i / 2)),
      async (rows, n) => {
        sizes.push(n)
        return Array.from({ length: n }, (_, i) => [rows[i * 2 * (1 << 13)], rows[(i + 1) * 2 * (1 << 13) - 1]])
      },
    )
    expect(sizes).toEqual([2, 2, 2])
    expect(answers).toEqual(Array.from({ length: 6 }, (_, i) => [i, i + (1 << 13) - 1]))
  })

  it('take no more waiting rows than they may, and the refused one changes nothing', async () => {
    const { push } = openWindows({ ...wide, maxWaiting: 4 })
    const slow = async (rows: Float32Array, count: number) => {
      await later()
      return readBack(rows, count)
    }
    const first = push('a', numbered(1, 2, 3), slow)
    const second = push('a', numbered(4, 5, 6), slow)
    const refused = push('a', numbered(7, 8), slow)
    const behind = push('a', numbered(9), slow)
    await expect(refused).rejects.toMatchObject({ code: 'OVERLOADED' })
    await expect(behind).rejects.toMatchObject({ code: 'EARLIER_PUSH_FAILED' })
    expect((await first).answers).toEqual([[1, 2, 3]])
    expect((await second).answers).toHaveLength(3)
    expect(await push('a', numbered(9), readBack)).toEqual({ before: 3, answers: [[5, 6, 9]] })
  })
})
