// What the environment holds for a config, and what stands in no message.
import { usageError } from './errors.ts'

/** A variable of the environment. Errors (usage): NO_KEY where it is not set. */
export function secretOf(name: string, env: Record<string, string | undefined> = {}): string {
  const value = env[name]
  if (!value) throw usageError('NO_KEY', `the environment has no ${name}`)
  return value
}

/** A text with stars for each secret, also where it stands as a part of a URL. */
export const withoutSecrets = (text: string, secrets: (string | undefined)[]): string =>
  secrets
    .flatMap(secret => (secret ? [secret, encodeURIComponent(secret)] : []))
    .reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
