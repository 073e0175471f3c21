// The laws of scikit-learn's KFold and StratifiedKFold, on rows without a time.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { apportion, shuffledSplit } from '../../src/learn/shuffle.ts'
import { boundaries, indices, type Range, size, splitSchema } from '../../src/learn/split.ts'

const config = (rest: object = {}) => splitSchema.parse({ kind: 'stratified', ...rest })
const classesOf = (counts: number[]) => Float64Array.from(counts.flatMap((count, k) => new Array(count).fill(k)))

/** Rows of each class in ranges of the shuffled order. */
const counts = (ranges: Range[], order: Uint32Array, label: Float64Array, classes: number) => {
  const found = new Array<number>(classes).fill(0)
  for (const row of indices(ranges)) found[label[order[row]]]++
  return found
}

const problem = fc.record({
  classes: fc.array(fc.integer({ min: 20, max: 300 }), { minLength: 2, maxLength: 5 }),
  folds: fc.integer({ min: 2, max: 8 }),
  ratios: fc.constantFrom<number[]>([0.7, 0.15, 0.15], [0.6, 0.2, 0.2], [0.8, 0.2], [0.5, 0.1, 0.4]),
  seed: fc.integer(),
  kind: fc.constantFrom('stratified' as const, 'kfold' as const, 'holdout' as const),
})

/** A split, or undefined where its rows are too few. */
function made({ classes, seed, ...rest }: { classes: number[]; seed: number; kind: string; ratios: number[] }) {
  const label = classesOf(classes)
  try {
    return { label, ...shuffledSplit(label.length, { label }, config(rest), seed) }
  } catch (error) {
    expect(['TOO_FEW_ROWS', 'CLASS_ABSENT']).toContain((error as { code: string }).code)
    return undefined
  }
}

describe('a shuffled split', () => {
  it('is a permutation whose parts and folds are disjoint and cover, the same for one seed', () => {
    fc.assert(
      fc.property(problem, given => {
        const found = made(given)
        if (!found) return
        const { order, split, label } = found
        const n = label.length
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, row) => row))
        expect(made(given)!.order).toEqual(order)
        const validEnd = boundaries(given.ratios, n)[1]
        expect(indices(split.test)).toEqual(indices(validEnd < n ? [[validEnd, n]] : []))
        for (const { train, valid, fit, stop } of split.folds) {
          const all = [...indices(train), ...indices(valid)].sort((a, b) => a - b)
          expect(all).toEqual(Array.from({ length: validEnd }, (_, row) => row))
          expect([...indices(fit), ...indices(stop)]).toEqual([...indices(train)])
          expect(size(fit)).toBe(Math.floor(size(train) * 0.85 + 1e-9))
        }
        const seen = split.folds.flatMap(fold => [...indices(fold.valid)])
        expect(new Set(seen).size).toBe(seen.length)
        expect(split.folds.at(-1)).toMatchObject({ train: split.train, valid: split.valid })
        expect(split.purged).toBe(0)
      }),
      { numRuns: 50 },
    )
  })

  it('has the sizes of the ratios, or of KFold', () => {
    fc.assert(
      fc.property(problem, given => {
        const found = made(given)
        if (!found || found.split.warnings.length) return
        const n = found.label.length
        const [trainEnd, validEnd] = boundaries(given.ratios, n)
        const sizes = found.split.folds.map(fold => size(fold.valid))
        if (given.kind !== 'kfold') expect(new Set(sizes)).toEqual(new Set([validEnd - trainEnd]))
        // scikit-learn: the first n % k folds have one row more
        else
          expect(sizes).toEqual(
            sizes.map((_, i) => Math.floor(validEnd / given.folds) + Number(i < validEnd % given.folds)),
          )
      }),
      { numRuns: 50 },
    )
  })

  it('keeps the share of every class in every part to within a row, as StratifiedKFold does', () => {
    fc.assert(
      fc.property(problem, given => {
        const found = made({ ...given, kind: 'stratified' })
        if (!found) return
        const { order, split, label } = found
        const off = (part: Range[]) =>
          counts(part, order, label, given.classes.length).map((count, k) =>
            Math.abs(count - (given.classes[k] * size(part)) / label.length),
          )
        for (const part of [split.train, split.valid, split.test]) expect(Math.max(...off(part))).toBeLessThanOrEqual(1)
        // A fold's block has its share of the training part, which is off by a row itself.
        for (const { valid } of split.folds) expect(Math.max(...off(valid))).toBeLessThan(2)
      }),
      { numRuns: 50 },
    )
  })

  it('spreads rare classes over what stops boosting too', () => {
    const { label, order, split } = made({
      classes: [900, 100],
      kind: 'stratified',
      ratios: [0.7, 0.15, 0.15],
      seed: 1,
    })!
    expect(split.folds).toHaveLength(5)
    for (const { stop } of split.folds) {
      const share = counts(stop, order, label, 2)[1] / size(stop)
      expect(Math.abs(share - 0.1)).toBeLessThan(0.02)
    }
  })

  it('mixes rows, and otherwise under another seed', () => {
    const label = new Float64Array(1000).map((_, row) => row % 2)
    const [a, b] = [1, 2].map(seed => shuffledSplit(1000, { label }, config({ kind: 'kfold' }), seed).order)
    expect(a).not.toEqual(b)
    expect(a.filter((row, i) => row === i).length).toBeLessThan(10)
  })

  it('names the class that a fold lacks', () => {
    const label = classesOf([300, 300, 1])
    const classes = { label, classes: [0, 1, 2], classNames: ['cat', 'dog', 'emu'] }
    const alone = { ...classes, label: label.map((value, row) => (row === 600 ? value : value % 2)) }
    const attempts = Array.from({ length: 20 }, (_, seed) => {
      try {
        return shuffledSplit(601, alone, config({ kind: 'kfold' }), seed).split.warnings
      } catch (error) {
        return [(error as Error).message]
      }
    })
    expect(attempts.flat().some(text => /none of \d+ training rows.* has the label emu/.test(text))).toBe(true)
  })
})

it('shares are whole, use up every class and every block, and are never a row off', () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(sizes, fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), (classes, weights) => {
      const n = classes.reduce((a, b) => a + b, 0)
      if (!n) return
      const cuts = weights.map(weight => weight % (n + 1)).sort((a, b) => a - b)
      const blocks = [...cuts, n].map((cut, i) => cut - (cuts[i - 1] ?? 0))
      const shares = apportion(classes, blocks)
      expect(shares.map(row => row.reduce((a, b) => a + b, 0))).toEqual(classes)
      expect(blocks.map((_, b) => shares.reduce((total, row) => total + row[b], 0))).toEqual(blocks)
      for (const [i, row] of shares.entries())
        for (const [b, count] of row.entries()) {
          expect(count).toBeGreaterThanOrEqual(0)
          expect(Math.abs(count - (classes[i] * blocks[b]) / n)).toBeLessThanOrEqual(1)
        }
    }),
    { numRuns: 300 },
  )
})
