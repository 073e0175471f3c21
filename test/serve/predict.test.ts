import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadModel } from '../../src/base/onnx.ts'
import { numbers, strings } from '../../src/base/table.ts'
import type { BundleManifest } from '../../src/registry/bundle.ts'
import { answers, type Problem, predictTable, vectorise, vectoriseSequences } from '../../src/serve/predict.ts'
import {
  content,
  expected,
  expectedSequences,
  type Kind,
  modelFile,
  rowsOf,
  type SequenceKind,
} from '../registry/example.ts'

const manifestOf = (kind: Kind | SequenceKind, changes = {}): BundleManifest => ({
  format: 1,
  files: [],
  ...content(kind, changes),
})

const features = (...list: [name: string, nullable: boolean][]) => ({
  input: { name: 'features' as const, features: list.map(([name, nullable]) => ({ name, nullable })) },
})

const ab = features(['a', false], ['b', true])

const problemsOf = (rows: unknown[], manifest: Parameters<typeof vectorise>[0] = ab): Problem[] => {
  try {
    vectorise(manifest, rows)
  } catch (error) {
    return (error as { detail: { problems: Problem[] } }).detail.problems
  }
  return []
}

describe('vectorise', () => {
  it('lays rows out as float32 in the order of the manifest, null as NaN', () => {
    expect(
      vectorise(ab, [
        { b: 2, a: 0.1 },
        { a: -0, b: null },
      ]),
    ).toEqual(Float32Array.of(0.1, 2, -0, Number.NaN))
  })

  it.each([
    ['text', { a: '1', b: 2 }, 'WRONG_TYPE', '/rows/0/a'],
    ['true', { a: true, b: 2 }, 'WRONG_TYPE', '/rows/0/a'],
    ['a list', { a: [1], b: 2 }, 'WRONG_TYPE', '/rows/0/a'],
    ['an object', { a: {}, b: 2 }, 'WRONG_TYPE', '/rows/0/a'],
    ['null where it may not be', { a: null, b: null }, 'NULL_VALUE', '/rows/0/a'],
    ['NaN', { a: 1, b: Number.NaN }, 'NOT_A_NUMBER', '/rows/0/b'],
    ['infinity', { a: Infinity, b: 2 }, 'OUT_OF_RANGE', '/rows/0/a'],
    ['what float32 cannot hold', { a: -3.5e38, b: 2 }, 'OUT_OF_RANGE', '/rows/0/a'],
    ['a missing feature', { a: 1 }, 'MISSING_FEATURE', '/rows/0/b'],
    ['undefined', { a: 1, b: undefined }, 'WRONG_TYPE', '/rows/0/b'],
    ['an unknown feature', { a: 1, b: 2, c: 3 }, 'UNKNOWN_FEATURE', '/rows/0/c'],
    ['a row that is none', [1, 2], 'WRONG_TYPE', '/rows/0'],
    ['null for a row', null, 'WRONG_TYPE', '/rows/0'],
  ])('refuses %s', (_, row, code, pointer) => {
    expect(problemsOf([row])).toEqual([{ code, pointer, message: expect.any(String) }])
  })

  it('takes words for categories, one that was never seen too, and nothing else for them', () => {
    const colour = { name: 'colour', nullable: true, categories: ['blue', 'red'] }
    const place = { name: 'place', nullable: false, categories: ['here'] }
    const manifest = { input: { name: 'features' as const, features: [colour, place] } }
    const rows = [
      { colour: 'red', place: 'here' },
      { place: 'there', colour: null },
      { colour: '', place: '__proto__' },
    ]
    expect(vectorise(manifest, rows)).toEqual(Float32Array.of(1, 0, Number.NaN, 1, 2, 1))
    const wrong = [1, true, ['red'], {}, Number.NaN].map(colour => ({ colour, place: 'here' }))
    expect(problemsOf([...wrong, { colour: 'red', place: null }], manifest).map(({ code }) => code)).toEqual([
      ...wrong.map(() => 'WRONG_TYPE'),
      'NULL_VALUE',
    ])
  })

  it('does not take inherited properties for features', () => {
    const manifest = features(['constructor', false], ['__proto__', true])
    expect(problemsOf([{ x: 1, y: 2 }], manifest).map(({ code, pointer }) => [code, pointer])).toEqual([
      ['MISSING_FEATURE', '/rows/0/constructor'],
      ['MISSING_FEATURE', '/rows/0/__proto__'],
      ['UNKNOWN_FEATURE', '/rows/0/x'],
      ['UNKNOWN_FEATURE', '/rows/0/y'],
    ])
  })

  it('escapes names in pointers', () => {
    expect(problemsOf([{}], features(['a/b~c', false]))[0].pointer).toBe('/rows/0/a~1b~0c')
  })

  it('names the first twenty problems', () => {
    const rows = [{ a: 1, b: 2 }, ...Array.from({ length: 30 }, () => ({ a: 'x', b: 2 }))]
    const problems = problemsOf(rows)
    expect(problems).toHaveLength(20)
    expect(problems[0].pointer).toBe('/rows/1/a')
  })

  it('accepts exactly the rows that hold every feature as a float32 or an allowed null', () => {
    const value = fc.oneof(fc.double(), fc.constant(null), fc.string(), fc.boolean())
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom('a', 'b', 'c'), value), row => {
        const fits = (v: unknown) => typeof v === 'number' && Number.isFinite(Math.fround(v))
        const valid = Object.keys(row).length === 2 && fits(row.a) && (row.b === null || fits(row.b))
        expect(problemsOf([row]).length === 0).toBe(valid)
      }),
    )
  })
})

