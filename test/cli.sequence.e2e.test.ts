// A sequence model by the commands that a user types: a file scored, and its rows pushed one by one to a server.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, it, onTestFinished } from 'vitest'
import { openDatabase } from '../src/base/database.ts'
import { promote } from '../src/registry/versions.ts'
import { json, start } from './command.ts'
import { content, register } from './registry/example.ts'
import { client } from './serve/serving.ts'
import { put, temporaryFolder } from './temporary.ts'

const CONFIG = `name: demo
data: { source: { kind: simulated, bars: 500 } }
label: { kind: direction, horizon: 3 }
serve: { max_windows: 1 }
`

async function folderWithModel(): Promise<string> {
  const folder = temporaryFolder()
  put(folder, 'f.yaml', CONFIG)
  put(folder, '.sluice/README', '')
  const home = join(folder, '.sluice')
  const database = openDatabase(join(home, 'store.db'))
  await register({ home, database }, 'gru')
  await promote(database, 'demo', 1, { reason: 'test', now: 1 })
  await database.destroy()
  return folder
}

it('answers a file, sequences and pushed rows with the same bits, and as its config says', async () => {
  const folder = await folderWithModel()
  const { length = 0 } = content('gru').input
  const rows = Array.from({ length: 20 }, (_, i) => [Math.sin(i), i % 4 ? Math.cos(2 * i) : null, i / 10])
  put(folder, 'in.csv', `f0,f1,f2\n${rows.map(row => row.map(value => value ?? '').join(',')).join('\n')}\n`)
  expect(await json(folder, ['predict', '--model', 'demo', '--input', 'in.csv', '--out', 'out.csv'])).toMatchObject({
    rows: 20,
    unanswered: length - 1,
  })
  const offline = readFileSync(join(folder, 'out.csv'), 'utf8').trimEnd().split('\n').slice(1)

  const server = start(folder, ['serve', '-c', 'f.yaml', '--port', '0', '--json'])
  onTestFinished(() => void server.kill('SIGKILL'))
  const lines = createInterface({ input: server.stdout! })[Symbol.asyncIterator]()
  const { post } = client(JSON.parse((await lines.next()).value).listening)
  const push = (key: string, row: (typeof rows)[number]) =>
    post({ key, rows: [Object.fromEntries(row.map((value, j) => [`f${j}`, value]))] })
  for (const [i, row] of rows.entries()) {
    const { status, answer } = await push('a', row)
    if (i + 1 < length) {
      expect([status, answer.code, offline[i]]).toEqual([409, 'WARMING_UP', ','])
      continue
    }
    const [{ probability, signal }] = answer.predictions
    expect(`${probability},${signal}`).toBe(offline[i])
    const whole = await post({ sequence: rows.slice(i + 1 - length, i + 1) })
    expect(whole.answer.predictions).toEqual(answer.predictions)
  }
  expect((await push('b', rows[0])).answer.missing).toBe(length - 1)
  expect((await push('a', rows[0])).answer.missing).toBe(length - 1)
  server.kill('SIGTERM')
  expect((await server.ended).code).toBe(0)
})
