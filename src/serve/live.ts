// The model that answers now. Follows an alias: a newer version is verified, loaded and tried before it takes over, all in one assignment.
import type { Context } from '../base/context.ts'
import { messageOf, usageError } from '../base/errors.ts'
import { loadModel } from '../base/onnx.ts'
import { type Bundle, type BundleManifest, openRegistered } from '../registry/bundle.ts'
import type { TrustedKeys } from '../registry/keys.ts'
import { aliasVersion, resolveVersion } from '../registry/versions.ts'
import { type MicroBatch, microbatch } from './microbatch.ts'
import { openWindows, type Windows } from './windows.ts'

/** Where the versions of one model come from. */
export interface ModelSource {
  name: string
  /** The version to serve now, or null; asked every few seconds, so it must be cheap. */
  current(): Promise<number | null>
  /** A verified bundle. */
  open(version: number): Promise<Bundle>
}

export interface Served {
  version: number
  digest: string
  manifest: BundleManifest
  run: MicroBatch['run']
  /** Of a sequence model: the rows of every key. A successor that reads the same features goes on with them. */
  windows: Windows | null
  /** Work that is begun with this version ends with it: it is not closed before. */
  use<T>(work: Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface Live {
  name: string
  served(): Served
  /** Looks once whether the alias has moved, and follows it. */
  follow(): Promise<void>
  close(): Promise<void>
}

export interface Following {
  log: Context['log']
  limits: Limits
  onServing?(version: number): void
  onFailure?(): void
}

export interface Limits {
  maxWaiting: number
  maxWindows: number
  /** Seconds. */
  windowIdle: number
}

/** The champion of `name` in the store, its bundle checked against the trusted keys and its row. */
export function championOf(
  name: string,
  trusted: TrustedKeys,
  { database, home }: Pick<Context, 'database' | 'home'>,
): ModelSource {
  return {
    name,
    current: () => aliasVersion(database, name),
    open: async version => openRegistered(home, await resolveVersion(database, `${name}@${version}`), trusted),
  }
}

/** Loads what the source names now, so a server never starts without an answer; afterwards a version that cannot be served leaves the old one in place. */
export async function goLive(source: ModelSource, { log, limits, onServing, onFailure }: Following): Promise<Live> {
  const first = await source.current()
  if (first === null)
    throw usageError('NO_CHAMPION', `${source.name} has no champion to serve`, {
      next: `sluice models list, then sluice models promote ${source.name}@VERSION`,
    })
  let served = await load(source, first, limits)
  onServing?.(first)
  let complaint: string | undefined

  async function follow(): Promise<void> {
    try {
      const version = await source.current()
      if (version === null || version === served.version) return
      const retired = served
      served = await load(source, version, limits, retired)
      onServing?.(version)
      log.info(`${source.name}@${version} has taken over from @${retired.version}`)
      complaint = undefined
      await retired.close()
    } catch (error) {
      onFailure?.()
      const said = messageOf(error)
      if (said !== complaint)
        log.warn(`${source.name}@${served.version} goes on, for its successor cannot be served: ${said}`)
      complaint = said
    }
  }
  return { name: source.name, served: () => served, follow, close: () => served.close() }
}

async function load(
  source: ModelSource,
  version: number,
  { maxWaiting, maxWindows, windowIdle }: Limits,
  before?: Served,
): Promise<Served> {
  const { manifest, model: bytes, digest } = await source.open(version)
  const model = await loadModel(bytes)
  const { length, features: width } = model
  // The first run of a session is its slowest, and shows that it runs at all.
  await model.run(new Float32Array(length * width), 1)
  const { run, idle } = microbatch(model, { maxWaiting })
  const keep = () => openWindows({ length, width, most: maxWindows, idle: windowIdle, maxWaiting })
  const goesOn = before && contractOf(before.manifest) === contractOf(manifest)
  const uses = new Set<Promise<unknown>>()
  return {
    version,
    digest,
    manifest,
    run,
    windows: goesOn ? before.windows : length > 1 ? keep() : null,
    use(work) {
      uses.add(work)
      const forget = () => void uses.delete(work)
      work.then(forget, forget)
      return work
    },
    async close() {
      while (uses.size > 0) await Promise.allSettled(uses)
      await idle()
      await model.close()
    },
  }
}

/** What the values of a row are: rows of another contract are none that this model could go on from. */
const contractOf = ({ input, features, timeframe }: BundleManifest): string =>
  JSON.stringify({ input, features, timeframe })
