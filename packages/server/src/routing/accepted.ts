/** A connection of another server: what its router asks of this server's own shards. Nothing is passed on from here. */
import type { Clock } from '../clock.ts'
import type { Asking } from '../shards/port.ts'
import { isRepeatable } from '../shards/repeat.ts'
import { isKnown, unknownHere } from './known.ts'
import { type Asked, Frames, failureOf, type Said } from './messages.ts'
import type { Peer } from './peer.ts'
import { ROUTE_MS_MAX } from './router.ts'
import type { Transport } from './transport.ts'

export class Accepted {
  readonly #local: Peer
  readonly #told: () => void
  readonly #frames: Frames<Said>
  readonly #clock: Clock
  /** Ends what the other side has begun, by its id. */
  readonly #stops = new Map<number, () => void>()
  /** Of these, what the other side may ask again over its next connection, and find as it was. */
  readonly #awaited = new Set<number>()
  #isClosed = false

  constructor({
    transport,
    local,
    told,
    clock,
  }: { transport: Transport; local: Peer; told: () => void; clock: Clock }) {
    this.#local = local
    this.#told = told
    this.#frames = new Frames(transport, clock)
    this.#clock = clock
  }

  heard(text: string): void {
    if (this.#isClosed) return
    // Written at the other end by this code, or by that of another version; it has proved who it is.
    for (const asked of JSON.parse(text) as Asked[]) this.#asked(asked)
  }

  /**
   * The connection has gone, and perhaps the other server. Its waits that an open connection of a client kept alive are given up: at once those that
   * nobody could ask for again, the others when it has not asked for them again in the time in which it would. Other waits stay in line.
   */
  closed(): void {
    this.#isClosed = true
    for (const [id, stop] of [...this.#stops]) {
      if (this.#awaited.has(id)) this.#clock.after(ROUTE_MS_MAX, stop)
      else stop()
    }
    this.#stops.clear()
    this.#awaited.clear()
  }

  #asked(asked: Asked): void {
    if (!isKnown(asked)) {
      if ('id' in asked) this.#say({ type: 'fail', id: asked.id, error: failureOf(unknownHere()) })
      return
    }
    switch (asked.type) {
      case 'told':
        return this.#told()
      case 'stop':
        this.#stops.get(asked.id)?.()
        this.#stops.delete(asked.id)
        this.#awaited.delete(asked.id)
        return
      case 'ask':
        return this.#ask(asked)
      case 'watch':
        return this.#watch(asked)
      case 'listen': {
        const { id, instance, session } = asked
        const { stop } = this.#local.listen(instance, session, push => this.#say({ type: 'push', id, push }))
        this.#stops.set(id, stop)
        return
      }
      case 'history': {
        const { id, instance, options } = asked
        this.#local.history(instance, options).then(
          history => this.#say({ type: 'history', id, history }),
          error => this.#say({ type: 'fail', id, error: failureOf(error) }),
        )
      }
    }
  }

  #ask({ id, instance, command, keeps }: Extract<Asked, { type: 'ask' }>): void {
    const asking: Asking = {
      answer: answer => this.#end({ type: 'answer', id, answer }),
      fail: error => this.#end({ type: 'fail', id, error: failureOf(error) }),
      queued: place => this.#say({ type: 'queued', id, place }),
      ...(keeps && { keepsSessionAlive: true }),
    }
    const submitted = this.#local.submit(instance, command, asking)
    this.#stops.set(id, () => submitted.detach())
    if (keeps && isRepeatable(command)) this.#awaited.add(id)
  }

  #watch({ id, instance, filter }: Extract<Asked, { type: 'watch' }>): void {
    let isRefused = false
    const { stop } = this.#local.watch(instance, filter, {
      began: cursor => this.#say({ type: 'began', id, cursor }),
      reset: cursor => this.#say({ type: 'reset', id, cursor }),
      event: event => {
        this.#say({ type: 'event', id, event })
        return !this.#isClosed
      },
      ended: cursor => this.#end({ type: 'ended', id, ...(cursor !== undefined && { cursor }) }),
      refused: refusal => {
        isRefused = true
        this.#end({ type: 'refused', id, refusal })
      },
    })
    if (!isRefused) this.#stops.set(id, stop)
  }

  #end(said: Said): void {
    this.#stops.delete(said.id)
    this.#awaited.delete(said.id)
    this.#say(said)
  }

  #say(said: Said): void {
    if (!this.#isClosed) this.#frames.say(said)
  }
}
