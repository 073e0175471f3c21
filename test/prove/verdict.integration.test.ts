// The look at the test part, by the real engine: what the gates find there, and the smallest part there is.
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { openContext } from '../../src/context.ts'
import { run } from '../../src/pipeline.ts'
import { gateNames } from '../../src/prove/figures.ts'
import { openPool } from '../learn/pool.ts'
import { PLANTED } from '../planted.ts'
import { put, temporaryFolder } from '../temporary.ts'

const NAMES = gateNames({ task: 'binary', market: true })
const { engine } = openPool()
afterAll(() => engine.close())

function judged(...overrides: string[]) {
  const folder = temporaryFolder()
  const home = join(folder, '.sluice')
  const opened = openContext({ home, env: process.env, signal: new AbortController().signal, quiet: true })
  onTestFinished(() => opened.close())
  const text = PLANTED.replace(', periods_per_year: 365', '')
  return run(loadConfig(put(folder, 'f.yaml', text), ['models=[{kind: logistic}]', ...overrides]), {
    ...opened,
    engine,
    log: { ...opened.log, warn: () => {} },
  })
}

describe('a verdict', () => {
  it('has a figure for every name a gate may have', async () => {
    const every = Object.fromEntries(NAMES.map(name => [name, '> -1e9']))
    const { gates, status } = await judged(`gates=${JSON.stringify(every)}`)
    expect(gates.filter(({ pass }) => !pass)).toEqual([])
    expect([gates.length, status]).toEqual([NAMES.length, 'deployed'])
  })

  it('is a refusal on a test part of one bar, where nothing is defined that gates ask for', async () => {
    const { rows, status, gates, backtest, explanation } = await judged('split.ratios=[0.8, 0.1995, 0.0005]')
    expect({ test: rows.test, status, sharpe: backtest.sharpe }).toEqual({ test: 1, status: 'refused', sharpe: null })
    expect(gates.map(({ name, value }) => [name, value])).toEqual([
      ['sharpe', null],
      ['trades', 0],
    ])
    expect(explanation[0]).toMatch(/^sharpe is undefined, and must be > 0; there was no trade/)
  })
})
