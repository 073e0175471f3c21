// What was left in a home for good: by processes that were killed, files and folders that still have their temporary name; by trainings that nobody went on with, checkpoints.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, writerOf } from './blobs.ts'

/** Where files appear in a home; a star is every folder there. */
const PLACES = ['', 'keys', 'cache/*', 'runs/*', 'models/*', 'tables/*', 'tables/*/quarantine']

/** A training writes more often; one whose parameters were changed is found no more. */
const CHECKPOINTS_KEPT_MS = 30 * 86_400_000

/** Removes what is half-written in a home and whose writer is gone, and checkpoints that were not added to for 30 days before `now`, in epoch ms. */
export function removeLeftovers(home: string, now: number): void {
  for (const folder of PLACES.flatMap(place => foldersAt(home, place.split('/'))))
    for (const name of readdirSync(folder)) {
      const pid = writerOf(name)
      if (pid !== undefined && !isAlive(pid)) rmSync(join(folder, name), { recursive: true, force: true })
    }
  for (const folder of foldersAt(home, ['cache', 'checkpoints', '*'])) {
    const { mtimeMs = now } = statSync(folder, { throwIfNoEntry: false }) ?? {}
    if (now - mtimeMs > CHECKPOINTS_KEPT_MS) rmSync(folder, { recursive: true, force: true })
  }
}

function foldersAt(root: string, [first, ...rest]: string[]): string[] {
  if (first === undefined) return existsSync(root) ? [root] : []
  const names = first === '*' ? foldersIn(root) : [first]
  return names.flatMap(name => foldersAt(join(root, name), rest))
}

const foldersIn = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter(entry => entry.isDirectory())
        .map(({ name }) => name)
    : []
