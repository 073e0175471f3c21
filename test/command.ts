// The built command as a child process, as a user's shell would start it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const BIN = fileURLToPath(new URL('../bin/sluice', import.meta.url))

export interface Ended {
  code: number | null
  out: string
  err: string
}

/** Starts `sluice ...args` in a folder, with no variables of ours but those given. */
export function start(
  folder: string,
  args: string[],
  env: Record<string, string> = {},
): ChildProcess & { ended: Promise<Ended> } {
  const { SLUICE_HOME, ...around } = process.env
  const child = spawn(BIN, args, { cwd: folder, env: { ...around, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const texts = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', text => (texts.out += text))
  child.stderr.setEncoding('utf8').on('data', text => (texts.err += text))
  const ended = once(child, 'close').then(([code]) => ({ code, ...texts }))
  return Object.assign(child, { ended })
}

export const sluice = (folder: string, ...args: string[]): Promise<Ended> => start(folder, args).ended

/** Runs a command with --json and gives what it wrote: one document, nothing else. Any exit but `code` is an error. */
export async function json(folder: string, args: string[], code = 0) {
  const ended = await sluice(folder, ...args, '--json', '--quiet')
  if (ended.code !== code || !/^[^\n]+\n$/.test(ended.out))
    throw new Error(`sluice ${args.join(' ')} ended with ${ended.code}\n${ended.out}\n${ended.err}`)
  return JSON.parse(ended.out)
}
