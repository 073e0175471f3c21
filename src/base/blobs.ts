// Files that are either whole or absent: temporary name, fsync, rename, fsync of the folder. Knows nothing of what they hold.
import { createHash, type Hash, randomBytes } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { fileUnreadable, usageError } from './errors.ts'
import { isName, NAME_RULE } from './name.ts'

/** A name that may become part of a path. */
export function checkName(name: string, what: string): string {
  if (!isName(name)) throw usageError('NAME', `${what} ${JSON.stringify(name)} is none: ${NAME_RULE}`)
  return name
}

/** Joins checked names below `root`; what would leave `root` is refused. The only way from a user's string to a path. */
export function resolveInside(root: string, ...names: string[]): string {
  const base = resolve(root)
  const path = resolve(base, ...names.map(name => checkName(name, 'the name')))
  if (!path.startsWith(base + sep)) throw usageError('NAME', `${names.join('/')} leads out of its folder`)
  return path
}

/** Writes a file whole or not at all. */
export function writeAtomic(path: string, bytes: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true })
  const temporary = temporaryName(path)
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' })
    place(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** Fills a folder under a temporary name, then renames it to `path`, which must not exist yet: several files that appear together. */
export async function writeFolder<T>(path: string, fill: (folder: string) => Promise<T>): Promise<T> {
  const temporary = temporaryName(path)
  mkdirSync(temporary, { recursive: true })
  try {
    const result = await fill(temporary)
    place(temporary, path)
    return result
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    throw error
  }
}

/** Gives a file, or a folder of files, its final name: the content is on the disk before the name is, and both are when this returns. */
export function place(temporary: string, path: string): void {
  if (statSync(temporary).isDirectory()) for (const name of readdirSync(temporary)) sync(join(temporary, name))
  sync(temporary)
  renameSync(temporary, path)
  sync(dirname(path))
}

function sync(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

const TEMPORARY = /^\..+\.(\d+)\.[0-9a-f]{8}\.tmp$/

/** Beside `path`, with this process's id in it. */
export const temporaryName = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`)

/** The process that writes, or wrote, under this temporary name; undefined for any other name. */
export function writerOf(name: string): number | undefined {
  const pid = TEMPORARY.exec(name)?.[1]
  return pid === undefined ? undefined : Number(pid)
}

export interface FileDigests {
  sha256: string
  /** MD5 is DVC's digest; it proves nothing, SHA-256 does. */
  md5: string
  bytes: number
}

/** Digests of a file, read as a stream. Errors: FILE_UNREADABLE. */
export async function fileDigests(path: string): Promise<FileDigests> {
  const [sha256, md5] = [createHash('sha256'), createHash('md5')]
  const bytes = await hashFile(path, [sha256, md5])
  return { sha256: sha256.digest('hex'), md5: md5.digest('hex'), bytes }
}

/** The digest by which a file is checked, without that of DVC, which takes three times as long. Errors: FILE_UNREADABLE. */
export async function fileSha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  await hashFile(path, [hash])
  return hash.digest('hex')
}

async function hashFile(path: string, hashes: Hash[]): Promise<number> {
  let bytes = 0
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      for (const hash of hashes) hash.update(chunk)
      bytes += chunk.length
    }
  } catch (cause) {
    throw fileUnreadable(path, cause)
  }
  return bytes
}

export const sha256 = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Whether a process is there, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
