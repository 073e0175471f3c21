// What processes that were killed left in a home: files and folders that still have their temporary name.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { isAlive, writerOf } from './blobs.ts'

/** Where files appear in a home; a star is every folder there. */
const PLACES = ['', 'keys', 'cache/*', 'runs/*', 'models/*', 'tables/*', 'tables/*/quarantine']

/** Removes what is half-written in a home and whose writer is gone. */
export function removeLeftovers(home: string): void {
  for (const folder of PLACES.flatMap(place => foldersAt(home, place.split('/'))))
    for (const name of readdirSync(folder)) {
      const pid = writerOf(name)
      if (pid !== undefined && !isAlive(pid)) rmSync(join(folder, name), { recursive: true, force: true })
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
