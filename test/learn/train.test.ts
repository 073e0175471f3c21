// When a finished fit is taken for one, how fits end that are stopped, and what a budget is held to. In place of the engine stands what answers as told.
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import { sha256 } from '../../src/base/blobs.ts'
import type { Context, RequestOptions } from '../../src/base/context.ts'
import { engineError } from '../../src/base/errors.ts'
import type { Dataset } from '../../src/learn/dataset.ts'
import type { Candidate } from '../../src/learn/models.ts'
import { isIntact, train } from '../../src/learn/train.ts'
import { testContext } from '../data/home.ts'
import { put, temporaryFolder } from '../temporary.ts'

it('a fit is intact while every file that it lists is the one it was', () => {
  const folder = temporaryFolder()
  const predictions = (content: string) => put(folder, 'predictions.arrow', content)
  const listed = { name: 'predictions.arrow', sha256: sha256('whole'), bytes: 5 }
  predictions('whole')
  expect(isIntact({ folder })).toBe(false)
  put(folder, 'fit.json', JSON.stringify({ artefacts: [listed] }))
  expect(isIntact({ folder })).toBe(true)
  predictions('whale')
  expect(isIntact({ folder })).toBe(false)
  rmSync(join(folder, 'predictions.arrow'))
  expect(isIntact({ folder })).toBe(false)
})

const fold = { index: 0, train: [[0, 6]], fit: [[0, 5]], stop: [[5, 6]], valid: [[6, 8]] }
const DATASET = {
  digest: 'd',
  path: '',
  features: ['a', 'b'],
  nullable: [],
  categories: {},
  prepare: null,
  task: 'binary',
  classes: [0, 1],
  split: { folds: [fold] },
} as unknown as Dataset

const network = (id: string, more: object = {}): Candidate => ({
  id,
  kind: 'mlp',
  params: { context: 1, processes: 1 },
  ...more,
})
const TREES: Candidate = { id: 'trees', kind: 'xgboost', params: {} }

interface Asked {
  method: string
  body: { model: { kind: string }; channels?: number; out: string; checkpoints: string }
  options: RequestOptions
}

/** A context whose engine does what `answer` says, with what it was asked. */
function answered(answer: (asked: Asked) => Promise<object>) {
  const context = testContext()
  const asked: Asked[] = []
  const request = async (method: string, body: object, options: RequestOptions = {}) => {
    const one = { method, body, options } as Asked
    asked.push(one)
    return { artefacts: [], metrics: {}, iterations: 1, ...(await answer(one)) } as never
  }
  const abort = new AbortController()
  return {
    context: { ...context, signal: abort.signal, engine: { ...context.engine, request } } as Context,
    abort,
    asked,
  }
}

/** As the pool does: once it is told to stop, a fit is rejected when `before` is over, and one that does not listen goes on for ever. */
const untilStopped = ({ options: { signal } }: Asked, before: () => Promise<void>): Promise<never> =>
  new Promise((_, reject) => {
    signal?.addEventListener('abort', () => void before().then(() => reject(signal.reason)))
  })

it('fits that are stopped wait for the checkpoint of a network at work, and not for trees', async () => {
  const checkpoints: string[] = []
  const { context, abort, asked } = answered(one =>
    untilStopped(one, async () => {
      if (asked.filter(({ body }) => body.model.kind === 'mlp')[0] !== one) return // it waits in the queue
      await sleep(60)
      checkpoints.push(put(one.body.checkpoints, 'step', ''))
    }),
  )
  const ended = train(DATASET, [TREES, network('mlp-1'), network('mlp-2')], 1, context).catch(error => error)
  await vi.waitFor(() => expect(asked).toHaveLength(3), { interval: 2 })
  abort.abort(engineError('TOO_HOT', '95.0 C'))
  expect(await ended).toMatchObject({ code: 'TOO_HOT' })
  expect(checkpoints.map(path => existsSync(path))).toEqual([true])
})

it('fits that are stopped while trees alone are left end at once', async () => {
  const { context, abort, asked } = answered(one => untilStopped(one, async () => {}))
  const ended = train(DATASET, [TREES], 1, context).catch(error => error)
  await vi.waitFor(() => expect(asked).toHaveLength(1), { interval: 2 })
  abort.abort(engineError('TOO_HOT', '95.0 C'))
  expect(await ended).toMatchObject({ code: 'TOO_HOT' })
})

it('checkpoints of a finished training stay until its fit is in its place', async () => {
  const { context } = answered(async ({ body: { out, checkpoints } }) => {
    writeFileSync(join(checkpoints, 'step'), '')
    rmSync(out, { recursive: true }) // as a full disk would: what is written there fails
    return {}
  })
  await expect(train(DATASET, [network('mlp-1')], 1, context)).rejects.toMatchObject({ code: 'ENOENT' })
  const home = join(context.home, 'cache', 'checkpoints')
  const [digest] = readdirSync(home)
  expect(statSync(join(home, digest, 'step')).isFile()).toBe(true)
})

it.each([
  ['before it is trained', 2_500_001, undefined, 'mlp-1 has 2500001 trainable parameters on 2 columns, its budget'],
  ['as it was built', 2_500_000, 2_500_001, 'mlp-1 has 2500001 trainable parameters, its budget of 2M allows 2500000'],
])('a network that exceeds its budget %s is refused', async (_, counted, parameters, message) => {
  const { context, asked } = answered(async ({ method }) =>
    method === 'parameters' ? { parameters: counted } : { metrics: { parameters } },
  )
  const ended = await train(DATASET, [network('mlp-1', { budget: '2M' })], 1, context).catch(error => error)
  expect(ended).toMatchObject({ code: 'BUDGET', exit: 2, message: expect.stringContaining(message) })
  expect(asked[0].body.channels).toBe(2)
})
