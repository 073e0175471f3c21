// ONNX: a look at the bytes of a model before anything loads them, then running it. The only file that imports onnxruntime.
import { dataError, engineError, messageOf } from './errors.ts'

export interface OnnxPort {
  name: string
  /** `TensorProto.DataType`: 1 is float32; null where it is no tensor. */
  type: number | null
  /** A number is fixed, a string is a named free dimension, null is unknown. */
  shape: (number | string | null)[]
}

export interface OnnxFacts {
  opsets: { domain: string; version: number }[]
  /** Domains of the opset imports, of every node and of every local function. */
  domains: string[]
  operators: string[]
  inputs: OnnxPort[]
  outputs: OnnxPort[]
  /** Some tensor, however deeply nested, lies in another file. */
  external: boolean
  /** Some initializer or attribute, however deeply nested, is sparse. */
  sparse: boolean
}

/** What a served model is: `features` float32 [N, features], of a sequence model [N, length, features], to `output` float32 [N, columns]. */
export interface OnnxContract {
  output: 'probability' | 'prediction'
  /** Steps of a row: 1, or 2 and more of a sequence model. */
  length: number
  features: number
  columns: number
}

export interface OnnxModel extends OnnxContract {
  /** Row-major [rows, length * features], NaN for missing, to row-major [rows, columns]. A row's answer does not depend on the rows beside it. */
  run(features: Float32Array, rows: number): Promise<Float32Array>
  close(): Promise<void>
}

const FLOAT32 = 1
const DOMAINS = ['', 'ai.onnx', 'ai.onnx.ml']

/** Refuses whatever breaks the contract of a served model (see `OnnxContract`): foreign domains, external data, sparse tensors, ZipMap, other names, types or shapes. */
export const checkOnnx = (bytes: Uint8Array): OnnxContract => contractOf(inspectOnnx(bytes))

function contractOf({ domains, operators, inputs, outputs, external, sparse }: OnnxFacts): OnnxContract {
  if (external) throw dataError('EXTERNAL_DATA', 'the model keeps tensors in another file')
  if (sparse) throw dataError('SPARSE_INITIALIZER', 'the model holds sparse tensors')
  const foreign = domains.find(domain => !DOMAINS.includes(domain))
  if (foreign !== undefined) throw dataError('ONNX_DOMAIN', `the model uses operators of the domain ${foreign}`)
  if (operators.includes('ZipMap')) throw dataError('ZIPMAP', 'the model ends in a ZipMap, not in a tensor')
  const output = outputs[0]?.name
  if (inputs.length !== 1 || inputs[0].name !== 'features')
    throw dataError('ONNX_INPUT', `the inputs are ${names(inputs)}, not features`)
  if (outputs.length !== 1 || (output !== 'probability' && output !== 'prediction'))
    throw dataError('ONNX_OUTPUT', `the outputs are ${names(outputs)}, not probability or prediction`)
  const [length, features] = inputs[0].shape.length === 3 ? sequence(inputs[0]) : [1, width(inputs[0], 'ONNX_INPUT')]
  return { output, length, features, columns: width(outputs[0], 'ONNX_OUTPUT') }
}

const names = (ports: OnnxPort[]) => ports.map(port => port.name).join(', ') || 'none'

function width({ name, type, shape }: OnnxPort, code: string): number {
  const [rows, columns] = shape
  const fits = shape.length === 2 && typeof rows !== 'number' && typeof columns === 'number' && columns > 0
  if (type !== FLOAT32 || !fits)
    throw dataError(
      code,
      `${name} is type ${type} ${JSON.stringify(shape)}, not float32 with any rows and fixed columns`,
    )
  return columns
}

function sequence({ name, type, shape: [rows, length, features] }: OnnxPort): [length: number, features: number] {
  const isFixed = (size: number | string | null, least: number) => typeof size === 'number' && size >= least
  if (type !== FLOAT32 || typeof rows === 'number' || !isFixed(length, 2) || !isFixed(features, 1))
    throw dataError(
      'ONNX_INPUT',
      `${name} is type ${type} ${JSON.stringify([rows, length, features])}, not float32 with any rows, 2 or more fixed steps and fixed columns`,
    )
  return [length as number, features as number]
}

