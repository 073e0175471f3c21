// The command is killed while it writes a version; the next one finds nothing half-written.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { cleanCsv } from './home.ts'

const sluice = resolve(import.meta.dirname, '../../bin/sluice')
const CONFIG =
  'name: prices\ndata: { source: { kind: file, path: prices.csv } }\nlabel: { kind: direction, horizon: 1 }\n'

it('a killed ingest leaves no version, and the next one is whole', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-kill-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'sluice.yaml')
  writeFileSync(config, CONFIG)
  writeFileSync(join(folder, 'prices.csv'), cleanCsv(40_000))
  const versions = join(folder, '.sluice', 'tables', 'prices')
  const found = () => (existsSync(versions) ? readdirSync(versions) : [])

  const child = spawn(sluice, ['ingest', '-c', config], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const watch = setInterval(() => found().length && child.kill('SIGKILL'), 1)
  const [, signal] = await ended
  clearInterval(watch)
  expect(signal).toBe('SIGKILL')
  expect(found().every(name => name.endsWith('.tmp'))).toBe(true)

  const { status, stdout } = spawnSync(sluice, ['ingest', '-c', config, '--json'], { encoding: 'utf8' })
  expect(status).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ version: 1, accepted: 40_000, rejected: 0 })
  expect(found()).toEqual(['1'])
})
