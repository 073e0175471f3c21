// The whole story in one process, on a simulated series with a signal, with two quick candidates and the real engine.
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Context } from '../src/base/context.ts'
import { random } from '../src/base/random.ts'
import { listRuns, showRun } from '../src/base/runs.ts'
import { numbers, strings } from '../src/base/table.ts'
import { loadConfig } from '../src/config.ts'
import { readColumns, writeTable } from '../src/data/files.ts'
import { ingest } from '../src/data/ingest.ts'
import { pythonOf } from '../src/learn/install.ts'
import { run } from '../src/pipeline.ts'
import { bundleFolder, openRegistered } from '../src/registry/bundle.ts'
import { trustedKeys } from '../src/registry/keys.ts'
import { aliasVersion, promote, resolveVersion } from '../src/registry/versions.ts'
import { predictFile } from '../src/serve/file.ts'
import { openPool } from './learn/pool.ts'
import { openHome as homeAround } from './opened.ts'
import { PLANTED, STAGES } from './planted.ts'
import { put } from './temporary.ts'

const { engine } = openPool()
afterAll(() => engine.close())

const openHome = () => homeAround(engine)

const tell = (context: Context, ...overrides: string[]) =>
  run(loadConfig(put(join(context.home, '..'), 'f.yaml', PLANTED), overrides), context)

/** Stages and whether they were found finished. */
const found = ({ stages }: Awaited<ReturnType<typeof run>>) =>
  Object.fromEntries(stages.map(({ name, cached }) => [name, cached]))

