import { readdirSync } from 'node:fs'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { SluiceError } from '../../src/base/errors.ts'
import { checkOnnx, inspectOnnx, loadModel, type OnnxModel } from '../../src/base/onnx.ts'
import { random } from '../../src/base/random.ts'
import { expected, expectedSequences, type Kind, modelFile, type SequenceKind } from '../registry/example.ts'

const KINDS: Kind[] = ['logistic', 'trees', 'multiclass', 'linear']
const SEQUENCES: SequenceKind[] = ['gru', 'lstm', 'attention', 'convolution', 'quantized']
const loaded = new Map<string, OnnxModel>()

async function load(kind: Kind | SequenceKind): Promise<OnnxModel> {
  const model = loaded.get(kind) ?? (await loadModel(modelFile(kind)))
  loaded.set(kind, model)
  return model
}

afterAll(() => Promise.all([...loaded.values()].map(model => model.close())))

const floats = (rows: (number | null)[][]) => Float32Array.from(rows.flat(), value => value ?? Number.NaN)

const codeOf = (action: () => unknown): string | undefined => {
  try {
    action()
  } catch (error) {
    if (error instanceof SluiceError) return error.code
    throw error
  }
}

describe('a model', () => {
  it.each(KINDS)('%s answers what the library that fitted it answered, missing values included', async kind => {
    const model = await load(kind)
    const { rows, answer } = expected[kind]
    const features = floats(rows)
    const output = await model.run(features, rows.length)
    expect([model.features, model.columns]).toEqual([rows[0].length, answer[0].length])
    for (const [i, value] of answer.flat().entries()) expect(Math.abs(output[i] - value)).toBeLessThan(1e-6)
  })

  it.each(SEQUENCES)('%s answers sequences as onnxruntime does in Python, missing values included', async kind => {
    const model = await load(kind)
    const { sequences, answer } = expectedSequences[kind]
    const output = await model.run(floats(sequences.flat()), sequences.length)
    expect([model.length, model.features]).toEqual([sequences[0].length, sequences[0][0].length])
    expect(model.columns).toBe(answer[0].length)
    for (const [i, value] of answer.flat().entries()) expect(Math.abs(output[i] - value)).toBeLessThan(1e-6)
  })

  it.each([...KINDS, ...SEQUENCES])('%s gives a row the same bits alone and in any company', async kind => {
    const model = await load(kind)
    const { normal } = random(11)
    const rows = 131
    const width = model.length * model.features
    const features = Float32Array.from({ length: rows * width }, normal)
    const together = await model.run(features, rows)
    for (const size of [1, 2, 3, 5, 7, 16, 33]) {
      for (let from = 0; from < rows; from += size) {
        const to = Math.min(rows, from + size)
        const part = await model.run(features.slice(from * width, to * width), to - from)
        expect(part).toEqual(together.slice(from * model.columns, to * model.columns))
      }
    }
  })

  it('answers more sequences than one run takes, each as by itself', async () => {
    const model = await load('gru')
    const width = model.length * model.features
    const { normal } = random(5)
    const rows = 1500
    const features = Float32Array.from({ length: rows * width }, normal)
    const together = await model.run(features, rows)
    for (const row of [0, 681, 682, 683, 1363, 1364, 1499])
      expect(await model.run(features.slice(row * width, (row + 1) * width), 1)).toEqual(
        together.slice(row * model.columns, (row + 1) * model.columns),
      )
  })

  it('answers no rows with nothing, and refuses values that are not rows', async () => {
    const model = await load('linear')
    expect(await model.run(new Float32Array(0), 0)).toHaveLength(0)
    await expect(model.run(new Float32Array(7), 2)).rejects.toMatchObject({ code: 'ONNX_SHAPE' })
  })

  it('is checked before onnxruntime sees it', async () => {
    await expect(loadModel(modelFile('refused/external'))).rejects.toMatchObject({ code: 'EXTERNAL_DATA' })
  })
})

