// A home for one measurement: a folder that is gone afterwards, a config in it, a Context on it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../dist/config.js'
import { openContext } from '../dist/context.js'

/** Gives `work` a new folder, and removes it whatever happens. */
export async function inFolder(work) {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Gives `work` a Context on a new home; what it warns of stays in the log file. */
export const inHome = work =>
  inFolder(async folder => {
    const signal = new AbortController().signal
    const { close, ...context } = openContext({ home: folder, env: process.env, signal, quiet: true })
    try {
      return await work({ ...context, log: { ...context.log, warn: context.log.debug } })
    } finally {
      await close()
    }
  })

/** Writes a config (JSON is YAML) and gives the path of its file. */
export function writeConfig(folder, config) {
  const file = join(folder, 'sluice.yaml')
  writeFileSync(file, JSON.stringify(config))
  return file
}

/** The config as the stages take it, with every default. */
export const configure = (folder, config) => loadConfig(writeConfig(folder, config))
