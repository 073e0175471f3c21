// What is typed wrong and what is read that is broken: exit codes, one line that says what and where, nothing half-written.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { writeTable } from '../src/data/files.ts'
import { json, sluice } from './command.ts'
import { PLANTED } from './planted.ts'
import { describeShared, shared } from './shared.ts'
import { put, temporaryFolder } from './temporary.ts'

const HEADER = 'time,open,high,low,close,volume\n'
const bars = (n: number): string =>
  Array.from({ length: n }, (_, i) => `${new Date(i * 86_400_000).toISOString()},10,11,9,${10 + (i % 2) / 2},5\n`).join(
    '',
  )

const fileConfig = (path: string): string =>
  PLANTED.replace(/source: .*/, `source: { kind: file, path: ${JSON.stringify(path)} }`)

describe('a command line', () => {
  it.each([
    ['no command', []],
    ['an unknown command', ['explode']],
    ['an unknown option', ['runs', 'list', '--explode']],
    ['a missing option', ['run']],
    ['a missing argument', ['runs', 'show']],
    ['a config that is not there', ['run', '-c', 'none.yaml']],
    ['no home', ['runs', 'list']],
    ['a run that is not there', ['runs', 'show', 'x', '--home', 'h']],
    ['a model that is not there', ['models', 'show', 'x', '--home', 'h']],
    ['a name that is a path', ['models', 'show', '../../etc', '--home', 'h']],
    ['a choice that is none', ['metrics', '--task', 'ranking', '--input', 'x.csv']],
    ['a --set without a value', ['config', 'show', '-c', 'f.yaml', '--set', 'seed']],
  ])('with %s ends with 2 and says why', async (_, args) => {
    const folder = temporaryFolder()
    put(folder, 'f.yaml', PLANTED)
    const { code, out, err } = await sluice(folder, ...args)
    expect([code, out]).toEqual([2, ''])
    expect(err).not.toBe('')
    expect(err).not.toMatch(/\n\s+at /)
  })

  it.each([[['--help']], [['run', '--help']], [['models', 'promote', '--help']]])('asks for help: %j', async args => {
    expect(await sluice(temporaryFolder(), ...args)).toMatchObject({
      code: 0,
      out: expect.stringContaining('Usage: sluice'),
    })
  })

  it('gives an error as one JSON document, its words on stderr', async () => {
    const folder = temporaryFolder()
    put(folder, 'f.yaml', `${PLANTED}seeds: 3\n`)
    const { code, out, err } = await sluice(folder, 'run', '-c', 'f.yaml', '--json')
    const problem = 'f.yaml:14:1: unknown key seeds; did you mean seed?'
    expect([code, JSON.parse(out)]).toMatchObject([
      2,
      { error: { code: 'CONFIG', message: problem, detail: { problems: [problem] } } },
    ])
    expect(err.split('\n')[0]).toBe(`error CONFIG: ${problem}`)
    expect(readdirSync(folder)).toEqual(['f.yaml'])
  })

  it('finds its home: --home, then SLUICE_HOME, then beside the config', async () => {
    const folder = temporaryFolder()
    put(folder, 'deep/f.yaml', PLANTED)
    await json(folder, ['ingest', '-c', 'deep/f.yaml', '--home', 'given'])
    await json(folder, ['ingest', '-c', 'deep/f.yaml'])
    expect([existsSync(join(folder, 'given/store.db')), existsSync(join(folder, 'deep/.sluice/store.db'))]).toEqual([
      true,
      true,
    ])
    mkdirSync(join(folder, 'deep/below'))
    expect((await json(join(folder, 'deep/below'), ['runs', 'list'])).runs).toHaveLength(1)
  })
})

