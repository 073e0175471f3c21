// Sequence models over HTTP: whole sequences, and rows of a key that the server keeps.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { promote } from '../../src/registry/versions.ts'
import { expectedSequences, register, rowsOf, type SequenceKind } from '../registry/example.ts'
import { bodyOf, HEAD, homeWith, raw, serve } from './serving.ts'

const KINDS: SequenceKind[] = ['gru', 'lstm', 'attention', 'convolution', 'quantized']

type Row = (number | null)[]

const { sequences } = expectedSequences.gru
const length = sequences[0].length
const named = (row: Row) => Object.fromEntries(row.map((value, j) => [`f${j}`, value]))

/** Rows one after the other, and the sequence that ends at each of them from the `length`-th on. */
const rows: Row[] = sequences.flat()
const endingAt = (last: number) => rows.slice(last + 1 - length, last + 1)

async function served(options = {}) {
  const { post, ...rest } = await serve(await homeWith({ gru: 'gru' }), ['gru'], options)
  const ask = async (body: object) => (await post(body)).answer.predictions
  const push = (key: string, ...pushed: Row[]) => post({ key, rows: pushed.map(named) })
  return { post, ask, push, ...rest }
}

describe('a sequence', () => {
  it.each(KINDS)(
    'is answered by %s as onnxruntime does, in arrays and in objects, alone and among others',
    async kind => {
      const { post } = await serve(await homeWith({ demo: kind }), ['demo'])
      const { sequences, answer } = expectedSequences[kind]
      const { status, ...together } = await post({ sequences })
      expect([status, together.answer.model]).toEqual([200, { name: 'demo', version: 1 }])
      for (const [i, prediction] of together.answer.predictions.entries()) {
        const { probability, prediction: number, probabilities } = prediction as Record<string, unknown>
        const said = probabilities ? Object.values(probabilities) : probability === undefined ? [number] : [probability]
        const reference = probability === undefined ? answer[i] : [answer[i][1]]
        for (const [k, value] of said.entries()) expect(Math.abs((value as number) - reference[k])).toBeLessThan(1e-6)
        const mixed = sequences[i].map((row, step) => (step % 2 ? named(row) : row))
        for (const sequence of [sequences[i], sequences[i].map(named), mixed])
          expect((await post({ sequence })).answer.predictions).toEqual([prediction])
      }
    },
  )

  it('is refused with a code and a pointer when it is none of this model', async () => {
    const { post } = await served({ max_rows: 3 })
    const [good] = sequences
    const withRow = (row: unknown, step = 2) => good.with(step, row as Row)
    const cases: [body: object, code: string, pointer: string][] = [
      [{}, 'MISSING_FIELD', '/rows'],
      [{ sequence: good, sequences: [good] }, 'SEVERAL_INPUTS', ''],
      [{ sequence: good, rows: [named(good[0])] }, 'SEVERAL_INPUTS', ''],
      [{ rows: [named(good[0])] }, 'KEY_REQUIRED', '/key'],
      [{ rows: [good[0]], key: 'a' }, 'WRONG_TYPE', '/rows/0'],
      [{ sequence: 7 }, 'WRONG_TYPE', '/sequence'],
      [{ sequence: null }, 'WRONG_TYPE', '/sequence'],
      [{ sequence: [] }, 'SEQUENCE_LENGTH', '/sequence'],
      [{ sequence: good.slice(1) }, 'SEQUENCE_LENGTH', '/sequence'],
      [{ sequence: [...good, good[0]] }, 'SEQUENCE_LENGTH', '/sequence'],
      [{ sequence: withRow([1, 2]) }, 'ROW_LENGTH', '/sequence/2'],
      [{ sequence: withRow([1, 2, 3, 4]) }, 'ROW_LENGTH', '/sequence/2'],
      [{ sequence: withRow([]) }, 'ROW_LENGTH', '/sequence/2'],
      [{ sequence: withRow(7) }, 'WRONG_TYPE', '/sequence/2'],
      [{ sequence: withRow(null) }, 'WRONG_TYPE', '/sequence/2'],
      [{ sequence: withRow([1, '2', 3]) }, 'WRONG_TYPE', '/sequence/2/1'],
      [{ sequence: withRow([1, [2], 3]) }, 'WRONG_TYPE', '/sequence/2/1'],
      [{ sequence: withRow([1, 2, 1e39]) }, 'OUT_OF_RANGE', '/sequence/2/2'],
      [{ sequence: withRow({ f0: 1, f1: 2 }) }, 'MISSING_FEATURE', '/sequence/2/f2'],
      [{ sequence: withRow({ f0: 1, f1: 2, f2: 3, f3: 4 }) }, 'UNKNOWN_FEATURE', '/sequence/2/f3'],
      [{ sequence: withRow({ f0: 1, f1: true, f2: 3 }) }, 'WRONG_TYPE', '/sequence/2/f1'],
      [{ sequences: [] }, 'NO_ROWS', '/sequences'],
      [{ sequences: [good, good, good, good] }, 'TOO_MANY_ROWS', '/sequences'],
      [{ sequences: [good, 7] }, 'WRONG_TYPE', '/sequences/1'],
      [{ sequences: [good, good.slice(1)] }, 'SEQUENCE_LENGTH', '/sequences/1'],
      [{ sequences: [good, withRow([1, '2', 3])] }, 'WRONG_TYPE', '/sequences/1/2/1'],
    ]
    for (const [body, code, pointer] of cases) {
      const { status, answer } = await post(body)
      expect([body, status, answer.code, answer.pointer]).toEqual([body, 400, code, pointer])
    }
    const [first] = (await post({ sequences: [good, withRow(['x', 'y', 3])] })).answer.problems
    expect(first).toEqual({ code: 'WRONG_TYPE', pointer: '/sequences/1/2/0', message: 'f0 is a string, not a number' })
  })

  it('may not be null where the manifest does not allow it', async () => {
    const features = ['f0', 'f1', 'f2'].map(name => ({ name, nullable: name === 'f1' }))
    const home = await homeWith({})
    await register(home, 'gru', { name: 'strict', input: { name: 'features', length, features } })
    await promote(home.database, 'strict', 1, { reason: 'test', now: 1 })
    const { post } = await serve(home, ['strict'])
    const whole = Array.from({ length }, () => [1, null, 3])
    expect((await post({ sequence: whole })).status).toBe(200)
    const { answer } = await post({ sequence: whole.with(4, [1, 2, null as unknown as number]) })
    expect([answer.code, answer.pointer]).toEqual(['NULL_VALUE', '/sequence/4/2'])
  })
})

