/** The service over REST, for verbs that look and operate: no session, no WebSocket. */
import { type ConnectOptions, connect, type Rest } from '@holdfast/client'
import { type AccessOptions, apiKeyOf, trust, urlOf } from './access.ts'
import { CommandFailure, exitCodes } from './exit.ts'

export function restOf(options: AccessOptions, more: Pick<ConnectOptions, 'fetch'> = {}): Rest {
  trust(options)
  const apiKey = apiKeyOf(options)
  // Connects only when a session is first needed, which is never.
  return connect({
    url: urlOf(options),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(options.instance === undefined ? {} : { instance: options.instance }),
    ...more,
  }).rest
}

export function lockPath(name: string, what: string): string {
  return `/v1/locks/${segmentOf(name, 'lock')}/${what}`
}

/**
 * The name as a segment of a path. Every URL parser takes two of them, and their `%2E` too, for a step in the path: another thing would be meant, or all of them.
 * @throws {CommandFailure} for these two
 */
export function segmentOf(name: string, what: string): string {
  if (name !== '.' && name !== '..') return encodeURIComponent(name)
  throw new CommandFailure(
    exitCodes.usage,
    `No URL can name the ${what} ${JSON.stringify(name)}: it is taken for a step in the path. \`curl --path-as-is\` can.`,
  )
}
