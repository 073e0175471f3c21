// SERVE: champions over HTTP. Knows no files and no store: models come from a ModelSource.
import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Context } from '../base/context.ts'
import { messageOf, usageError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { trustedKeys } from '../registry/keys.ts'
import { guard } from './access.ts'
import { answerBody, type PredictBody } from './body.ts'
import { type ServeOptions, serveSchema } from './deploy.ts'
import { connectionFault, type Fault, faultOf } from './fault.ts'
import { championOf, goLive, type Live, type ModelSource } from './live.ts'
import { type Meters, openMeters } from './meters.ts'
import * as protocol from './protocol.ts'

export interface ServerOptions extends Partial<ServeOptions> {
  /** The first one answers requests that name no model. */
  models: ModelSource[]
  /** Needed off loopback; everything but /healthz and /readyz then asks for it as a bearer token. */
  token?: string
  log: Log
}

export interface Server {
  url: string
  /** Says no at /readyz, answers what is in flight, then ends. */
  close(): Promise<void>
}

/** What the routes share. */
interface Serving {
  options: ServeOptions
  log: Log
  models: Live[]
  meters: Meters
  draining: boolean
}

/** Listens once every model answers. Errors: `TOKEN_REQUIRED`, `NO_CHAMPION`, `ADDRESS` and those of opening a bundle. */
export async function startServer({ models, token, log, ...given }: ServerOptions): Promise<Server> {
  const options = serveSchema.parse(given)
  const serving: Serving = { options, log, models: [], meters: openMeters(), draining: false }
  const app = createApp(options)
  try {
    guard(app, { host: options.host, token })
    await addRoutes(app, serving)
    for (const source of models) serving.models.push(await bring(source, serving))
    const url = await listen(app, options)
    const stopFollowing = follow(serving)
    let closed: Promise<void> | undefined
    return { url, close: () => (closed ??= drain(app, serving, stopFollowing)) }
  } catch (error) {
    await app.close()
    await release(serving)
    throw error
  }
}

/** Serves the champion of `name` in this home; bundles must be signed by its own key or one of `trusted`. */
export function serveChampion(
  name: string,
  { trusted, ...options }: Omit<ServerOptions, 'models' | 'log'> & { trusted?: string[] },
  context: Context,
): Promise<Server> {
  const model = championOf(name, trustedKeys(context.home, trusted), context)
  return startServer({ ...options, models: [model], log: context.log })
}

function createApp({ body_limit, request_timeout }: ServeOptions): FastifyInstance {
  const timeout = request_timeout * 1000
  const app = Fastify({
    bodyLimit: body_limit,
    requestTimeout: timeout,
    // A reader may be as slow as a sender.
    connectionTimeout: 2 * timeout,
    // Node looks for late senders only every 30 s unless told.
    http: { headersTimeout: timeout, connectionsCheckingInterval: Math.min(1000, timeout / 4) },
    // Fastify's defaults turn null into 0, "12" into 12, and drop fields that are not known.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    return503OnClosing: false,
    genReqId: () => randomUUID(),
    clientErrorHandler: refuseConnection,
    frameworkErrors: refusePath,
  })
  app.removeContentTypeParser('text/plain')
  // Schemas describe the answers; serialising by them would convert what does not fit instead of showing it.
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  return app
}

async function addRoutes(app: FastifyInstance, serving: Serving): Promise<void> {
  const { options, meters } = serving
  app.setErrorHandler((error, request, reply) => fail(error, request, reply, serving))
  app.setNotFoundHandler(() => {
    throw usageError('NOT_FOUND', 'there is no such route')
  })
  // A connection kept open would outlive the answer, and the server with it.
  app.addHook('onSend', async (_, reply) => {
    if (serving.draining) reply.header('connection', 'close')
  })
  app.addHook('onResponse', async (request, reply) => meters.answered(request, reply))
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sluice', description: 'Predictions of registered models.', version: '1' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }, {}],
    },
  })
  app.get('/healthz', { config: { permission: 'public' }, schema: protocol.healthSchema }, async () => ({
    status: 'ok',
  }))
  app.get('/readyz', { config: { permission: 'public' }, schema: protocol.readySchema }, async (_, reply) =>
    serving.draining ? reply.code(503).send({ status: 'draining' }) : { status: 'ready' },
  )
  app.get('/metrics', { config: { permission: 'metrics' }, schema: protocol.metricsSchema }, async (_, reply) =>
    reply.type(meters.registry.contentType).send(await readMeters(serving)),
  )
  app.get('/openapi.json', { config: { permission: 'predict' }, schema: protocol.openapiSchema }, async () =>
    app.swagger(),
  )
  app.post<{ Body: PredictBody }>(
    '/v1/predict',
    { config: { permission: 'predict' }, schema: protocol.predictSchema(options) },
    async request => predict(request.body, request.id, serving),
  )
  await app.ready()
}

