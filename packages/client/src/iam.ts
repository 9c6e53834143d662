/** Tokens of IBM Cloud IAM, or of whoever speaks its token endpoint: an API key is exchanged for one that lasts an hour. */
import { type Clock, deadlineAfter, type Instant, remainingMs, systemClock, timeoutSignal } from './clock.ts'
import { HoldfastError } from './errors.ts'
import { type Names, refuseUnknown } from './option-names.ts'

export type IamOptions = {
  /** The API key of IBM Cloud. It is sent to the token endpoint only. */
  apiKey: string
  /** Where tokens are given out. Default: IBM Cloud's own. */
  url?: string
  /** Another fetch than the platform's own. */
  fetch?: typeof fetch
}

const iamNames: Names<IamOptions> = { apiKey: true, url: true, fetch: true }

const IAM_URL = 'https://iam.cloud.ibm.com/identity'
const ANSWER_MS_MAX = 10_000
/** A token is used for four fifths of its life: the rest is for clocks that differ and for an endpoint that is away for a while. */
const USED_SHARE = 0.8
/** An attempt to connect is given up after 2 s at the earliest: who has a token that is still good does not wait so long for the next one. */
const WAITED_MS_MAX = 1_000

type Token = { text: string; until: Instant; end: Instant }

/**
 * For `connect({ apiKey: iamTokens({ apiKey }) })`: answers with a token that is good for now, and asks for another when its time comes. Rejects with
 * an `unavailable` or `unauthenticated` error; a token that is still good goes on being used when no other can be had.
 */
export function iamTokens(
  options: IamOptions,
  clock: Pick<Clock, 'now' | 'after'> = systemClock(),
): () => Promise<string> {
  refuseUnknown('iamTokens()', options, iamNames)
  const { apiKey, url = IAM_URL, fetch: send = globalThis.fetch } = options
  let token: Token | null = null
  let asking: Promise<string> | null = null
  const ask = async (): Promise<string> => {
    const asked = clock.now()
    try {
      const { access_token: text, expires_in: seconds } = await exchange({ apiKey, url, send })
      const lastsMs = seconds * 1_000
      token = { text, until: deadlineAfter(asked, lastsMs * USED_SHARE), end: deadlineAfter(asked, lastsMs) }
      return text
    } catch (error) {
      if (token && remainingMs(token.end, clock.now()) > 0) return token.text
      throw error
    } finally {
      asking = null
    }
  }
  return async () => {
    if (token && remainingMs(token.until, clock.now()) > 0) return token.text
    asking ??= ask()
    if (!token || remainingMs(token.end, clock.now()) <= 0) return asking
    return orAfter(clock, asking, token.text)
  }
}

/** An endpoint may take a connection and say nothing. */
function orAfter(clock: Pick<Clock, 'after'>, asking: Promise<string>, good: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(WAITED_MS_MAX, () => resolve(good))
    asking.then(resolve, reject).finally(cancel)
  })
}

type Answer = { access_token: string; expires_in: number }

async function exchange({ apiKey, url, send }: { apiKey: string; url: string; send: typeof fetch }): Promise<Answer> {
  const form = { grant_type: 'urn:ibm:params:oauth:grant-type:apikey', response_type: 'cloud_iam', apikey: apiKey }
  let response: Response
  try {
    response = await send(`${url.replace(/\/+$/, '')}/token`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams(form).toString(),
      signal: timeoutSignal(ANSWER_MS_MAX),
    })
  } catch (cause) {
    throw new HoldfastError('unavailable', `No token could be had from ${url}: it does not answer.`, { cause })
  }
  if (!response.ok) {
    const isRefused = response.status >= 400 && response.status < 500 && response.status !== 429
    const code = isRefused ? 'unauthenticated' : 'unavailable'
    throw new HoldfastError(code, `No token could be had from ${url}: it answered ${response.status}.`)
  }
  const answer: unknown = await response.json().catch(() => null)
  if (isAnswer(answer)) return answer
  throw new HoldfastError('unavailable', `What ${url} answered is no token.`)
}

function isAnswer(answer: unknown): answer is Answer {
  if (typeof answer !== 'object' || answer === null) return false
  const { access_token: text, expires_in: seconds } = answer as Partial<Answer> // looked at field by field
  return typeof text === 'string' && text !== '' && typeof seconds === 'number' && seconds > 0
}
