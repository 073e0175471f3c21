// The answers of a server on disk while they become a table: what a killed download goes on from, and where the text of a refused row is looked up.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
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
  /** The file of a page of this ingest, and what it says. */
  path(key: string): string
  text(key: string): string
  clear(): void
}

/** A page that is older was left by somebody who gave up. */
const KEPT_MS = 86_400_000

/** Of a source with this config, each a gzipped file below `downloads`. */
export function openPages(config: object, { downloads, now }: { downloads?: string; now(): number }): Pages {
  const own = downloads === undefined ? mkdtempSync(join(tmpdir(), 'sluice-')) : join(downloads, jsonDigest(config))
  const finalPath = (key: string) => join(own, `${sha256(key)}.gz`)
  const openPath = (key: string) => join(own, `${sha256(key)}.open.gz`)
  const isThere = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined
  const pathOf = (key: string) => (isThere(finalPath(key)) ? finalPath(key) : openPath(key))
  const read = (path: string) => gunzipSync(readFileSync(path)).toString('utf8')
  return {
    left(key) {
      const written = statSync(finalPath(key), { throwIfNoEntry: false })?.mtimeMs
      return written !== undefined && now() - written < KEPT_MS ? read(finalPath(key)) : undefined
    },
    keep: (key, text, final) => writeAtomic(final ? finalPath(key) : openPath(key), gzipSync(text, { level: 1 })),
    path: pathOf,
    text: key => read(pathOf(key)),
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