async function runtime() {
  // From 1.29 on it reports models to its vendor and keeps an id in the home directory, unless told not to before it loads.
  process.env.ORT_DISABLE_TELEMETRY = '1'
  return import('onnxruntime-node')
}

export const runtimeVersion = async (): Promise<string> => (await runtime()).env.versions.node ?? 'unknown'

/** Steps of one run: what a graph keeps between its nodes grows with them, and larger runs gain nothing. */
const RUN_STEPS = 4096

/** Sums that begin at the next 16 bytes, so that a row is rounded by its place among others (measured: 7 to 14 % of the values). */
const ROUNDED_BY_PLACE = [
  'GroupNormalization',
  'InstanceNormalization',
  'MeanVarianceNormalization',
  'ReduceMean',
  'ReduceSum',
]

/** Evaluated four values at a time, and otherwise what is left over in the end (measured: 1 to 9 % of a lone row's values). */
const ROUNDED_BY_FOURS = ['Acos', 'Asin', 'Atan', 'Celu', 'Cos', 'Elu', 'Log', 'Mish', 'Selu', 'Sin', 'Softplus']

/**
 * How rows may run together without an answer that depends on the others: by themselves, in fours, or two and more.
 * A lone row takes another matrix kernel, which rounds otherwise (up to 5e-7 off in linear, RNN and attention models).
 * DynamicQuantizeLinear scales by the range of all rows of a run.
 */
function companyOf({ operators }: OnnxFacts): { most: number; multiple: number; least: number } {
  if (operators.some(name => ROUNDED_BY_PLACE.includes(name) || name === 'DynamicQuantizeLinear'))
    return { most: 1, multiple: 1, least: 1 }
  const multiple = operators.some(name => ROUNDED_BY_FOURS.includes(name)) ? 4 : 1
  return { most: RUN_STEPS, multiple, least: 2 }
}

/** Checks the bytes, then loads them into onnxruntime (CPU, `threads` within an operator). */
export async function loadModel(bytes: Uint8Array, { threads = 1 } = {}): Promise<OnnxModel> {
  const facts = inspectOnnx(bytes)
  const contract = contractOf(facts)
  const { InferenceSession, Tensor } = await runtime()
  const session = await InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  }).catch(cause => {
    throw dataError('ONNX_LOAD', `onnxruntime refuses the model: ${messageOf(cause)}`, { cause })
  })
  const { output, length, columns } = contract
  const width = length * contract.features
  const shape = length > 1 ? [length, contract.features] : [width]
  const { most, multiple, least } = companyOf(facts)
  const once = async (features: Float32Array, rows: number): Promise<Float32Array> => {
    const together = Math.max(least, Math.ceil(rows / multiple) * multiple)
    const values = together > rows ? filledUp(features, together, width) : features
    const { data } = (await session.run({ features: new Tensor('float32', values, [together, ...shape]) }))[output]
    if (!(data instanceof Float32Array) || data.length !== together * columns)
      throw engineError('ONNX_SHAPE', `the model's answer for ${together} rows is not ${together} x ${columns} float32`)
    return together > rows ? data.slice(0, rows * columns) : data
  }
  const run = async (features: Float32Array, rows: number): Promise<Float32Array> => {
    if (features.length !== rows * width)
      throw engineError('ONNX_SHAPE', `${features.length} values are not ${rows} rows of ${width} values`)
    if (rows === 0) return new Float32Array(0)
    const step = Math.min(most, Math.max(4, Math.floor(RUN_STEPS / length)))
    if (rows <= step) return once(features, rows)
    const output = new Float32Array(rows * columns)
    for (let from = 0; from < rows; from += step) {
      const to = Math.min(rows, from + step)
      output.set(await once(features.subarray(from * width, to * width), to - from), from * columns)
    }
    return output
  }
  return { ...contract, run, close: () => session.release() }
}