describe('a run', () => {
  it('tells the whole story once, and finds every stage the second time', async () => {
    const context = openHome()
    const first = await tell(context)
    expect(first.stages.map(({ name }) => name)).toEqual(STAGES)
    expect(first).toMatchObject({
      status: 'deployed',
      folds: 1,
      combinations: 6,
      test_looks: 1,
      model: { name: 'planted', version: 1, digest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      gates: [
        { name: 'sharpe', bound: '> 0', pass: true, value: first.backtest.sharpe },
        { name: 'trades', bound: '>= 5', pass: true, value: first.backtest.trades },
      ],
    })
    for (const { seconds, cached, peak_memory_mb } of first.stages)
      expect([typeof seconds, cached, peak_memory_mb > 20]).toEqual(['number', false, true])
    const { train, valid, test, purged } = first.rows
    expect(purged).toBe(6)
    expect(train + valid + test + purged).toBe(1500 - 19 - 3)
    expect(Object.keys(first.selected)).toEqual(expect.arrayContaining(['kind', 'params', 'threshold']))
    expect(first.parity.native_node).toBeLessThanOrEqual(first.parity.bound)
    expect(await aliasVersion(context.database, 'planted')).toBe(1)

    const second = await tell(context)
    expect(found(second)).toEqual(Object.fromEntries(STAGES.map(name => [name, name !== 'deploy'])))
    const verdict = ({ stages, run, seconds, files, ...rest }: typeof first) => rest
    expect(verdict(second)).toEqual(verdict(first))
    const rows = await listRuns(context)
    expect(rows.map(({ id, status }) => [id, status])).toEqual([
      [second.run, 'deployed'],
      [first.run, 'deployed'],
    ])
    expect(JSON.parse(rows[0].result!)).toEqual(JSON.parse(JSON.stringify(second)))
  })

  it('trades several symbols as one book, and looks at each of them', async () => {
    const context = openHome()
    const symbols = ['aa', 'bb', 'cc']
    const several = await tell(context, `data.source.symbols=${JSON.stringify(symbols)}`, 'backtest.mode=long')
    expect(several.status).toBe('deployed')
    expect(several.symbols.map(({ symbol }) => symbol)).toEqual(symbols)
    const sum = (figure: 'trades') => several.symbols.reduce((total, { backtest }) => total + backtest[figure]!, 0)
    expect(several.backtest.trades).toBe(sum('trades'))
    expect(several.symbols.reduce((total, { rows }) => total + rows, 0)).toBe(several.rows.test)
    const trades = await readColumns(several.files.trades)
    expect([trades.rows, new Set(strings(trades, 'symbol'))]).toEqual([several.backtest.trades, new Set(symbols)])
    // The mean of the symbols' buy-and-hold returns, bar by bar; over the whole part it is near theirs.
    const held = several.symbols.map(({ benchmark }) => benchmark.total_return!)
    expect(several.benchmark.total_return).toBeGreaterThan(Math.min(...held))
    expect(several.benchmark.total_return).toBeLessThan(Math.max(...held))
    const one = await tell(context, 'data.source.symbols=["bb"]')
    expect([several.test_looks, one.test_looks]).toEqual([1, 2])
    const other = await tell(context, 'data.source.symbols=["dd"]')
    expect([other.test_looks, other.symbols]).toEqual([1, []])
  })

  it.each([
    ['thresholds', 'thresholds={from: 0.5, to: 0.55, steps: 2}', 'select'],
    ['gates', 'gates={sharpe: "> -1"}', 'gate'],
    ['refit', 'refit=none', 'register'],
    ['models', 'models=[{kind: logistic}]', 'train'],
    ['split', 'split={kind: holdout, embargo: 2}', 'dataset'],
    ['label', 'label={kind: direction, horizon: 2}', 'build'],
  ])('does only the later stages again when %s change', async (section, override, from) => {
    const context = openHome()
    await tell(context)
    const fits = readdirSync(join(context.home, 'cache/fits')).length
    const again = found(await tell(context, override))
    const redone = STAGES.slice(STAGES.indexOf(from))
    expect(again).toEqual(Object.fromEntries(STAGES.map(name => [name, !redone.includes(name)])))
    // A fit with equal inputs is found, whatever stage asks for it.
    if (['thresholds', 'gates', 'models'].includes(section))
      expect(readdirSync(join(context.home, 'cache/fits'))).toHaveLength(fits)
  })

  it('fits again what was damaged, and comes to the same verdict', async () => {
    const context = openHome()
    const first = await tell(context)
    const fits = join(context.home, 'cache/fits')
    for (const name of readdirSync(fits)) append(join(fits, name, 'predictions.arrow'))
    const again = await tell(context)
    expect([again.selected, again.metrics, again.gates]).toEqual([first.selected, first.metrics, first.gates])
    expect(found(again)).toMatchObject({ dataset: true, train: false, select: true, gate: false, register: true })
  })

  it('leaves files that agree with what it says', async () => {
    const context = openHome()
    const { files, rows, backtest, metrics, selected } = await tell(context)
    const table = await readColumns(files.predictions)
    expect(table.columns.map(({ name }) => name)).toEqual(['time', 'symbol', 'part', 'fold', 'y', 'p', 'signal'])
    const part = strings(table, 'part')
    expect(part.filter(name => name === 'valid')).toHaveLength(rows.valid)
    expect(part.filter(name => name === 'test')).toHaveLength(rows.test)
    const [y, p, signal] = ['y', 'p', 'signal'].map(name => numbers(table, name))
    const acted = Math.fround(selected.threshold!)
    expect(signal.every((value, i) => value === Number(p[i] >= acted))).toBe(true)
    const tested = [...y.keys()].filter(i => part[i] === 'test')
    expect(metrics.test.accuracy).toBeCloseTo(tested.filter(i => y[i] === Number(p[i] >= acted)).length / rows.test, 12)

    const equity = numbers(await readColumns(files.equity), 'equity')
    expect(equity).toHaveLength(rows.test)
    expect(equity.at(-1)! / 1_000_000 - 1).toBeCloseTo(backtest.total_return!, 12)
    const trades = await readColumns(files.trades)
    expect(trades.rows).toBe(backtest.trades)
    expect(numbers(trades, 'pnl').reduce((total, pnl) => total + pnl, 0)).toBeCloseTo(equity.at(-1)! - 1_000_000, 4)
    const report = readFileSync(files.report, 'utf8')
    expect(report.length).toBeLessThan(1 << 20)
    for (const word of ['planted', selected.kind, 'Buy', 'sharpe'])
      expect(report.toLowerCase()).toContain(word.toLowerCase())
  })

  it('ships a bundle that verifies, and whose every flipped byte is refused', async () => {
    const context = openHome()
    await tell(context)
    const row = await resolveVersion(context.database, 'planted')
    const keys = trustedKeys(context.home)
    const open = () => openRegistered(context.home, row, keys)
    const { manifest } = await open()
    expect(manifest.shipped).toMatchObject({ refit: 'all', rows: 1500 - 19 - 3 })
    const folder = bundleFolder(context.home, 'planted', 1)
    expect(readdirSync(folder).sort()).toEqual(
      ['manifest.json', ...manifest.files.map(({ name }) => name), 'signature.json'].sort(),
    )
    for (const file of readdirSync(folder)) {
      const path = join(folder, file)
      const bytes = readFileSync(path)
      for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
        writeFileSync(
          path,
          bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)),
        )
        await expect(open(), `byte ${at} of ${file}`).rejects.toMatchObject({ exit: 4 })
      }
      writeFileSync(path, bytes)
    }
    expect((await open()).digest).toBe(row.digest)
  })
})

