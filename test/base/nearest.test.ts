import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nearest } from '../../src/base/nearest.ts'

const KEYS = ['thresholds', 'backtest', 'features', 'seed', 'n', 'split', 'gates']

describe('nearest', () => {
  it.each([
    ['tresholds', 'thresholds'],
    ['bakctest', 'backtest'],
    ['Features', 'features'],
    ['sead', 'seed'],
    ['gate', 'gates'],
    ['m', 'n'],
    ['registry', undefined],
    ['', 'n'],
  ])('finds for %j %j', (word, known) => {
    expect(nearest(word, KEYS)).toBe(known)
  })

  it('finds a known word itself, and any word one edit away from one of four letters or more', () => {
    const long = KEYS.filter(key => key.length > 3)
    fc.assert(
      fc.property(fc.constantFrom(...long), fc.nat(), fc.constantFrom('', 'x'), (key, at, instead) => {
        const i = at % key.length
        expect(nearest(key, KEYS)).toBe(key)
        expect(nearest(key.slice(0, i) + instead + key.slice(i + 1), long)).toBe(key)
      }),
    )
  })

  it('finds nothing among none', () => {
    expect(nearest('x', [])).toBeUndefined()
  })
})
