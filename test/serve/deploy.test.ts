import { describe, expect, it } from 'vitest'
import { aliasVersion, history, promote } from '../../src/registry/versions.ts'
import { deploy, deploySchema, serveSchema } from '../../src/serve/deploy.ts'
import { openHome, register } from '../registry/example.ts'

describe('deploy', () => {
  it('promotes under auto, with the reason', async () => {
    const home = openHome()
    const version = await register(home, 'logistic')
    expect(await deploy(version, 'auto', 'run 7 passed its gates', home)).toEqual({ promoted: true, from: null })
    expect((await history(home.database, 'demo'))[0]).toMatchObject({ to_version: 1, reason: 'run 7 passed its gates' })
  })

  it('leaves the champion alone under manual', async () => {
    const home = openHome()
    const version = await register(home, 'logistic')
    expect(await deploy(version, 'manual', 'r', home)).toEqual({ promoted: false, from: null })
    expect(await aliasVersion(home.database, 'demo')).toBeNull()
  })

  it('gives way to a champion that was promoted while the run worked', async () => {
    const home = openHome()
    const first = await register(home, 'logistic')
    const second = await register(home, 'logistic', { version: 2 })
    await promote(home.database, 'demo', first.version, { reason: 'by hand', now: 1 })
    await expect(deploy(second, 'auto', 'r', home, { expected: null })).rejects.toMatchObject({ code: 'ALIAS_MOVED' })
    expect(await aliasVersion(home.database, 'demo')).toBe(1)
  })

  it('never promotes what a gate refused', async () => {
    const home = openHome()
    const version = await register(home, 'logistic', {}, 'refused')
    await expect(deploy(version, 'auto', 'r', home)).rejects.toMatchObject({ code: 'REFUSED_VERSION', exit: 3 })
  })
})

describe('the config', () => {
  it('has defaults that listen on this machine only', () => {
    expect(serveSchema.parse({})).toMatchObject({ host: '127.0.0.1', port: 8080, body_limit: 1048576, max_rows: 1000 })
    expect(deploySchema.options).toEqual(['auto', 'manual'])
  })

  it.each([{ port: 70000 }, { port: '80' }, { host: '' }, { max_rows: 0 }, { request_timeout: 0 }, { hots: 'x' }])(
    'refuses %j',
    section => {
      expect(serveSchema.safeParse(section).success).toBe(false)
    },
  )
})
