// MLflow as a tracker, by its REST API 2.0. Knows of runs what a tracker is told, and nothing of where that comes from.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Row } from './database.ts'
import { codeOf, engineError, messageOf, SluiceError } from './errors.ts'
import { comeAgain, isSuccess } from './fetch.ts'
import { type Answer, openRequests } from './request.ts'
import { withoutSecrets } from './secrets.ts'
import type { Told, Tracker, TrackingConfig } from './tracker.ts'

export interface MlflowContext {
  env?: Record<string, string | undefined>
  warn(message: string): void
}

/** Ms, and bytes of an answer. A server that is there answers in less; one that is not must not be waited for. `waits` are between tries. */
const LIMITS = { connect: 3000, idle: 10_000, total: 60_000, bytes: 1 << 24, waits: [300, 1000] }
/** A try that took longer is not repeated. */
const TOO_LONG_MS = 5000

type Method = 'GET' | 'POST' | 'PUT'

/** The tag by which a run is found again. */
const RUN_TAG = 'sluice.run'

/** Nothing is asked before `begin`. Errors: TRACKER_MISSING, TRACKER_DOWN, TRACKER_REFUSED, URL, TOO_LARGE. */
export function openMlflow(
  config: NonNullable<TrackingConfig['mlflow']>,
  { env = {}, warn }: MlflowContext,
  limits: Partial<typeof LIMITS> = {},
): Tracker {
  const closed = new AbortController()
  const secrets = [env.MLFLOW_TRACKING_TOKEN, env.MLFLOW_TRACKING_PASSWORD]
  const failure = (code: string, message: string, more: { next?: string } = {}) =>
    engineError(code, withoutSecrets(message, secrets), more)
  const { waits, ...bounds } = { ...LIMITS, ...limits }
  const requests = openRequests({ allow_private: true, parallel: 1 }, { signal: closed.signal, bounds, failure })
  const address = config.url ?? env.MLFLOW_TRACKING_URI
  let run: { id: string; artefacts: string } | undefined

  async function send(method: Method, path: string, body: string | Uint8Array): Promise<Answer> {
    if (!address)
      throw failure('TRACKER_MISSING', 'MLflow has no address', {
        next: 'tracking.mlflow.url, or MLFLOW_TRACKING_URI in the environment',
      })
    const url = requests.check(`${address.replace(/\/+$/, '')}/api/2.0/${path}`)
    const type = typeof body === 'string' ? 'application/json' : 'application/octet-stream'
    const headers = { 'content-type': type, ...authorization(env) }
    try {
      return await (method === 'GET' ? requests.get(url, headers) : requests.send(method, url, headers, body))
    } catch (cause) {
      if (cause instanceof SluiceError) throw cause
      const why = messageOf(cause) || (cause as NodeJS.ErrnoException).code
      throw failure('TRACKER_DOWN', `MLflow at ${url.origin} cannot be reached: ${why}`)
    }
  }

  /** One request, and what its answer says in the form of `schema`. */
  async function once<Result>(
    method: Method,
    path: string,
    schema: z.ZodType<Result>,
    body: object | Uint8Array = {},
  ): Promise<Result> {
    const answer = await send(method, path, body instanceof Uint8Array ? body : JSON.stringify(body))
    if (!isSuccess(answer)) throw failed(path, answer)
    const { success, data } = schema.safeParse(jsonOf(answer))
    if (success) return data
    throw failure('TRACKER_REFUSED', `what answers ${path.split('?')[0]} is no MLflow`)
  }

  /** Repeats what may go otherwise the next time. All that is sent may be sent twice; only a new run is looked for before. */
  async function persist<Result>(work: () => Promise<Result>): Promise<Result> {
    for (let tries = 0; ; tries++) {
      const began = performance.now()
      try {
        return await work()
      } catch (error) {
        const again = codeOf(error) === 'TRACKER_DOWN' && performance.now() - began < TOO_LONG_MS
        if (!again || tries === waits.length || closed.signal.aborted) throw error
      }
      await sleep(waits[tries], undefined, { signal: closed.signal })
    }
  }

  const call = (method: Method, path: string, body: object | Uint8Array) =>
    persist(() => once(method, path, z.unknown(), body))

  function failed(path: string, answer: Answer): SluiceError {
    const says = wordsOf(answer)
    const fact = `MLflow answers ${path.split('?')[0]} with status ${answer.status}${says ? `: ${says}` : ''}`
    if (comeAgain(answer, 0)) return failure('TRACKER_DOWN', fact)
    const next = [401, 403].includes(answer.status)
      ? 'MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, in the environment'
      : undefined
    return failure('TRACKER_REFUSED', fact, { next })
  }

  /** By its name; made where there is none, unless another one was faster. */
  async function experimentOf(name: string): Promise<string> {
    const path = `mlflow/experiments/get-by-name?experiment_name=${encodeURIComponent(name)}`
    const find = async () => (await once('GET', path, FOUND_EXPERIMENT)).experiment.experiment_id
    const make = async () => (await once('POST', 'mlflow/experiments/create', EXPERIMENT, { name })).experiment_id
    try {
      return await find()
    } catch (error) {
      if (!isOf(error, 'RESOURCE_DOES_NOT_EXIST')) throw error
    }
    return make().catch(error => {
      if (!isOf(error, 'RESOURCE_ALREADY_EXISTS')) throw error
      return find()
    })
  }

  /** By our id, so that a run that is told again is the same one there. */
  async function runOf(experiment: string, { id, name, started, tags }: Told) {
    const { runs } = await once('POST', 'mlflow/runs/search', RUNS, {
      experiment_ids: [experiment],
      filter: `tags.\`${RUN_TAG}\` = '${id}'`,
      max_results: 1,
    })
    if (runs.length) return runs[0]
    const made = await once('POST', 'mlflow/runs/create', z.object({ run: RUN }), {
      experiment_id: experiment,
      run_name: `${name}-${id}`,
      start_time: started,
      tags: pairs({ [RUN_TAG]: id, ...tags, ...sourceTags(tags) }, LONGEST.tag),
    })
    return made.run
  }

  async function log(content: Content): Promise<void> {
    for (const batch of batchesOf(content)) await call('POST', 'mlflow/runs/log-batch', { run_id: run!.id, ...batch })
  }

  async function keep(files: Told['files']): Promise<void> {
    const folder = run!.artefacts
    const place = /^mlflow-artifacts:(?:\/\/([^/]*))?(\/.*)$/.exec(folder)
    if (!place || (place[1] && place[1] !== new URL(address!).host)) {
      warn(
        `TRACKER_FILES: MLflow keeps the files of this run at ${folder}, where its own client alone can write: none is sent`,
      )
      return
    }
    for (const { name, path } of files) {
      const there = [...place[2].split('/'), ...name.split('/')].filter(Boolean).map(encodeURIComponent).join('/')
      await call('PUT', `mlflow-artifacts/artifacts/${there}`, readFileSync(path))
    }
  }

  return {
    name: 'MLflow',
    async begin(told) {
      const name = config.experiment ?? told.name
      const { info } = await persist(async () => runOf(await experimentOf(name), told))
      run = { id: info.run_id, artefacts: info.artifact_uri }
      await log({ params: told.params, tags: told.tags })
    },
    points: points => log({ points }),
    async end({ params, tags, figures, data, files, status, started, finished }) {
      try {
        await log({ params, tags, figures: { values: figures, at: finished ?? started } })
        if (data) await call('POST', 'mlflow/runs/log-inputs', { run_id: run!.id, datasets: [datasetOf(data)] })
        await keep(files)
      } finally {
        const end = { run_id: run!.id, status: STATUS[status], end_time: finished ?? undefined }
        await call('POST', 'mlflow/runs/update', end)
      }
    },
    async close() {
      closed.abort()
      requests.close()
    },
  }
}

