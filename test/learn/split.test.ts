import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  indices,
  type Range,
  type Split,
  type SplitRows,
  size,
  split,
  splitSchema,
  walkForward,
} from '../../src/learn/split.ts'
import { describeShared, shared } from '../shared.ts'

const config = (rest: object = {}) => splitSchema.parse(rest)

/** n daily rows of one symbol whose labels look `horizon` bars ahead. */
function series(n: number, horizon: number): SplitRows {
  const day = (i: number) => i * 86_400_000
  return {
    time: Float64Array.from({ length: n }, (_, i) => day(i)),
    end: Float64Array.from({ length: n }, (_, i) => day(i + horizon)),
  }
}

const sizes = ({ train, valid, test, purged }: Split) => [size(train), size(valid), size(test), purged]

describe('split sizes', () => {
  it('are floor(cumulated ratio x n) before purging', () => {
    expect(sizes(split(series(2201, 0), config()))).toEqual([1540, 330, 331, 0])
  })

  it('lose horizon + embargo rows at the end of train and of validation', () => {
    expect(sizes(split(series(2201, 5), config({ embargo: 5 })))).toEqual([1530, 320, 331, 20])
  })

  it.each([
    [
      [0.6, 0.2, 0.2],
      [600, 200, 200, 0],
    ],
    [
      [0.8, 0.2],
      [800, 200, 0, 0],
    ],
    [
      [0.1, 0.2, 0.7],
      [100, 200, 700, 0],
    ],
  ])('take other ratios: %j', (ratios, expected) => {
    expect(sizes(split(series(1000, 0), config({ ratios })))).toEqual(expected)
  })

  it('shorten the earlier part only', () => {
    const { train, valid, test } = split(series(1000, 7), config())
    expect([train, valid, test]).toEqual([[[0, 693]], [[700, 843]], [[850, 1000]]])
  })
})

describe('folds', () => {
  it('end with train and validation of the ratios', () => {
    const made = split(series(2201, 5), config({ embargo: 5 }))
    expect(made.folds).toHaveLength(5)
    expect(made.folds.at(-1)).toMatchObject({ index: 4, train: made.train, valid: made.valid })
    expect(made.folds.map(fold => fold.valid)).toEqual([260, 580, 900, 1220, 1540].map(from => [[from, from + 320]]))
    expect(made.folds.map(fold => fold.train)).toEqual([250, 570, 890, 1210, 1530].map(to => [[0, to]]))
  })

  it('never keep more rows than the training part when the window rolls', () => {
    const { folds, train } = split(series(4000, 3), config({ window: 'rolling', ratios: [0.3, 0.1, 0.6], folds: 3 }))
    expect(folds.map(fold => size(fold.train))).toEqual([403, 800, size(train)])
    const rolled = walkForward(series(1000, 3), [[0, 1000]], { folds: 3, length: 100, embargo: 2, keep: 250 })
    expect(rolled.map(fold => fold.train)).toEqual([[[445, 695]], [[545, 795]], [[645, 895]]])
  })

  it('are one for a holdout', () => {
    const made = split(series(1000, 5), config({ kind: 'holdout' }))
    expect(made.folds).toHaveLength(1)
    expect(made.folds[0]).toMatchObject({ train: made.train, valid: made.valid })
  })

  it('drop out with a warning under 100 rows', () => {
    const { folds, warnings } = split(series(1000, 25), config({ folds: 6 }))
    expect(folds.map(fold => size(fold.train))).toEqual([175, 300, 425, 550, 675])
    expect(warnings).toEqual(['a fold drops out: 50 training rows, at least 100 are needed'])
    expect(() => split(series(140, 5), config())).toThrow('the last fold cannot be trained: 93 training rows')
  })

  it('drop out with a warning where the training rows hold one class', () => {
    const rows = series(2000, 0)
    const label = Float64Array.from(rows.time, (_, i) => Number(i > 600 && i % 2))
    const { folds, warnings } = split({ ...rows, label }, config())
    expect(folds).toHaveLength(3)
    expect(warnings).toEqual([200, 500].map(n => `a fold drops out: all ${n} training rows have the label 0`))
    expect(() => split({ ...rows, label: new Float64Array(2000) }, config())).toThrow(
      /the last fold cannot be trained: all 1400/,
    )
  })

  it('drop out with a warning where what is fitted when boosting stops early is nothing, or of one class', () => {
    const rows = series(2000, 0)
    // The first fold's 200 training rows hold two classes, the 170 that are fitted before the other 30 stop it hold one.
    const label = Float64Array.from(rows.time, (_, i) => Number(i > 180 && i % 2))
    const { folds, warnings } = split({ ...rows, label }, config())
    expect(folds.map(fold => size(fold.train))).toEqual([500, 800, 1100, 1400])
    expect(warnings).toEqual([
      'a fold drops out: all 170 training rows before those that stop boosting have the label 0',
    ])
    const late = Float64Array.from(rows.time, (_, i) => Number(i > 1200))
    expect(() => split({ ...rows, label: late }, config({ kind: 'holdout' }))).toThrow(
      expect.objectContaining({ code: 'ONE_CLASS', message: expect.stringContaining('all 1190 training rows before') }),
    )
    expect(() => split(series(600, 110), config({ kind: 'holdout', ratios: [0.4, 0.3, 0.3] }))).toThrow(
      expect.objectContaining({ code: 'TOO_FEW_ROWS', message: expect.stringContaining(' 0 training rows before') }),
    )
  })

  it('stop early on their last 15 %, purged from what is fitted', () => {
    const [fold] = split(series(1000, 5), config({ kind: 'holdout' })).folds
    expect(size(fold.train)).toBe(695)
    expect(fold.stop).toEqual([[590, 695]])
    expect(fold.fit).toEqual([[0, 585]])
  })
})

