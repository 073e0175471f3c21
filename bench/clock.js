// Time of one piece of work.

/** Seconds that `work` takes, and what it gives. */
export function clocked(work) {
  const from = performance.now()
  const result = work()
  return { seconds: (performance.now() - from) / 1000, result }
}
