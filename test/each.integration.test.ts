// One model for each symbol, with the real engine.
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Context } from '../src/base/context.ts'
import { numbers, strings } from '../src/base/table.ts'
import { loadConfig } from '../src/config.ts'
import { readColumns } from '../src/data/files.ts'
import { runEach } from '../src/each.ts'
import { run } from '../src/pipeline.ts'
import { aliasVersion } from '../src/registry/versions.ts'
import { openPool } from './learn/pool.ts'
import { openHome as homeAround } from './opened.ts'
import { PLANTED } from './planted.ts'
import { put } from './temporary.ts'

const { engine } = openPool()
afterAll(() => engine.close())

const openHome = () => homeAround(engine)

const configOf = (context: Context, ...overrides: string[]) =>
  loadConfig(put(join(context.home, '..'), 'f.yaml', PLANTED), overrides)

describe('a run of each symbol', () => {
  it('tells of each what a run of it alone would tell, and what all earn together', async () => {
    const context = openHome()
    const result = await runEach(configOf(context, 'data.source.symbols=["AA","B/B"]', 'per_symbol=true'), context)
    expect(result.symbols.map(({ symbol, model }) => [symbol, model.name])).toEqual([
      ['AA', 'planted-aa'],
      ['B/B', 'planted-b-b'],
    ])
    const alone = await run(configOf(context, 'data.source.symbols=["AA"]', 'name=alone'), context)
    const [first] = result.symbols
    const { selected, metrics, backtest, benchmark, rows } = alone
    expect(first).toMatchObject({ selected, metrics, backtest, benchmark, rows })
    // The same bars of the same symbol, whichever run looked at them.
    expect([first.test_looks, alone.test_looks]).toEqual([1, 2])
    for (const { model, status } of result.symbols)
      expect(await aliasVersion(context.database, model.name)).toBe(status === 'deployed' ? 1 : null)

    const trades = await readColumns(result.files.trades)
    expect(new Set(strings(trades, 'symbol'))).toEqual(new Set(['AA', 'B/B']))
    expect(result.backtest.trades).toBe(result.symbols.reduce((sum, { backtest }) => sum + backtest.trades!, 0))
    const equity = numbers(await readColumns(result.files.equity), 'equity')
    expect(equity.at(-1)! / 1e6 - 1).toBeCloseTo(result.backtest.total_return!, 9)
    for (const { files } of result.symbols) expect(existsSync(files.report)).toBe(true)
  })

  it('that fails for one symbol ends when the others have stopped', async () => {
    const context = openHome()
    const sensor = put(context.home, 'temp', '40000')
    const network = 'models=[{ kind: mlp, params: { epochs: 5000, patience: null } }]'
    const thermal = ['thermal.enabled=true', `thermal.sensor=${sensor}`, 'thermal.poll=0.1']
    const symbols = ['data.source.symbols=["AA","BB"]', 'per_symbol=true']
    const timer = setInterval(() => {
      const kept = join(context.home, 'cache', 'checkpoints')
      if (existsSync(kept) && readdirSync(kept).length === 2) writeFileSync(sensor, '96000')
    }, 20)
    const error = await runEach(configOf(context, ...symbols, network, ...thermal), context).catch(caught => caught)
    clearInterval(timer)
    expect(error).toMatchObject({ code: 'TOO_HOT', exit: 5 })
    const runs = await context.database.selectFrom('runs').select('status').execute()
    expect(runs.map(({ status }) => status)).not.toContain('running')
    for (const folder of readdirSync(join(context.home, 'cache', 'checkpoints')))
      expect(readdirSync(join(context.home, 'cache', 'checkpoints', folder))).not.toEqual([])
  })

  it('is refused where there is no symbol, or two would be one model', async () => {
    const context = openHome()
    const refused = (...overrides: string[]) => runEach(configOf(context, 'per_symbol=true', ...overrides), context)
    await expect(refused()).rejects.toMatchObject({ code: 'SYMBOLS', exit: 2 })
    await expect(refused('data.source.symbols=["a b","a/b"]')).rejects.toMatchObject({ code: 'SYMBOLS', exit: 2 })
  })
})
