import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readModelFile } from '../src/modelfile.ts'
import { put, temporaryFolder } from './temporary.ts'

const file = (text: string) => put(temporaryFolder(), 'model.yaml', `kind: mlp\n${text}`)

describe('a network in a file of its own', () => {
  it('says what it is counted for', () => {
    expect(readModelFile(file(''))).toMatchObject({ channels: 20, task: 'binary' })
    expect(readModelFile(join(import.meta.dirname, '../examples/etth1/patchtst.yaml'))).toMatchObject({
      kind: 'patchtst',
      channels: 7,
      task: 'forecast',
      horizon: 96,
    })
  })

  it.each([
    ['task: multiclass', 'classes: how many classes, for task: multiclass alone'],
    ['classes: 3', 'classes: how many classes, for task: multiclass alone'],
    ['task: forecast', 'horizon: how many rows, for task: forecast alone'],
    ['horizon: 3', 'horizon: how many rows, for task: forecast alone'],
  ])('%s alone is refused', (text, message) => {
    expect(() => readModelFile(file(text))).toThrow(message)
  })
})