/** Rows with copies of the first one after them. */
function filledUp(features: Float32Array, rows: number, width: number): Float32Array {
  const values = new Float32Array(rows * width)
  values.set(features)
  for (let at = features.length; at < values.length; at += width) values.copyWithin(at, 0, width)
  return values
}

/** Reads the structure of an ONNX file without loading it; bytes that are no ONNX file are `ONNX_UNREADABLE`. */
export function inspectOnnx(bytes: Uint8Array): OnnxFacts {
  const model = decode(bytes, 'Model', 0)
  const graphs = all(model, 'graph')
  if (graphs.length === 0) throw unreadable('it holds no graph')
  const facts: OnnxFacts = {
    opsets: all(model, 'opset').map(opset => ({ domain: text(opset, 'domain'), version: one(opset, 'version') ?? 0 })),
    domains: [],
    operators: [],
    // Before IR version 4 initializers were listed among the inputs; onnxruntime does not ask for those.
    inputs: graphs.flatMap(graph => {
      const initializers = new Set(all(graph, 'initializer').map(tensor => text(tensor, 'name')))
      return all(graph, 'input')
        .map(port)
        .filter(input => !initializers.has(input.name))
    }),
    outputs: graphs.flatMap(graph => all(graph, 'output').map(port)),
    external: false,
    sparse: false,
  }
  survey(model, 'Model', facts)
  facts.domains = [...new Set(facts.domains)]
  facts.operators = [...new Set(facts.operators)]
  return facts
}

function survey(message: Message, kind: Kind, facts: OnnxFacts): void {
  if (kind === 'Sparse') facts.sparse = true
  // Any location but 0 counts: protobuf cuts the number to 32 bits before it compares it with EXTERNAL.
  if (kind === 'Tensor' && (message.external || message.location?.some(at => at !== 0))) facts.external = true
  if (kind === 'Opset' || kind === 'Node' || kind === 'Function')
    facts.domains.push(...((message.domain ?? ['']) as string[]))
  if (kind === 'Node') facts.operators.push(...((message.operator ?? []) as string[]))
  for (const [name, inner] of Object.values(FIELDS[kind]))
    if (inner in FIELDS) for (const child of all(message, name)) survey(child, inner as Kind, facts)
}

function port(value: Message): OnnxPort {
  const tensor = one<Message>(one<Message>(value, 'type'), 'tensor')
  const dimensions = all(one<Message>(tensor, 'shape'), 'dimension')
  return {
    name: text(value, 'name'),
    type: one<number>(tensor, 'element') ?? null,
    shape: dimensions.map(dimension => one<number>(dimension, 'value') ?? (text(dimension, 'parameter') || null)),
  }
}

/** A decoded message: every known field with all its occurrences. */
interface Message {
  [field: string]: (number | string | Message)[]
}

type Field = readonly [name: string, holds: string]

/** The fields of onnx.proto3 that are read, by number; what they hold is 'int', 'text', 'bytes' (skipped) or a message. Weights are never copied. */
const FIELDS = {
  Model: { 7: ['graph', 'Graph'], 8: ['opset', 'Opset'], 20: ['training', 'Training'], 25: ['function', 'Function'] },
  Opset: { 1: ['domain', 'text'], 2: ['version', 'int'] },
  Graph: {
    1: ['node', 'Node'],
    5: ['initializer', 'Tensor'],
    11: ['input', 'Value'],
    12: ['output', 'Value'],
    15: ['sparse', 'Sparse'],
  },
  Node: { 4: ['operator', 'text'], 5: ['attribute', 'Attribute'], 7: ['domain', 'text'] },
  Attribute: {
    5: ['tensor', 'Tensor'],
    6: ['graph', 'Graph'],
    10: ['tensors', 'Tensor'],
    11: ['graphs', 'Graph'],
    22: ['sparse', 'Sparse'],
    23: ['sparses', 'Sparse'],
  },
  Tensor: { 8: ['name', 'text'], 13: ['external', 'bytes'], 14: ['location', 'int'] },
  Sparse: {},
  Function: { 7: ['node', 'Node'], 9: ['opset', 'Opset'], 10: ['domain', 'text'], 11: ['attribute', 'Attribute'] },
  Training: { 1: ['initialization', 'Graph'], 2: ['algorithm', 'Graph'] },
  Value: { 1: ['name', 'text'], 2: ['type', 'Type'] },
  Type: { 1: ['tensor', 'TensorType'] },
  TensorType: { 1: ['element', 'int'], 2: ['shape', 'Shape'] },
  Shape: { 1: ['dimension', 'Dimension'] },
  Dimension: { 1: ['value', 'int'], 2: ['parameter', 'text'] },
} as const satisfies Record<string, Record<number, Field>>

