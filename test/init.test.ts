// What init writes is a config that holds.
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/config.ts'
import { initialise } from '../src/init.ts'
import { put, temporaryFolder } from './temporary.ts'

/** The config for a table whose lines are these. */
async function configOf(...lines: string[]) {
  const folder = temporaryFolder()
  const data = put(folder, 'my data.csv', `${lines.join('\n')}\n`)
  const [file] = await initialise('tabular', join(folder, 'made'), data)
  return loadConfig(file).config
}

it.each(['market', 'deep'])('init %s makes a config that holds, of a simulated series', async preset => {
  const [file] = await initialise(preset, temporaryFolder())
  const { config } = loadConfig(file)
  expect(config.models.some(({ kind }) => kind === 'cnn_gru')).toBe(preset === 'deep')
})

describe('init tabular', () => {
  it('brings a table of its own, and leaves what is there alone', async () => {
    const folder = temporaryFolder()
    expect(await initialise('tabular', folder)).toEqual(['sluice.yaml', 'bolts.csv'].map(name => join(folder, name)))
    expect(loadConfig(join(folder, 'sluice.yaml')).config).toMatchObject({
      name: 'bolts',
      task: 'binary',
      features: [{ kind: 'set', name: 'columns' }],
      label: { kind: 'column', name: 'holds' },
      split: { kind: 'stratified' },
      gates: { skill: '> 0' },
      refit: 'none',
    })
    await expect(initialise('tabular', folder)).rejects.toMatchObject({ code: 'EXISTS' })
    await expect(initialise('shallow', folder)).rejects.toMatchObject({ code: 'PRESET' })
  })

  it.each([
    ['two words', ['x,kind', '1,a', '2,b', '3,a'], 'binary', 'stratified'],
    ['three words', ['x,kind', '1,a', '2,b', '3,c', '4,c'], 'multiclass', 'stratified'],
    ['few whole numbers', ['x,kind', '1,0', '2,1', '3,2', '4,2'], 'multiclass', 'stratified'],
    ['numbers', ['x,kind', '1,0.5', '2,1', '3,2.5', '4,2'], 'regression', 'kfold'],
  ])('guesses the task: %s', async (_, lines, task, kind) => {
    expect(await configOf(...lines)).toMatchObject({ name: 'my-data', task, label: { name: 'kind' }, split: { kind } })
  })

  it('finds a label by its name, words that name rows, and what is always the same', async () => {
    const rows = ['1.5,a1,red,5,', '2,a2,blue,5,', '0.1,a3,red,5,', '4,a4,red,5,', '5,a5,blue,5,']
    const config = await configOf('Target,id,colour,five,nothing', ...rows)
    expect(config.label).toEqual({ kind: 'column', name: 'Target' })
    expect(config.features).toEqual([{ kind: 'column', name: 'colour' }])
  })

  it('gives a label a horizon where rows have a time', async () => {
    const config = await configOf('time,x,y', '2020-01-01,1,0.5', '2020-01-02,2,0.7', '2020-01-03,2,0.8')
    expect([config.label, config.split.kind, config.refit]).toEqual([
      { kind: 'column', name: 'y', horizon: 1 },
      'walk_forward',
      'all',
    ])
  })
})
