// Trackers from the command line: one that is down does not change what a command gives back, and what was measured can be read.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { json, sluice } from './command.ts'
import { PLANTED } from './planted.ts'
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
