import { it } from 'vitest'
import { checkSequences } from './sequences.ts'

it('what is accepted of any sequence of bars is what a simple model says', () => checkSequences(150))
