import { setTimeout as delay } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { concurrently } from '../../src/base/concurrent.ts'

it('gives every value, of at most so many generators at once', async () => {
  let [running, most] = [0, 0]
  const count = (name: string) =>
    async function* () {
      most = Math.max(most, ++running)
      for (let i = 0; i < 3; i++) {
        await delay(1)
        yield `${name}${i}`
      }
      running--
    }
  const found: string[] = []
  for await (const value of concurrently(['a', 'b', 'c', 'd', 'e'].map(count), 2)) found.push(value)
  expect(most).toBe(2)
  expect(found.filter(value => value[0] === 'c')).toEqual(['c0', 'c1', 'c2'])
  expect(found).toHaveLength(15)
})

it('ends all of them with the first error', async () => {
  const ended: string[] = []
  async function* endless() {
    try {
      for (;;) {
        await delay(1)
        yield 1
      }
    } finally {
      ended.push('endless')
    }
  }
  async function* broken() {
    yield 2
    await delay(5)
    throw new Error('broken')
  }
  const all = concurrently([endless, broken], 2)
  await expect(
    (async () => {
      for await (const _ of all);
    })(),
  ).rejects.toThrow('broken')
  await delay(5)
  expect(ended).toEqual(['endless'])
})