describe('vectoriseSequences', () => {
  const at = (i: number) => `/sequences/${i}`

  it('lays sequences out end to end, words as codes and null as NaN, from arrays as from objects', () => {
    const colour = { name: 'colour', nullable: true, categories: ['blue', 'red'] }
    const size = { name: 'size', nullable: false }
    const manifest = { input: { name: 'features' as const, length: 2, features: [colour, size] } }
    const rows = [
      [['red', 1], { size: 2, colour: null }],
      [{ colour: 'green', size: -0 }, ['blue', 4]],
    ]
    expect(vectoriseSequences(manifest, rows, at)).toEqual(Float32Array.of(1, 1, Number.NaN, 2, 2, -0, 0, 4))
    const wrong = [
      [
        [1, 1],
        ['red', null],
      ],
    ]
    expect(() => vectoriseSequences(manifest, wrong, at)).toThrowError(
      expect.objectContaining({
        code: 'WRONG_TYPE',
        detail: {
          problems: [
            { code: 'WRONG_TYPE', pointer: '/sequences/0/0/0', message: 'colour is a number, not a word' },
            { code: 'NULL_VALUE', pointer: '/sequences/0/1/1', message: 'size may not be null' },
          ],
        },
      }),
    )
  })

  it('are refused by their lengths before memory is asked for, however many there are', () => {
    const features = Array.from({ length: 1000 }, (_, j) => ({ name: `f${j}`, nullable: false }))
    const manifest = { input: { name: 'features' as const, length: 10_000, features } }
    const empty = new Array<unknown>(1000).fill([]).with(3, 'none') // 40 GB as float32
    expect(() => vectoriseSequences(manifest, empty, at)).toThrowError(
      expect.objectContaining({
        code: 'SEQUENCE_LENGTH',
        fault: 'data',
        message: '0 rows are not the 10000 of this model',
      }),
    )
    try {
      vectoriseSequences(manifest, empty, at)
    } catch (error) {
      const { problems } = (error as { detail: { problems: Problem[] } }).detail
      expect(problems).toHaveLength(20)
      expect(problems[3]).toMatchObject({ code: 'WRONG_TYPE', pointer: '/sequences/3' })
    }
  })

  it('gives rows the vectors that they have as objects, whatever they hold', () => {
    const manifest = { input: { ...ab.input, length: 2 } }
    const value = fc.oneof(fc.double(), fc.constant(null), fc.string(), fc.boolean())
    const told = (sequence: unknown[]) => {
      try {
        return vectoriseSequences(manifest, [sequence], at)
      } catch (error) {
        return (error as { detail: { problems: Problem[] } }).detail.problems.map(({ code, message }) => [
          code,
          message,
        ])
      }
    }
    fc.assert(
      fc.property(fc.tuple(value, value, value, value), ([a, b, c, d]) => {
        expect(
          told([
            [a, b],
            [c, d],
          ]),
        ).toEqual(
          told([
            { a, b },
            { b: d, a: c },
          ]),
        )
      }),
    )
  })
})

