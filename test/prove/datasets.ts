// Datasets of every task, on a market and as tables, with a signal that a linear model finds: as freeze() would leave them.
import { join } from 'node:path'
import { own, writeArrow } from '../../src/base/arrow.ts'
import { random } from '../../src/base/random.ts'
import { DAY } from '../../src/base/time.ts'
import type { Dataset, Task } from '../../src/learn/dataset.ts'
import type { Range } from '../../src/learn/split.ts'

const ROWS = 900
const CLASSES: Record<Task, number[]> = { binary: [0, 1], multiclass: [-1, 0, 1], regression: [] }
const NAMES: Record<Task, string[]> = {
  binary: ['no', 'yes'],
  multiclass: ['Adelie', 'Chinstrap', 'Gentoo'],
  regression: [],
}

export interface Given {
  task: Task
  market: boolean
  /** How much of the label the features tell, 0 to 1. */
  strength?: number
}

/** 900 rows in the parts 60/20/20, the last two of three folds before the test part. */
export async function makeDataset(home: string, { task, market, strength = 0.5 }: Given): Promise<Dataset> {
  const { normal } = random(11)
  const x = Array.from({ length: 3 }, () => Float32Array.from({ length: ROWS }, normal))
  const move = Float64Array.from({ length: ROWS }, (_, i) => 0.01 * (strength * x[0][i] + (1 - strength) * normal()))
  const label = move.map(value => labelOf(task, value))
  // Without a time it is the number of the row in its table.
  const time = Float64Array.from({ length: ROWS }, (_, i) => (market ? Date.UTC(2015, 0, 1) + i * DAY : i))
  const path = join(home, `${task}-${market}.arrow`)
  await writeArrow(path, [
    { name: own('label'), values: label },
    ...Object.entries({ time, ...(market ? prices(move) : {}) }).map(([name, values]) => ({ name: own(name), values })),
    ...x.map((values, j) => ({ name: `x${j}`, values })),
  ])
  const [train, valid, test]: Range[][] = [[[0, 540]], [[540, 720]], [[720, ROWS]]]
  const fold = (index: number, to: number, end: number) => ({
    index,
    train: [[0, to] as Range],
    fit: [[0, to - 60] as Range],
    stop: [[to - 60, to] as Range],
    valid: [[to, end] as Range],
  })
  return {
    digest: `${task}-${market}-${strength}`,
    path,
    rows: ROWS,
    features: x.map((_, j) => `x${j}`),
    nullable: [],
    task,
    classes: CLASSES[task],
    classNames: market ? CLASSES[task].map(String) : NAMES[task],
    categories: {},
    prepare: null,
    market,
    timed: market,
    horizon: market ? 1 : 0,
    from: market ? time[0] : 0,
    to: market ? time[ROWS - 1] : ROWS - 1,
    split: { train, valid, test, folds: [fold(0, 360, 540), fold(1, 540, 720)], purged: 0, warnings: [] },
    warnings: [],
  }
}

function labelOf(task: Task, move: number): number {
  if (task === 'regression') return move
  if (task === 'binary') return Number(move > 0)
  return Math.abs(move) < 0.004 ? 0 : Math.sign(move)
}

/** The move of a row is that of the next bar, from its open on. */
function prices(move: Float64Array) {
  const close = new Float64Array(move.length).fill(100)
  for (let i = 1; i < close.length; i++) close[i] = close[i - 1] * (1 + move[i - 1])
  return { open: close.map((_, i) => close[Math.max(0, i - 1)]), close }
}
