/** The watches of one connection. */
import { HoldfastError, type WireError } from '@holdfast/protocol/errors'
import type { ClientRequest, ServerMessage } from '@holdfast/protocol/frame'
import { CONNECTION_WATCHES_MAX } from '@holdfast/protocol/limits'
import type { WatchSink } from '../../shards/port.ts'
import type { Caller } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { endedRefusal } from '../ended.ts'
import { EventFilter } from '../event-filter.ts'
import { areAllPermitted, type Deed, seesEvent } from '../permission.ts'
import { failed, refused } from '../reply.ts'

type Outlet = { send(message: ServerMessage): boolean; refuse(id: number, error: WireError): void; goAway(): void }
type Of<Type extends ClientRequest['type']> = Extract<ClientRequest, { type: Type }>

export class ConnectionWatches {
  readonly #doors: Doors
  readonly #outlet: Outlet
  readonly #open = new Map<number, () => void>()

  constructor(doors: Doors, outlet: Outlet) {
    this.#doors = doors
    this.#outlet = outlet
  }

  /** The watch is named by the id of the request that opened it. */
  open(request: Of<'watch'>, caller: Caller): void {
    const watch = request.id
    const { instance } = caller
    if (request.name !== undefined && request.prefix !== undefined) {
      const message = 'Name either one lock (`name`) or a `prefix`.'
      return this.#outlet.refuse(watch, { code: 'invalid_request', message, target: { type: 'field', name: 'prefix' } })
    }
    this.#open.get(watch)?.()
    if (this.#open.size >= CONNECTION_WATCHES_MAX || !this.#doors.watches.open(instance)) {
      return this.#outlet.refuse(watch, {
        code: 'quota_exceeded',
        message: 'Too many watches are open.',
        limit: 'watches',
        max: CONNECTION_WATCHES_MAX,
      })
    }
    this.#doors.telemetry.watchOpened()
    // It may be over before it has been told apart: refused, or too far behind with what had been missed.
    let isOver = false
    const filter = new EventFilter({
      sees: event => seesEvent(this.#doors, caller, event),
      deliver: event => this.#outlet.send({ type: 'event', watch, event }),
      // Too far behind to be told: as if the server had no room for it any more.
      cut: () => {
        isOver = true
        this.#end(watch, { code: 'unavailable', message: 'The watch has fallen behind: resume it.' })
      },
    })
    const sink: WatchSink = {
      began: cursor => void this.#outlet.send({ type: 'reply', id: watch, cursor }),
      event: event => filter.offer(event),
      reset: next => void this.#outlet.send({ type: 'reset', watch, cursor: next }),
      refused: reason => {
        isOver = true
        this.#open.get(watch)?.()
        this.#outlet.refuse(watch, refused(reason))
      },
      ended: () => this.#outlet.goAway(),
    }
    const opened = this.#begin(request, instance, sink)
    if (!opened) return
    const leave = this.#doors.standing.add({
      caller,
      isPermitted: () => areAllPermitted(this.#doors, caller, [deedOf(request)]),
      end: reason => this.#end(watch, { ...endedRefusal(reason).wire, reason }),
    })
    const close = () => {
      leave()
      this.#open.delete(watch)
      opened.stop()
      this.#doors.watches.close(instance)
      this.#doors.telemetry.watchClosed()
    }
    if (isOver) close()
    else this.#open.set(watch, close)
  }

  /** null: the shards take no more watches, and the client has been told. */
  #begin(request: Of<'watch'>, instance: string, sink: WatchSink): { stop(): void } | null {
    try {
      return this.#doors.shards.watch(instance, filterOf(request), sink)
    } catch (error) {
      // The server is stopping, and nothing that is asked meanwhile may end it before it has.
      if (!(error instanceof HoldfastError)) throw error
      this.#doors.watches.close(instance)
      this.#doors.telemetry.watchClosed()
      this.#outlet.refuse(request.id, failed(error))
      return null
    }
  }

  #end(watch: number, error: WireError): void {
    this.#open.get(watch)?.()
    this.#outlet.send({ type: 'ended', watch, error })
  }

  close(request: Of<'unwatch'>): void {
    this.#open.get(request.watch)?.()
    this.#outlet.send({ type: 'reply', id: request.id })
  }

  stop(): void {
    for (const stop of [...this.#open.values()]) stop()
  }
}

export function deedOf({ name, prefix }: Of<'watch'>): Deed {
  if (name !== undefined) return { action: 'lock.watch', lock: name }
  return { action: 'lock.watch', lock: null, under: prefix ?? '' }
}

function filterOf({ prefix, name, after }: Of<'watch'>): { prefix?: string; name?: string; after?: string } {
  const filter: { prefix?: string; name?: string; after?: string } = {}
  if (name !== undefined) filter.name = name
  else filter.prefix = prefix ?? ''
  if (after !== undefined) filter.after = after
  return filter
}