describe('purged k-fold', () => {
  const kfold = (rest: object = {}) => config({ kind: 'purged_kfold', ...rest })

  it('holds out each block of times once; what knows of it leaves, before and after', () => {
    const { folds, test, purged } = split(series(1000, 3), kfold({ folds: 4, embargo: 2 }))
    expect(folds.map(fold => fold.valid)).toEqual([[[0, 212]], [[212, 423]], [[423, 634]], [[634, 845]]])
    expect(test).toEqual([[850, 1000]])
    expect(folds.map(fold => fold.train)).toEqual([
      [[217, 845]],
      [
        [0, 207],
        [428, 845],
      ],
      [
        [0, 418],
        [639, 845],
      ],
      [[0, 629]],
    ])
    expect(purged).toBe(5 + 5)
  })

  it('is KFold where labels look at nothing but their row', () => {
    const { folds } = split(series(1000, 0), kfold({ ratios: [0.8, 0.2] }))
    expect(folds.map(fold => size(fold.valid))).toEqual([200, 200, 200, 200, 200])
    for (const { train, valid } of folds) expect(size(train) + size(valid)).toBe(1000)
  })

  it('no training interval meets a held-out one, whatever the series', () => {
    const law = fc.property(
      fc.integer({ min: 300, max: 600 }),
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 0, max: 5 }),
      fc.integer({ min: 2, max: 6 }),
      (n, horizon, embargo, folds) => {
        const rows = series(n, horizon)
        const made = split(rows, kfold({ folds, embargo }))
        const seen = made.folds.flatMap(fold => [...indices(fold.valid)])
        expect(new Set(seen).size).toBe(seen.length)
        for (const { train, valid } of made.folds) {
          const [first, last] = [valid[0][0], valid.at(-1)![1] - 1]
          for (const row of indices(train))
            expect(row < first ? row + horizon + embargo < first : row > last + horizon + embargo).toBe(true)
        }
      },
    )
    fc.assert(law, { numRuns: 40 })
  })
})

describe('refusals', () => {
  it('names the empty part', () => {
    expect(() => split(series(10, 5), config())).toThrow(/part is empty: 10 rows/)
  })

  it.each([[[0.7, 0.2, 0.2]], [[1]], [[0.5, 0.25, 0.125, 0.125]], [[1.1, -0.1]]])('of ratios %j', ratios => {
    expect(splitSchema.safeParse({ ratios }).success).toBe(false)
  })
})

