// What an expression can do to its operands, a block at a time. Operands are finite or NaN, and 0 x an operand carries its
// NaN into a result that would not have it.

interface Operation {
  operands: number
  run(operands: Float64Array[], out: Float64Array): void
}

type Values = Float64Array

/** Operator or function -> its loop. Each is written out, since a call a row would cost more than the arithmetic. */
export const OPERATIONS: Record<string, Operation> = {
  '+': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = a[i] + b[i]
    },
  },
  '-': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = a[i] - b[i]
    },
  },
  '*': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = a[i] * b[i]
    },
  },
  '/': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = a[i] / b[i]
    },
  },
  negate: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = -a[i]
    },
  },
  '<': { operands: 2, run: ([a, b], out) => less(a, b, out) },
  '>': { operands: 2, run: ([a, b], out) => less(b, a, out) },
  '<=': { operands: 2, run: ([a, b], out) => atMost(a, b, out) },
  '>=': { operands: 2, run: ([a, b], out) => atMost(b, a, out) },
  '==': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = (a[i] === b[i] ? 1 : 0) + 0 * a[i] + 0 * b[i]
    },
  },
  '!=': {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = (a[i] === b[i] ? 0 : 1) + 0 * a[i] + 0 * b[i]
    },
  },
  and: {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = (a[i] && b[i] ? 1 : 0) + 0 * a[i] + 0 * b[i]
    },
  },
  or: {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = (a[i] || b[i] ? 1 : 0) + 0 * a[i] + 0 * b[i]
    },
  },
  not: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = (a[i] ? 0 : 1) + 0 * a[i]
    },
  },
  if: {
    operands: 3,
    run([condition, a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = 0 * condition[i] + (condition[i] ? a[i] : b[i])
    },
  },
  min: {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.min(a[i], b[i])
    },
  },
  max: {
    operands: 2,
    run([a, b], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.max(a[i], b[i])
    },
  },
  abs: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.abs(a[i])
    },
  },
  sign: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.sign(a[i])
    },
  },
  log: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.log(a[i])
    },
  },
  exp: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.exp(a[i])
    },
  },
  sqrt: {
    operands: 1,
    run([a], out) {
      for (let i = 0; i < out.length; i++) out[i] = Math.sqrt(a[i])
    },
  },
}

function less(a: Values, b: Values, out: Values): void {
  for (let i = 0; i < out.length; i++) out[i] = (a[i] < b[i] ? 1 : 0) + 0 * a[i] + 0 * b[i]
}

function atMost(a: Values, b: Values, out: Values): void {
  for (let i = 0; i < out.length; i++) out[i] = (a[i] <= b[i] ? 1 : 0) + 0 * a[i] + 0 * b[i]
}