describe('answers', () => {
  it('acts on a probability from the threshold on, as float32', () => {
    const output = Float32Array.of(0.5, 0.5, 0.3, 0.7, 0.31, 0.69)
    expect(answers(manifestOf('logistic', { decision: { threshold: 0.7, mode: 'long' } }), output)).toEqual([
      { probability: 0.5, signal: 0 },
      { probability: Math.fround(0.7), signal: 1 },
      { probability: Math.fround(0.69), signal: 0 },
    ])
  })

  it('goes short under long_short', () => {
    const manifest = manifestOf('logistic', { decision: { threshold: 0.6, mode: 'long_short' } })
    const signals = answers(manifest, Float32Array.of(0.7, 0.3, 0.5, 0.5, 0.3, 0.7)).map(
      answer => 'signal' in answer && answer.signal,
    )
    expect(signals).toEqual([-1, 0, 1])
  })

  it('names the likeliest class, the first on ties', () => {
    expect(answers(manifestOf('multiclass'), Float32Array.of(0.25, 0.25, 0.5, 0.4, 0.4, 0.2))).toEqual([
      { class: 'up', probabilities: { down: 0.25, flat: 0.25, up: 0.5 } },
      { class: 'down', probabilities: { down: Math.fround(0.4), flat: Math.fround(0.4), up: Math.fround(0.2) } },
    ])
  })

  it('gives a regression its prediction, and a signal only with a threshold', () => {
    expect(answers(manifestOf('linear', { decision: null }), Float32Array.of(2))).toEqual([{ prediction: 2 }])
    expect(answers(manifestOf('linear', { decision: { threshold: 1, mode: 'long' } }), Float32Array.of(2))).toEqual([
      { prediction: 2, signal: 1 },
    ])
  })

  it('are an error where the model answers no number', () => {
    for (const kind of ['logistic', 'multiclass', 'linear'] as const)
      expect(() => answers(manifestOf(kind), new Float32Array(6).fill(Number.NaN))).toThrowError(
        expect.objectContaining({ code: 'NOT_FINITE', fault: 'engine' }),
      )
  })
})

describe('predictTable', () => {
  async function open(kind: Kind) {
    const model = await loadModel(modelFile(kind))
    onTestFinished(() => model.close())
    const { rows, answer } = expected[kind]
    const columns = rows[0].map((_, j) => Float64Array.from(rows, row => row[j] ?? Number.NaN))
    return { manifest: manifestOf(kind), model, columns, answer }
  }

  it.each<Kind>(['logistic', 'trees', 'multiclass', 'linear'])('gives %s the bits that a request gives', async kind => {
    const { manifest, model, columns, answer } = await open(kind)
    const { table, unanswered } = await predictTable(manifest, model, columns)
    expect([table.rows, unanswered]).toEqual([answer.length, 0])
    const requests = rowsOf(kind).map(async row => answers(manifest, await model.run(vectorise(manifest, [row]), 1))[0])
    for (const [i, single] of (await Promise.all(requests)).entries()) {
      if ('class' in single) {
        expect(strings(table, 'class')[i]).toBe(single.class)
        for (const [name, p] of Object.entries(single.probabilities))
          expect(numbers(table, `probability_${name}`)[i]).toBe(p)
      } else for (const [name, value] of Object.entries(single)) expect(numbers(table, name)[i]).toBe(value)
    }
  })

  it('leaves rows that lack a value unanswered, where it lies among many', async () => {
    const { manifest, model, columns } = await open('linear')
    const rows = 9000
    const many = columns.map(column => Float64Array.from({ length: rows }, (_, i) => column[i % column.length]))
    many[1][0] = many[3][5000] = Number.NaN
    const { table, unanswered } = await predictTable(manifest, model, many)
    const prediction = numbers(table, 'prediction')
    expect(unanswered).toBe(2)
    expect([...prediction.keys()].filter(i => Number.isNaN(prediction[i]))).toEqual([0, 5000])
    for (const i of [1, 4096, 4999, 5001, 8999]) expect(prediction[i]).toBe(prediction[8 + (i % 8)])
  })

  it('gives no rows an empty table', async () => {
    const { manifest, model, columns } = await open('logistic')
    const { table } = await predictTable(
      manifest,
      model,
      columns.map(() => new Float64Array(0)),
    )
    expect(table.columns.map(({ name }) => name)).toEqual(['probability', 'signal'])
  })

  it('refuses infinite values and the wrong number of columns', async () => {
    const { manifest, model, columns } = await open('linear')
    await expect(predictTable(manifest, model, columns.slice(1))).rejects.toMatchObject({
      code: 'MISSING_COLUMN',
      exit: 4,
    })
    columns[2][3] = -Infinity
    await expect(predictTable(manifest, model, columns)).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
      message: expect.stringContaining('f2 is -Infinity in row 4'),
    })
  })
})

