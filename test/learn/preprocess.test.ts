import { expect, it } from 'vitest'
import { prepareOf, preprocessSchema } from '../../src/learn/preprocess.ts'

const prepare = (given: object) => prepareOf(preprocessSchema.parse(given), ['mass', 'island'], { island: ['a', 'b'] })

it('is nothing where nothing is asked, so that every family does as it always does', () => {
  expect(prepare({})).toBeNull()
  expect(prepare({ missing: 'drop_rows' })).toBeNull()
})

it('tells the engine what is asked and no more', () => {
  const asked = {
    numbers: { impute: 'mean', clip: [0.01, 0.99] },
    columns: { mass: { scale: 'robust', indicator: true }, island: { encode: 'target', impute: 'own' } },
  }
  expect(prepare(asked)).toEqual({ ...asked, categories: {} })
})

it.each([
  [{ columns: { mas: { scale: 'none' } } }, 'UNKNOWN_COLUMN', /did you mean mass/],
  [{ columns: { mass: { encode: 'ordinal' } } }, 'PREPROCESS', /mass\.encode does not go with a column of numbers/],
  [{ columns: { mass: { impute: 'own' } } }, 'PREPROCESS', /mass\.impute does not go with a column of numbers/],
  [{ columns: { island: { scale: 'none' } } }, 'PREPROCESS', /island\.scale does not go with a column of words/],
  [{ columns: { island: { impute: 'median' } } }, 'PREPROCESS', /island\.impute/],
])('%j is a usage error', (given, code, message) => {
  expect(() => prepare(given)).toThrow(
    expect.objectContaining({ code, exit: 2, message: expect.stringMatching(message) }),
  )
})
