// Several generators at once, in one process.

/** Values of generators as they come, `most` generators at a time; the first error ends all. */
export async function* concurrently<T>(begin: (() => AsyncGenerator<T>)[], most: number): AsyncGenerator<T> {
  type Step = { from: AsyncGenerator<T>; result: IteratorResult<T> }
  const waiting = [...begin]
  const pending = new Map<AsyncGenerator<T>, Promise<Step>>()
  const advance = (from: AsyncGenerator<T>) => {
    const step = from.next().then(result => ({ from, result }))
    step.catch(() => {}) // told by the race, or of no interest any more
    pending.set(from, step)
  }
  try {
    for (;;) {
      while (pending.size < most && waiting.length) advance(waiting.shift()!())
      if (!pending.size) return
      const { from, result } = await Promise.race(pending.values())
      if (result.done) pending.delete(from)
      else {
        yield result.value
        advance(from)
      }
    }
  } finally {
    // Not waited for: one in the middle of a step ends after it.
    for (const from of pending.keys()) from.return(undefined).catch(() => {})
  }
}
