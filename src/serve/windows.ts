// The newest rows of every key, of which a sequence model makes its answers: kept in memory, bounded in keys and in idle time. A key that was forgotten warms up again.
import { SluiceError } from '../base/errors.ts'
import { overloaded } from './microbatch.ts'

export interface Bounds {
  /** Rows of a window, and values of a row. */
  length: number
  width: number
  /** Keys: beyond it, the one that was pushed to longest ago is forgotten. */
  most: number
  /** Seconds without a push, after which a key is forgotten. */
  idle: number
  /** Rows that may wait for pushes of their key before them. */
  maxWaiting: number
}

export interface Pushed<Answer> {
  /** How many rows the key had before. */
  before: number
  /** For the last of the rows: one for each at which a window ends. */
  answers: Answer[]
}

/** Answers for windows [count, length, width]. */
export type AnswerWindows<Answer> = (windows: Float32Array, count: number) => Promise<Answer[]>

export interface Windows {
  /**
   * Appends rows [rows, width] to the window of `key` and answers every window that is full then.
   * A push waits for those of its key before it; one that fails leaves what is kept as it was, and `OVERLOADED` is a failure.
   * Those that wait behind it fail with it (`EARLIER_PUSH_FAILED`): they would be answered by rows with a hole.
   */
  push<Answer>(key: string, rows: Float32Array, answer: AnswerWindows<Answer>): Promise<Pushed<Answer>>
  /** How many keys are kept. */
  size(): number
}

/** Rows in the windows that one push makes at once: they overlap, and would take `length` times the memory of its rows. */
const ROWS_AT_ONCE = 1 << 14

/** Nothing but whole pushes is ever kept: a window is an array that is replaced, not changed. `now` is in milliseconds. */
export function openWindows(bounds: Bounds, now = () => performance.now()): Windows {
  const { length, width, most, idle, maxWaiting } = bounds
  /** The key that was pushed to longest ago comes first. */
  const kept = new Map<string, { rows: Float32Array; pushed: number }>()
  /** The last push of each key that has not ended; it fails if one before it does. */
  const turns = new Map<string, Promise<unknown>>()
  let waiting = 0

  const isIdle = (pushed: number) => now() - pushed > idle * 1000

  function recall(key: string): Float32Array {
    const found = kept.get(key)
    return found && !isIdle(found.pushed) ? found.rows : new Float32Array(0)
  }

  function keep(key: string, rows: Float32Array): void {
    kept.delete(key)
    kept.set(key, { rows, pushed: now() })
    for (const [oldest, { pushed }] of kept) {
      if (kept.size <= most && !isIdle(pushed)) break
      kept.delete(oldest)
    }
  }

  async function append<Answer>(key: string, rows: Float32Array, answer: AnswerWindows<Answer>) {
    const before = recall(key)
    const history = joined(before, rows)
    const full = Math.min(rows.length, Math.max(0, history.length - (length - 1) * width)) / width
    const answers: Answer[] = []
    const count = Math.max(1, Math.floor(ROWS_AT_ONCE / length))
    for (let from = 0; from < full; from += count) {
      const windows = overlapping(history, full - from, Math.min(count, full - from), bounds)
      answers.push(...(await answer(windows, windows.length / (length * width))))
    }
    keep(key, history.length > length * width ? history.slice(-length * width) : history)
    return { before: before.length / width, answers }
  }

  /** What comes next waits for it, and fails if it does. */
  function queue(key: string, pushed: Promise<unknown>): void {
    const forget = () => {
      if (turns.get(key) === pushed) turns.delete(key)
    }
    turns.set(key, pushed)
    pushed.then(forget, forget)
  }

  return {
    push(key, rows, answer) {
      const turn = turns.get(key)
      const count = rows.length / width
      if (turn && waiting > 0 && waiting + count > maxWaiting) {
        const refused = Promise.reject(overloaded(waiting))
        const inTurn = turn.then(() => refused)
        queue(key, inTurn)
        return refused
      }
      if (turn) {
        waiting += count
        const begin = () => void (waiting -= count)
        turn.then(begin, begin)
      }
      const pushed = (turn ?? Promise.resolve()).then(
        () => append(key, rows, answer),
        () => Promise.reject(earlierFailed()),
      )
      queue(key, pushed)
      return pushed
    },
    size: () => kept.size,
  }
}

const earlierFailed = () =>
  new SluiceError(
    'unexpected',
    'EARLIER_PUSH_FAILED',
    'a push of this key before this one failed, and nothing of this one is kept: push both again, in their order',
  )

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const whole = new Float32Array(a.length + b.length)
  whole.set(a)
  whole.set(b, a.length)
  return whole
}

/** Windows one row apart, end to end: `count` of them, the first of which is the `fromEnd`-th last. */
function overlapping(
  history: Float32Array,
  fromEnd: number,
  count: number,
  { length, width }: Pick<Bounds, 'length' | 'width'>,
): Float32Array {
  const size = length * width
  const first = history.length - size - (fromEnd - 1) * width
  if (count === 1) return history.subarray(first, first + size)
  const windows = new Float32Array(count * size)
  for (let i = 0; i < count; i++) windows.set(history.subarray(first + i * width, first + i * width + size), i * size)
  return windows
}
