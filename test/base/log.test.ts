import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openLog } from '../../src/base/log.ts'
import { temporaryFolder } from '../temporary.ts'

/** What stderr would have got. */
function screen({ isTTY = false, columns = 20 } = {}) {
  const written: string[] = []
  const stream = { isTTY, columns, write: (text: string) => written.push(text) > 0 } as unknown as NodeJS.WriteStream
  return { stream, text: () => written.join('') }
}

describe('a log', () => {
  it('tells a person lines, and the file everything as JSON', () => {
    const { stream, text } = screen()
    const file = join(temporaryFolder(), 'log/sluice.log')
    const log = openLog({ file, stream })
    log.info('built', { rows: 3 })
    log.warn('odd')
    log.debug('only for the file', { engine: 7 })
    log.close()
    expect(text()).toBe('built\nwarning: odd\n')
    const lines = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines).toMatchObject([
      { msg: 'built', rows: 3, pid: process.pid },
      { msg: 'odd' },
      { msg: 'only for the file', engine: 7 },
    ])
  })

  it('keeps quiet but for warnings when told', () => {
    const { stream, text } = screen()
    const log = openLog({ stream, quiet: true })
    log.info('a')
    log.progress('b')
    log.warn('c')
    expect(text()).toBe('warning: c\n')
  })

  it('writes progress over itself on a terminal, cut to its width, and clears it', () => {
    const { stream, text } = screen({ isTTY: true, columns: 10 })
    const log = openLog({ stream })
    log.progress('train 1/160 fits')
    log.info('done')
    log.close()
    expect(text()).toBe('\r\x1b[2Ktrain 1/1\r\x1b[2Kdone\n')
  })

  it('writes progress elsewhere at most once in a while', () => {
    const { stream, text } = screen()
    const log = openLog({ stream })
    for (let i = 1; i <= 100; i++) log.progress(`fit ${i}`)
    expect(text()).toBe('fit 1\n')
  })

  it('goes on in the file that is there', () => {
    const file = join(temporaryFolder(), 'sluice.log')
    for (const word of ['one', 'two']) {
      const log = openLog({ file, stream: screen().stream })
      log.info(word)
      log.close()
    }
    expect(readFileSync(file, 'utf8').match(/"msg":"\w+"/g)).toEqual(['"msg":"one"', '"msg":"two"'])
  })
})
