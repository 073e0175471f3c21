import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { type Columns, METRICS, metrics, type Task } from '../../src/prove/metrics.ts'
import { describeShared, shared } from '../shared.ts'

const close = (actual: Record<string, number | null>, expected: Record<string, number | null>) => {
  for (const [name, value] of Object.entries(expected))
    if (value === null) expect([name, actual[name]]).toEqual([name, null])
    else expect([name, Math.abs(actual[name]! - value) < 1e-12]).toEqual([name, true])
}

describeShared('metrics against scikit-learn', () => {
  const read = (name: string) => JSON.parse(readFileSync(shared(`metrics/${name}.json`), 'utf8'))
  const inputs = read('inputs')
  const { reference } = read('reference')

  const RENAMED = { pr_auc: 'auc_pr_trapezoid', log_loss: 'log_loss_clip_eps' } as Record<string, string>
  it.each([
    ['binary', 0.5],
    ['binary', 0.3],
    ['binary_rare', 0.5],
  ])('%s at threshold %d', (name, threshold) => {
    const expected = reference[name][`th_${threshold}`]
    const result = metrics('binary', inputs[name], { threshold })
    close(result.metrics, Object.fromEntries(METRICS.binary.map(key => [key, expected[RENAMED[key] ?? key]])))
    expect(result.warnings).toEqual([])
  })

  it.each(['edge_constant_score', 'edge_perfect'])('%s', name => {
    const { roc_auc, average_precision } = reference[name]
    close(metrics('binary', inputs[name]).metrics, { roc_auc, average_precision })
  })

  it('edge_one_class', () => {
    const { metrics: figures, warnings } = metrics('binary', inputs.edge_one_class)
    close(figures, { roc_auc: null, average_precision: null, pr_auc: null, recall: null, f1: null, mcc: null })
    expect(warnings).toHaveLength(6)
  })

  it('multiclass', () => {
    const { y_true, proba } = inputs.multiclass as { y_true: number[]; proba: number[][] }
    const columns: Columns = { y_true }
    for (const k of [0, 1, 2]) columns[`y_score_${k}`] = proba.map(row => row[k])
    const expected = reference.multiclass
    const result = metrics('multiclass', columns)
    close(result.metrics, {
      accuracy: expected.accuracy,
      precision: expected.macro_precision,
      recall: expected.macro_recall,
      f1: expected.macro_f1,
      roc_auc: expected.roc_auc_ovr_macro,
      log_loss: expected.log_loss_rows_renormalised,
    })
    expect(result.warnings).toEqual([])
  })

  it('regression', () => {
    const expected = reference.regression
    const result = metrics('regression', inputs.regression)
    close(result.metrics, {
      mse: expected.mse,
      rmse: expected.rmse,
      mae: expected.mae,
      r2: expected.r2,
      mape: expected.mape_skip_zero,
      smape: expected.smape_0_2,
      directional_accuracy: expected.directional_accuracy_nonzero,
    })
    expect(result.warnings).toHaveLength(1)
    const { mape, r2, rmse } = reference.regression_price
    close(metrics('regression', inputs.regression_price).metrics, { mape, r2, rmse })
    close(metrics('regression', reference.edge_regression_constant_truth).metrics, { r2: null })
  })
})

// scikit-learn 1.9.1 on the values below.
const EXPECTED_BINARY = {
  accuracy: 0.6,
  precision: 0.6,
  recall: 0.6,
  f1: 0.6,
  roc_auc: 0.68,
  average_precision: 0.6033333333333333,
  pr_auc: 0.6383333333333333,
  log_loss: 4.043036297169541,
  brier: 0.258,
  mcc: 0.2,
}
const EXPECTED_MULTICLASS = {
  accuracy: 0.75,
  precision: 0.7777777777777777,
  recall: 0.7777777777777777,
  f1: 0.7555555555555555,
  roc_auc: 0.9333333333333332,
  average_precision: 0.9,
  pr_auc: 0.8944444444444445,
  log_loss: 0.6891865935266337,
  brier: 0.386875,
  mcc: 0.6428571428571429,
}

