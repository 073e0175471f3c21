// Names that become part of a path: of tables, models, aliases.
import { basename, extname } from 'node:path'

/** What isName() asks, in words. */
export const NAME_RULE =
  'a name has up to 64 lower-case letters, digits and . _ -, begins with a letter or digit, and holds no ..'

export const isName = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(text) && !text.includes('..')

/** A name for what a file holds, of the file's own; undefined where nothing of that may stand in a name. */
export function nameOfFile(path: string): string | undefined {
  const name = basename(path, extname(path))
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .replace(/^[^a-z0-9]+/, '')
    .slice(0, 64)
  return name || undefined
}
