/** The call to the remote decision point, and the token of the service that it takes. */
import type { Clock } from '../clock.ts'

/** From the first byte sent to the last one read; somebody's request waits for it. */
export const AUTHZ_MS_MAX = 2_000
/** An answer is some hundred bytes. */
export const AUTHZ_BYTES_MAX = 1024 * 1024
/** A token is used no longer than until so long before its end, for it is on its way for a while. */
const TOKEN_MARGIN_MS = 60_000

export type AuthzQuestion = {
  subject: { attributes: { id: string; scope?: string } }
  resource: { attributes: Record<string, string> }
  action: string
}

export type Authz = {
  /** Of the decision point, like https://iam.cloud.ibm.com/v2/authz. */
  url: string
  /** The service's own, to show there. */
  token(): Promise<string>
}

type Timed = { clock: Pick<Clock, 'after'>; transaction: string }

/** In the order of the questions; null: it could not decide that one. Rejects when there is no answer, or none that can be read. */
export async function askAuthz(
  { url, token }: Authz,
  questions: readonly AuthzQuestion[],
  { clock, transaction }: Timed,
): Promise<(boolean | null)[]> {
  const bearer = await token()
  const answer = await post(clock, url, {
    headers: {
      authorization: `Bearer ${bearer}`,
      accept: 'application/vnd.authz.v2+json',
      'content-type': 'application/json',
      'transaction-id': transaction,
    },
    body: JSON.stringify(questions),
  })
  const { responses } = (answer ?? {}) as { responses?: unknown } // read as unknown fields of anything
  if (!Array.isArray(responses) || responses.length !== questions.length)
    throw new Error('the answer has not one response for each question')
  return responses.map(verdictOf)
}

function verdictOf(response: unknown): boolean | null {
  const { status, authorizationDecision } = (response ?? {}) as { status?: unknown; authorizationDecision?: unknown } // read as above
  const { permitted } = (authorizationDecision ?? {}) as { permitted?: unknown } // read as above
  return String(status) === '200' && typeof permitted === 'boolean' ? permitted : null
}

export type TokenOptions = {
  /** The token endpoint, like https://iam.cloud.ibm.com/identity/token. */
  url: string
  apiKey: string
  clock: Pick<Clock, 'after' | 'hrtimeMs'>
}

/** The token that the API key is good for, fetched when the last one nears its end, once for all who ask. */
export function ownToken({ url, apiKey, clock }: TokenOptions): () => Promise<string> {
  let current: { token: string; untilMs: number } | null = null
  let fetching: Promise<string> | null = null
  const fetchNow = async () => {
    const grant = 'urn:ibm:params:oauth:grant-type:apikey'
    const form = new URLSearchParams({ grant_type: grant, apikey: apiKey, response_type: 'cloud_iam' })
    const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' }
    const beganMs = clock.hrtimeMs()
    const answer = await post(clock, url, { headers, body: String(form) })
    const { access_token, expires_in } = (answer ?? {}) as { access_token?: unknown; expires_in?: unknown } // read as unknown fields of anything
    if (typeof access_token !== 'string' || typeof expires_in !== 'number')
      throw new Error('the token endpoint gave no token')
    current = { token: access_token, untilMs: beganMs + expires_in * 1_000 - TOKEN_MARGIN_MS }
    return access_token
  }
  return () => {
    if (current && clock.hrtimeMs() < current.untilMs) return Promise.resolve(current.token)
    fetching ??= fetchNow().finally(() => {
      fetching = null
    })
    return fetching
  }
}

/** Rejects with an error that says nothing of what was sent or received. */
async function post(
  clock: Pick<Clock, 'after'>,
  url: string,
  { headers, body }: { headers: Record<string, string>; body: string },
): Promise<unknown> {
  const late = new AbortController()
  const cancel = clock.after(AUTHZ_MS_MAX, () => late.abort())
  try {
    const response = await fetch(url, { method: 'POST', headers, body, signal: late.signal, redirect: 'error' })
    const text = await textOf(response)
    if (response.status !== 200) throw new Error(`was answered with status ${response.status}`)
    return JSON.parse(text)
  } catch (error) {
    if (late.signal.aborted) throw new Error(`${url} took longer than ${AUTHZ_MS_MAX} ms`)
    // A parser's message would quote what was received.
    const why =
      error instanceof Error && !(error instanceof SyntaxError) ? error.message : 'was answered with what is no JSON'
    throw new Error(`${url}: ${why}`)
  } finally {
    cancel()
  }
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > AUTHZ_BYTES_MAX) throw new Error(`was answered with more than ${AUTHZ_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
