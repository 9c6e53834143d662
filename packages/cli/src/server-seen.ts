/** What one server tells of itself when it is asked a few times, for `holdfast doctor`. Of a server that does not answer: why. */
import type { ApiKey } from '@holdfast/client'
import type { ServerSeen } from '@holdfast/server/cluster'
import { monotonicMs } from './clock.ts'
import type { Room } from './cluster-work.ts'

export type Silence = { url: string; why: string; change: string }

const QUESTIONS = 10
const ANSWER_MS_MAX = 5_000
/** Node's codes and sentences of certificates that it does not trust. */
const DISTRUSTED = /CERT|SELF_SIGNED|LEAF_SIGNATURE|certificate/
/** What a header can carry; whoever is refused another would be shown it by the platform. */
const KEY = /^[\x20-\x7e]+$/

export async function askServer(
  { numberIn, bucketsIn }: Room,
  { url, apiKey }: { url: string; apiKey: ApiKey | undefined },
): Promise<ServerSeen | Silence> {
  try {
    // The first one also makes the connection.
    const first = await get(`${url}/readyz`)
    if (first.status !== 200 && first.status !== 503) return another(url, first.status)
    const timed = await timeAnswers(url)
    const metrics = await metricsOf(url, apiKey)
    const text = 'text' in metrics ? metrics.text : ''
    return {
      url,
      ...timed,
      unread: 'text' in metrics ? null : metrics.unread,
      stalls: numberIn(text, 'holdfast_loop_stalls_total'),
      clockSteps: numberIn(text, 'holdfast_clock_steps_total'),
      ttls: bucketsIn(text, 'holdfast_session_ttl_seconds'),
      release: releaseIn((await get(`${url}/v2/openapi.json`)).text),
    }
  } catch (error) {
    return silence(url, whyOf(error))
  }
}

type Timed = Pick<ServerSeen, 'unready' | 'slowestMs' | 'roundTripMs' | 'wallMs'>

async function timeAnswers(url: string): Promise<Timed> {
  const timed: Timed = { unready: null, slowestMs: 0, roundTripMs: 0, wallMs: Number.NaN }
  for (let count = 0; count < QUESTIONS; count++) {
    const beganMs = monotonicMs()
    const { status, text, date } = await get(`${url}/readyz`)
    timed.roundTripMs = monotonicMs() - beganMs
    timed.slowestMs = Math.max(timed.slowestMs, timed.roundTripMs)
    timed.wallMs = Date.parse(date)
    timed.unready =
      status === 200 ? null : (/^not ready: (.+)$/m.exec(text)?.[1] ?? `${status}, and it does not say why`)
  }
  return timed
}

/** Its own machine needs no credential; so a key is shown only where it is asked for. */
async function metricsOf(url: string, apiKey: ApiKey | undefined): Promise<{ text: string } | { unread: string }> {
  let answer = await get(`${url}/metrics`)
  if (answer.status === 401 && apiKey !== undefined) {
    const key = await keyOf(apiKey)
    if (typeof key !== 'string') return key
    answer = await get(`${url}/metrics`, { authorization: `Bearer ${key}` })
  }
  const { status, text } = answer
  if (status !== 200) return { unread: `it answers ${status}: ${messageIn(text)}` }
  return /^holdfast_/m.test(text) ? { text } : { unread: 'this key may read those of its own instance only' }
}

async function keyOf(apiKey: ApiKey): Promise<string | { unread: string }> {
  try {
    const key = typeof apiKey === 'string' ? apiKey : await apiKey()
    return KEY.test(key) ? key : { unread: 'the API key is empty, or has a character that no key has' }
  } catch (error) {
    return { unread: `no credential: ${whyOf(error)}` }
  }
}

async function get(url: string, headers: Record<string, string> = {}) {
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_MS_MAX) })
  return { status: answer.status, date: answer.headers.get('date') ?? '', text: await answer.text() }
}

function messageIn(text: string): string {
  // What is in between may answer with anything.
  const message = /"message":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1]
  return message === undefined ? 'it does not say why' : String(JSON.parse(`"${message}"`))
}

function releaseIn(description: string): string | null {
  return /"info":\{[^}]*"version":"([^"]+)"/.exec(description)?.[1] ?? null
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause instanceof Error ? error.cause : error
  if (cause.name === 'TimeoutError') return `nothing came within ${ANSWER_MS_MAX / 1_000} s`
  return 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message
}

function another(url: string, status: number): Silence {
  return {
    url,
    why: `/readyz is answered with ${status}`,
    change: 'Is the address that of a Holdfast server? Name the servers by --url.',
  }
}

function silence(url: string, why: string): Silence {
  const change = DISTRUSTED.test(why)
    ? 'Name the authority of its certificate: --ca, or HOLDFAST_CA.'
    : 'Start it, or name the servers by --url.'
  return { url, why, change }
}