describe('a verdict', () => {
  it('of a model that never trades is a refusal in words, with nulls for figures', async () => {
    const context = openHome()
    const refused = await tell(
      context,
      'thresholds={from: 0.98, to: 0.99, steps: 2}',
      'gates={sharpe: "> 0", win_rate: "> 0.5", trades: ">= 1"}',
    )
    expect(refused.status).toBe('refused')
    expect(refused.stages.map(({ name }) => name)).toEqual(STAGES.slice(0, -1))
    expect(refused.backtest).toMatchObject({
      trades: 0,
      sharpe: null,
      win_rate: null,
      profit_factor: null,
      total_return: 0,
    })
    expect(refused.gates.map(({ name, value, pass }) => [name, value, pass])).toEqual([
      ['sharpe', null, false],
      ['win_rate', null, false],
      ['trades', 0, false],
    ])
    expect(refused.explanation.join('\n')).toMatch(/there was no trade in \d+ bars/)
    expect(JSON.stringify(refused)).not.toMatch(/NaN|Infinity/)
    expect(await aliasVersion(context.database, 'planted')).toBeNull()
    await expect(resolveVersion(context.database, 'planted@1')).resolves.toMatchObject({ status: 'refused' })
  })

  it('needs a test part: with two ratios a model is registered at most', async () => {
    const context = openHome()
    const { status, rows, stages, gates, test_looks, backtest } = await tell(
      context,
      'split={kind: holdout, ratios: [0.8, 0.2]}',
    )
    expect({ status, test: rows.test, gates, test_looks, backtest }).toEqual({
      status: 'registered',
      test: 0,
      gates: [],
      test_looks: 0,
      backtest: {},
    })
    expect(stages.map(({ name }) => name)).toEqual(STAGES.slice(0, -1))
    expect(await aliasVersion(context.database, 'planted')).toBeNull()
  })

  it('that is passed waits for a person under deploy: manual', async () => {
    const context = openHome()
    expect((await tell(context, 'deploy=manual')).status).toBe('registered')
    expect(await aliasVersion(context.database, 'planted')).toBeNull()
    expect((await tell(context)).status).toBe('deployed')
    expect(await aliasVersion(context.database, 'planted')).toBe(1)
  })

  it('counts the looks at the same bars, whatever the config', async () => {
    const context = openHome()
    const looks = async (...overrides: string[]) => (await tell(context, ...overrides)).test_looks
    expect([
      await looks(),
      await looks(),
      await looks('backtest.fee=0.001'),
      await looks('name=other', 'data.table=planted', 'models=[{kind: logistic}]'),
    ]).toEqual([1, 1, 2, 3])
  })
})

describe('a run on columns of its own', () => {
  it('learns from them, is told by them, and predicts from a file that has them', async () => {
    const context = openHome()
    const folder = join(context.home, '..')
    await ingest(loadConfig(put(folder, 'f.yaml', PLANTED)).config.data, context)
    const candles = await readColumns(join(context.home, 'tables/planted/1/part-all.parquet'))
    const close = numbers(candles, 'close')
    const drawn = random(1)
    const rise = close.map((now, t) => (t + 2 < close.length ? Number(close[t + 2] > now) : Number.NaN))
    const mood = rise.map(up => up + drawn.normal()) // a rumour of what comes
    const column = (name: string, values: Float64Array) => ({ name, type: 'number' as const, values })
    const file = join(folder, 'own.csv')
    await writeTable(
      { rows: candles.rows, columns: [...candles.columns, column('rise', rise), column('mood', mood)] },
      file,
    )
    const result = await run(loadConfig(put(folder, 'own.yaml', OWN)), context)
    expect(result.metrics.test.roc_auc).toBeGreaterThan(0.65)

    await promote(context.database, 'own', 1, { reason: 'to see', force: true, now: 0 })
    const out = join(folder, 'out.csv')
    // Three warm up, and the last two have no mood.
    expect(await predictFile('own', file, out, [], context)).toEqual({ rows: 1500, unanswered: 5 })
    const scored = await readColumns(out)
    const ours = await readColumns(result.files.predictions)
    const at = new Map(Array.from(numbers(scored, 'time'), (time, i) => [time, numbers(scored, 'probability')[i]]))
    // The shipped model was fitted once more: what it answers is near what was judged, at the same bars.
    const apart = Array.from(numbers(ours, 'time'), (time, i) => Math.abs(at.get(time)! - numbers(ours, 'p')[i]))
    expect(Math.max(...apart)).toBeLessThan(0.1)
  })
})

