// DEPLOY: lets a registered version become the champion, or leaves it for a person to promote.
import { z } from 'zod'
import type { Context } from '../base/context.ts'
import { promote } from '../registry/versions.ts'

/** The key `deploy` of the config. */
export const deploySchema = z.enum(['auto', 'manual'])

const seconds = z.number().positive().max(3600)

/** The section `serve` of the config. Times are in seconds. */
export const serveSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  /** 0: any free one. */
  port: z.int().min(0).max(65535).default(8080),
  body_limit: z
    .int()
    .positive()
    .max(1 << 30)
    .default(1 << 20),
  /** In one request. */
  max_rows: z.int().positive().max(1_000_000).default(1000),
  /** In all requests that wait, a sequence counted as its rows; beyond it the answer is 503. */
  max_waiting_rows: z.int().positive().default(65_536),
  /** Keys of a sequence model whose rows are kept; beyond it the one that was pushed to longest ago is forgotten. */
  max_windows: z.int().positive().max(10_000_000).default(1000),
  /** After so long without a row a key is forgotten. */
  window_idle: z
    .number()
    .positive()
    .max(366 * 86_400)
    .default(7 * 86_400),
  /** A request whose headers and body have not arrived by then is cut off. */
  request_timeout: seconds.default(10),
  /** How often the store is asked whether the champion has changed. */
  poll: seconds.default(1),
  /** How long a closing server answers, with /readyz at 503, before it stops listening: the time a load balancer needs to see it. */
  drain_delay: z.number().min(0).max(3600).default(0.1),
  /** After that, how long requests in flight may take. */
  drain_timeout: seconds.default(10),
})

export type ServeOptions = z.infer<typeof serveSchema>

export interface Deployed {
  promoted: boolean
  /** The champion before, if it was replaced. */
  from: number | null
}

/**
 * Makes `version` the champion under `auto`; `manual` leaves it registered.
 * `expected` is the champion that the run began with (null: none): when another has taken its place meanwhile, it is `ALIAS_MOVED`.
 */
export async function deploy(
  { name, version }: { name: string; version: number },
  mode: z.infer<typeof deploySchema>,
  reason: string,
  { database, now }: Pick<Context, 'database' | 'now'>,
  { expected }: { expected?: number | null } = {},
): Promise<Deployed> {
  if (mode === 'manual') return { promoted: false, from: null }
  const { from } = await promote(database, name, version, { expected, reason, now: now() })
  return { promoted: true, from }
}
