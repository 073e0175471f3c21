// A tracker is told of runs while they work: mlflow.ts and learn/wandb.ts are two. What they have in common; knows no stage.
import { z } from 'zod'
import type { Row } from './database.ts'

/** Who is told of runs, besides the store; what is absent is off. */
export const trackingSchema = z.strictObject({
  mlflow: z
    .strictObject({
      /** Default: MLFLOW_TRACKING_URI. */
      url: z
        .url({ protocol: /^https?$/, abort: true })
        .refine(url => !/\/\/[^/]*@/.test(url), 'holds a name or a password, which belong into the environment')
        .optional(),
      experiment: z.string().min(1).max(500).optional(),
    })
    .optional(),
  wandb: z
    .strictObject({
      project: z.string().min(1).max(128).optional(),
      /** offline: files below the run's folder, which `wandb sync` sends; nothing goes to a network. */
      mode: z.enum(['offline', 'online']).default('offline'),
      entity: z.string().min(1).max(128).optional(),
    })
    .optional(),
})

export type TrackingConfig = z.infer<typeof trackingSchema>

/** A run as a tracker is told of it. What is not known yet is absent; what was told before is told again. */
export interface Told {
  id: string
  name: string
  command: string
  /** Epoch milliseconds. */
  started: number
  finished: number | null
  status: 'running' | 'finished' | 'failed' | 'killed'
  /** The resolved config, flat: `split.embargo` -> `0`. */
  params: Record<string, string>
  tags: Record<string, string>
  /** Figures of the whole run, such as `test/sharpe`. */
  figures: Record<string, number>
  /** What it learned from; `digest` is an MD5. */
  data: { name: string; digest: string; source: object } | null
  /** Files to keep, by the name they get there. */
  files: { name: string; path: string }[]
}

/**
 * The contract: calls come one after another, `begin` first. Everything may be told again, by another process too:
 * a tracker knows a run by its id. What fails is thrown as a SluiceError, and nothing is asked of the tracker after it.
 */
export interface Tracker {
  name: string
  begin(run: Told): Promise<void>
  points(points: Row<'points'>[]): Promise<void>
  end(run: Told): Promise<void>
  /** Lets go of what is under way; afterwards no process and no connection is left. */
  close(): Promise<void>
}

type Json = null | string | number | boolean | Json[] | { [key: string]: Json | undefined }

/** A config as names and texts; lists of plain values stay one text. */
export function flatten(value: unknown, path = ''): Record<string, string> {
  const json = value as Json | undefined
  if (json === undefined) return {}
  if (json === null || typeof json !== 'object') return { [path]: String(json) }
  const entries = Object.entries(json)
  const plain = entries.every(([, inner]) => inner === null || typeof inner !== 'object')
  if (entries.length === 0 ? path : Array.isArray(json) && plain) return { [path]: JSON.stringify(json) }
  return Object.assign({}, ...entries.map(([key, inner]) => flatten(inner, path ? `${path}.${key}` : key)))
}
