// When a finished fit is taken for one.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { sha256 } from '../../src/base/blobs.ts'
import { isIntact } from '../../src/learn/train.ts'
import { put, temporaryFolder } from '../temporary.ts'

it('a fit is intact while every file that it lists is the one it was', () => {
  const folder = temporaryFolder()
  const predictions = (content: string) => put(folder, 'predictions.arrow', content)
  const listed = { name: 'predictions.arrow', sha256: sha256('whole'), bytes: 5 }
  predictions('whole')
  expect(isIntact({ folder })).toBe(false)
  put(folder, 'fit.json', JSON.stringify({ artefacts: [listed] }))
  expect(isIntact({ folder })).toBe(true)
  predictions('whale')
  expect(isIntact({ folder })).toBe(false)
  rmSync(join(folder, 'predictions.arrow'))
  expect(isIntact({ folder })).toBe(false)
})