describe('the contract', () => {
  const REFUSALS: Record<string, string> = {
    external: 'EXTERNAL_DATA',
    external_in_branch: 'EXTERNAL_DATA',
    external_in_function: 'EXTERNAL_DATA',
    sparse: 'SPARSE_INITIALIZER',
    sparse_attribute: 'SPARSE_INITIALIZER',
    domain: 'ONNX_DOMAIN',
    domain_of_node: 'ONNX_DOMAIN',
    zipmap: 'ZIPMAP',
    input_name: 'ONNX_INPUT',
    float64: 'ONNX_INPUT',
    fixed_rows: 'ONNX_INPUT',
    open_columns: 'ONNX_INPUT',
    one_step: 'ONNX_INPUT',
    open_length: 'ONNX_INPUT',
    open_width: 'ONNX_INPUT',
    fixed_sequences: 'ONNX_INPUT',
    four_dimensions: 'ONNX_INPUT',
    output_name: 'ONNX_OUTPUT',
  }

  it('has a case for every refused file', () => {
    const files = readdirSync(new URL('../models/refused/', import.meta.url)).map(file => file.replace('.onnx', ''))
    expect(files.sort()).toEqual(Object.keys(REFUSALS).sort())
  })

  it.each(Object.entries(REFUSALS))('refuses %s as %s', (file, code) => {
    expect(codeOf(() => checkOnnx(modelFile(`refused/${file}`)))).toBe(code)
  })

  it('reads opsets, ports and operators', () => {
    const { opsets, inputs, outputs, operators } = inspectOnnx(modelFile('trees'))
    expect(opsets).toContainEqual({ domain: 'ai.onnx.ml', version: 3 })
    expect(inputs).toEqual([{ name: 'features', type: 1, shape: [null, 4] }])
    expect(outputs).toEqual([{ name: 'probability', type: 1, shape: [null, 2] }])
    expect(operators).toContain('TreeEnsembleClassifier')
  })

  it('refuses a location that only 32-bit readers take for external', () => {
    // model.graph.initializer.data_location = 2^32 + 1
    const tensor = [0x70, 0x81, 0x80, 0x80, 0x80, 0x10]
    const graph = [0x2a, tensor.length, ...tensor]
    expect(inspectOnnx(Uint8Array.from([0x3a, graph.length, ...graph])).external).toBe(true)
  })

  it('refuses a type that stands twice, for readers differ in which one counts', () => {
    const type = [0x12, 0x02, 0x0a, 0x00]
    const input = [0x0a, 0x01, 0x78, ...type, ...type]
    const graph = [0x5a, input.length, ...input]
    expect(codeOf(() => inspectOnnx(Uint8Array.from([0x3a, graph.length, ...graph])))).toBe('ONNX_UNREADABLE')
  })

  it('refuses endless nesting', () => {
    // Graphs in attributes of nodes in graphs, each one wrapped in a longer one.
    let graph: number[] = []
    for (let depth = 0; depth < 60; depth++) {
      const attribute = field(6, graph)
      graph = field(1, field(5, attribute))
    }
    expect(codeOf(() => inspectOnnx(Uint8Array.from(field(7, graph))))).toBe('ONNX_UNREADABLE')
  })
})

/** A length-delimited protobuf field. */
function field(number: number, content: number[]): number[] {
  const length = content.length < 128 ? [content.length] : [(content.length & 0x7f) | 0x80, content.length >> 7]
  return [(number << 3) | 2, ...length, ...content]
}

describe('bytes that are no model', () => {
  const read = (bytes: Uint8Array) => codeOf(() => inspectOnnx(bytes)) ?? 'read'

  it('are refused when nothing is left of them', () => {
    expect(read(new Uint8Array(0))).toBe('ONNX_UNREADABLE')
  })

  it('are read or refused, wherever a file is cut off', () => {
    const whole = modelFile('logistic')
    for (let length = 0; length < whole.length; length++)
      expect(['read', 'ONNX_UNREADABLE']).toContain(read(whole.subarray(0, length)))
  })

  it('are read or refused, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
        expect(['read', 'ONNX_UNREADABLE']).toContain(read(bytes))
      }),
      { numRuns: 500 },
    )
  })

  it('are read or refused, whichever bytes of a model are changed', () => {
    const whole = modelFile('refused/external_in_branch')
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(changes, changed => {
        const bytes = Uint8Array.from(whole)
        for (const [at, byte] of changed) bytes[at] = byte
        expect(['read', 'ONNX_UNREADABLE']).toContain(read(bytes))
      }),
      { numRuns: 500 },
    )
  })
})
