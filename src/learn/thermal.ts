// How hot the machine is while models are fitted: every sensor that can be read is, the hottest counts. Knows no models.
import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { engineError, messageOf, type SluiceError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'

const degrees = z.number().min(0).max(150)

/** The section `thermal` of the config, degrees in Celsius. What is fitted does not depend on it. */
export const thermalSchema = z
  .strictObject({
    enabled: z.boolean().default(true),
    /** Seconds from one reading to the next. */
    poll: z.number().min(0.01).max(3600).default(5),
    acceptable: degrees.default(70),
    warn: degrees.default(85),
    stop: degrees.default(95),
    sensor: z.string().min(1).optional().describe('a file with thousandths of a degree, read instead of the sensors'),
  })
  .superRefine(({ acceptable, warn, stop }, issues) => {
    if (acceptable >= warn) issues.addIssue({ code: 'custom', path: ['warn'], message: 'must be above acceptable' })
    if (warn >= stop) issues.addIssue({ code: 'custom', path: ['stop'], message: 'must be above warn' })
  })

export type ThermalConfig = z.infer<typeof thermalSchema>

export interface Temperature {
  /** Which sensor, as the machine calls it. */
  sensor: string
  celsius: number
}

export type Band = 'normal' | 'acceptable' | 'warning' | 'critical'

/** Each bound belongs to the band above it. */
export const bandOf = (celsius: number, { acceptable, warn, stop }: ThermalConfig): Band =>
  celsius >= stop ? 'critical' : celsius >= warn ? 'warning' : celsius >= acceptable ? 'acceptable' : 'normal'

/** Where sensors are looked for; of this machine unless it says otherwise. */
export interface Machine {
  /** Of the kernel's files. */
  root?: string
  platform?: string
  arch?: string
  /** Of the commands that are asked. */
  env?: Record<string, string | undefined>
  /** Ms that a command may take; nvidia-smi needs seconds where it has to wake the driver. */
  patience?: number
}

export interface ThermalWatch {
  /** Ends it; nothing is called or logged afterwards. */
  stop(): void
}

interface Watcher {
  log: Pick<Log, 'warn' | 'debug'>
  onReading(celsius: number, sensor: string): void
  /** At most once, and nothing follows it. */
  onCritical(error: SluiceError): void
  machine?: Machine
  /** Codes of the warnings that were said already: of several watches, one says NO_TEMPERATURE. */
  warned?: Set<string>
}

/** Below the warning's bound, before it can be logged again: a temperature that trembles at the bound is one warning. */
const HYSTERESIS = 1

/**
 * Reads the temperature every `poll` seconds until it is stopped, the first time at once. Keeps no process alive, and no poll overlaps another.
 * Entering the band of warnings is logged (HOT), and once that nothing can be read (NO_TEMPERATURE); from `stop` degrees on it gives TOO_HOT (exit 5) and ends.
 */
export function watchTemperature(
  options: ThermalConfig,
  { log, onReading, onCritical, machine = {}, warned = new Set() }: Watcher,
): ThermalWatch {
  const ended = new AbortController()
  const sources = sourcesOf(options.sensor, machine)
  let hot = false
  let next: NodeJS.Timeout | undefined

  async function poll(): Promise<void> {
    const look = await lookAt(sources, { signal: ended.signal, background: true })
    if (ended.signal.aborted) return
    if (look.hottest) take(look.hottest)
    else if (!warned.has('NO_TEMPERATURE')) {
      warned.add('NO_TEMPERATURE')
      log.warn(`NO_TEMPERATURE: ${look.reasons.join('; ')}; training goes on and is not stopped by heat`, {
        code: 'NO_TEMPERATURE',
      })
    }
    if (!ended.signal.aborted) next = setTimeout(poll, options.poll * 1000).unref()
  }

  function take({ celsius, sensor }: Temperature): void {
    const band = bandOf(celsius, options)
    log.debug(`temperature ${celsius.toFixed(1)} C`, { celsius, sensor, band })
    onReading(celsius, sensor)
    if (ended.signal.aborted) return
    if (band === 'critical') {
      ended.abort()
      onCritical(tooHot({ celsius, sensor }, options))
    } else if (band === 'warning' && !hot) {
      log.warn(
        `HOT: ${celsius.toFixed(1)} C at ${sensor}; from ${options.stop} C on the fit is stopped and can be gone on from`,
        { code: 'HOT', celsius, sensor },
      )
      hot = true
    } else if (celsius <= options.warn - HYSTERESIS) hot = false
  }

  if (options.enabled) void poll()
  return {
    stop() {
      clearTimeout(next)
      ended.abort()
    },
  }
}

const tooHot = ({ celsius, sensor }: Temperature, { stop }: ThermalConfig): SluiceError =>
  engineError('TOO_HOT', `${celsius.toFixed(1)} C at ${sensor}: the fit is stopped from ${stop} C on (thermal.stop)`, {
    next: 'the same command when the machine is cool: the fit is checkpointed and goes on from there',
    detail: { celsius, sensor, stop },
  })

/** Every sensor that can be read now, the hottest first, and why others cannot. */
export async function readTemperatures(machine: Machine = {}): Promise<Omit<Look, 'hottest'>> {
  return lookAt(sourcesOf(undefined, machine), { signal: new AbortController().signal, background: false })
}

interface Look {
  hottest: Temperature | undefined
  temperatures: Temperature[]
  reasons: string[]
}

interface Asking {
  signal: AbortSignal
  /** Whether what is asked must not keep this process alive. */
  background: boolean
}

/** Throws where it can say nothing. */
type Source = (asking: Asking) => Promise<Temperature[]>

function sourcesOf(sensor: string | undefined, machine: Machine): Source[] {
  const { root = '/sys', platform = process.platform, arch = process.arch } = machine
  if (sensor !== undefined) return [() => readSensor(sensor)]
  const gpu = ask('nvidia-smi', ['--query-gpu=temperature.gpu', '--format=csv,noheader'], gpuTemperatures, machine)
  if (platform === 'linux') return [() => kernelTemperatures(root), gpu]
  // Apple's own chips have no sampler of temperatures; asked for one, it ends with an error.
  const sampler = arch === 'arm64' ? 'thermal' : 'smc'
  if (platform === 'darwin')
    return [ask('powermetrics', ['-s', sampler, '-n', '1', '-i', '200'], macTemperatures, machine)]
  return [gpu]
}

async function lookAt(sources: Source[], asking: Asking): Promise<Look> {
  const answers = await Promise.allSettled(sources.map(source => source(asking)))
  const temperatures = answers
    .flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
    .filter(({ celsius }) => isPlausible(celsius))
    .sort((a, b) => b.celsius - a.celsius)
  const reasons = answers.flatMap(answer => (answer.status === 'rejected' ? [messageOf(answer.reason)] : []))
  return {
    hottest: temperatures[0],
    temperatures,
    reasons: reasons.length ? reasons : ['no sensor has a plausible value'],
  }
}

/** Sensors that are broken or not there say -274, 0xffff and the like. */
const isPlausible = (celsius: number): boolean => celsius > -50 && celsius <= 150

async function readSensor(path: string): Promise<Temperature[]> {
  return [{ sensor: path, celsius: thousandths(await readFile(path, 'utf8'), path) }]
}

/** Of Linux: its thermal zones, and the chips of processors beside them, since a desktop's only zone is often one that never moves. */
async function kernelTemperatures(root: string): Promise<Temperature[]> {
  const [zones, chips] = await Promise.all([zoneTemperatures(root), chipTemperatures(root)])
  if (zones.length + chips.length) return [...zones, ...chips]
  throw new Error(`${join(root, 'class/thermal')} has no zone that can be read`)
}

async function zoneTemperatures(root: string): Promise<Temperature[]> {
  const folder = join(root, 'class/thermal')
  const zones = (await names(folder)).filter(name => /^thermal_zone\d+$/.test(name))
  return readable(zones, async zone => {
    const type = await word(join(folder, zone, 'type'))
    const temp = join(folder, zone, 'temp')
    return [{ sensor: type ? `${type} (${zone})` : zone, celsius: thousandths(await readFile(temp, 'utf8'), temp) }]
  })
}

/** Drivers of processors, of Intel and AMD, of boards and of graphics; disks and radios have limits of their own. */
const CHIPS = ['coretemp', 'k8temp', 'k10temp', 'zenpower', 'cpu_thermal', 'amdgpu']

async function chipTemperatures(root: string): Promise<Temperature[]> {
  const folder = join(root, 'class/hwmon')
  return readable(await names(folder), async chip => {
    const driver = await word(join(folder, chip, 'name'))
    if (!CHIPS.includes(driver)) return []
    const inputs = (await names(join(folder, chip))).filter(name => /^temp\d+_input$/.test(name))
    return readable(inputs, async input => {
      const path = join(folder, chip, input)
      const label = await word(path.replace(/input$/, 'label'))
      const celsius = thousandths(await readFile(path, 'utf8'), path)
      return [{ sensor: `${driver} ${label || input.replace('_input', '')} (${chip})`, celsius }]
    })
  })
}

/** What can be read of each; one that is switched off answers with an error. */
async function readable(all: string[], read: (name: string) => Promise<Temperature[]>): Promise<Temperature[]> {
  return (await Promise.all(all.map(name => read(name).catch(() => [])))).flat()
}

const names = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])
const word = async (path: string): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).trim()

