/** REST by hand, with the key of the harness. */
import { rootKey } from './server.ts'

export type Answer = { status: number; body: Record<string, unknown> }

export type Ask = (method: string, path: string, body?: object, headers?: Record<string, string>) => Promise<Answer>

/** Bodies are JSON objects both ways; what has none is `{}`. */
export function asker(url: string, signal?: AbortSignal): Ask {
  return async (method, path, body, headers) => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(signal && { signal }),
      headers: { authorization: `Bearer ${rootKey}`, ...(body && { 'content-type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      // The service answers with JSON objects.
      body: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {},
    }
  }
}

/** `<id>.<secret>` of a new session that nobody renews. */
export async function openSession(ask: Ask, ttlMs: number): Promise<string> {
  const { body } = await ask('POST', '/v2/sessions', { ttl_ms: ttlMs })
  return `${body.session_id}.${body.session_secret}`
}
