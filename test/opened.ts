// A home of its own around a warm engine, without warnings on the terminal; closed when the test is over.
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Context, Engine } from '../src/base/context.ts'
import { openContext } from '../src/context.ts'
import { temporaryFolder } from './temporary.ts'

export function openHome(engine: Engine): Context {
  const opened = openContext({
    home: join(temporaryFolder(), '.sluice'),
    env: process.env,
    signal: new AbortController().signal,
    quiet: true,
  })
  onTestFinished(() => opened.close())
  return { ...opened, engine, log: { ...opened.log, warn: () => {} } }
}
