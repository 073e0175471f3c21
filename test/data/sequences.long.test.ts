import { it } from 'vitest'
import { checkSequences } from './sequences.ts'

it('what is accepted of 10,000 sequences of bars is what a simple model says', () => checkSequences(10_000))
