// Who may see what in rows without a time: a seeded shuffle after which every part is a range again. Pure; knows classes, no features.
import { type Random, random } from '../base/random.ts'
import {
  boundaries,
  type Classes,
  checkParts,
  equalSizes,
  type Fold,
  keepUsable,
  type Range,
  type Split,
  type SplitConfig,
  STOP_SHARE,
  size,
} from './split.ts'

/**
 * The order in which rows lie in the dataset, and their split. Blocks of rows follow each other: those that only train, then one
 * for each fold, which it is validated on while all others train, then the test part; the last fold is `train` and `valid`.
 * `stratified` and `holdout`: blocks of the size that the ratios give the validation part, as many as fit up to `folds`.
 * `kfold`: scikit-learn's KFold, `folds` equal blocks of all rows but the test part's.
 * Under `stratified` each part has the rows of each class that its size would have, to within one, and so nearly does every piece of it.
 * Errors: TOO_FEW_ROWS, and ONE_CLASS or CLASS_ABSENT when the last fold cannot be trained.
 */
export function shuffledSplit(
  n: number,
  { label, ...classes }: Classes,
  config: SplitConfig,
  seed: number,
): { order: Uint32Array; split: Split } {
  const [trainEnd, validEnd] = boundaries(config.ratios, n)
  const blocks = blockSizes(trainEnd, validEnd, n, config)
  const strata = config.kind === 'stratified' ? label : undefined
  const order = arrange(n, blocks, strata, random(seed))
  let from = blocks[0]
  const plans = blocks.slice(1, -1).map(length => planFold(from, (from += length), validEnd))
  checkParts(plans.at(-1)!, n, config)
  const placed = label && Float64Array.from(order, row => label[row])
  const { folds, warnings } = keepUsable(plans, { label: placed, ...classes })
  const { train, valid } = folds.at(-1)!
  const test: Range[] = validEnd < n ? [[validEnd, n]] : []
  return { order, split: { train, valid, test, folds, purged: 0, warnings } }
}

/** Rows that only train, each fold's rows, test rows. */
function blockSizes(trainEnd: number, validEnd: number, n: number, { kind, folds }: SplitConfig): number[] {
  if (kind === 'kfold') return [0, ...equalSizes(validEnd, folds), n - validEnd]
  const length = validEnd - trainEnd
  const count = kind === 'holdout' ? 1 : Math.max(1, Math.min(folds, Math.floor(validEnd / Math.max(1, length))))
  return [validEnd - count * length, ...new Array<number>(count).fill(length), n - validEnd]
}

/** Every row but those of a block trains; of these, the last 15 % stop early. */
function planFold(from: number, to: number, validEnd: number): Omit<Fold, 'index'> {
  const train = [
    [0, from],
    [to, validEnd],
  ].filter(([a, b]) => a < b) as Range[]
  const fitted = Math.floor(size(train) * (1 - STOP_SHARE) + 1e-9)
  const border = fitted <= from ? fitted : fitted + to - from
  const piece = (low: number, high: number) =>
    train.map(([a, b]): Range => [Math.max(a, low), Math.min(b, high)]).filter(([a, b]) => a < b)
  return { train, valid: from < to ? [[from, to]] : [], fit: piece(0, border), stop: piece(border, validEnd) }
}

/** Row numbers, block after block. */
function arrange(n: number, blocks: number[], label: Float64Array | undefined, source: Random): Uint32Array {
  const strata = label ? rowsOfEach(label) : [Array.from({ length: n }, (_, row) => row)]
  for (const rows of strata) shuffle(rows, source)
  const shares = nestedShares(
    strata.map(rows => rows.length),
    blocks,
  )
  const taken = strata.map(() => 0)
  const pieces = blocks.map((_, block) =>
    spread(strata.map((rows, s) => rows.slice(taken[s], (taken[s] += shares[s][block])))),
  )
  return Uint32Array.from(pieces.flat())
}

/** Rows of each class in each block: first training, validation and test part have their shares, then the blocks within the training part. */
function nestedShares(classes: number[], blocks: number[]): number[][] {
  const training = blocks.slice(0, -2)
  const parts = apportion(classes, [training.reduce((total, length) => total + length, 0), ...blocks.slice(-2)])
  const within = apportion(
    parts.map(([train]) => train),
    training,
  )
  return parts.map(([, valid, test], i) => [...within[i], valid, test])
}

function rowsOfEach(label: Float64Array): number[][] {
  const rows = new Map<number, number[]>()
  for (const [row, value] of label.entries()) {
    const list = rows.get(value)
    if (list) list.push(row)
    else rows.set(value, [row])
  }
  return [...rows].sort(([a], [b]) => a - b).map(([, list]) => list)
}

/** Fisher & Yates (1938), in place. */
function shuffle(rows: number[], { next }: Random): void {
  for (let i = rows.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    ;[rows[i], rows[j]] = [rows[j], rows[i]]
  }
}

/**
 * How many rows of each class ([class][block]) so that every class and every block is used up and no count is a row away from
 * its share: each is rounded down, then the blocks that lack most get one more of each class that has rows left (Gale & Ryser 1957).
 */
export function apportion(classes: number[], blocks: number[]): number[][] {
  const n = classes.reduce((total, count) => total + count, 0)
  const shares = classes.map(count => blocks.map(length => Math.floor((count * length) / Math.max(1, n))))
  const lacking = blocks.map((length, block) => length - shares.reduce((total, row) => total + row[block], 0))
  for (const [i, row] of shares.entries()) {
    const left = classes[i] - row.reduce((total, count) => total + count, 0)
    const neediest = [...lacking.keys()].sort((a, b) => lacking[b] - lacking[a] || a - b).slice(0, left)
    for (const block of neediest) {
      row[block]++
      lacking[block]--
    }
  }
  return shares
}

/** The rows of several lists in one, each list evenly over its length: the last ones of a block have its shares too. */
function spread(lists: number[][]): number[] {
  const placed = lists.flatMap(rows => rows.map((row, i) => ({ row, at: (i + 0.5) / rows.length })))
  return placed.sort((a, b) => a.at - b.at).map(({ row }) => row)
}