describe('rows of a key', () => {
  it('warm up, are told how many are missing, and are then answered as their sequence is', async () => {
    const { push, ask, get } = await served()
    for (let i = 0; i < length - 1; i++) {
      const { status, answer, headers } = await push('a', rows[i])
      expect([status, answer.code, answer.missing]).toEqual([409, 'WARMING_UP', length - 1 - i])
      expect([headers.get('retry-after'), answer.pointer, answer.predictions]).toEqual([null, undefined, undefined])
    }
    for (let i = length - 1; i < rows.length; i++)
      expect((await push('a', rows[i])).answer.predictions).toEqual(await ask({ sequence: endingAt(i) }))
    const metrics = await (await get('/metrics')).text()
    expect(metrics).toContain(`sluice_predictions_total{model="gru",version="1"} ${2 * (rows.length - length + 1)}`)
    expect(metrics).toContain(`sluice_errors_total{code="WARMING_UP"} ${length - 1}`)
  })

  it('are answered alike however they are cut into requests and mixed with other keys, refused ones among them', async () => {
    const { push, post, ask } = await served()
    const whole = await ask({
      sequences: Array.from({ length: rows.length + 1 - length }, (_, i) => endingAt(i + length - 1)),
    })
    let run = 0
    const cut = fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 9 }), fc.boolean())
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 8 }), async pushes => {
        const pushed: Record<string, number> = { a: 0, b: 0 }
        run++
        for (const [key, count, refused] of pushes) {
          const from = pushed[key]
          const some = rows.slice(from, from + count)
          if (refused) expect((await post({ key: key + run, rows: [...some.map(named), { f0: 1 }] })).status).toBe(400)
          if (some.length === 0) continue
          pushed[key] = from + some.length
          const { status, answer } = await push(key + run, ...some)
          const elements = some.map((_, i) =>
            from + i + 1 < length
              ? { code: 'WARMING_UP', missing: length - (from + i + 1) }
              : whole[from + i + 1 - length],
          )
          if (pushed[key] >= length) expect([status, answer.predictions]).toEqual([200, elements])
          else expect([status, { code: answer.code, missing: answer.missing }]).toEqual([409, elements.at(-1)])
        }
      }),
      { numRuns: 25 },
    )
  })

  it('that came in one packet are taken in their order, and those that are turned away are not kept', async () => {
    const { url, push, ask } = await served({ max_waiting_rows: 2 * length })
    const request = (connection: string, pushed: Row[]) => {
      const body = JSON.stringify({ key: 'a', rows: pushed.map(named) })
      return `${HEAD}connection: ${connection}\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    }
    const [first, second, third] = [rows.slice(0, length), [rows[length]], rows.slice(10, 10 + 2 * length)]
    const kept = [first, second, third].map(pushed => request('keep-alive', pushed)).join('')
    const answer = await raw(url, kept + request('close', [rows[length + 1]]))
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['200', '200', '503', '409'].map(status => `HTTP/1.1 ${status}`))
    expect(answer).toContain('"code":"OVERLOADED"')
    expect(bodyOf(answer.slice(answer.lastIndexOf('HTTP/1.1')))).toMatchObject({ code: 'EARLIER_PUSH_FAILED' })
    expect((await push('a', rows[length + 1])).answer.predictions).toEqual(
      await ask({ sequence: endingAt(length + 1) }),
    )
  })

  it('are kept for each model by itself, and are none of a sequence that names the key', async () => {
    const { post } = await serve(await homeWith({ one: 'gru', two: 'gru', plain: 'trees' }), ['one', 'two', 'plain'])
    const push = async (model: string, ...pushed: Row[]) => post({ model, key: 'a', rows: pushed.map(named) })
    expect((await push('one', ...rows.slice(0, length - 1))).answer.missing).toBe(1)
    expect((await push('two', rows[0])).answer.missing).toBe(length - 1)
    expect((await post({ model: 'one', key: 'a', sequence: sequences[3] })).status).toBe(200)
    const { answer } = await push('one', rows[length - 1])
    expect(answer.predictions).toEqual(
      (await post({ model: 'one', sequence: endingAt(length - 1) })).answer.predictions,
    )
    const [row] = rowsOf('trees')
    expect((await post({ model: 'plain', key: 'a', rows: [row] })).answer.predictions).toEqual(
      (await post({ model: 'plain', rows: [row] })).answer.predictions,
    )
  })

  it('are forgotten with the key that was pushed to longest ago', async () => {
    const { push, get } = await served({ max_windows: 2 })
    const missing = async (key: string) => (await push(key, rows[0])).answer.missing
    const seen: unknown[] = []
    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) seen.push(await missing(key))
    expect(seen).toEqual([5, 5, 4, 5, 3, 5])
    expect(await (await get('/metrics')).text()).toContain('sluice_kept_keys{model="gru"} 2')
  })
})

it('openapi.json has the three ways to ask', async () => {
  const { get } = await served({ max_rows: 9 })
  const document = await (await get('/openapi.json')).json()
  const schema = {
    oneOf: ['rows', 'sequence', 'sequences'].map(name => ({ required: [name] })),
    properties: { sequence: { type: 'array' }, sequences: { maxItems: 9, items: { type: 'array' } } },
  }
  expect(document).toMatchObject({
    paths: { '/v1/predict': { post: { requestBody: { content: { 'application/json': { schema } } } } } },
  })
})
