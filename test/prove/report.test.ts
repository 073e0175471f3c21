import { beforeAll, describe, expect, it, vi } from 'vitest'
import { sha256 } from '../../src/base/blobs.ts'
import { random } from '../../src/base/random.ts'
import { buyAndHold } from '../../src/prove/backtest.ts'
import { percent } from '../../src/prove/page.ts'
import { headline, type ReportData, renderReport } from '../../src/prove/report.ts'
import { simulatedBars } from './series.ts'

describe('report of a refused run', () => {
  let page: string
  beforeAll(async () => {
    page = await renderReport(sample())
  })

  it('is well formed', () => expect(unbalanced(page)).toEqual([]))

  it('answers a reader in the order of the questions', () => {
    const ids = [...page.matchAll(/<h2 id="(\w+)"/g)].map(([, id]) => id)
    expect(ids).toEqual([
      'gates',
      'equity',
      'tried',
      'folds',
      'confusion',
      'calibration',
      'importances',
      'figures',
      'origin',
      'stages',
    ])
    expect(page.match(/<h1>(.*)<\/h1>/)![1]).toBe(
      'Refused: sharpe 0.413 where &gt; 1.0 is asked, and 2 more gates fail',
    )
  })

  it('loads nothing and runs nothing', () => {
    expect(page).not.toMatch(
      /<(script|link|iframe|object|embed|img|image|use)\b|\s(src|href|xlink:href|on\w+)=|url\(|@import|https?:/i,
    )
    expect(page).toContain("default-src 'none'")
  })

  it('shows each gate with value, bound, verdict in words and buy-and-hold', () => {
    const rows = rowsOf(page, 'gates')
    expect(rows).toContainEqual([expect.stringMatching(/^sharpe/), '0.413', '&gt; 1.0', '✗ fail', '0.940'])
    expect(rows).toContainEqual([expect.stringMatching(/^trades/), '34', '&gt;= 20', '✓ pass', '1'])
    expect(rows).toContainEqual([
      expect.stringMatching(/^excess/),
      '–',
      '&gt; 0.90',
      expect.stringMatching(/^✗ fail undefined: /),
      '',
    ])
  })

  it('says how much was tried, the best first, the chosen one framed', () => {
    const { leaderboard, grid, selected } = sample()
    const rows = rowsOf(page, 'tried')
    expect(page).toContain('160 combinations')
    expect(rows.slice(1, 17).map(row => row[0])).toEqual(leaderboard.map(({ id }) => id))
    expect(rows[18]).toHaveLength(1 + grid.thresholds.length)
    const best = grid.values[grid.candidates.indexOf(selected.id)][grid.thresholds.indexOf(selected.threshold!)]
    expect(page.match(/class="up chosen"[^>]*>([^<]*)</)![1]).toBe(best!.toFixed(2))
  })

  it('draws each chart for wide and narrow pages, with a caption', () => {
    expect(page.match(/<svg class="broad"/g)).toHaveLength(2)
    expect(page.match(/<svg class="narrow"/g)).toHaveLength(2)
    expect(page.match(/<svg /g)).toHaveLength(5)
    expect(page.match(/role="img" aria-label="[^"]{20,}"/g)).toHaveLength(3)
    expect(page.match(/<figcaption>[^<]{20,}/g)).toHaveLength(3)
  })

  it('uses only colours that the page defines', () => {
    const used = new Set([...page.matchAll(/var\(--(\w+)\)/g)].map(([, name]) => name))
    for (const name of used) if (name !== 'tint' && name !== 'hue') expect(page).toContain(`--${name}: #`)
    expect(page.match(/<svg.*?<\/svg>/gs)!.join('')).not.toMatch(/(fill|stroke)="#/)
  })

  it('gives equal bytes for equal data, and leaves no timer behind', async () => {
    const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
    const before = timers()
    expect(sha256(await renderReport(sample()))).toBe(sha256(page))
    await vi.waitFor(() => expect(timers()).toBeLessThanOrEqual(before))
  })

  it('keeps its structure whatever the texts are', async () => {
    const hostile = await renderReport(poisoned(sample()))
    expect(skeleton(hostile)).toEqual(skeleton(page))
  })

  it('has robustness and the learning curve where they were measured', async () => {
    const effect = { value: 0.7, change: 0.034, roc_auc: 0.51 }
    const robustness = (feature: string) => ({
      ...{ metric: 'log_loss' as const, rows: 2000, of: 3000, baseline: { value: 0.677, change: 0, roc_auc: 0.55 } },
      noise: [{ share: 0.01, ...effect }],
      missing: [{ feature, as: 'mean' as const, ...effect }],
      ...{ missing_mean: effect, missing_tried: 24 },
      shifted: [
        { factor: 1.05, offset: 0, ...effect },
        { factor: 1, offset: -0.5, value: null, change: null, roc_auc: null },
      ],
    })
    const epoch = (epoch: number, stop_loss: number | null) => ({
      ...{ epoch, train_loss: 0.7 - epoch / 100, stop_loss, learning_rate: 0.001, seconds: 2 },
    })
    const told = await renderReport({
      ...sample(),
      robustness: robustness('rsi_14'),
      history: [epoch(1, 0.69), epoch(2, 0.7)],
    })
    expect(unbalanced(told)).toEqual([])
    expect(rowsOf(told, 'robustness')).toEqual([
      ['Disturbed', 'log_loss', 'Change, %', 'ROC AUC'],
      ['nothing', '0.677', '0.0', '0.550'],
      ['noise of 1 % of a deviation', '0.700', '3.4', '0.510'],
      ['without rsi_14, at its mean', '0.700', '3.4', '0.510'],
      ['without one feature, mean of 24', '0.700', '3.4', '0.510'],
      ['every number × 1.05', '0.700', '3.4', '0.510'],
      ['every number − half a deviation', '–', '–', '–'],
    ])
    expect(told).toContain('2,000 of the 3,000 validation rows of the last fold, evenly taken')
    expect(told).toContain(
      '2 epochs in 4 s: the training loss went from 0.690 to 0.680. That of the rows held out was lowest, 0.690, in epoch 1.',
    )
    const hostile = await renderReport({ ...sample(), robustness: robustness(POISON), history: [epoch(1, null)] })
    expect(unbalanced(hostile)).toEqual([])
    expect(hostile).toContain('1 epoch in 2 s: the training loss went from 0.690 to 0.690.')
    expect(hostile).not.toContain('<script')
  })
})

describe('report', () => {
  it('stays below 1 MB with 1e6 bars and 50 x 10 combinations, and keeps a crash of one bar', async () => {
    const time = Array.from({ length: 1e6 }, (_, i) => i * 60_000)
    const benchmark = time.map((_, i) => 1e6 * (1.2 + Math.sin(i / 30_000)))
    const equity = time.map((_, i) => (i === 654_321 ? 1e5 : 1e6 + i))
    const page = await renderReport({ ...sample({ models: 50 }), test: { cash: 1e6, time, equity, benchmark } })
    expect(Buffer.byteLength(page)).toBeLessThan(1e6)
    expect(page).toContain(`>−${(100 * (1 - 1e5 / (1e6 + 654_320))).toFixed(1)} %<`)
  })

  it('tells the return from the starting cash, as total_return does', async () => {
    const bars = simulatedBars(300)
    const { equity, metrics } = buyAndHold(bars, { fill: 'close', fee: 0.1, cash: 5000 })
    const test = { cash: 5000, time: [...bars.time], equity: [...equity], benchmark: [...equity] }
    const page = await renderReport({ ...sample(), test })
    expect(page).toContain(`the strategy returned ${percent(metrics.total_return)} and`)
  })

  it('says what is missing where a part has nothing to show', async () => {
    const data = sample()
    const page = await renderReport({
      ...data,
      ...{ status: 'registered', test: null, outcome: null, importances: null, folds: [], stages: [], backtest: {} },
      grid: { candidates: ['logistic-1'], thresholds: [], quantiles: false, values: [[]] },
      rows: { ...data.rows, test: 0 },
      verdict: { pass: true, gates: [], explanation: [], test_looks: 0 },
    })
    expect(unbalanced(page)).toEqual([])
    for (const text of [
      'no test part to trade on',
      'gives no importances',
      'There are no folds',
      'No gate was asked for',
    ])
      expect(page).toContain(text)
    expect(page).not.toMatch(/NaN|Infinity|undefined<|null</)
  })
})

it.each<[string, Partial<ReportData>, string]>([
  ['a market', {}, 'which acts when its probability is at least 0.700.'],
  [
    'both ways',
    { mode: 'long_short' },
    'which buys when its probability is at least 0.700, and sells short when it is at most 0.300.',
  ],
  [
    'numbers, both ways',
    { mode: 'long_short', task: 'regression' },
    'which buys when its prediction is at least 0.700, and sells short when it is at most −0.700.',
  ],
])('says when the model acts: %s', async (_, changes, said) => {
  const data = sample()
  const page = await renderReport({ ...data, selected: { ...data.selected, threshold: 0.7 }, ...changes })
  expect(page.replaceAll(/<[^>]*>/g, '')).toContain(said)
})

describe('headline', () => {
  const data = sample()
  const gate = (value: number | null, bound: string, pass: boolean) => ({ name: 'sharpe', value, bound, pass })
  const said = (more: Partial<ReportData>, ...gates: ReturnType<typeof gate>[]) =>
    headline({ ...data, ...more, verdict: { pass: false, gates, explanation: [], test_looks: 1 } })

  it.each([
    [said({}, gate(0.41, '> 1.0', false)), 'Refused: sharpe 0.410 where > 1.0 is asked'],
    [said({}, gate(0.9996, '> 1.0', false)), 'Refused: sharpe 0.9996 where > 1.0 is asked'],
    [said({}, gate(1, '> 1.0', false)), 'Refused: sharpe 1 where > 1.0 is asked'],
    [
      said({}, gate(null, '> 1.0', false), gate(0, '> 0', false)),
      'Refused: sharpe is undefined where > 1.0 is asked, and 1 more gate fails',
    ],
    [
      said({ status: 'deployed', version: 3 }, gate(2, '> 1.0', true)),
      'Passed its only gate and is champion, version 3',
    ],
    [
      said({ status: 'registered' }, gate(2, '> 1.0', true), gate(2, '> 1.5', true)),
      'Passed all 2 gates and is registered',
    ],
    [
      said({ status: 'registered', rows: { ...data.rows, test: 0 }, version: 1 }),
      'Judged by no gate, for there is no test part; it is registered, version 1',
    ],
  ])('%s', (is, expected) => expect(is).toBe(expected))
})

/** Tags that are not closed, or not in the order of their opening. */
function unbalanced(page: string): string[] {
  const open: string[] = []
  for (const [tag, close, name, empty] of page.matchAll(/<(\/?)([a-z][\w:]*)[^<>]*?(\/?)>/gi)) {
    if (empty) continue
    if (!close) open.push(name)
    else if (open.pop() !== name) return [tag]
  }
  return open
}

/** The names of all tags and attributes outside drawings, in order. */
const skeleton = (page: string): string[] =>
  [...page.replaceAll(/<svg.*?<\/svg>/gs, '').matchAll(/<(\/?[a-z][\w]*)((?:\s[\w:-]+="[^"<>]*")*)\s*\/?>/gi)].map(
    ([, name, attributes]) => `${name}${attributes.replaceAll(/="[^"]*"/g, '')}`,
  )

/** The cells of each table row of a section, without their markup. */
const rowsOf = (page: string, id: string): string[][] => {
  const section = page.slice(page.indexOf(`<section aria-labelledby="${id}"`)).split('</section>')[0]
  return [...section.matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell.replaceAll(/<[^>]*>/g, '')),
  )
}

const POISON = `</title></style></td></svg><script>alert(1)</script><img src=x onerror="alert('1')">&lt;\0"'`

/** The same data with every text that a user can choose replaced. */
function poisoned(data: ReportData): ReportData {
  const id = (text: string) => `${text}${POISON}`
  const params = (object: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(object).map(([name, value]) => [id(name), id(String(value))]))
  return {
    ...data,
    run: POISON,
    name: POISON,
    data: { ...data.data, table: POISON, digest: POISON, timeframe: POISON, symbols: [POISON] },
    selected: { ...data.selected, id: id(data.selected.id), kind: POISON, params: params(data.selected.params) },
    leaderboard: data.leaderboard.map(entry => ({
      ...entry,
      id: id(entry.id),
      kind: id(entry.kind),
      params: params(entry.params),
    })),
    grid: { ...data.grid, candidates: data.grid.candidates.map(id) },
    importances: Object.fromEntries(Object.entries(data.importances!).map(([name, share]) => [id(name), share])),
    verdict: {
      ...data.verdict,
      gates: data.verdict.gates.map(gate => ({
        ...gate,
        bound: `${gate.bound}${POISON}`,
        reason: gate.reason && POISON,
      })),
      explanation: data.verdict.explanation.map(() => POISON),
    },
    lineage: data.lineage.map(() => ({ name: POISON, value: POISON })),
    stages: data.stages.map(stage => ({ ...stage, name: POISON })),
    warnings: [POISON],
  }
}

const DAY = 86_400_000

/** A plausible run of `models` x `thresholds` with `bars` test bars. */
function sample({ bars = 331, models = 16, thresholds = 10 } = {}): ReportData {
  const { next, normal } = random(1)
  const start = Date.UTC(2018, 8, 10)
  const time = Array.from({ length: bars }, (_, i) => start + i * DAY)
  const walk = (mean: number, deviation: number) => {
    let value = 1e6
    return time.map((_, i) => (i === 0 ? value : (value *= 1 + mean + deviation * normal())))
  }
  const kinds = ['logistic', 'random_forest', 'xgboost', 'lightgbm']
  const values = Array.from({ length: models }, () => {
    const level = 0.4 + 0.6 * normal()
    return Array.from({ length: thresholds }, (_, j) =>
      j > thresholds * 0.7 && next() < 0.5 ? null : level - 0.03 * (j - 5) ** 2 + 0.2 * normal(),
    )
  })
  const grid = Array.from({ length: models }, (_, i) => ({
    id: `${kinds[i % 4]}-${1 + Math.floor(i / 4)}`,
    kind: kinds[i % 4],
    params:
      i % 4 === 0
        ? { C: 10 ** (Math.floor(i / 4) - 3), max_iter: 1000 }
        : {
            n_estimators: 300,
            max_depth: 2 + (Math.floor(i / 4) % 2) * 2,
            learning_rate: i % 8 < 4 ? 0.03 : 0.1,
            class_weight: null,
          },
  }))
  const levels = Array.from({ length: thresholds }, (_, j) => Number((0.3 + 0.05 * j).toFixed(2)))
  const board = grid
    .map((candidate, i) => {
      const best = values[i].reduce<number>((a, v, j) => (v !== null && v > (values[i][a] ?? -9) ? j : a), 0)
      return {
        ...candidate,
        threshold: levels[best],
        metrics: {
          sharpe: values[i][best],
          max_drawdown: 0.1 + 0.1 * next(),
          trades: Math.floor(20 + 60 * next()),
          roc_auc: 0.5 + 0.06 * next(),
          log_loss: 0.68 + 0.02 * next(),
          win_rate: 0.4 + 0.2 * next(),
        },
      }
    })
    .sort((a, b) => (b.metrics.sharpe ?? -9) - (a.metrics.sharpe ?? -9))
  const chosen = board[0]
  const features = [
    'rsi_14',
    'close_to_sma',
    'macd_12_26_9_hist',
    'rsi_14@1w',
    'atr_14',
    'adx_14',
    'mfi_14',
    'zscore_20',
    'logret_1',
    'logret_5',
    'realvol_20_sample',
    'stoch_14_3_3_k',
    'cci_20',
    'willr_14',
    'aroon_25_up',
    'aroon_25_down',
    'bb_20_2_upper',
    'roc_10',
    'mom_10',
    'obv',
    'natr_14',
    'plus_di_14',
    'minus_di_14',
    'stddev_pop_20',
  ]
  const [equity, benchmark] = [walk(0.0006, 0.007), walk(0.0003, 0.011)]
  const gain = (values: number[]) => values[values.length - 1] / values[0] - 1
  const fall = (values: number[]) => {
    let [peak, worst] = [0, 0]
    for (const v of values) {
      peak = Math.max(peak, v)
      worst = Math.max(worst, 1 - v / peak)
    }
    return worst
  }
  const shares = features.map(() => next() ** 3 + 0.01)
  const total = shares.reduce((a, b) => a + b)
  return {
    format: 1,
    run: '2025-11-21-7f3a91',
    name: 'sp500',
    created: Date.UTC(2025, 10, 21, 11, 42),
    status: 'refused',
    task: 'binary',
    market: true,
    mode: 'long',
    data: {
      table: 'sp500_1d',
      version: 3,
      digest: '5f2b1c0de9a84771b3f6c2ad90e1475860c7a1de5b9f40328d6e7ab1c4f09352',
      rows: 5283,
      from: Date.UTC(2000, 0, 3),
      to: Date.UTC(2020, 11, 31),
      symbols: [],
      timeframe: '1d',
    },
    rows: { train: 1530, valid: 320, test: 331, purged: 20 },
    refit: 'all',
    selected: { id: chosen.id, kind: chosen.kind, params: chosen.params, threshold: chosen.threshold, iterations: 87 },
    by: 'sharpe',
    leaderboard: board,
    grid: { candidates: grid.map(c => c.id), thresholds: levels, quantiles: false, values },
    folds: Array.from({ length: 5 }, (_, i) => ({
      index: i,
      from: Date.UTC(2010, 2 + 15 * i, 4),
      to: Date.UTC(2010, 2 + 15 * (i + 1), 2),
      rows: 320,
      metrics: { roc_auc: 0.5 + 0.05 * normal(), log_loss: 0.69 + 0.01 * normal(), sharpe: i === 2 ? null : normal() },
    })),
    spread: { roc_auc: { mean: 0.52, deviation: 0.03, min: 0.49, max: 0.55, folds: 5 } },
    symbols: [],
    test: { cash: 1e6, time, equity, benchmark },
    outcome: {
      classes: ['0', '1'],
      confusion: [
        [120, 60],
        [70, 81],
      ],
      roc_auc: [0.522, 0.522],
      calibration: [
        {
          name: '1',
          bins: [0.25, 0.35, 0.44, 0.55, 0.64, 0.75].map((mean, i) => ({
            mean: mean + 0.02 * normal(),
            observed: 0.15 + 0.75 * mean + 0.04 * normal(),
            count: [14, 58, 120, 92, 38, 9][i],
          })),
        },
      ],
    },
    importances: Object.fromEntries(features.map((name, i) => [name, shares[i] / total])),
    verdict: {
      pass: false,
      gates: [
        { name: 'sharpe', value: 0.4127, bound: '> 1.0', pass: false },
        { name: 'max_drawdown', value: fall(equity), bound: '< 0.30', pass: true },
        { name: 'win_rate', value: 0.5312, bound: '> 0.50', pass: true },
        { name: 'trades', value: 34, bound: '>= 20', pass: true },
        { name: 'probabilistic_sharpe', value: 0.6811, bound: '> 0.95', pass: false },
        {
          name: 'excess_sharpe_probability',
          value: null,
          bound: '> 0.90',
          pass: false,
          reason: 'undefined: the difference to the market does not vary',
        },
      ],
      explanation: [
        'sharpe is short of its bound by 0.587. It would take a mean return per bar 2.4 times as high at the same risk.',
        'probabilistic_sharpe is short by 0.269: at this Sharpe it would take 4,012 bars, 12 times as many, to be that sure.',
      ],
      test_looks: 1,
    },
    metrics: {
      valid: {
        sharpe: chosen.metrics.sharpe,
        total_return: 0.144,
        max_drawdown: 0.09,
        trades: 41,
        roc_auc: 0.541,
        log_loss: 0.6871,
        brier: 0.247,
        deflated_sharpe: 0.612,
        profit_factor: null,
      },
      test: {
        accuracy: 0.534,
        precision: 0.55,
        recall: 0.49,
        f1: 0.518,
        roc_auc: 0.522,
        log_loss: 0.6914,
        brier: 0.2489,
        mcc: 0.00004,
      },
    },
    backtest: {
      total_return: gain(equity),
      cagr: 0.053,
      sharpe: 0.4127,
      sortino: 0.56,
      calmar: 0.289,
      max_drawdown: fall(equity),
      win_rate: 0.5312,
      profit_factor: 1.21,
      trades: 34,
      exposure: 0.42,
      turnover: 51.2,
      probabilistic_sharpe: 0.6811,
    },
    benchmark: {
      total_return: gain(benchmark),
      cagr: 0.177,
      sharpe: 0.94,
      sortino: 1.2,
      calmar: 0.52,
      max_drawdown: fall(benchmark),
      win_rate: 1,
      profit_factor: null,
      trades: 1,
      exposure: 0.997,
      turnover: 1.5,
      probabilistic_sharpe: 0.861,
    },
    lineage: [
      { name: 'git commit', value: '8b6134f29c1d7e (uncommitted changes)' },
      { name: 'seed', value: '42' },
      { name: 'dataset digest', value: 'a91c04e7d2f8b36550e1c97f83ad26b4' },
      { name: 'engine', value: 'xgboost 3.2.0, scikit-learn 1.9.0, onnx 1.23' },
      { name: 'bundle sha256', value: 'c04f17be29d0a6e8135f7c9b2ad4e0867153bc9ef0d2a486' },
      { name: 'parity', value: 'largest difference 3.1e-7 on 331 rows (allowed 1e-6)' },
    ],
    stages: [
      ['ingest', 0.41, 1, 96],
      ['build', 0.22, 1, 104],
      ['dataset', 0.19, 0, 131],
      ['train', 21.9, 0, 412.3],
      ['select', 0.03, 0, 140],
      ['gate', 0.02, 0, 140],
      ['register', 1.8, 0, null],
    ].map(([name, seconds, cached, memory]) => ({
      name: name as string,
      seconds: seconds as number,
      cached: cached === 1,
      peak_memory_mb: memory as number | null,
    })),
    warnings: ['label distribution of training and validation parts differ (K-S p = 0.81)'],
  }
}
