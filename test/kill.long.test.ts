// The whole story, killed again and again at any moment: what remains is whole, and the end is as if nothing had happened.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { random } from '../src/base/random.ts'
import { json, start } from './command.ts'
import { PLANTED } from './planted.ts'
import { childrenOf, isAlive, until } from './processes.ts'
import { put, temporaryFolder } from './temporary.ts'

const KILLS = 40

/** What a run says about the model, without when and where. */
const told = ({ rows, selected, leaderboard, metrics, backtest, gates, parity, status }: Record<string, unknown>) => ({
  ...{ rows, selected, leaderboard, metrics, backtest, gates, parity, status },
})

function given(): string {
  const folder = temporaryFolder()
  put(folder, 'f.yaml', PLANTED)
  return folder
}

const RUN = ['run', '-c', 'f.yaml']

it('a run that is killed at any moment goes on, and says what an undisturbed one says', async () => {
  const began = performance.now()
  const undisturbed = told(await json(given(), RUN))
  const duration = performance.now() - began

  const folder = given()
  const draw = random(7)
  for (let kill = 0; kill < KILLS; kill++) {
    const command = start(folder, RUN)
    await sleep(draw.next() * duration)
    const engines = childrenOf(command.pid!)
    command.kill('SIGKILL')
    await command.ended
    await until(() => !engines.some(isAlive), 'every engine process has ended', 5)
  }
  expect(told(await json(folder, RUN))).toEqual(undisturbed)
  const files = readdirSync(join(folder, '.sluice'), { recursive: true, encoding: 'utf8' })
  expect(files.filter(name => name.endsWith('.tmp'))).toEqual([])
  const { models } = await json(folder, ['models', 'list'])
  for (const { version } of models as { version: number }[])
    expect((await json(folder, ['models', 'verify', `planted@${version}`])).models).toMatchObject([{ ok: true }])
  const { runs } = await json(folder, ['runs', 'list'])
  expect((runs as { status: string }[]).filter(({ status }) => status === 'running')).toEqual([])
})
