/**
 * Requests that need not be looked at: of an instance whose owner has just said for how long it has no operation left.
 *
 * Whoever offers ten times what he may is refused nine times of ten, and over REST a refusal that is found out by routing, parsing and asking costs
 * nearly what a grant does, of the time of all. So the owner's word is kept until it runs out (a fraction of a second), and until then a request with the
 * same credential, for something that takes an operation, is answered before anything else is done with it: 429 comes before 401 in the order of
 * checks. Nothing is lost by that but time: what is refused here that the owner would have granted stays in the bucket, and is there when asked for next.
 * Of a client that is known by its certificate nothing is kept: its headers say nothing that others could not say, and they would be told its limit.
 *
 * Nor is a refusal free: who goes on asking as fast as the answers come takes the time of all by being refused. So there are so many a second at once,
 * and those beyond wait a moment for their answer (decision 0112). Who heeds `Retry-After` never meets that.
 */
import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { WireError } from '@holdfast/protocol/errors'
import type { OperationFields } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { v2 } from '@holdfast/protocol/v2'
import { newestVersion } from './api-version.ts'
import { container } from './container.ts'
import type { Doors } from './doors.ts'
import { headersOf } from './reply.ts'
import { requestIds } from './request-ids.ts'

/** A limit that was raised is felt after this at the latest. */
const KEPT_MS_MAX = 1_000
/** A thousand operations a second have one left again after 1 ms: to ask that often would be to ask for nearly each of those to be refused. */
const KEPT_MS_MIN = 10
/** Refusals a second that are answered at once … */
export const PROMPT_REFUSALS_MAX = 100
/** … and for how long those beyond are held, on the average: a connection on which somebody waits for answers brings about five a second. */
const HELD_MS = 200
/** Those held together would come back together: each is held for a little more than the one before, from half of it to one and a half. */
const SPREAD_MS = 37
const SECOND_MS = 1_000
/** Credentials that are kept; more are asked about. */
export const EXHAUSTED_MAX = 10_000

type Headers = IncomingMessage['headers']
/** `count` refusals since `sinceMs`, within the same second. */
type Exhaustion = { untilMs: number; error: WireError; sinceMs: number; count: number }

export class Exhausted {
  readonly #kept = new Map<string, Exhaustion>()
  /** From then on nothing that is kept means anything, and nobody need be looked for. */
  #overMs = 0

  get size(): number {
    return this.#kept.size
  }

  /** The owner has refused one operation of whoever sends these headers. */
  note(headers: Headers, error: WireError, nowMs: number): void {
    const { retry_after_ms: retryMs } = error
    if (error.code !== 'rate_limited' || typeof retryMs !== 'number' || headers.authorization === undefined) return
    if (this.#kept.size >= EXHAUSTED_MAX) this.#forgetOld(nowMs)
    if (this.#kept.size >= EXHAUSTED_MAX) return
    const name = nameOf(headers)
    const { sinceMs, count } = this.#kept.get(name) ?? { sinceMs: nowMs, count: 0 }
    const untilMs = nowMs + Math.min(Math.max(retryMs, KEPT_MS_MIN), KEPT_MS_MAX)
    this.#kept.set(name, { untilMs, error, sinceMs, count })
    this.#overMs = Math.max(this.#overMs, untilMs + SECOND_MS)
  }

  /** What it is answered, and after what time; null: ask. */
  refusal(headers: Headers, nowMs: number): { error: WireError; heldMs: number } | null {
    if (nowMs >= this.#overMs) this.#kept.clear()
    if (this.#kept.size === 0 || headers.authorization === undefined) return null
    const found = this.#kept.get(nameOf(headers))
    if (!found || found.untilMs <= nowMs) return null
    if (nowMs - found.sinceMs >= SECOND_MS) {
      found.sinceMs = nowMs
      found.count = 0
    }
    found.count++
    return {
      error: { ...found.error, retry_after_ms: Math.ceil(found.untilMs - nowMs) },
      heldMs: found.count > PROMPT_REFUSALS_MAX ? HELD_MS / 2 + ((found.count * SPREAD_MS) % HELD_MS) : 0,
    }
  }

  #forgetOld(nowMs: number): void {
    for (const [name, { untilMs }] of this.#kept) if (untilMs <= nowMs) this.#kept.delete(name)
  }
}

/** A digest, so that no secret is kept and none is compared. */
function nameOf({ authorization = '', 'holdfast-instance': instance = '' }: Headers): string {
  return hash('sha256', `${instance} ${authorization}`, 'base64')
}

/** What takes an operation whatever its body says: the others renew, give back, look at the records or begin a stream, and are never refused by the owner. */
const taking: readonly OperationFields[] = [
  ...[v1.configureLock, v1.listLocks, v1.getLock, v1.deleteLock, v1.acquireLock],
  ...[v2.openSession, v2.getSession, v2.acquireAll],
  ...[v2.listLocks, v2.getLock, v2.putLock, v2.patchLock, v2.deleteLock, v2.acquireLock, v2.transferLock],
  ...[v2.readValue, v2.writeValue, v2.showQueue],
  ...[v2.campaign, v2.proclaim, v2.getElection, v2.observe],
  ...[v2.listFreezes, v2.freeze],
]

/** By method, so that one look at the path is enough. */
const takingPaths = new Map(
  Object.entries(Object.groupBy(taking, ({ method }) => method)).map(([method, operations = []]) => {
    const paths = operations.map(({ path }) => path.replaceAll(/\{\w+\}/g, '[^/?]+'))
    return [method, new RegExp(`^(?:${paths.join('|')})(?:\\?|$)`)]
  }),
)

/** Whether the owner would refuse it to whoever has no operation left. */
export function takesOperation({ method = '', url = '' }: Pick<IncomingMessage, 'method' | 'url'>): boolean {
  return takingPaths.get(method)?.test(url) ?? false
}

/** Answers the request if it need not be looked at; returns whether it has. */
export function turnAwayExhausted(doors: Doors, request: IncomingMessage, response: ServerResponse): boolean {
  const { clock, exhausted } = doors
  const { headers } = request
  // Pages of other origins are answered in their own way.
  if (headers.origin !== undefined || !takesOperation(request)) return false
  if (headers['api-version'] !== undefined || headers['ibm-api-version'] !== undefined) return false
  const beganMs = clock.hrtimeMs()
  const refusal = exhausted.refusal(headers, beganMs)
  if (!refusal) return false
  const turnAway = () => refuseEarly(doors, { request, response, error: refusal.error, beganMs })
  if (refusal.heldMs === 0) turnAway()
  else clock.after(refusal.heldMs, () => response.destroyed || turnAway())
  return true
}

type Early = { request: IncomingMessage; response: ServerResponse; error: WireError; beganMs: number }

function refuseEarly({ clock, random, telemetry }: Doors, { request, response, error, beganMs }: Early): void {
  const { headers } = request
  const { trace, correlation, traceparent } = requestIds(headers, random)
  const { status, type, text } = container(headers, error, trace)
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'x-request-id': trace,
    ...(correlation !== undefined && { 'x-correlation-id': correlation }),
    [newestVersion.header]: newestVersion.version,
    ...headersOf(error, clock.wallMs()),
  })
  response.end(text)
  const ms = clock.hrtimeMs() - beganMs
  const method = request.method ?? ''
  telemetry.requestDone({ trace, correlation, traceparent, method, route: 'exhausted', status, ms })
}