describe('binary', () => {
  const columns = {
    y_true: [0, 1, 1, 0, 1, 0, 1, 0, 0, 1],
    y_score: [0.1, 0.4, 0.4, 0.4, 0.8, 0.8, 0.9, 0, 1, 1],
  }

  it('breaks ties as scikit-learn does', () => {
    close(metrics('binary', columns).metrics, EXPECTED_BINARY)
  })

  it('has no precision where nothing is predicted, and then an f1 of 0', () => {
    const { metrics: figures, warnings } = metrics('binary', columns, { threshold: 2 })
    close(figures, { precision: null, recall: 0, f1: 0, mcc: null })
    expect(warnings).toEqual([
      'precision is undefined: class 1 is never predicted',
      'mcc is undefined: the truth or the predictions are of one class',
    ])
  })

  it('ranks scores that are no probabilities, and has no loss for them', () => {
    const { metrics: figures, warnings } = metrics('binary', {
      ...columns,
      y_score: columns.y_score.map(s => 10 * s - 3),
    })
    const { roc_auc, average_precision, pr_auc } = EXPECTED_BINARY
    close(figures, { roc_auc, average_precision, pr_auc, log_loss: null, brier: null })
    expect(warnings).toHaveLength(2)
  })

  it('clips the loss of a sure mistake at the float64 epsilon', () => {
    const { metrics: figures } = metrics('binary', { y_true: [1, 0], y_score: [0, 1] })
    expect(figures.log_loss).toBeCloseTo(-Math.log(2 ** -52), 12)
  })

  const samples = fc.array(fc.tuple(fc.integer({ min: 0, max: 1 }), fc.integer({ min: 0, max: 20 })), {
    minLength: 2,
    maxLength: 60,
  })
  const columnsOf = (rows: [number, number][]) => ({
    y_true: rows.map(([y]) => y),
    y_score: rows.map(([, s]) => s / 20),
  })

  it('is roc_auc = the share of pairs in the right order', () => {
    fc.assert(
      fc.property(samples, rows => {
        const ones = rows.filter(([y]) => y)
        const zeros = rows.filter(([y]) => !y)
        const wins = ones.flatMap(([, a]) => zeros.map(([, b]): number => (a > b ? 1 : a === b ? 0.5 : 0)))
        const expected = wins.length ? wins.reduce((a, b) => a + b) / wins.length : null
        close(metrics('binary', columnsOf(rows)).metrics, { roc_auc: expected })
      }),
    )
  })

  it('does not care for the order of the rows; classes exchanged mirror the figures', () => {
    fc.assert(
      fc.property(samples, rows => {
        const figures = metrics('binary', columnsOf(rows)).metrics
        close(metrics('binary', columnsOf(rows.toReversed())).metrics, figures)
        const swapped = metrics('binary', columnsOf(rows.map(([y, s]) => [1 - y, 20 - s]))).metrics
        const { roc_auc, log_loss, brier } = figures
        close(swapped, { roc_auc, log_loss, brier })
      }),
    )
  })
})

describe('multiclass', () => {
  const y_true = ['up', 'down', 'flat', 'flat', 'up', 'down', 'up', 'flat']
  const columns = {
    y_true,
    y_score_down: [0.1, 0.5, 0.3, 0.4, 0.2, 0.6, 0.25, 0.1],
    y_score_flat: [0.2, 0.3, 0.4, 0.4, 0.5, 0.1, 0.25, 0.8],
    y_score_up: [0.7, 0.2, 0.3, 0.2, 0.3, 0.3, 0.5, 0.1],
  }

  it('has macro averages over classes of any text', () => {
    close(metrics('multiclass', columns).metrics, EXPECTED_MULTICLASS)
  })

  it('is for two classes what binary is, where both classes count alike', () => {
    const y = [0, 1, 1, 0, 1]
    const p = [0.2, 0.7, 0.4, 0.6, 0.9]
    const two = metrics('multiclass', { y_true: y, y_score_0: p.map(v => 1 - v), 'y_score_1.0': p }).metrics
    const { accuracy, roc_auc, log_loss, mcc } = metrics('binary', { y_true: y, y_score: p }).metrics
    close(two, { accuracy, roc_auc, log_loss, mcc })
  })

  it('has no precision with a class that is never predicted, and no recall of one that never occurs', () => {
    const never = { ...columns, y_score_flat: columns.y_score_flat.map(() => 0) }
    const unclaimed = metrics('multiclass', never)
    expect(unclaimed.metrics.precision).toBeNull()
    expect(unclaimed.metrics.recall).not.toBeNull()
    expect(unclaimed.warnings).toEqual([
      'precision is undefined: class flat is never predicted',
      expect.stringContaining('divided by their sum'),
    ])
    const absent = metrics('multiclass', { ...columns, y_true: y_true.map(y => (y === 'flat' ? 'up' : y)) })
    close(absent.metrics, { recall: null, f1: null, roc_auc: null, average_precision: null, pr_auc: null })
  })

  it('leaves a class out of the averages that is neither there nor predicted', () => {
    const { metrics: figures } = metrics('multiclass', { ...columns, y_score_crash: y_true.map(() => 0) })
    const { precision, recall, f1, accuracy, mcc } = EXPECTED_MULTICLASS
    close(figures, { precision, recall, f1, accuracy, mcc, roc_auc: null })
  })

  it('has no mcc of one class, and no loss of scores that are no probabilities', () => {
    const one = { y_true: ['a', 'a'], y_score_a: [0.9, 0.8], y_score_b: [0.1, 0.2] }
    close(metrics('multiclass', one).metrics, { mcc: null, roc_auc: null, accuracy: 1 })
    close(metrics('multiclass', { ...columns, y_score_up: y_true.map(() => 3) }).metrics, {
      log_loss: null,
      brier: null,
    })
    const zero = y_true.map(() => 0)
    const nothing = metrics('multiclass', { y_true, y_score_down: zero, y_score_flat: zero, y_score_up: zero })
    close(nothing.metrics, { log_loss: null, brier: null })
  })
})

