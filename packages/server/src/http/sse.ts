/**
 * Server-sent events: `id:`, `event:`, `data:`, a comment now and then so that proxies and clients see that the stream lives.
 * A client that reads too slowly is cut off and resumes by its last id; it is never waited for and nothing is skipped silently.
 */
import type { ServerResponse } from 'node:http'
import { OUTBOX_BYTES_MAX, WATCHES_MAX } from '@holdfast/protocol/limits'
import { type Cancel, type Clock, every } from '../clock.ts'
import type { WatchFilter } from '../shards/port.ts'
import type { Call } from './call.ts'
import { endedRefusal } from './ended.ts'
import { EventFilter } from './event-filter.ts'
import { areAllPermitted, type Deed, seesEvent } from './permission.ts'
import { Refused, refuse, refused } from './reply.ts'

const HEARTBEAT_MS = 15_000
/** Clients reconnect after this long. */
const RECONNECT_MS = 1_000

export class EventStream {
  readonly #response: ServerResponse
  readonly #stopHeart: Cancel

  constructor(response: ServerResponse, clock: Clock, headers: Record<string, string>) {
    this.#response = response
    response.writeHead(200, {
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    this.#stopHeart = every(clock, HEARTBEAT_MS, () => void this.#write(': still here\n\n'))
    response.once('close', () => this.#stopHeart())
  }

  /** An id without an event: what to resume from if nothing comes. */
  begin(cursor: string): void {
    this.#write(`retry: ${RECONNECT_MS}\nid: ${cursor}\n\n`)
  }

  /** False: the client reads too slowly and has been cut off. `data` is one line. */
  event(event: { id?: string; type: string; data: unknown }): boolean {
    const id = event.id === undefined ? '' : `id: ${event.id}\n`
    return this.#write(`${id}event: ${event.type}\ndata: ${JSON.stringify(event.data)}\n\n`)
  }

  end(): void {
    this.#stopHeart()
    this.#response.end()
  }

  #write(text: string): boolean {
    if (this.#response.destroyed || this.#response.writableEnded) return false
    this.#response.write(text)
    if (this.#response.writableLength <= OUTBOX_BYTES_MAX) return true
    this.#response.destroy()
    return false
  }
}

type Watched = { prefix?: string; name?: string }

/** What a stream carries beside its events: told when it has begun, before any event, and after each event. */
type Companion = { began(stream: EventStream): void; sent(stream: EventStream): void }

/**
 * Takes the connection over and sends it what happens. Rejects, with the connection as it was, when there may be no more watches: here, or at the
 * server that decides for the instance.
 */
export async function streamEvents(
  call: Call,
  watched: Watched,
  cursor: string | undefined,
  companion?: Companion,
): Promise<null> {
  const { doors, caller } = call
  const after = cursorOf(call) ?? cursor
  if (!doors.watches.open(caller.instance)) {
    throw new Refused({
      code: 'quota_exceeded',
      message: `An instance has at most ${WATCHES_MAX} watches open.`,
      limit: 'watches',
      max: WATCHES_MAX,
    })
  }
  doors.telemetry.watchOpened()
  const over = () => {
    doors.watches.close(caller.instance)
    doors.telemetry.watchClosed()
  }
  try {
    await begun(call, { ...watched, ...(after !== undefined && { after }) }, { over, ...(companion && { companion }) })
  } catch (error) {
    over()
    throw error
  }
  return null
}

type Watching = { over(): void; companion?: Companion }

/** Resolves when the stream has begun, which is then on its own until its connection closes. */
function begun(call: Call, watched: WatchFilter, { over, companion }: Watching): Promise<void> {
  const { doors, caller, reply } = call
  return new Promise((resolve, reject) => {
    // Its end has been told: nobody would hear of it any more, and the stream would stay open for ever.
    if (reply.raw.destroyed) return reject(refuse('unavailable'))
    let stream: EventStream | null = null
    const streamed = () => {
      if (stream) return stream
      reply.hijack()
      resolve()
      stream = new EventStream(reply.raw, doors.clock, textHeaders(call))
      return stream
    }
    const filter = new EventFilter({
      sees: event => seesEvent(doors, caller, event),
      deliver: event => {
        const isSent = streamed().event({ id: event.id, type: event.type, data: event })
        companion?.sent(streamed())
        return isSent
      },
      // Its client resumes by the last id that it has.
      cut: () => stream?.end(),
    })
    const watch = doors.shards.watch(caller.instance, watched, {
      // The place to resume from goes out before what comes after it.
      began: startsAfter => {
        streamed().begin(startsAfter)
        companion?.began(streamed())
      },
      event: event => filter.offer(event),
      reset: next => void streamed().event({ id: next, type: 'reset', data: { cursor: next } }),
      refused: refusal => reject(new Refused(refused(refusal))),
      ended: () => (stream ? stream.end() : reject(refuse('unavailable'))),
    })
    const { name, prefix } = watched
    const deed: Deed = { action: 'lock.watch', lock: name ?? null, ...(name === undefined && { under: prefix ?? '' }) }
    const leave = doors.standing.add({
      caller,
      isPermitted: () => areAllPermitted(doors, caller, [deed]),
      end(reason) {
        stream?.event({ type: 'ended', data: { reason } })
        stream?.end()
        reject(endedRefusal(reason))
      },
    })
    reply.raw.once('close', () => {
      leave()
      watch.stop()
      if (stream) over()
      else reject(refuse('unavailable'))
    })
  })
}

/** As a cursor it belongs to no log, so that it is answered with a `reset`. */
const NO_CURSOR = 'none'

/** What is no cursor is not left out: events would be missing, and nobody would be told. */
function cursorOf(call: Call): string | undefined {
  const id = call.request.headers['last-event-id']
  // Empty is what a client says that has had no id.
  if (id === undefined || id === '') return undefined
  return typeof id === 'string' && /^[A-Za-z0-9._~-]{1,200}$/.test(id) ? id : NO_CURSOR
}

/** What has been set on the reply so far (request id, version), for a response that Fastify no longer writes. */
function textHeaders(call: Call): Record<string, string> {
  const entries = Object.entries(call.reply.getHeaders()).map(([name, value]) => [name, String(value)] as const)
  return Object.fromEntries(entries)
}
