// Held to what DVC 3.67 itself wrote for the same files (`dvc add`, `dvc push`).
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { track } from '../../src/base/dvc.ts'
import { put, temporaryFolder } from '../temporary.ts'

const LISTING = '06/c8a571d1f66b4bf84bd156ec2be1a9.dir'
const REMOTE = {
  [LISTING]:
    '[{"md5": "8a80554c91d9fca8acb82f023de02f11", "relpath": "manifest.json"}, {"md5": "cce22f860b0f7826ded687ccb956edcf", "relpath": "part-2021-10-01.parquet"}, {"md5": "2b85af6abf9be8e9a8bb4d661cde9488", "relpath": "part-all.parquet"}, {"md5": "2b85af6abf9be8e9a8bb4d661cde9488", "relpath": "revised-1.parquet"}]',
  '2b/85af6abf9be8e9a8bb4d661cde9488': 'PAR1',
  '8a/80554c91d9fca8acb82f023de02f11': '{}\n',
  'cc/e22f860b0f7826ded687ccb956edcf': 'PAR2',
}

function version(): string {
  const folder = temporaryFolder()
  put(folder, 'part-all.parquet', 'PAR1')
  put(folder, 'revised-1.parquet', 'PAR1')
  put(folder, 'part-2021-10-01.parquet', 'PAR2')
  put(folder, 'manifest.json', '{}\n')
  return folder
}

/** Every file below a folder with its content. */
function tree(folder: string): Record<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(path =>
    statSync(join(folder, path)).isFile(),
  )
  return Object.fromEntries(paths.map(path => [path, readFileSync(join(folder, path), 'utf8')]))
}

it('a folder is tracked as DVC tracks it: pointer, listing, files by their MD5', async () => {
  const [folder, out, remote] = [version(), temporaryFolder(), temporaryFolder()]
  const found = await track(folder, { name: '2024', out: join(out, 'data'), remote })
  expect(found).toEqual({
    pointer: join(out, 'data/2024.dvc'),
    md5: '06c8a571d1f66b4bf84bd156ec2be1a9.dir',
    files: 4,
    bytes: 15,
  })
  // A name that looks like a number is text.
  expect(parse(readFileSync(found.pointer, 'utf8'))).toEqual({
    outs: [{ md5: '06c8a571d1f66b4bf84bd156ec2be1a9.dir', size: 15, nfiles: 4, hash: 'md5', path: '2024' }],
  })
  expect(tree(join(remote, 'files/md5'))).toEqual(REMOTE)
})

it('what a remote has is left as it is, and a pointer alone needs none', async () => {
  const [folder, out, remote] = [version(), temporaryFolder(), temporaryFolder()]
  await track(folder, { name: 'a', out, remote })
  const listing = join(remote, 'files/md5', LISTING)
  chmodSync(listing, 0o444) // as DVC leaves it
  const before = statSync(listing).mtimeMs
  expect((await track(folder, { name: 'b', out, remote })).md5).toBe('06c8a571d1f66b4bf84bd156ec2be1a9.dir')
  expect(statSync(listing).mtimeMs).toBe(before)
  await track(folder, { name: 'c', out: join(out, 'alone') })
  expect(readdirSync(join(out, 'alone'))).toEqual(['c.dvc'])
})