describe('regression', () => {
  it('is null where the truth allows no figure', () => {
    const { metrics: figures, warnings } = metrics('regression', { y_true: [0, 0], y_pred: [0, 1] })
    close(figures, { mse: 0.5, mae: 0.5, r2: null, mape: null, smape: 1, directional_accuracy: null })
    expect(warnings).toHaveLength(3)
    // The mean of three times 0.1 is not 0.1.
    close(metrics('regression', { y_true: [0.1, 0.1, 0.1], y_pred: [0.1, 0.2, 0] }).metrics, { r2: null })
  })

  it('is perfect for the truth itself and scales with its unit', () => {
    const values = fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 3, maxLength: 30 })
    fc.assert(
      fc.property(values, values, (y, p) => {
        const rows = Math.min(y.length, p.length)
        const [y_true, y_pred] = [y.slice(0, rows), p.slice(0, rows)]
        expect(metrics('regression', { y_true, y_pred: y_true }).metrics).toMatchObject({ mse: 0, smape: 0 })
        const { rmse, r2, mape, smape } = metrics('regression', { y_true, y_pred }).metrics
        const twice = metrics('regression', { y_true: y_true.map(v => 2 * v), y_pred: y_pred.map(v => 2 * v) }).metrics
        close(twice, { rmse: 2 * rmse!, r2, mape, smape })
      }),
    )
  })
})

describe('what is refused', () => {
  it.each([
    ['binary', { y_true: [0, 1] }, 'MISSING_COLUMN', 'no column y_score; there are y_true'],
    ['binary', {}, 'MISSING_COLUMN', 'no column y_true; there are none'],
    ['binary', { y_true: [], y_score: [] }, 'NO_ROWS', 'y_true has no rows'],
    ['binary', { y_true: [0, 1], y_score: [0.5] }, 'LENGTH_MISMATCH', 'y_score has 1 rows, y_true has 2'],
    ['binary', { y_true: [0, 2], y_score: [0.5, 0.5] }, 'BAD_CLASS', 'y_true of row 2 is 2'],
    ['binary', { y_true: [0, 1], y_score: [0.5, Number.NaN] }, 'MISSING_VALUE', 'y_score of row 2 is NaN'],
    ['regression', { y_true: [0, null], y_pred: [0, 0] }, 'MISSING_VALUE', 'y_true of row 2 is null'],
    ['regression', { y_true: ['a'], y_pred: [0] }, 'TYPE_MISMATCH', 'y_true of row 1 is text: "a"'],
    ['multiclass', { y_true: ['a'], y_score_a: [1] }, 'MISSING_COLUMN', 'two or more columns'],
    ['multiclass', { y_true: ['c'], y_score_a: [1], y_score_b: [0] }, 'BAD_CLASS', 'no column y_score_c'],
    ['multiclass', { y_true: [null], y_score_a: [1], y_score_b: [0] }, 'MISSING_VALUE', 'y_true of row 1 is null'],
  ] as [Task, Columns, string, string][])('%s %j: %s', (task, columns, code, fact) => {
    let error: SluiceError | undefined
    try {
      metrics(task, columns)
    } catch (caught) {
      error = caught as SluiceError
    }
    expect(error?.code).toBe(code)
    expect(error?.fault).toBe('data')
    expect(error?.message).toContain(fact)
  })
})
