import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type ArrowColumn, readArrow, scanArrow, writeArrow } from '../../src/base/arrow.ts'
import { put, temporaryFolder } from '../temporary.ts'

const COLUMNS: ArrowColumn[] = [
  { name: 'f64', values: Float64Array.of(0.1, Number.NaN, -0, Infinity) },
  { name: 'f32', values: Float32Array.of(Math.fround(0.1), Number.NaN, 1e-45, -1) },
  { name: 'u32', values: Uint32Array.of(0, 1, 2, 0xffffffff) },
  { name: 'i32', values: Int32Array.of(-1, 0, 1, 2 ** 31 - 1) },
  { name: 'text', values: ['a', null, '', 'é€😀'] },
]

async function rowsOf(path: string): Promise<number> {
  const { batches, close } = await scanArrow(path)
  let rows = 0
  for await (const batch of batches) rows += batch.rows
  await close()
  return rows
}

describe('an Arrow file', () => {
  it('gives back every column, bit for bit', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    await writeArrow(path, COLUMNS)
    const read = await readArrow(path)
    expect([...read.keys()]).toEqual(COLUMNS.map(({ name }) => name))
    for (const { name, values } of COLUMNS) expect(read.get(name)).toEqual(values)
  })

  it('is an uncompressed IPC file with one record batch, as the engine maps it', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    await writeArrow(path, [{ name: 'x', values: Float32Array.from({ length: 1000 }, (_, i) => i) }])
    const bytes = readFileSync(path)
    expect(bytes.subarray(0, 6).toString()).toBe('ARROW1')
    const at = bytes.indexOf(Buffer.from(Float32Array.of(1, 2, 3, 4).buffer))
    expect(new Float32Array(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + 3996))).toEqual(
      Float32Array.from({ length: 999 }, (_, i) => i + 1),
    )
  })

  it('may have no rows', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    await writeArrow(path, [{ name: 'x', values: new Float64Array(0) }])
    expect((await readArrow(path)).get('x')).toEqual(new Float64Array(0))
  })

  it('may hold one array, or two views of its memory, under two names', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    const values = Float64Array.from({ length: 100 }, (_, i) => i)
    await writeArrow(path, [
      { name: 'a', values },
      { name: 'b', values },
      { name: 'c', values: values.subarray(0) },
    ])
    expect([...(await readArrow(path)).values()]).toEqual([values, values, values])
  })

  it('never holds two columns of one name', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    const column = { name: 'a', values: Float64Array.of(1) }
    await expect(writeArrow(path, [column, column])).rejects.toMatchObject({
      code: 'DUPLICATE_COLUMN',
      message: expect.stringContaining('two columns named a'),
    })
    expect(existsSync(path)).toBe(false)
  })

  it('with a wrong bit in its first message is refused, or has as many rows: the library may not read another file than was checked', async () => {
    const path = join(temporaryFolder(), 'x.arrow')
    await writeArrow(path, COLUMNS)
    const whole = readFileSync(path)
    const end = 16 + whole.readInt32LE(12)
    for (let at = 8; at < end; at++)
      for (const bit of [0x04, 0x80]) {
        const bytes = Buffer.from(whole)
        bytes[at] ^= bit
        writeFileSync(path, bytes)
        const rows = await rowsOf(path).catch(error => {
          expect(error).toMatchObject({ code: 'CORRUPT_FILE' })
          return 4
        })
        expect([at, bit, rows]).toEqual([at, bit, 4])
      }
  })

  it('that is damaged or missing is a data error', async () => {
    const folder = temporaryFolder()
    const path = join(folder, 'x.arrow')
    await writeArrow(path, COLUMNS)
    truncateSync(path, 300)
    for (const bad of [path, put(folder, 'junk', 'not arrow at all'), put(folder, 'empty', ''), join(folder, 'none')])
      await expect(readArrow(bad)).rejects.toMatchObject({ code: 'CORRUPT_FILE', exit: 4 })
  })
})
