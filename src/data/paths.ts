// Which files a path of the config means: a file, a pattern, or a folder. Light: nothing here opens a file.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { formatByName } from './format.ts'
import type { FileFormatName } from './schema.ts'

/** A row knows its file by a number of 16 bits. */
export const MOST_FILES = 65_535

/**
 * The absolute paths, sorted by name: of a folder every file of a known format (or of `format`) in and below it; of a pattern
 * (`*`, `?`, `[a-z]`, `{a,b}`, `**` for any folders) what it matches. What is there is taken by its name. None: there is no such file.
 */
export function filesAt(path: string, folder: string, format?: FileFormatName): string[] {
  const whole = resolve(folder, path)
  const known = (name: string) =>
    format === undefined ? formatByName(name) !== undefined : formatByName(name) === format
  if (existsSync(whole)) return statSync(whole).isDirectory() ? filesBelow(whole).filter(known) : [whole]
  const parts = whole.split(sep)
  const first = parts.findIndex(part => /[*?[{]/.test(part))
  if (first < 0) return []
  const root = parts.slice(0, first).join(sep) || sep
  const pattern = new RegExp(`^${parts.slice(first).map(segment).join('')}$`, 'u')
  return existsSync(root) ? filesBelow(root).filter(file => pattern.test(file.slice(join(root, sep).length) + sep)) : []
}

/** Hidden ones and those that other programs keep for themselves (`.`, `_`) are left out. */
function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => !/^[._]/.test(name))
  const found = entries.flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path)
    return statSync(path, { throwIfNoEntry: false })?.isFile() ? [path] : [] // a link to a folder may lead back
  })
  return found.sort()
}

/** One part of a pattern with the separator after it, as a regular expression. */
function segment(part: string): string {
  if (part === '**') return `(?:[^${SEPARATOR}]+${SEPARATOR})*`
  const text = part.replace(/\*+|\?|\[[^\]]+\]|\{[^}]*\}|[^*?[{]+|./g, piece => {
    if (piece[0] === '*') return `[^${SEPARATOR}]*`
    if (piece === '?') return `[^${SEPARATOR}]`
    if (piece[0] === '[' && piece.length > 2)
      return `[${piece
        .slice(1, -1)
        .replace(/^!/, '^')
        .replace(/[\\[\]]/g, '\\$&')}]`
    if (piece[0] === '{' && piece.length > 1) return `(?:${piece.slice(1, -1).split(',').map(literal).join('|')})`
    return literal(piece)
  })
  return text + SEPARATOR
}

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
const SEPARATOR = literal(sep)
