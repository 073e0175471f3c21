import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { SluiceError } from '../../src/base/errors.ts'
import { openLog } from '../../src/base/log.ts'
import {
  bandOf,
  gpuTemperatures,
  type Machine,
  macTemperatures,
  readTemperatures,
  type ThermalConfig,
  thermalSchema,
  watchTemperature,
} from '../../src/learn/thermal.ts'
import { isAlive } from '../processes.ts'
import { put, temporaryFolder } from '../temporary.ts'

const POLL = 0.01

/** A watch over a real file, or a machine, and all that it said. */
function watched(options: Partial<ThermalConfig>, machine: Machine = {}) {
  const said = { warnings: [] as string[], debug: [] as object[], celsius: [] as number[], errors: [] as SluiceError[] }
  const log = {
    warn: (message: string) => void said.warnings.push(message),
    debug: (_: string, fields?: object) => void said.debug.push(fields!),
  }
  const watch = watchTemperature(thermalSchema.parse({ poll: POLL, ...options }), {
    ...{ log, machine },
    onReading: celsius => void said.celsius.push(celsius),
    onCritical: error => void said.errors.push(error),
  })
  onTestFinished(() => watch.stop())
  return { ...said, watch }
}

/** A sensor of ours, and what sets it and waits until it was read. */
function fakeSensor(celsius: number) {
  const sensor = put(temporaryFolder(), 'temp', `${celsius * 1000}\n`)
  const set = async (value: number, { celsius: seen }: { celsius: number[] }) => {
    writeFileSync(sensor, `${value * 1000}\n`)
    await vi.waitFor(() => expect(seen.at(-1)).toBe(value), { interval: 2 })
    const polls = seen.length
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(polls + 1), { interval: 2 })
  }
  return { sensor, set }
}

/** A command that runs `script`, in a folder that is all of PATH. */
function command(name: string, script: string): Record<string, string> {
  const folder = temporaryFolder()
  chmodSync(put(folder, name, `#!/bin/sh\n${script}\n`), 0o755)
  return { PATH: folder }
}

const NONE = { PATH: '/nowhere' }

describe('a watch over a sensor file', () => {
  it('stops at 95 C: one error with temperature, sensor and what to do, and nothing after it', async () => {
    const { sensor, set } = fakeSensor(60)
    const watch = watched({ sensor })
    await set(94.9, watch)
    expect(watch.errors).toEqual([])
    writeFileSync(sensor, '95000\n')
    await vi.waitFor(() => expect(watch.errors).toHaveLength(1), { interval: 2 })
    const [error] = watch.errors
    expect(error).toMatchObject({ code: 'TOO_HOT', exit: 5, detail: { celsius: 95, sensor, stop: 95 } })
    expect(error.message).toContain(`95.0 C at ${sensor}`)
    expect(error.next).toContain('goes on from there')
    const polls = watch.celsius.length
    await sleep(50)
    expect([watch.errors.length, watch.celsius.length]).toEqual([1, polls])
  })

  it('warns at 85 C, once, and again only after it was cooler', async () => {
    const { sensor, set } = fakeSensor(84.9)
    const watch = watched({ sensor })
    await set(70, watch)
    expect(watch.warnings).toEqual([])
    for (const celsius of [85, 90, 94, 84.5, 86]) await set(celsius, watch)
    expect(watch.warnings).toEqual([expect.stringMatching(/^HOT: 85\.0 C at .*temp; from 95 C on/)])
    for (const celsius of [84, 88]) await set(celsius, watch)
    expect(watch.warnings).toHaveLength(2)
    expect(watch.errors).toEqual([])
  })

  it('logs temperature and band of every reading, in the log file too, and tracks it', async () => {
    const folder = temporaryFolder()
    const { sensor } = fakeSensor(71.5)
    const log = openLog({ file: join(folder, 'log'), quiet: true })
    const seen: [number, string][] = []
    const options = thermalSchema.parse({ poll: POLL, sensor })
    const watch = watchTemperature(options, {
      log,
      onReading: (celsius, from) => void seen.push([celsius, from]),
      onCritical: () => {},
    })
    await vi.waitFor(() => expect(seen.length).toBeGreaterThan(1), { interval: 2 })
    watch.stop()
    log.close()
    expect(seen[0]).toEqual([71.5, sensor])
    const lines = readFileSync(join(folder, 'log'), 'utf8').trim().split('\n')
    expect(JSON.parse(lines[0])).toMatchObject({ celsius: 71.5, sensor, band: 'acceptable', msg: 'temperature 71.5 C' })
  })

  it('warns once where nothing can be read, goes on, and takes up a sensor that comes', async () => {
    const { sensor } = fakeSensor(50)
    rmSync(sensor)
    const watch = watched({ sensor })
    await vi.waitFor(() => expect(watch.warnings).toHaveLength(1), { interval: 2 })
    await sleep(30)
    expect(watch.warnings).toEqual([expect.stringMatching(/^NO_TEMPERATURE: ENOENT.*; training goes on/)])
    writeFileSync(sensor, '55000')
    await vi.waitFor(() => expect(watch.celsius).toContain(55), { interval: 2 })
    writeFileSync(sensor, 'warm')
    await sleep(30)
    expect(watch.warnings).toHaveLength(1)
    expect(watch.errors).toEqual([])
  })

  it('says nothing more once it is stopped, and nothing at all where it is off', async () => {
    const { sensor } = fakeSensor(99)
    const off = watched({ sensor, enabled: false })
    const stopped = watched({ sensor })
    stopped.watch.stop()
    await sleep(30)
    for (const { celsius, errors, warnings } of [off, stopped])
      expect([celsius, errors, warnings]).toEqual([[], [], []])
  })

  it('keeps no process alive, not even while a command hangs', async () => {
    const active = () => process.getActiveResourcesInfo().filter(name => /Timeout|Process|Pipe/.test(name)).length
    const before = active()
    const env = command('nvidia-smi', `echo $$ > ${join(temporaryFolder(), 'pid')}; read forever`)
    const { watch } = watched({}, { root: temporaryFolder(), platform: 'linux', env, patience: 60_000 })
    const waiting = watched({ poll: 60, sensor: fakeSensor(50).sensor })
    await vi.waitFor(() => expect(waiting.celsius).toEqual([50]), { interval: 2 })
    await sleep(10)
    expect(active()).toBeLessThanOrEqual(before)
    watch.stop()
  })
})