type Kind = keyof typeof FIELDS

/** Protobuf's own limit of nesting. */
const DEPTH = 100
const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

function decode(bytes: Uint8Array, kind: Kind, depth: number): Message {
  if (depth > DEPTH) throw unreadable(`it is nested more than ${DEPTH} deep`)
  const fields: Record<number, Field> = FIELDS[kind]
  const message: Message = {}
  for (let at = 0; at < bytes.length; ) {
    const [tag, start] = varint(bytes, at)
    const number = Math.floor(tag / 8)
    const wire = tag % 8
    if (number < 1 || number >= 2 ** 29) throw unreadable(`field number ${number} in ${kind}`)
    const [value, from, end] = extent(bytes, start, wire)
    at = end
    const field = fields[number]
    if (!field) continue
    const [name, holds] = field
    if (wire !== (holds === 'int' ? VARINT : LENGTH)) throw unreadable(`${kind}.${name} has wire type ${wire}`)
    message[name] ??= []
    message[name].push(holds === 'int' ? value : content(bytes.subarray(from, end), holds, depth))
  }
  return message
}

function content(bytes: Uint8Array, holds: string, depth: number): number | string | Message {
  if (holds === 'bytes') return bytes.length
  if (holds !== 'text') return decode(bytes, holds as Kind, depth + 1)
  try {
    return utf8.decode(bytes)
  } catch {
    throw unreadable('a name is not UTF-8')
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A field's number (if it is one), and where its content begins and ends. */
function extent(bytes: Uint8Array, start: number, wire: number): [value: number, from: number, end: number] {
  const [value, from] = wire === VARINT || wire === LENGTH ? varint(bytes, start) : [0, start]
  const length =
    wire === VARINT ? 0 : wire === LENGTH ? value : wire === FIXED64 ? 8 : wire === FIXED32 ? 4 : Number.NaN
  if (!(from + length <= bytes.length)) throw unreadable(`a field at byte ${start} leads past its end`)
  return [value, from, from + length]
}

/** An unsigned number of at most 10 bytes; beyond 2^53 it is no longer exact, which no check needs. */
function varint(bytes: Uint8Array, start: number): [value: number, end: number] {
  let value = 0
  for (let i = 0; i < 10 && start + i < bytes.length; i++) {
    const byte = bytes[start + i]
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return [value, start + i + 1]
  }
  throw unreadable(`a number at byte ${start} has no end`)
}

const all = (message: Message | undefined, field: string) => (message?.[field] ?? []) as Message[]

/** The value of a field that may stand once. Protobuf would merge or overwrite repeated ones: no honest writer repeats them. */
function one<T = number>(message: Message | undefined, field: string): T | undefined {
  const values = message?.[field] ?? []
  if (values.length > 1) throw unreadable(`${field} stands ${values.length} times`)
  return values[0] as T | undefined
}

const text = (message: Message, field: string) => one<string>(message, field) ?? ''

const unreadable = (why: string) => dataError('ONNX_UNREADABLE', `this is no ONNX file: ${why}`)
