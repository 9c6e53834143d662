/**
 * Which web pages may use this service. A browser sends what a page asks for, and with it any Basic credentials that its user once gave this
 * service, whoever wrote the page; only `Origin` says who did. So a page of another origin must be on the operator's list, for calls
 * and for WebSockets (to which browsers apply no such check of their own). Pages that we serve, and whatever is not a browser, need not.
 */
import type { IncomingHttpHeaders } from 'node:http'

export const foreignOrigin =
  'Web pages of this origin may not use the service: its operator has not named it in `allowed_origins`.'

/** Browsers ask again after this long at most. */
const PREFLIGHT_SECONDS = 7_200

/** What a page may send and read: all of ours. Credentials of the browser are never asked for, so the key must be the page's own. */
export const preflightHeaders = {
  'access-control-allow-methods': 'GET, POST, PUT, PATCH, DELETE',
  'access-control-allow-headers':
    'authorization, content-type, holdfast-instance, holdfast-session, idempotency-key, if-match, last-event-id, x-request-id, x-correlation-id, traceparent, api-version, ibm-api-version',
  'access-control-max-age': String(PREFLIGHT_SECONDS),
} as const

export class Origins {
  readonly #allowed: ReadonlySet<string>

  constructor(allowed: readonly string[]) {
    this.#allowed = new Set(allowed)
  }

  permits({ origin, host }: IncomingHttpHeaders): boolean {
    if (origin === undefined || this.#allowed.has(origin)) return true
    // The scheme is not compared: before a proxy that ends TLS, ours is another.
    return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
  }

  /** Lets a page of a named origin read the answer. */
  headersFor({ origin }: IncomingHttpHeaders): Record<string, string> {
    if (this.#allowed.size === 0) return {}
    if (origin === undefined || !this.#allowed.has(origin)) return { vary: 'Origin' }
    return { vary: 'Origin', 'access-control-allow-origin': origin, 'access-control-expose-headers': '*' }
  }

  /** A browser's question whether a page of a named origin may send what it wants to send. */
  isPreflight(method: string, headers: IncomingHttpHeaders): boolean {
    return (
      method === 'OPTIONS' &&
      headers['access-control-request-method'] !== undefined &&
      headers.origin !== undefined &&
      this.#allowed.has(headers.origin)
    )
  }
}