function thousandths(text: string, path: string): number {
  if (!/^\s*-?\d+\s*$/.test(text))
    throw new Error(`${path} holds ${JSON.stringify(text.slice(0, 20))}, not thousandths of a degree`)
  return Number(text) / 1000
}

/** What nvidia-smi prints: a line for each GPU, in degrees. */
export function gpuTemperatures(text: string): Temperature[] {
  return text
    .split('\n')
    .flatMap((line, i) => (/^\s*\d+\s*$/.test(line) ? [{ sensor: `GPU ${i}`, celsius: Number(line) }] : []))
}

/** What powermetrics prints on a Mac with an Intel processor; on Apple's own it has a level of pressure, and no temperature. */
export function macTemperatures(text: string): Temperature[] {
  const found = [...text.matchAll(/^(.+?) temperature: ([\d.]+) C\b/gm)]
  const pressure = /^Current pressure level: (\w+)/m.exec(text)?.[1]
  if (!found.length && pressure)
    throw new Error(
      `powermetrics gives a level of thermal pressure (${pressure}) on this processor, and no temperature`,
    )
  return found.map(([, sensor, celsius]) => ({ sensor, celsius: Number(celsius) }))
}

/** A command that is run for its answer. One that hangs is killed, and not started again before it has ended. */
function ask(
  command: string,
  args: string[],
  read: (text: string) => Temperature[],
  { env, patience = 8000 }: Machine,
): Source {
  let running = false
  const start = ({ signal, background }: Asking) =>
    new Promise<string>((resolve, reject) => {
      const child = execFile(command, args, { env }, (error, output, errors) => {
        clearTimeout(late)
        if (error) reject(new Error(reasonOf(command, error, errors)))
        else resolve(output)
      })
      const pipes = [child.stdin, child.stdout, child.stderr]
      const kill = () => child.kill('SIGKILL')
      const late = setTimeout(() => {
        kill()
        for (const pipe of pipes) pipe?.destroy() // a child of its own may hold them open for ever
        reject(new Error(`${command} did not answer within ${patience / 1000} s`))
      }, patience)
      running = true
      process.once('exit', kill)
      // Given a signal, Node would keep its listener for ever where there is no such command.
      signal?.addEventListener('abort', kill)
      const end = () => {
        running = false
        process.off('exit', kill)
        signal?.removeEventListener('abort', kill)
      }
      child.once('exit', end).once('error', end)
      if (!background) return
      late.unref()
      child.unref()
      for (const pipe of pipes) (pipe as Socket | null)?.unref()
    })
  return async asking => {
    if (running) throw new Error(`${command} hangs`)
    return read(await start(asking))
  }
}

function reasonOf(command: string, error: Error, errors: string): string {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return `there is no ${command}`
  const last = errors.trim().split('\n').at(-1)
  return `${command} failed: ${last || error.message.split('\n')[0]}`
}