describe('several symbols', () => {
  /** Symbols with calendars of their own: each trades on some of the days. */
  const market = fc
    .record({
      days: fc.integer({ min: 150, max: 400 }),
      symbols: fc.array(fc.record({ step: fc.integer({ min: 1, max: 3 }), offset: fc.integer({ min: 0, max: 5 }) }), {
        minLength: 1,
        maxLength: 4,
      }),
      horizon: fc.integer({ min: 0, max: 6 }),
      embargo: fc.integer({ min: 0, max: 4 }),
      folds: fc.integer({ min: 1, max: 6 }),
      window: fc.constantFrom('expanding' as const, 'rolling' as const),
    })
    .map(({ days, symbols, horizon, ...rest }) => {
      const rows = symbols.flatMap(({ step, offset }, symbol) => {
        const bars = Array.from({ length: Math.floor((days - offset) / step) }, (_, i) => offset + i * step)
        return bars
          .slice(0, Math.max(0, bars.length - horizon))
          .map((day, i) => ({ day, symbol, end: bars[i + horizon] }))
      })
      rows.sort((a, b) => a.day - b.day || a.symbol - b.symbol)
      return {
        rows: { time: Float64Array.from(rows, row => row.day), end: Float64Array.from(rows, row => row.end) },
        rest,
      }
    })

  it('no interval of a row meets a bar of a later part, no row plays two parts, purged counts the rest', () => {
    fc.assert(
      fc.property(market, ({ rows, rest }) => {
        let made: Split
        try {
          made = split(rows, config(rest))
        } catch (error) {
          expect((error as { code: string }).code).toBe('TOO_FEW_ROWS')
          return
        }
        const ends = (part: Range[]) => Math.max(...Array.from(indices(part), row => rows.end[row]))
        const start = (part: Range[]) => (part.length ? rows.time[part[0][0]] : Number.POSITIVE_INFINITY)
        expect(ends(made.train)).toBeLessThan(start(made.valid))
        expect(ends(made.valid)).toBeLessThan(start(made.test))
        expect(size(made.train) + size(made.valid) + size(made.test) + made.purged).toBe(rows.time.length)
        for (const fold of made.folds) {
          expect(ends(fold.train)).toBeLessThan(start(fold.valid))
          if (fold.fit.length) expect(ends(fold.fit)).toBeLessThan(start(fold.stop))
          expect(ends(fold.valid)).toBeLessThan(start(made.test))
        }
        const seen = made.folds.flatMap(fold => [...indices(fold.valid)])
        expect(new Set(seen).size).toBe(seen.length)
      }),
      { numRuns: 60 },
    )
  })
})

describeShared('TimeSeriesSplit of scikit-learn', () => {
  interface Case {
    n: number
    n_splits: number
    test_size?: number
    gap?: number
    max_train_size?: number
    folds: { train: [number, number]; test: [number, number] }[]
  }
  const cases = () =>
    Object.entries(
      JSON.parse(readFileSync(shared('metrics/reference.json'), 'utf8')).reference.time_series_split.splits as Record<
        string,
        Case
      >,
    )

  it('gives the same folds in every case', () => {
    expect(cases().length).toBeGreaterThan(5)
    for (const [name, { n, n_splits, test_size, gap = 0, max_train_size, folds }] of cases()) {
      const length = test_size ?? Math.floor(n / (n_splits + 1))
      // A gap is a horizon, an embargo, or both.
      for (const horizon of [0, Math.floor(gap / 2), gap]) {
        const made = walkForward(series(n, horizon), [[0, n]], {
          folds: n_splits,
          length,
          embargo: gap - horizon,
          keep: max_train_size,
        })
        const plain = made.map(({ train, valid }) => ({
          train: [train[0][0], train[0][1] - 1],
          test: [valid[0][0], valid[0][1] - 1],
        }))
        expect(plain, name).toEqual(folds)
      }
    }
  })
})