/** What MLflow's own pages look for. */
const sourceTags = ({ 'sluice.git.commit': commit }: Record<string, string>): Record<string, string> => ({
  'mlflow.source.name': 'sluice',
  ...(commit && { 'mlflow.source.git.commit': commit }),
})

const STATUS = { running: 'RUNNING', finished: 'FINISHED', failed: 'FAILED', killed: 'KILLED' }

function authorization(env: Record<string, string | undefined>): Record<string, string> {
  const { MLFLOW_TRACKING_TOKEN: token, MLFLOW_TRACKING_USERNAME: name, MLFLOW_TRACKING_PASSWORD: password } = env
  if (token) return { authorization: `Bearer ${token}` }
  if (name && password) return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` }
  return {}
}

const EXPERIMENT = z.object({ experiment_id: z.string() })
const FOUND_EXPERIMENT = z.object({ experiment: EXPERIMENT })
const RUN = z.object({ info: z.object({ run_id: z.string(), artifact_uri: z.string() }) })
const RUNS = z.object({ runs: z.array(RUN).default([]) })
const REFUSAL = z.object({ error_code: z.string().default(''), message: z.string().default('') })

function jsonOf({ text }: Answer): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The server's own words, without a page of HTML. */
function wordsOf(answer: Answer): string {
  const { data } = REFUSAL.safeParse(jsonOf(answer))
  return data ? [data.error_code, data.message].filter(Boolean).join(', ').slice(0, 300) : ''
}

const isOf = (error: unknown, code: string): boolean =>
  error instanceof SluiceError && error.code === 'TRACKER_REFUSED' && error.message.includes(code)

const datasetOf = ({ name, digest, source }: NonNullable<Told['data']>) => ({
  dataset: { name, digest, source_type: 'local', source: JSON.stringify(source) },
  tags: [{ key: 'mlflow.data.context', value: 'training' }],
})

/** What the server takes in one request, and characters of a key and of values. */
const MOST = { metrics: 1000, params: 100, tags: 100 }
const LONGEST = { key: 250, param: 6000, tag: 5000 }

interface Content {
  params?: Record<string, string>
  tags?: Record<string, string>
  points?: Row<'points'>[]
  figures?: { values: Record<string, number>; at: number }
}

interface Batch {
  metrics?: { key: string; value: number | 'NaN'; timestamp: number; step: number }[]
  params?: { key: string; value: string }[]
  tags?: { key: string; value: string }[]
}

/** Requests that MLflow takes: one kind of content in each. A metric sent again is the same one by key, step, time and value. */
export function batchesOf({ params = {}, tags = {}, points = [], figures }: Content): Batch[] {
  const stepwise = points.map(({ series, name, step, value, at }) => ({
    key: keyOf(`${series}/${name}`),
    value: value ?? ('NaN' as const),
    timestamp: at,
    step,
  }))
  const final = Object.entries(figures?.values ?? {}).map(([name, value]) => ({
    ...{ key: keyOf(name), value, timestamp: figures!.at, step: 0 },
  }))
  return [
    ...slices(pairs(params, LONGEST.param), MOST.params).map(params => ({ params })),
    ...slices(pairs(tags, LONGEST.tag), MOST.tags).map(tags => ({ tags })),
    ...slices([...stepwise, ...final], MOST.metrics).map(metrics => ({ metrics })),
  ]
}

/** Each key once: two names may have one key, and MLflow refuses a request that says one twice. */
const pairs = (values: Record<string, string>, longest: number) =>
  [...new Map(Object.entries(values).map(([name, value]) => [keyOf(name), cut(value, longest)]))].map(
    ([key, value]) => ({ key, value }),
  )

const cut = (text: string, longest: number): string => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text)

/** A name as MLflow takes it: letters, digits, `_ - . /` and blanks, and a path that is in its shortest form. */
export const keyOf = (name: string): string =>
  name
    .replaceAll(/[^\w\-. /]/g, '_')
    .split('/')
    .filter(part => !['', '.', '..'].includes(part))
    .join('/')
    .slice(0, LONGEST.key)

const slices = <Value>(values: Value[], size: number): Value[][] =>
  Array.from({ length: Math.ceil(values.length / size) }, (_, i) => values.slice(i * size, (i + 1) * size))
