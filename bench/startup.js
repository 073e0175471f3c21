// How long a command takes that does nothing but answer.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { clocked } from './clock.js'
import { inFolder } from './home.js'

const ROUNDS = 9
const SLUICE = join(import.meta.dirname, '../bin/sluice')

export const measure = () =>
  inFolder(async folder => {
    const start = (...args) => clocked(() => execFileSync(SLUICE, [...args], { stdio: 'ignore' })).seconds
    const round = () => ({ help: start('--help'), doctor: start('doctor', '--home', folder) })
    round() // files come into the page cache
    return { rounds: Array.from({ length: ROUNDS }, round) }
  })