function readMeters({ models, meters }: Serving): Promise<string> {
  for (const { name, served } of models) {
    const { windows } = served()
    if (windows) meters.keys.set({ model: name }, windows.size())
    else meters.keys.remove({ model: name })
  }
  return meters.registry.metrics()
}

async function predict(body: PredictBody, request_id: string, { models, meters }: Serving) {
  const { model } = body
  const live = model === undefined ? models[0] : models.find(({ name }) => name === model)
  if (!live) throw usageError('MODEL_UNKNOWN', `this server answers for ${models.map(({ name }) => name).join(', ')}`)
  const served = live.served()
  const { version } = served
  const { predictions, answered } = await served.use(answerBody(served, body))
  meters.predictions.inc({ model: live.name, version }, answered)
  return { predictions, model: { name: live.name, version }, request_id }
}

function fail(error: unknown, request: FastifyRequest, reply: FastifyReply, { meters, log }: Serving): FastifyReply {
  const { status, ...told } = faultOf(error)
  meters.errors.inc({ code: told.code })
  if (status === 500) log.warn(`request ${request.id} failed: ${messageOf(error)}`, { stack: (error as Error).stack })
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  if (status === 503) reply.header('retry-after', '1')
  return reply.code(status).send({ ...told, request_id: request.id })
}

/** A path that cannot be decoded reaches no route and no error handler. */
function refusePath(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, ...told } = faultOf(error)
  reply
    .code(status)
    .type('application/json')
    .send(JSON.stringify({ ...told, request_id: request.id }))
}

/** Answers what never became a request, and lets go of the socket whether or not its owner reads that. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { status, ...told }: Fault = connectionFault(error)
  const body = JSON.stringify({ ...told, request_id: randomUUID() })
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\nconnection: close`
  socket.end(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`, () => socket.destroy())
}

const bring = (source: ModelSource, { log, meters, options }: Serving): Promise<Live> =>
  goLive(source, {
    log,
    limits: {
      maxWaiting: options.max_waiting_rows,
      maxWindows: options.max_windows,
      windowIdle: options.window_idle,
    },
    onServing: version => meters.serving.set({ model: source.name }, version),
    onFailure: () => meters.failures.inc({ model: source.name }),
  })

async function listen(app: FastifyInstance, { host, port }: ServeOptions): Promise<string> {
  try {
    return await app.listen({ host, port })
  } catch (cause) {
    throw usageError('LISTEN', `cannot listen on ${host}, port ${port}: ${messageOf(cause)}`, {
      cause,
      next: 'choose another --port',
    })
  }
}

/** Lets every model follow its alias until the function given back is called. */
function follow({ models, options }: Serving): () => Promise<void> {
  const stop = new AbortController()
  const ended = (async () => {
    while (!stop.signal.aborted) {
      await sleep(options.poll * 1000, undefined, { signal: stop.signal }).catch(() => undefined)
      if (!stop.signal.aborted) await Promise.all(models.map(model => model.follow()))
    }
  })()
  return () => {
    stop.abort()
    return ended
  }
}

async function drain(app: FastifyInstance, serving: Serving, stopFollowing: () => Promise<void>): Promise<void> {
  const { drain_delay, drain_timeout } = serving.options
  serving.draining = true
  await sleep(drain_delay * 1000)
  const cut = setTimeout(() => app.server.closeAllConnections(), drain_timeout * 1000)
  await app.close()
  clearTimeout(cut)
  await stopFollowing()
  await release(serving)
}

async function release({ models, meters }: Serving): Promise<void> {
  await Promise.all(models.map(model => model.close()))
  meters.registry.clear()
}
