import { it } from 'vitest'
import { FILES, flip, maim } from './flips.ts'

it.each(Object.keys(FILES))('%s with each of 1,000 wrong bytes', name => flip(name, 1000))
it.each(Object.keys(FILES))('%s with several wrong bytes, and cut', name => maim(name, 300))
