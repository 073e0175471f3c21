import { describe, expect, it } from 'vitest'
import type { IngestResult } from '../src/data/ingest.ts'
import type { RunResult } from '../src/pipeline.ts'
import { built, ingested, ran, runDetail, trained } from '../src/show.ts'

const best = { id: 'ridge-1', kind: 'ridge', params: { alpha: 1 }, threshold: null, metrics: { rmse: 2, r2: 0.5 } }

const result = {
  run: 'r',
  status: 'registered',
  task: 'regression',
  market: false,
  seconds: 1,
  stages: [{ name: 'train', seconds: 1, cached: false, peak_memory_mb: 100 }],
  rows: { train: 60, valid: 20, test: 20, purged: 0 },
  folds: 5,
  combinations: 2,
  selected: best,
  leaderboard: [best],
  spread: { rmse: { mean: 2.1, deviation: 0.25, min: 1.9, max: 2.5, folds: 5 } },
  metrics: { valid: best.metrics, test: best.metrics },
  backtest: {},
  benchmark: {},
  symbols: [],
  gates: [{ name: 'skill', value: 0.3, bound: '> 0', pass: true }],
  explanation: [],
  test_looks: 2,
  model: { name: 'diabetes', version: 1, digest: 'd' },
  warnings: [],
  files: { report: 'report.html' },
} as unknown as RunResult

describe('a run', () => {
  it('of a table is told without a word of trading, with the spread over its folds', () => {
    const text = ran(result)
    expect(text).not.toMatch(/trade|hold|bar|sharpe|threshold/)
    expect(text).toMatch(/over the folds +mean +deviation +min +max\nrmse +2\.1 +0\.25 +1\.9 +2\.5/)
    expect(text).toMatch(/gate +value +bound +verdict\nskill +0\.3 +> 0 +pass/)
    expect(text).toContain('look 2 at these test rows')
  })

  it('of several symbols lists them', () => {
    const figures = { total_return: 0.1, sharpe: 1.5, max_drawdown: 0.2, trades: 7, exposure: 0.5 }
    const text = ran({
      ...result,
      market: true,
      folds: 1,
      selected: { ...best, threshold: 0.0123456 },
      symbols: [{ symbol: 'btc', rows: 20, metrics: {}, backtest: figures, benchmark: { total_return: -0.3 } }],
    } as unknown as RunResult)
    expect(text).toMatch(
      /symbol +bars +total_return +sharpe +max_drawdown +trades +buy and hold\nbtc +20 +0\.1 +1\.5 +0\.2 +7 +-0\.3/,
    )
    expect(text).toContain('ridge-1 at threshold 0.01235')
    expect(text).not.toContain('over the folds')
  })
})

it('candidates are told by the figures of their task', () => {
  expect(trained([best]).split('\n')[0]).toMatch(/^candidate +rmse +r2 +parameters$/)
})

it('rows without a time are neither bars nor between two times', () => {
  const table = { table: 't', version: 1, created: true, read: 3, accepted: 3, rejected: 0, duplicates: 0 }
  const nothing = { reasons: {}, broken: [], quarantine: null, timeframe: null, from: null, to: null }
  const text = ingested({ ...table, ...nothing } as unknown as IngestResult)
  expect(text).toBe('t@1: 3 rows\nread 3 = accepted 3 + rejected 0 + duplicates 0')
  const one = { rows: 3, features: ['a'], label: 'column', warmup: 0, horizon: 0, seconds: 0.1 }
  expect(built(one)).toBe('3 rows x 1 features in 0.1 s; label column\na')
})

describe('a run', () => {
  it('is shown with what it measured, a quantity in a line', () => {
    const summary = { run: 'r', name: 'm', command: 'train', status: 'done' as const, started: null, finished: null }
    const measured = Array.from({ length: 31 }, (_, fold) => ({
      ...{ series: `cnn-1/fold-${fold}`, name: 'loss', points: 20, step: 19, last: 0.25, min: 0.2, max: null },
    }))
    const more = { seconds: 1, git_commit: null, git_dirty: null, reason: null, config: {}, result: null, error: null }
    const text = runDetail({ ...summary, ...more, steps: [], measured })
    expect(text).toMatch(/^series +name +points +step +last +min +max$/m)
    expect(text).toMatch(/^cnn-1\/fold-0 +loss +20 +19 +0\.25 +0\.2 +–$/m)
    expect(text).toContain('and 1 more')
    expect(text).not.toContain('fold-30')
  })
})
