// What a command is: what it is given, what it answers, and the home it works in.
import { resolve } from 'node:path'
import type { Context } from './base/context.ts'
import { type LoadedConfig, loadConfig } from './config.ts'
import { findHome, openContext, type Surroundings } from './context.ts'

export interface Options {
  config: string
  home?: string
  json?: boolean
  quiet?: boolean
  set: string[]
  [name: string]: unknown
}

/** Who asks: the environment, and the wish to stop. */
export type Caller = Pick<Surroundings, 'env' | 'signal'>

/** What a command gives back: the contract's JSON, the same for a person, and an exit code other than 0 where a gate refused. */
export interface Answer {
  /** Undefined: the command has written what there is. */
  json?: unknown
  text: string
  exit?: number
}

/** Opens the home, lets `work` use it, closes it whatever happens. */
export async function inHome<T>(
  options: Options,
  { env, signal }: Caller,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const home = findHome({ home: options.home, config: options.config, env })
  const context = openContext({ home, env, signal, quiet: options.quiet })
  try {
    return await work(context)
  } finally {
    await context.close()
  }
}

export const configured = (
  options: Options,
  caller: Caller,
  work: (loaded: LoadedConfig, context: Context) => Promise<Answer>,
) => {
  const loaded = loadConfig(options.config, options.set)
  return inHome(options, caller, context => work(loaded, context))
}

export type Act = (options: Options, caller: Caller) => Promise<Answer>

/** Keys that are trusted besides the home's own: those the config lists, when one is given. */
export const trustedIn = (options: Options): string[] =>
  options.config ? loadConfig(options.config).config.registry.trusted_keys : []

/** Hands a folder of ours to DVC, as `--out` and `--remote` say. */
export async function trackFolder(folder: string, name: string, options: Options) {
  const { track } = await import('./base/dvc.ts')
  const remote = options.remote === undefined ? undefined : resolve(String(options.remote))
  const json = { ...(await track(folder, { name, out: resolve(String(options.out)), remote })), remote: remote ?? null }
  return { json, text: `${json.pointer}: ${json.files} files, ${json.bytes} bytes${remote ? `, in ${remote}` : ''}` }
}
