import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { filesAt } from '../../src/data/paths.ts'
import { testContext } from './home.ts'

const FILES = [
  'b.csv',
  'a.csv',
  'a.csv.gz',
  'note.md',
  '_old.csv',
  '.b.csv',
  'x[1].csv',
  'y/c.csv',
  'y/2021/d.jsonl',
  'y/2022/e.csv',
  'z+.csv',
]

function folder(): string {
  const { home } = testContext()
  for (const file of FILES) {
    mkdirSync(join(home, file, '..'), { recursive: true })
    writeFileSync(join(home, file), '')
  }
  symlinkSync(home, join(home, 'y', 'round'))
  return home
}

describe('a path of the config', () => {
  it.each([
    ['a.csv', ['a.csv']],
    ['x[1].csv', ['x[1].csv']], // what is there is no pattern
    ['*.csv', ['a.csv', 'b.csv', 'x[1].csv', 'z+.csv']],
    ['?.csv', ['a.csv', 'b.csv']],
    ['[b-z].csv', ['b.csv']],
    ['[!b].csv', ['a.csv']],
    ['{a,b,q}.csv', ['a.csv', 'b.csv']],
    ['z+.cs*', ['z+.csv']],
    ['**/*.csv', ['a.csv', 'b.csv', 'x[1].csv', 'y/2022/e.csv', 'y/c.csv', 'z+.csv']],
    ['y/**', ['y/2021/d.jsonl', 'y/2022/e.csv', 'y/c.csv']],
    ['y/*/e.csv', ['y/2022/e.csv']],
    ['y', ['y/2021/d.jsonl', 'y/2022/e.csv', 'y/c.csv']],
    ['y/..', ['a.csv', 'a.csv.gz', 'b.csv', 'x[1].csv', 'y/2021/d.jsonl', 'y/2022/e.csv', 'y/c.csv', 'z+.csv']],
    ['q*.csv', []],
    ['q/*.csv', []],
    ['q.csv', []],
  ])('%s', (path, want) => {
    const home = folder()
    expect(filesAt(path, home).map(file => relative(home, file))).toEqual(want)
  })

  it('of a folder means the files of the one format that the config says', () => {
    const home = folder()
    expect(filesAt('y', home, 'jsonl').map(file => relative(home, file))).toEqual(['y/2021/d.jsonl'])
  })
})
