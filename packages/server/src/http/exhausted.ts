/**
 * Requests that need not be looked at: of an instance whose owner has just said for how long it has no operation left.
 *
 * Whoever offers ten times what he may is refused nine times of ten, and over REST a refusal that is found out by routing, parsing and asking costs
 * nearly what a grant does, of the time of all. So the owner's word is kept until it runs out (a fraction of a second), and until then a request with the
 * same credential, for something that takes an operation, is answered before anything else is done with it: 429 comes before 401 in the order of
 * checks. Nothing is refused by this that the owner would have granted, but for a limit that has been raised this very moment.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WireError } from '@holdfast/protocol/errors'
import { apiVersion } from './api-version.ts'
import type { Doors } from './doors.ts'
import { headersOf } from './reply.ts'
import { requestIds } from './request-ids.ts'

/** A limit that was raised is felt after this at the latest. */
const KEPT_MS_MAX = 1_000
/** Credentials that are kept; more are asked about. */
export const EXHAUSTED_MAX = 10_000

type Headers = IncomingMessage['headers']
type Exhaustion = { untilMs: number; error: WireError }

export class Exhausted {
  readonly #kept = new Map<string, Exhaustion>()

  /** The owner has refused one operation of whoever sends these headers. */
  note(headers: Headers, error: WireError, nowMs: number): void {
    const { retry_after_ms: retryMs } = error
    if (error.code !== 'rate_limited' || typeof retryMs !== 'number') return
    if (this.#kept.size >= EXHAUSTED_MAX) this.#forgetOld(nowMs)
    if (this.#kept.size >= EXHAUSTED_MAX) return
    this.#kept.set(nameOf(headers), { untilMs: nowMs + Math.min(retryMs, KEPT_MS_MAX), error })
  }

  /** What it would be answered; null: ask. */
  refusal(headers: Headers, nowMs: number): WireError | null {
    if (this.#kept.size === 0) return null
    const name = nameOf(headers)
    const found = this.#kept.get(name)
    if (!found) return null
    if (found.untilMs > nowMs) return { ...found.error, retry_after_ms: Math.ceil(found.untilMs - nowMs) }
    this.#kept.delete(name)
    return null
  }

  #forgetOld(nowMs: number): void {
    for (const [name, { untilMs }] of this.#kept) if (untilMs <= nowMs) this.#kept.delete(name)
  }
}

/** A digest, so that no secret is kept and none is compared. */
function nameOf({ authorization = '', 'holdfast-instance': instance = '' }: Headers): string {
  return hash('sha256', `${instance} ${authorization}`, 'base64')
}

/** What takes an operation and is asked often: acquiring, campaigning, opening sessions, and looking at locks. */
function takesOperation({ method, url = '' }: IncomingMessage): boolean {
  if (method === 'GET') return /^\/v[12]\/locks([/?]|$)/.test(url)
  return method === 'POST' && /^\/v[12]\/([^?]*\/)?(acquire|campaign|sessions)(\?|$)/.test(url)
}

/** Answers the request if it need not be looked at; returns whether it has. */
export function turnAwayExhausted(doors: Doors, request: IncomingMessage, response: ServerResponse): boolean {
  const { clock, exhausted, random, telemetry } = doors
  const { headers } = request
  // Pages of other origins are answered in their own way.
  if (headers.origin !== undefined || !takesOperation(request)) return false
  const beganMs = clock.hrtimeMs()
  const error = exhausted.refusal(headers, beganMs)
  if (!error || headers['api-version'] !== undefined || headers['ibm-api-version'] !== undefined) return false
  const { header, version } = apiVersion(headers, clock.wallMs())
  const { trace, correlation, traceparent } = requestIds(headers, random)
  const body = JSON.stringify({ trace, errors: [error] })
  response.writeHead(429, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'x-request-id': trace,
    ...(correlation !== undefined && { 'x-correlation-id': correlation }),
    [header]: version,
    ...headersOf(error, clock.wallMs()),
  })
  response.end(body)
  const ms = clock.hrtimeMs() - beganMs
  const method = request.method ?? ''
  telemetry.requestDone({ trace, correlation, traceparent, method, route: 'exhausted', status: 429, ms })
  return true
}
