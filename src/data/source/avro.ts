// Rows from an Avro file: the fields of its records, by their logical types.
import { DAY } from '../../base/time.ts'
import { type AvroField, type AvroRecord, type AvroType, openAvro } from '../avro.ts'
import { KIND } from '../timestamp.ts'
import { isObject } from './records.ts'
import { type Batch, type TypedColumn, typed } from './typed.ts'

/** Errors: those of avro.ts. */
export const avro = typed(async path => {
  const { fields, blocks, close } = await openAvro(path)
  const columns = fields.map(columnOf)
  const read = fields.map(({ name, type }) => {
    const convert = converter(type)
    const isUnion = Array.isArray(type)
    return (record: AvroRecord) => convert(isUnion ? unwrapped(record[name]) : record[name])
  })
  async function* batches(): AsyncGenerator<Batch> {
    for await (const records of blocks)
      yield { rows: records.length, value: (row, column) => read[column](records[row]) }
  }
  return { columns, batches: batches(), close }
})

interface Logical {
  logical?: string
  base: string
  scale: number
}

/** What a field holds besides null. */
function logicalOf(type: AvroType): Logical {
  if (typeof type === 'string') return { base: type, scale: 0 }
  if (Array.isArray(type)) {
    const [first, ...others] = type.filter(option => option !== 'null').map(logicalOf)
    if (first && !others.length) return first
    return { base: [first, ...others].every(isPlainNumber) ? 'double' : 'union', scale: 0 }
  }
  const { base } = logicalOf(type.type)
  const { logicalType, scale } = type
  return { base, scale: Number(scale ?? 0), ...(logicalType !== undefined && { logical: String(logicalType) }) }
}

const NUMBERS = /^(int|long|float|double)$/
const isPlainNumber = (type: Logical | undefined): boolean => !type?.logical && NUMBERS.test(type?.base ?? '')

const TIMES = /^(local-)?timestamp-(millis|micros|nanos)$/

function columnOf({ name, type }: AvroField): TypedColumn {
  const { logical, base } = logicalOf(type)
  const stored = logical ?? base
  const time = TIMES.exec(stored)
  if (time) return { name, type: 'time', kind: time[1] ? KIND.naive : KIND.instant, stored }
  if (stored === 'date') return { name, type: 'time', kind: KIND.date, stored }
  return { name, type: logical === 'decimal' || NUMBERS.test(base) ? 'number' : 'string', stored }
}

const PER_MS: Record<string, bigint> = { millis: 1n, micros: 1_000n, nanos: 1_000_000n }

function converter(type: AvroType): (value: unknown) => unknown {
  const { logical = '', scale } = logicalOf(type)
  const unit = TIMES.exec(logical)?.[2]
  if (unit) return value => (value === null ? null : toMs(BigInt(value as number | bigint), PER_MS[unit]))
  if (logical === 'date') return value => (typeof value === 'number' ? value * DAY : value)
  if (logical === 'decimal') return value => (Buffer.isBuffer(value) ? decimal(value, scale) : value)
  return value => value
}

/** Exactly, where a double would round first. */
const toMs = (value: bigint, perMs: bigint): number => Number(value / perMs) - (value % perMs < 0n ? 1 : 0)

/** Big-endian two's complement of the unscaled value. */
function decimal(bytes: Buffer, scale: number): number {
  const unscaled = bytes.length ? BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`)) : 0n
  return Number(`${unscaled}e-${scale}`)
}

const unwrapped = (value: unknown): unknown => (isObject(value) ? Object.values(value)[0] : value)
