/** The service over REST, for verbs that look and operate: no session, no WebSocket. */
import { connect, type Rest } from '@holdfast/client'
import { type AccessOptions, apiKeyOf, trust, urlOf } from './access.ts'

export function restOf(options: AccessOptions): Rest {
  trust(options)
  const apiKey = apiKeyOf(options)
  // Connects only when a session is first needed, which is never.
  return connect({
    url: urlOf(options),
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(options.instance === undefined ? {} : { instance: options.instance }),
  }).rest
}

export function lockPath(name: string, what: string): string {
  return `/v1/locks/${encodeURIComponent(name)}/${what}`
}
