// Every error a user can meet: what went wrong, the value, and the next thing to type. Knows nothing of stages.

/** Exit codes of the command, by who has to act. */
export const EXIT = { unexpected: 1, usage: 2, gate: 3, data: 4, engine: 5, interrupted: 130 } as const

export type Fault = keyof typeof EXIT

/**
 * An error with a stable `code`, the `fault` that decides the exit code, and a way out.
 * `next` is a command or a change of the config that resolves it; `detail` is JSON for `--json` and the run's row.
 */
export class SluiceError extends Error {
  readonly fault: Fault
  readonly code: string
  readonly next?: string
  readonly detail?: unknown

  constructor(
    fault: Fault,
    code: string,
    message: string,
    more: { next?: string; detail?: unknown; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'SluiceError'
    this.fault = fault
    this.code = code
    this.next = more.next
    this.detail = more.detail
  }

  get exit(): number {
    return EXIT[this.fault]
  }
}

type More = ConstructorParameters<typeof SluiceError>[3]

export const usageError = (code: string, message: string, more?: More) => new SluiceError('usage', code, message, more)
export const dataError = (code: string, message: string, more?: More) => new SluiceError('data', code, message, more)
export const engineError = (code: string, message: string, more?: More) =>
  new SluiceError('engine', code, message, more)

/** Of a file that cannot be opened or read. */
export const fileUnreadable = (path: string, cause: unknown) =>
  dataError('FILE_UNREADABLE', `cannot read ${path}: ${messageOf(cause)}`, { cause })

/** What an abort signal is given as its reason when a person stops a command. */
export const interruption = () => new SluiceError('interrupted', 'INTERRUPTED', 'interrupted')

/** The one line of an unknown thrown value. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** A stable code; whatever is none of ours is a fault of ours. */
export const codeOf = (error: unknown): string => (error instanceof SluiceError ? error.code : 'UNEXPECTED')
