import { expect, it } from 'vitest'
import { random } from '../../src/base/random.ts'
import { kolmogorovSmirnov, moments, normalQuantile } from '../../src/base/statistics.ts'

const draw = (seed: number, n: number) => {
  const { next } = random(seed)
  return Array.from({ length: n }, next)
}

it('gives equal streams for equal seeds, others for others, and stays in [0, 1)', () => {
  expect(draw(42, 100)).toEqual(draw(42, 100))
  expect(draw(42, 100)).not.toEqual(draw(43, 100))
  expect(draw(0, 10_000).every(u => u >= 0 && u < 1)).toBe(true)
})

// Worked out by a separate implementation in Python: a change of the stream would change every simulated table.
it('is xoshiro128** filled by splitmix32', () => {
  expect(draw(42, 3)).toEqual([0.15377165265745885, 0.018084542542176507, 0.5348906284683476])
  expect(draw(-5, 2)).toEqual([0.8999789234508786, 0.2721172652938211])
})

it('is uniform and normal', () => {
  const n = 5000
  const grid = Array.from({ length: n }, (_, i) => (i + 0.5) / n)
  expect(kolmogorovSmirnov(draw(7, n), grid).statistic).toBeLessThan(1.63 / Math.sqrt(n))
  const { normal } = random(7)
  const normals = Array.from({ length: n }, normal)
  expect(kolmogorovSmirnov(normals, grid.map(normalQuantile)).statistic).toBeLessThan(1.63 / Math.sqrt(n))
  const { mean, variance, skewness, kurtosis } = moments(normals)
  expect(Math.abs(mean)).toBeLessThan(0.05)
  expect(Math.abs(variance - 1)).toBeLessThan(0.07)
  expect(Math.abs(skewness)).toBeLessThan(0.12)
  expect(Math.abs(kurtosis - 3)).toBeLessThan(0.25)
})
