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

/** Nothing but references, to the environment or to what is put in; a header may say how it is meant before them. */
const REFERENCES = /^(?:(?:basic|bearer|token) +)?(?:\$?\{\w+\})*$/i

const WITH_HOST = /^\s*[a-z][a-z\d+.-]*:\/\//i

/**
 * A config to be shown elsewhere, and what was taken out of it: any value of a header and, of a URL, its credentials and the
 * values of its query may be a secret unless it is `${NAME}`. Not covered: a secret in a URL's path.
 */
export function withoutLiterals<Config>(config: Config): { shown: Config; literals: string[] } {
  const literals: string[] = []
  const star = (text: string): string => {
    if (REFERENCES.test(text)) return text
    literals.push(...text.split(/[\s:]+/))
    return '***'
  }
  const starUrl = (url: string): string => {
    const [, place, query] = /^([^?#]*)(.*)$/s.exec(url)!
    const values = query.replace(/(?<=[?&#])([^=&#]*=)?([^&#]*)/g, (_, name = '', value) => name + star(value))
    return place.replace(/(?<=:\/\/)[^/]*(?=@)/, star) + values
  }
  const show = (value: unknown, isHeader: boolean): unknown => {
    if (typeof value === 'string') return isHeader ? star(value) : WITH_HOST.test(value) ? starUrl(value) : value
    if (Array.isArray(value)) return value.map(inner => show(inner, isHeader))
    if (value === null || typeof value !== 'object') return value
    const entries = Object.entries(value).map(([key, inner]) => [key, show(inner, isHeader || key === 'headers')])
    return Object.fromEntries(entries)
  }
  return { shown: show(config, false) as Config, literals }
}
