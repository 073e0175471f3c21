// The answers of a server on disk while they become a table: what a killed download goes on from, and where the text of a refused row is looked up.
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { sha256, writeAtomic } from '../base/blobs.ts'
import { jsonDigest } from '../base/table.ts'
import type { Place } from './rows.ts'

export interface Pages {
  /** A page that can not change any more and that an ingest which came to no end left. */
  left(key: string): string | undefined
  /** `final`: it can not change any more. */
  keep(key: string, text: string, final: boolean): void
  /** A page of this ingest. */
  text(key: string): string
  clear(): void
}

/** A page that is older was left by somebody who gave up. */
const KEPT_MS = 86_400_000

/** Of a source with this config, below `folder`; without one they are in memory. */
export function openPages(config: object, { downloads: folder, now }: { downloads?: string; now(): number }): Pages {
  if (folder === undefined) {
    const pages = new Map<string, string>()
    const left = () => undefined
    return { left, keep: (key, text) => pages.set(key, text), text: key => pages.get(key)!, clear: () => pages.clear() }
  }
  const own = join(folder, jsonDigest(config))
  const pathOf = (key: string, final: boolean) => join(own, `${sha256(key)}${final ? '' : '.open'}.gz`)
  const read = (path: string) => gunzipSync(readFileSync(path)).toString('utf8')
  mkdirSync(own, { recursive: true })
  return {
    left(key) {
      const age = now() - (statSync(pathOf(key, true), { throwIfNoEntry: false })?.mtimeMs ?? 0)
      return age < KEPT_MS ? read(pathOf(key, true)) : undefined
    },
    keep: (key, text, final) => writeAtomic(pathOf(key, final), gzipSync(text, { level: 1 })),
    text(key) {
      const final = statSync(pathOf(key, true), { throwIfNoEntry: false }) !== undefined
      return read(pathOf(key, final))
    },
    clear: () => rmSync(own, { recursive: true, force: true }),
  }
}

/** Which page has which rows, for every file (or series) of a source. */
export interface PageIndex {
  /** The next `rows` rows of `file` are those of this page; gives the number of the first, from 1. */
  add(file: number, key: string, rows: number): number
  /** The row that stands at each place, as JSON; `rowsOf` reads a page. */
  text(places: Place[], rowsOf: (text: string, file: number) => unknown[]): string[]
}

export function pageIndex(pages: Pages): PageIndex {
  const files = new Map<number, { key: string; from: number; to: number }[]>()
  return {
    add(file, key, rows) {
      const known = files.get(file) ?? []
      files.set(file, known)
      const from = (known.at(-1)?.to ?? 0) + 1
      known.push({ key, from, to: from + rows - 1 })
      return from
    },
    text(places, rowsOf) {
      let at: { key: string; from: number; to: number } | undefined
      let rows: unknown[] = []
      return places.map(({ file, line }) => {
        const page = files.get(file)!.find(({ to }) => line <= to)!
        if (page !== at) rows = rowsOf(pages.text(page.key), file)
        at = page
        return JSON.stringify(rows[line - page.from])
      })
    },
  }
}
