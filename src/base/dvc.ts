// A folder of files as DVC 3 tracks one: a pointer `NAME.dvc`, and the files in a remote by their MD5. Knows nothing of what they hold.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { stringify } from 'yaml'
import { fileDigests, place, temporaryName, writeAtomic } from './blobs.ts'

export interface Tracked {
  /** Path of the pointer. */
  pointer: string
  /** DVC's digest of the folder: that of its listing. */
  md5: string
  files: number
  bytes: number
}

/**
 * Writes `out/NAME.dvc` for a folder without subfolders, and where there is a `remote` (a folder too) puts into it what
 * `dvc pull` looks for: each file, and the folder's listing.
 */
export async function track(
  folder: string,
  { name, out, remote }: { name: string; out: string; remote?: string },
): Promise<Tracked> {
  const files = await Promise.all(
    readdirSync(folder)
      .sort()
      .map(async file => ({ file, ...(await fileDigests(join(folder, file))) })),
  )
  const listing = listingOf(files)
  const md5 = `${createHash('md5').update(listing).digest('hex')}.dir`
  const bytes = files.reduce((total, file) => total + file.bytes, 0)
  if (remote !== undefined) {
    for (const { file, md5 } of files) copyOnce(join(folder, file), objectPath(remote, md5))
    // The listing last: what it names is there.
    if (!existsSync(objectPath(remote, md5))) writeAtomic(objectPath(remote, md5), listing)
  }
  const pointer = join(out, `${name}.dvc`)
  writeAtomic(pointer, stringify({ outs: [{ md5, size: bytes, nfiles: files.length, hash: 'md5', path: name }] }))
  return { pointer, md5, files: files.length, bytes }
}

/** As Python's json.dumps writes it, which its digest depends on. */
const listingOf = (files: { file: string; md5: string }[]): string =>
  `[${files.map(({ file, md5 }) => `{"md5": ${JSON.stringify(md5)}, "relpath": ${JSON.stringify(file)}}`).join(', ')}]`

const objectPath = (remote: string, md5: string): string => join(remote, 'files', 'md5', md5.slice(0, 2), md5.slice(2))

function copyOnce(from: string, to: string): void {
  if (existsSync(to)) return
  mkdirSync(dirname(to), { recursive: true })
  const temporary = temporaryName(to)
  try {
    copyFileSync(from, temporary)
    place(temporary, to)
  } finally {
    rmSync(temporary, { force: true })
  }
}