describe('predictTable of a sequence model', () => {
  const [{ sequences }, length] = [expectedSequences.attention, 7]
  const rows = sequences.flat()

  async function open(changes = {}) {
    const model = await loadModel(modelFile('attention'))
    onTestFinished(() => model.close())
    return { manifest: manifestOf('attention', changes), model }
  }

  const columnsOf = (rows: (number | null)[][]) =>
    rows[0].map((_, j) => Float64Array.from(rows, row => row[j] ?? Number.NaN))

  it('answers a row by the rows of its own series that end at it, with the bits that a request gives', async () => {
    const { manifest, model } = await open()
    const order = fc.array(fc.constantFrom(0, 1, 2), { minLength: 1, maxLength: rows.length })
    await fc.assert(
      fc.asyncProperty(order, async owners => {
        const series = [0, 1, 2].map(owner => Int32Array.from(owners.keys()).filter(row => owners[row] === owner))
        const { table, unanswered } = await predictTable(
          manifest,
          model,
          columnsOf(rows.slice(0, owners.length)),
          series,
        )
        let answered = 0
        for (const places of series)
          for (let i = 0; i < places.length; i++) {
            const word = strings(table, 'class')[places[i]]
            if (i + 1 < length) {
              expect(word).toBeNull()
              continue
            }
            answered++
            const sequence = Array.from(places.subarray(i + 1 - length, i + 1), row => rows[row])
            const [single] = answers(
              manifest,
              await model.run(
                vectoriseSequences(manifest, [sequence], () => ''),
                1,
              ),
            ) as { class: string; probabilities: Record<string, number> }[]
            expect(word).toBe(single.class)
            for (const [name, p] of Object.entries(single.probabilities))
              expect(numbers(table, `probability_${name}`)[places[i]]).toBe(p)
          }
        expect(unanswered).toBe(owners.length - answered)
      }),
      { numRuns: 30 },
    )
  })

  it('leaves out every row whose sequence holds a value that may not be missing', async () => {
    const features = ['f0', 'f1', 'f2'].map(name => ({ name, nullable: name !== 'f1' }))
    const { manifest, model } = await open({ input: { name: 'features', length, features } })
    const columns = columnsOf(Array.from({ length: 30 }, (_, i) => [i, -i, i % 5]))
    columns[0][3] = Number.NaN
    columns[1][12] = Number.NaN
    const { table, unanswered } = await predictTable(manifest, model, columns, [
      Int32Array.from({ length: 30 }, (_, i) => i),
    ])
    const empty = strings(table, 'class').flatMap((word, row) => (word === null ? [row] : []))
    expect(empty).toEqual([0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17, 18])
    expect(unanswered).toBe(empty.length)
  })

  it('cuts long tables into runs without a seam', async () => {
    const { manifest, model } = await open()
    const many = Array.from({ length: 1500 }, (_, i) => rows[(i * 31) % rows.length])
    const columns = columnsOf(many)
    const { table } = await predictTable(manifest, model, columns, [Int32Array.from(many.keys())])
    const runs = [6, 590, 591, 592, 593, 1176, 1177, 1499].map(async row => {
      const sequence = many.slice(row + 1 - length, row + 1)
      const [single] = answers(
        manifest,
        await model.run(
          vectoriseSequences(manifest, [sequence], () => ''),
          1,
        ),
      )
      expect(numbers(table, 'probability_up')[row]).toBe('probabilities' in single && single.probabilities.up)
    })
    await Promise.all(runs)
  })

  it('gives a table that is shorter than a sequence no answer', async () => {
    const { manifest, model } = await open()
    const { table, unanswered } = await predictTable(manifest, model, columnsOf(rows.slice(0, 4)), [
      Int32Array.of(0, 1, 2, 3),
    ])
    expect([table.rows, unanswered, table.columns.length]).toEqual([4, 4, 4])
  })
})