it('a command that is not there leaves nothing behind, however often it is asked', async () => {
  const warned = vi.fn()
  process.on('warning', warned)
  const nowhere = { root: temporaryFolder(), platform: 'linux' as const, env: { PATH: temporaryFolder() } }
  const { watch } = watched({ poll: 0.01 }, nowhere)
  await sleep(500)
  watch.stop()
  process.off('warning', warned)
  expect(warned).not.toHaveBeenCalled()
})

describe('sensors', () => {
  /** Two zones of which one is off, one that says nonsense, a processor's chip, a disk's. */
  function linux(): string {
    const root = temporaryFolder()
    const files = {
      'class/thermal/thermal_zone0/type': 'acpitz\n',
      'class/thermal/thermal_zone0/temp': '27800\n',
      'class/thermal/thermal_zone1/type': 'x86_pkg_temp\n',
      'class/thermal/thermal_zone1/temp': '61000\n',
      'class/thermal/thermal_zone2/temp': '-274000\n',
      'class/thermal/thermal_zone3/temp': '65535000\n',
      'class/thermal/thermal_zone4/type': 'iwlwifi_1\n',
      'class/thermal/cooling_device0/temp': '149000\n',
      'class/hwmon/hwmon0/name': 'k10temp\n',
      'class/hwmon/hwmon0/temp1_input': '64250\n',
      'class/hwmon/hwmon0/temp1_label': 'Tctl\n',
      'class/hwmon/hwmon0/temp2_input': '63000\n',
      'class/hwmon/hwmon1/name': 'nvme\n',
      'class/hwmon/hwmon1/temp1_input': '79000\n',
    }
    for (const [name, text] of Object.entries(files)) put(root, name, text)
    return root
  }

  it('of Linux are its zones and the chips of processors, the hottest first; nonsense is none', async () => {
    const { temperatures } = await readTemperatures({ root: linux(), platform: 'linux', env: NONE })
    expect(temperatures).toEqual([
      { sensor: 'k10temp Tctl (hwmon0)', celsius: 64.25 },
      { sensor: 'k10temp temp2 (hwmon0)', celsius: 63 },
      { sensor: 'x86_pkg_temp (thermal_zone1)', celsius: 61 },
      { sensor: 'acpitz (thermal_zone0)', celsius: 27.8 },
    ])
  })

  it('are those of GPUs too, and the hottest of all counts', async () => {
    const env = command('nvidia-smi', '[ "$1" = --query-gpu=temperature.gpu ] && echo 66 && echo "[N/A]" && echo 72')
    const watch = watched({}, { root: linux(), platform: 'linux', env })
    await vi.waitFor(() => expect(watch.debug[0]).toMatchObject({ sensor: 'GPU 2', celsius: 72 }))
  })

  it('of a command that hangs are given up after a while; it is killed, and one at a time', async () => {
    const folder = temporaryFolder()
    const pids = join(folder, 'pids')
    const env = command('nvidia-smi', `echo $$ >> ${pids}; read forever`)
    const watch = watched({}, { root: folder, platform: 'linux', env, patience: 60 })
    const started = () => (existsSync(pids) ? readFileSync(pids, 'utf8').trim().split('\n').map(Number) : [])
    await vi.waitFor(() => expect(started().length).toBeGreaterThan(2), { interval: 5, timeout: 3000 })
    watch.watch.stop()
    await vi.waitFor(() => expect(started().filter(isAlive)).toEqual([]), { interval: 5 })
    expect(watch.warnings).toEqual([expect.stringContaining('nvidia-smi did not answer within 0.06 s')])
  })

  it('are none where there are none, and the reasons are told', async () => {
    const root = temporaryFolder()
    const { temperatures, reasons } = await readTemperatures({ root, platform: 'linux', env: NONE })
    expect(temperatures).toEqual([])
    expect(reasons).toEqual([`${root}/class/thermal has no zone that can be read`, 'there is no nvidia-smi'])
    expect((await readTemperatures({ platform: 'win32', env: NONE })).reasons).toEqual(['there is no nvidia-smi'])
  })

  it('of a Mac are what powermetrics says, which needs root', async () => {
    const asked = command('powermetrics', `[ "$2" = smc ] && printf '${INTEL.replaceAll('\n', '\\n')}'`)
    const intel = await readTemperatures({ platform: 'darwin', arch: 'x64', env: asked })
    expect(intel.temperatures[0]).toEqual({ sensor: 'CPU die', celsius: 54.32 })
    const refused = command('powermetrics', 'echo "powermetrics must be invoked as the superuser" >&2; exit 1')
    const { reasons } = await readTemperatures({ platform: 'darwin', arch: 'x64', env: refused })
    expect(reasons).toEqual(['powermetrics failed: powermetrics must be invoked as the superuser'])
  })
})

