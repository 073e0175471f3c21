// Which processes there are: for tests that none may be left behind.
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

/** Children of a process, without the `ps` that looks. */
export function childrenOf(parent: number): number[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,comm='], { encoding: 'utf8' })
  return table
    .trim()
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(([, ppid, name]) => Number(ppid) === parent && name !== 'ps')
    .map(([pid]) => Number(pid))
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Waits until `holds`, looking every 20 ms; an error after `seconds`. */
export async function until(holds: () => boolean, what: string, seconds = 20): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !holds(); await sleep(20))
    if (Date.now() > end) throw new Error(`${what} did not come true within ${seconds} s`)
}
