// Where the reference data lies that may not be in the repository. Missing: skipped with a reason here, a failure in CI.
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, it } from 'vitest'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const folder = resolve(root, process.env.SLUICE_SHARED ?? '../shared/data')

export const haveShared = existsSync(folder)

/** Absolute path of a reference file. */
export const shared = (path: string): string => resolve(folder, path)

/** A `describe` that needs the reference data. */
export function describeShared(name: string, body: () => void): void {
  if (haveShared) describe(name, body)
  else if (process.env.CI)
    describe(name, () => {
      it('has its reference data', () => {
        throw new Error(`reference data is missing at ${folder}; set SLUICE_SHARED`)
      })
    })
  else {
    // The body may read the data while tests are collected.
    console.warn(`SKIPPED, no reference data at ${folder} (set SLUICE_SHARED): ${name}`)
    describe.skip(name, () => it('needs reference data', () => {}))
  }
}
