// Trackers from the command line: one that is down does not change what a command gives back, and what was measured can be read.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { json, sluice, start } from './command.ts'
import { PLANTED } from './planted.ts'
import { childrenOf, isAlive, until } from './processes.ts'
import { serve } from './server.ts'
import { put, temporaryFolder } from './temporary.ts'

it('a run with one tracker down and one offline ends as it would without', async () => {
  const folder = temporaryFolder()
  const text = `${PLANTED}tracking: { mlflow: { url: "http://127.0.0.1:1" }, wandb: { project: p } }\n`
  put(folder, 'planted.yaml', text)
  const { code, out, err } = await sluice(folder, 'run', '-c', 'planted.yaml', '--json', '--quiet')
  expect(code).toBe(0)
  const { run, status } = JSON.parse(out)
  expect(status).toBe('deployed')
  expect(err.trim().split('\n')).toEqual([
    expect.stringMatching(
      new RegExp(`^warning: TRACKER_DOWN: MLflow at http://127.0.0.1:1 .*sluice runs track ${run} tells it later$`),
    ),
  ])
  const left = readdirSync(join(folder, '.sluice/runs', run, 'wandb')).find(name => name.startsWith('offline-run-'))
  expect(existsSync(join(folder, '.sluice/runs', run, 'wandb', left!, `run-${run}.wandb`))).toBe(true)

  const { runs } = await json(folder, ['runs', 'show', run, '--points', 'points.csv'])
  expect(runs[0]).toMatchObject({ status: 'deployed', measured: expect.any(Array) })
  expect(readFileSync(join(folder, 'points.csv'), 'utf8')).toMatch(/^series,name,step,value,time\n/)

  const refused = await json(folder, ['runs', 'track', run], 5)
  expect(refused.error).toMatchObject({ code: 'TRACKER_DOWN' })
  const other = put(folder, 'other.yaml', `${PLANTED}tracking: { wandb: {} }\n`)
  const home = ['--home', '.sluice']
  expect(await json(folder, ['runs', 'track', run, '-c', other, ...home])).toEqual({
    run,
    trackers: ['Weights & Biases'],
  })
  const none = await json(folder, ['runs', 'track', run, '-c', other, '--set', 'tracking={}', ...home], 2)
  expect(none.error.code).toBe('NO_TRACKER')
})

/** Minutes of work. */
const ENDLESS = '{ kind: xgboost, params: { n_estimators: 500000, max_depth: 8, early_stopping_rounds: null } }'

/** The client's own process has the run's folder in its command line. */
const clientsIn = (folder: string): string[] =>
  execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes('wandb-core') && line.includes(folder))

it.each([
  ['stopped', 'SIGINT', 2],
  ['killed', 'SIGKILL', 20],
] as const)('a run that is %s takes its trackers along, also one that hangs', async (_, signal, seconds) => {
  const folder = temporaryFolder()
  const { url } = await serve(() => {})
  const models = PLANTED.replace(/models:\n(?: {2}- .*\n)+/, `models: [${ENDLESS}]\n`)
  put(folder, 'f.yaml', `${models}tracking: { mlflow: { url: "${url}" }, wandb: {} }\n`)
  const command = start(folder, ['train', '-c', 'f.yaml', '--quiet'])
  onTestFinished(() => void command.kill('SIGKILL'))
  await until(() => clientsIn(folder).length > 0, 'the client of Weights & Biases runs', 60)
  const children = childrenOf(command.pid!)
  command.kill(signal)
  const began = performance.now()
  const { code } = await command.ended
  expect(performance.now() - began).toBeLessThan(2000)
  expect(code).toBe(signal === 'SIGINT' ? 130 : null)
  await until(() => !children.some(isAlive) && !clientsIn(folder).length, 'every process is gone', seconds)
})