const INTEL = `*** Sampled system activity (Sat Nov 21 2026) (202.58ms elapsed) ***

**** SMC sensors ****

CPU Thermal level: 0
GPU Thermal level: 0
IO Thermal level: 0
Fan: 2160.86 rpm
CPU die temperature: 54.32 C
GPU die temperature: 51.00 C
CPU Plimit: 0.00
`

describe('what commands print', () => {
  it('of powermetrics on Intel', () => {
    expect(macTemperatures(INTEL)).toEqual([
      { sensor: 'CPU die', celsius: 54.32 },
      { sensor: 'GPU die', celsius: 51 },
    ])
  })

  it('of powermetrics on Apple silicon, which is no temperature', () => {
    const text = '**** Thermal pressure ****\n\nCurrent pressure level: Nominal\n'
    expect(() => macTemperatures(text)).toThrow('level of thermal pressure (Nominal) on this processor, and no temp')
  })

  it('of nvidia-smi', () => {
    expect(gpuTemperatures('45\n[N/A]\n61\n').map(({ celsius }) => celsius)).toEqual([45, 61])
    expect(gpuTemperatures('')).toEqual([])
  })
})

it.each([
  [69.99, 'normal'],
  [70, 'acceptable'],
  [84.99, 'acceptable'],
  [85, 'warning'],
  [94.99, 'warning'],
  [95, 'critical'],
])('%d C is %s', (celsius, band) => expect(bandOf(celsius, thermalSchema.parse({}))).toBe(band))

it('is configured with ascending bounds only', () => {
  for (const wrong of [{ warn: 95 }, { acceptable: 85 }, { stop: 80 }, { poll: 0 }, { warning: 80 }])
    expect(thermalSchema.safeParse(wrong).success, JSON.stringify(wrong)).toBe(false)
  expect(thermalSchema.parse({ stop: 90 })).toMatchObject({ acceptable: 70, warn: 85, stop: 90 })
})
