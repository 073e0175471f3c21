// A feature written as a formula, such as "close / sma_20 - 1".
import { type Expression, evaluate, type Node } from '../base/expression.ts'
import { type Feature, gapAwareFeature } from './feature.ts'
import { lag, lagSize } from './window.ts'

/** The feature that an expression defines; the state is that of its lags, one after the other. */
export function expressionFeature(name: string, { root, reads, lags }: Expression): Feature {
  const ends = lags.map((_, k) => lags.slice(0, k + 1).reduce((size, n) => size + lagSize(n), 0))
  const shape = { name, reads, warmup: expressionWarmup({ root, reads, lags }, () => 0), size: ends.at(-1) ?? 0 }
  return gapAwareFeature(shape, (state, columns, out) => {
    const memory = (k: number) => state.subarray(ends[k] - lagSize(lags[k]), ends[k])
    out.set(evaluate(root, columns, out.length, (k, of, past) => lag(memory(k), lags[k], of, past)))
  })
}

/** Rows before the first value, where `of` tells those of each name. */
export function expressionWarmup({ root, reads, lags }: Expression, of: (name: string) => number): number {
  const rows = (node: Node): number => {
    if (node.kind === 'number') return 0
    if (node.kind === 'read') return of(reads[node.column])
    if (node.kind === 'lag') return lags[node.lag] + rows(node.of)
    const inner = node.to.map(rows)
    return node.operation === 'if' ? Math.max(inner[0], Math.min(inner[1], inner[2])) : Math.max(...inner)
  }
  return rows(root)
}
