import { it } from 'vitest'
import { FILES, flip, maim } from './flips.ts'

const RUNS: Record<string, number> = { 'x.parquet': 15 }

it.each(Object.keys(FILES))('%s with wrong bytes, and cut', async name => {
  await flip(name, RUNS[name] ?? 60)
  await maim(name, RUNS[name] ?? 40)
})
