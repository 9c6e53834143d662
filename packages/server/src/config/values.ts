/** The text of a setting → its value, or a sentence that says what it should be. */
import { distance } from '@holdfast/protocol/nearest'
import { KEY_CHARS_MIN } from '../auth/key-file.ts'

export { distance }

/** Beyond that no supervisor waits for a process to end. */
export const DRAIN_READY_MS_MAX = 120_000

const ROOT_CHARS_MAX = 100

/** A setting that is unknown or not valid; the message is for people. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

export function unknownSetting(given: string, known: readonly string[], where = ''): ConfigError {
  const nearest = [...known].sort((one, other) => distance(given, one) - distance(given, other))[0]
  return new ConfigError(`There is no setting \`${given}\`${where}. Did you mean \`${nearest}\`?`)
}

export function listenOf(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535)
    throw new ConfigError(`\`listen\` must be HOST:PORT, like 127.0.0.1:7420 or [::1]:7420, not \`${text}\`.`)
  return { host: match[1] ?? match[2]!, port }
}

export function switchOf(name: string, text: string): boolean {
  return oneOf(name, ['true', 'false'] as const, text) === 'true'
}

export function oneOf<const Values extends readonly string[]>(
  name: string,
  values: Values,
  text: string,
): Values[number] {
  const found = values.find(value => value === text)
  if (found === undefined) throw new ConfigError(`\`${name}\` must be one of ${values.join(', ')}, not \`${text}\`.`)
  return found
}

export function tlsOf(certificateFile: string, keyFile: string): { certificateFile: string; keyFile: string } | null {
  if (certificateFile === '' && keyFile === '') return null
  if (certificateFile === '' || keyFile === '')
    throw new ConfigError('`tls_cert` and `tls_key` go together: one is missing.')
  return { certificateFile, keyFile }
}

export function rootOf(text: string): string {
  if (/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/.test(text) && text.length <= ROOT_CHARS_MAX) return text
  throw new ConfigError(
    `\`root\` must be words of letters, digits, dots, dashes and underscores, with slashes between them, not \`${text}\`.`,
  )
}

export function keyOf(name: string, text: string): string | null {
  const key = text.trim()
  if (key === '') return null
  if (key.length < KEY_CHARS_MIN || !/^[\x21-\x7e]+$/.test(key)) {
    throw new ConfigError(`\`${name}\` must have at least ${KEY_CHARS_MIN} printable characters and no spaces.`)
  }
  return key
}

export function durationOf(name: string, text: string): number {
  const ms = Number(text)
  if (!/^[0-9]{1,9}$/.test(text) || ms > DRAIN_READY_MS_MAX)
    throw new ConfigError(`\`${name}\` must be from 0 to ${DRAIN_READY_MS_MAX} ms, not \`${text}\`.`)
  return ms
}

export function originsOf(text: string): string[] {
  const origins = text.split(',').map(origin => origin.trim())
  for (const origin of origins) {
    if (origin === '' && origins.length === 1) return []
    if (!URL.canParse(origin) || !/^https?:/.test(origin) || new URL(origin).origin !== origin)
      throw new ConfigError(`\`allowed_origins\` must name origins, like https://app.example.org, not \`${origin}\`.`)
  }
  return origins
}

export function advertiseOf(text: string): string | null {
  if (text === '') return null
  const url = URL.canParse(text) ? new URL(text) : null
  if (url && /^https?:$/.test(url.protocol) && url.pathname === '/' && url.search === '') return url.origin
  throw new ConfigError(`\`advertise\` must be a URL like https://10.0.0.1:7420, not ${JSON.stringify(text)}.`)
}