const OWN = `data: { source: { kind: file, path: own.csv }, timeframe: 1d }
features: [{ kind: column, name: mood }, { kind: expr, name: surprise, expr: "mood - lag(mood, 1)" }, { kind: roc, n: 3 }]
label: { kind: column, name: rise, horizon: 2 }
split: { kind: holdout }
models: [{ kind: logistic }]
`

describe('a run that cannot go on', () => {
  it.each([
    [
      'a manifest that is gone',
      (folder: string) => renameSync(join(folder, 'manifest.json'), join(folder, '../away')),
      /manifest/,
    ],
    ['a manifest with another byte', (folder: string) => append(join(folder, 'manifest.json')), /manifest/],
    ['a partition with another byte', (folder: string) => append(join(folder, 'part-all.parquet')), /part-all/],
  ])('stops before any fit at %s', async (_, damage, message) => {
    const context = openHome()
    await tell(context, 'models=[{kind: logistic}]')
    damage(join(context.home, 'tables/planted/1'))
    const fits = readdirSync(join(context.home, 'cache/fits'))
    await expect(tell(context)).rejects.toMatchObject({ exit: 4, message: expect.stringMatching(message) })
    expect(readdirSync(join(context.home, 'cache/fits'))).toEqual(fits)
    const [{ id, status, error }] = await listRuns(context)
    expect([status, JSON.parse(error!).message]).toEqual(['failed', expect.stringMatching(message)])
    expect((await showRun(id, context)).steps.map(({ stage }) => stage)).toEqual(['ingest'])
  })

  it.each([
    ['one class', 'label={kind: touch, horizon: 1, threshold: 5}', 'ONE_CLASS'],
    ['a horizon longer than the data', 'label.horizon=1600', 'TOO_SHORT'],
    ['a window longer than the data', 'features=[{kind: sma, n: 1600}]', 'TOO_SHORT'],
    ['too few bars to train on', 'data.source.bars=120', 'TOO_FEW_ROWS'],
    ['a constant feature', 'features=[{kind: expr, name: flat, expr: "close - close"}]', 'CONSTANT_FEATURE'],
    ['labels that are no classes', 'label={kind: column, name: close, horizon: 1}', 'LABEL_NOT_BINARY'],
  ])('says so: %s', async (_, override, code) => {
    const context = openHome()
    await expect(tell(context, override)).rejects.toMatchObject({ code, exit: 4 })
    expect((await listRuns(context))[0]).toMatchObject({ status: 'failed', error: expect.stringContaining(code) })
    expect(existsSync(join(context.home, 'cache/fits'))).toBe(false)
    expect(existsSync(join(context.home, 'models'))).toBe(false)
  })

  it('because its engine is broken keeps the reason and the last words in its row', async () => {
    const context = openHome()
    const broken = openPool({ python: pythonOf('/nowhere') }).engine
    await expect(tell({ ...context, engine: broken })).rejects.toMatchObject({ code: 'ENGINE_MISSING', exit: 5 })
    const [{ id, status, error }] = await listRuns(context)
    expect([status, JSON.parse(error!).code]).toEqual(['failed', 'ENGINE_MISSING'])
    expect((await showRun(id, context)).steps.at(-1)).toMatchObject({ stage: 'train', status: 'failed' })
    expect(readdirSync(join(context.home, 'cache/fits'))).toEqual([])
    expect((await tell(context)).status).toBe('deployed')
  })
})

function append(path: string): void {
  writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.from(' ')]))
}