describe('an input file', () => {
  const broken: [what: string, name: string, write: (path: string) => unknown][] = [
    ['empty', 'x.csv', path => put('/', path, '')],
    ['a header only', 'x.csv', path => put('/', path, HEADER)],
    [
      'binary garbage',
      'x.csv',
      path =>
        put(
          '/',
          path,
          Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256),
        ),
    ],
    ['without a needed column', 'x.csv', path => put('/', path, 'time,open\n2020-01-01,1\n')],
    ['of bad rows only', 'x.csv', path => put('/', path, `${HEADER}x,1,2,3,4,5\n`)],
    ['no Parquet at all', 'x.parquet', path => put('/', path, HEADER + bars(50))],
    ['no Arrow at all', 'x.feather', path => put('/', path, HEADER + bars(50))],
    ['no Avro at all', 'x.avro', path => put('/', path, HEADER + bars(50))],
    ['cut JSON', 'x.json', path => put('/', path, '[{"time": "2020-01-01", "open": 1}')],
    ['no JSON in any line', 'x.jsonl', path => put('/', path, HEADER + bars(5))],
    ['Parquet by another name', 'x.csv', path => put('/', path, Buffer.from('PAR1\x15\x04\x15\x00PAR1'))],
    [
      'truncated Parquet',
      'x.parquet',
      async path => {
        await writeTable({ rows: 100, columns: [{ name: 'time', type: 'time', values: new Float64Array(100) }] }, path)
        put('/', path, readFileSync(path).subarray(0, 200))
      },
    ],
  ]

  it.each(broken)('that is %s ends an ingest with 4, one line, and no table', async (_, name, write) => {
    const folder = temporaryFolder()
    const path = join(folder, name)
    await write(path)
    put(folder, 'f.yaml', fileConfig(name))
    const { code, out, err } = await sluice(folder, 'ingest', '-c', 'f.yaml', '--quiet')
    expect([code, out]).toEqual([4, ''])
    const [line, ...rest] = err
      .trimEnd()
      .split('\n')
      .filter(text => !text.startsWith('next: '))
    expect(line).toMatch(/^error [A-Z_]+: /)
    expect(rest).toEqual([])
    const tables = join(folder, '.sluice/tables/planted')
    expect(existsSync(tables) ? readdirSync(tables).filter(entry => entry !== 'quarantine') : []).toEqual([])
    expect((await json(folder, ['runs', 'list'])).runs).toMatchObject([{ status: 'failed' }])
  })

  it('of every format in one folder is one table', async () => {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'prices'))
    const lines = bars(300).split('\n')
    const names = HEADER.trim().split(',')
    const record = (line: string) => Object.fromEntries(line.split(',').map((cell, i) => [names[i], cell]))
    put(folder, 'prices/1.csv', `${HEADER}${lines.slice(0, 100).join('\n')}\n`)
    put(
      folder,
      'prices/2.jsonl',
      lines
        .slice(100, 200)
        .map(line => JSON.stringify(record(line)))
        .join('\n'),
    )
    put(folder, 'prices/3.json', JSON.stringify(lines.slice(200, 300).map(record)))
    put(folder, 'all.csv', HEADER + bars(300))
    put(folder, 'f.yaml', fileConfig('prices'))
    const whole = await json(folder, ['ingest', '-c', 'f.yaml', '--set', 'data.source.path=all.csv'])
    const { version, digest } = await json(folder, ['ingest', '-c', 'f.yaml'])
    expect(digest).toBe(whole.digest)
    expect(await json(folder, ['ingest', '-c', 'f.yaml', '--set', 'data.source.path=prices/*'])).toMatchObject({
      version,
      digest,
    })
  })

  it('that ends in the middle of a row loses that row, and says so', async () => {
    const folder = temporaryFolder()
    put(folder, 'x.csv', (HEADER + bars(300)).slice(0, -8))
    put(folder, 'f.yaml', fileConfig('x.csv'))
    const result = await json(folder, ['ingest', '-c', 'f.yaml'])
    expect(result).toMatchObject({ read: 300, accepted: 299, rejected: 1, duplicates: 0, reasons: { COLUMN_COUNT: 1 } })
    expect(readFileSync(result.quarantine, 'utf8')).toContain('301')
    expect(await json(folder, ['ingest', '-c', 'f.yaml', '--set', 'data.on_bad_row=fail'], 4)).toMatchObject({
      error: { code: 'BAD_ROW' },
    })
  })

  it.each([
    [['backtest', '--candles', 'none.csv', '--signals', 'x.csv']],
    [['backtest', '--candles', 'x.csv', '--signals', 'none.csv']],
    [['metrics', '--task', 'binary', '--input', 'none.csv']],
    [['metrics', '--task', 'binary', '--input', 'x.csv']],
  ])('that is not there or not right ends %j with 4', async args => {
    const folder = temporaryFolder()
    put(folder, 'x.csv', HEADER + bars(30))
    const { code, err } = await sluice(folder, ...args)
    expect([code, err]).toEqual([4, expect.stringMatching(/^error [A-Z_]+: .*\n(next: .*\n)?$/)])
  })
})

describeShared('the reference files', () => {
  it('of signals on candles give the reference figures', async () => {
    const folder = temporaryFolder()
    const [, ...lines] = readFileSync(shared('backtest/sp500_sma20_50_vectorised.csv'), 'utf8').trim().split('\n')
    const rows = lines.map(line => line.split(','))
    put(folder, 'signals.csv', `time,signal\n${rows.map(([time, , signal]) => `${time},${signal}\n`).join('')}`)
    const candles = shared('candles/sp500_1d_2000_2020.csv')
    const args = [
      'backtest',
      '--candles',
      candles,
      '--signals',
      'signals.csv',
      '--accounting',
      'returns',
      '--fee',
      '0.001',
      '--periods-per-year',
      '252',
    ]
    const { metrics, trades, benchmark } = await json(folder, args)
    const expected = JSON.parse(readFileSync(shared('backtest/sp500_sma20_50.json'), 'utf8')).part_B_vectorised.cost10bp
    expect(metrics.total_return).toBeCloseTo(expected.total_return, 9)
    expect(metrics.sharpe).toBeCloseTo(expected.sharpe_rf0_ddof1, 9)
    expect(metrics.max_drawdown).toBeCloseTo(-expected.max_drawdown, 9)
    expect(trades).toHaveLength(expected.trades.n)
    expect(benchmark.trades).toBe(1)
  })

  it('of truths and scores give the reference metrics', async () => {
    const folder = temporaryFolder()
    const { y_true, y_score } = JSON.parse(readFileSync(shared('metrics/inputs.json'), 'utf8')).binary
    put(folder, 'm.csv', `y_true,y_score\n${y_true.map((y: number, i: number) => `${y},${y_score[i]}\n`).join('')}`)
    const { metrics } = await json(folder, ['metrics', '--task', 'binary', '--input', 'm.csv', '--threshold', '0.3'])
    const expected = JSON.parse(readFileSync(shared('metrics/reference.json'), 'utf8')).reference.binary['th_0.3']
    for (const name of ['accuracy', 'precision', 'recall', 'f1', 'roc_auc', 'average_precision', 'brier', 'mcc'])
      expect([name, metrics[name]]).toEqual([name, expect.closeTo(expected[name], 12)])
  })
})
