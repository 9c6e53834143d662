/**
 * Every server answers every request: what another server decides for is asked of that one, and what meets a change of owner is asked again of the
 * next, as far as that is safe. Whoever asks sees an answer, or `unavailable` when the outcome could not be known.
 *
 * A command that surely was not taken is asked again, whatever it is. One whose outcome is unknown is asked again if a repeat does no
 * harm (shards/repeat.ts). Waits that stand in line are found again by their request id; watches go on after the last event that was seen; listeners
 * are set up anew, and what they missed in between is found by the session's `changes` (SAFETY P14).
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import type { Command, Refusal } from '../locks/model.ts'
import { NotTaken } from '../shards/callers.ts'
import type { View } from '../shards/observer.ts'
import type {
  Answer,
  Asking,
  History,
  HistoryOptions,
  SessionPush,
  Submitted,
  WatchFilter,
  WatchSink,
} from '../shards/port.ts'
import { isRepeatable } from '../shards/repeat.ts'
import { shardOf } from '../shards/router.ts'
import type { Peer, Peers } from './peer.ts'

/** What was refused is tried again this often, or as soon as an owner has changed. */
const AGAIN_MS = 50
/** How long a command looks for somebody who takes it. Two deaths one after another, and then some. */
export const ROUTE_MS_MAX = 10_000
/** Commands that are between two owners; more are told to come back. */
export const PARKED_MAX = 100_000

export type RouterOptions = {
  clock: Clock
  /** This start of this server. */
  server: string
  shards: number
  local: Peer
  peers: Peers
  isServing(shard: number): boolean
  /** Somebody refused what the view says is his: look again. */
  stale(): void
  routeMsMax?: number
  parkedMax?: number
}

export class Router {
  readonly #options: RouterOptions
  #view: View = { members: new Map(), owners: [] }
  readonly #parked = new Set<Parked>()
  readonly #watches = new Set<Watching>()
  readonly #listeners = new Set<Listening>()
  readonly #asks = new Set<Ask>()
  #cancelAgain: (() => void) | null = null
  #isClosed = false

  constructor(options: RouterOptions) {
    this.#options = options
  }

  /** Owners or members have changed, or may have. */
  update(view: View): void {
    this.#view = view
    this.#options.peers.keep(new Set(view.members.keys()))
    this.changed()
  }

  /** A shard has come to be served here, or no longer is. */
  changed(): void {
    for (const listening of this.#listeners) listening.attach()
    for (const parked of [...this.#parked]) this.#retry(parked)
  }

  submit(instance: string, command: Command, asking: Asking): Submitted {
    const ask = new Ask(this, { instance, command, asking, atMs: this.#options.clock.hrtimeMs() })
    this.#asks.add(ask)
    this.dispatch(ask)
    return ask
  }

  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void } {
    if (this.#isClosed) throw new HoldfastError('unavailable', 'The server is stopping.')
    const watching = new Watching(this, instance, filter, sink)
    this.#watches.add(watching)
    this.dispatch(watching)
    return { stop: () => watching.stop() }
  }

  listen(instance: string, session: string, push: (push: SessionPush) => void): { stop(): void } {
    const listening = new Listening(this, instance, session, push)
    this.#listeners.add(listening)
    listening.attach()
    return { stop: () => listening.stop() }
  }

  async history(instance: string, options: HistoryOptions): Promise<History> {
    const sinceMs = this.#options.clock.hrtimeMs()
    for (;;) {
      try {
        const peer = this.peerOf(instance)
        if (peer) return await peer.history(instance, options)
      } catch (error) {
        // Reading twice does no harm.
        if (!(error instanceof HoldfastError) || error.code !== 'unavailable') throw error
      }
      if (this.#isClosed || this.#isLate(sinceMs)) throw nobody()
      await new Promise<void>(resolve => this.#options.clock.after(AGAIN_MS, resolve))
    }
  }

  ownerUrl(instance: string): string | null {
    const { shards, server, isServing } = this.#options
    const shard = shardOf(instance, shards)
    const owner = this.#view.owners[shard]
    if (isServing(shard) || !owner || owner.server === server) return null
    return this.#view.members.get(owner.server)?.address ?? null
  }

  /** How many commands are on their way and do not stand in line. */
  get underway(): number {
    let count = 0
    for (const ask of this.#asks) if (!ask.isQueued) count++
    return count
  }

  /** Nothing is routed any more: what is still under way is told that the outcome is unknown. */
  close(): void {
    this.#isClosed = true
    this.#cancelAgain?.()
    this.#parked.clear()
    for (const ask of [...this.#asks]) ask.giveUp()
    for (const watching of [...this.#watches]) watching.end()
    for (const listening of [...this.#listeners]) listening.stop()
    this.#options.peers.close()
  }

  // ---------------------------------------------------------------------------------- for asks, watches, listeners

  /** Who decides for the instance, as far as is known; null: nobody does now. */
  peerOf(instance: string): Peer | null {
    const { shards, local, peers, server, isServing } = this.#options
    const shard = shardOf(instance, shards)
    if (isServing(shard)) return local
    const owner = this.#view.owners[shard]
    const member = owner && owner.server !== server ? this.#view.members.get(owner.server) : undefined
    return member ? peers.to(member) : null
  }

  dispatch(routed: Ask | Watching): void {
    const peer = this.#isClosed ? null : this.peerOf(routed.instance)
    if (peer) routed.send(peer)
    else this.park(routed)
  }

  /** Tried again soon. */
  park(routed: Ask | Watching): void {
    if (this.#isClosed || this.#parked.size >= (this.#options.parkedMax ?? PARKED_MAX)) return routed.giveUp()
    this.#parked.add({ routed, peer: this.peerOf(routed.instance), atMs: this.#options.clock.hrtimeMs() })
    this.#options.stale()
    this.#cancelAgain ??= this.#options.clock.after(AGAIN_MS, () => {
      this.#cancelAgain = null
      for (const parked of [...this.#parked]) this.#retry(parked)
    })
  }

  #retry(parked: Parked): void {
    const { routed } = parked
    const { clock } = this.#options
    // Whoever has just refused it is left in peace for a moment.
    const isSame = parked.peer !== null && parked.peer === this.peerOf(routed.instance)
    if (isSame && clock.hrtimeMs() - parked.atMs < AGAIN_MS) return this.#again()
    this.#parked.delete(parked)
    if (routed.isOver) return
    if (routed instanceof Ask && this.#isLate(routed.atMs)) return routed.giveUp()
    this.dispatch(routed)
  }

  #again(): void {
    this.#cancelAgain ??= this.#options.clock.after(AGAIN_MS, () => {
      this.#cancelAgain = null
      for (const parked of [...this.#parked]) this.#retry(parked)
    })
  }

  now(): number {
    return this.#options.clock.hrtimeMs()
  }

  done(routed: Ask | Watching | Listening): void {
    if (routed instanceof Ask) this.#asks.delete(routed)
    else if (routed instanceof Watching) this.#watches.delete(routed)
    else this.#listeners.delete(routed)
  }

  #isLate(sinceMs: number): boolean {
    return this.#options.clock.hrtimeMs() - sinceMs >= (this.#options.routeMsMax ?? ROUTE_MS_MAX)
  }
}

/** `peer`: who refused it last. */
type Parked = { routed: Ask | Watching; peer: Peer | null; atMs: number }

function nobody(): HoldfastError {
  return new HoldfastError('unavailable', 'No server decides for this lock now; retry with the same request id.')
}

/** One command on its way, from one owner to the next if need be. */
class Ask implements Asking, Submitted {
  readonly #router: Router
  readonly instance: string
  #command: Command
  #asking: Asking | null
  #submitted: Submitted | null = null
  #isDetached = false
  /** It stands in line; for how long is not ours to say. */
  isQueued = false
  #queuedAtMs: number | null = null
  readonly keepsSessionAlive: boolean
  /** Since when it has been looking for somebody who takes it. */
  atMs: number

  constructor(router: Router, ask: { instance: string; command: Command; asking: Asking; atMs: number }) {
    this.#router = router
    this.instance = ask.instance
    this.#command = ask.command
    this.#asking = ask.asking
    this.keepsSessionAlive = ask.asking.keepsSessionAlive === true
    this.atMs = ask.atMs
  }

  get isOver(): boolean {
    return this.#asking === null
  }

  send(peer: Peer): void {
    this.#submitted = peer.submit(this.instance, this.#command, this)
  }

  answer(reply: Answer): void {
    this.#end()?.answer(reply)
  }

  queued(place: { ticket: number; session: string; position: number }): void {
    this.isQueued = true
    if (this.#queuedAtMs === null) this.#asking?.queued?.(place)
    this.#queuedAtMs ??= this.#router.now()
  }

  fail(error: HoldfastError): void {
    if (this.#asking === null) return
    if (this.isQueued) this.#leftLine()
    this.isQueued = false
    this.#submitted = null
    const isUnknown = error.code === 'unavailable'
    const isSafe = error instanceof NotTaken || (isUnknown && isRepeatable(this.#command))
    if (isSafe && !this.#isDetached) this.#router.park(this)
    else this.#end()?.fail(error)
  }

  /** Whoever has waited for a while waits for that much less where it is asked next. */
  #leftLine(): void {
    this.atMs = this.#router.now()
    const command = this.#command
    if (command.type !== 'acquire' || command.waitMs === null || this.#queuedAtMs === null) return
    this.#command = { ...command, waitMs: Math.max(0, command.waitMs - Math.floor(this.atMs - this.#queuedAtMs)) }
    this.#queuedAtMs = this.atMs
  }

  giveUp(): void {
    const asking = this.#end()
    this.#submitted?.detach()
    asking?.fail(nobody())
  }

  detach(): void {
    this.#isDetached = true
    this.#end()
    this.#submitted?.detach()
  }

  #end(): Asking | null {
    const asking = this.#asking
    this.#asking = null
    this.#router.done(this)
    return asking
  }
}

/** One watch, which goes on at the next owner where it ended at the one before. */
class Watching implements WatchSink {
  readonly #router: Router
  readonly instance: string
  readonly #filter: WatchFilter
  readonly #sink: WatchSink
  #cursor: string | undefined
  #stop: (() => void) | null = null
  #hasBegun = false
  isOver = false

  constructor(router: Router, instance: string, filter: WatchFilter, sink: WatchSink) {
    this.#router = router
    this.instance = instance
    this.#filter = filter
    this.#cursor = filter.after
    this.#sink = sink
  }

  send(peer: Peer): void {
    const { after: _, ...names } = this.#filter
    const { stop } = peer.watch(
      this.instance,
      this.#cursor === undefined ? names : { ...names, after: this.#cursor },
      this,
    )
    this.#stop = stop
  }

  began(cursor: string): void {
    this.#cursor = cursor
    if (this.#hasBegun) return
    this.#hasBegun = true
    this.#sink.began(cursor)
  }

  event(event: Parameters<WatchSink['event']>[0]): boolean {
    if (this.isOver) return false
    this.#cursor = event.id
    const isTaken = this.#sink.event(event)
    if (!isTaken) this.stop()
    return isTaken
  }

  reset(cursor: string): void {
    this.#cursor = cursor
    this.#sink.reset(cursor)
  }

  ended(): void {
    this.#stop = null
    if (!this.isOver) this.#router.park(this)
  }

  /** At the next owner too, where others may have been quicker: there is only so much room. */
  refused(refusal: Refusal): void {
    if (this.isOver) return
    this.#stop = null
    this.stop()
    if (this.#hasBegun) this.#sink.ended()
    else this.#sink.refused(refusal)
  }

  giveUp(): void {
    this.end()
  }

  end(): void {
    if (this.isOver) return
    this.stop()
    this.#sink.ended()
  }

  stop(): void {
    this.isOver = true
    this.#stop?.()
    this.#router.done(this)
  }
}

/** The pushes of one session, wherever they come from now. */
class Listening {
  readonly #router: Router
  readonly #instance: string
  readonly #session: string
  readonly #push: (push: SessionPush) => void
  #peer: Peer | null = null
  #stop: (() => void) | null = null

  constructor(router: Router, instance: string, session: string, push: (push: SessionPush) => void) {
    this.#router = router
    this.#instance = instance
    this.#session = session
    this.#push = push
  }

  attach(): void {
    const peer = this.#router.peerOf(this.#instance)
    if (!peer || peer === this.#peer) return
    this.#stop?.()
    this.#peer = peer
    this.#stop = peer.listen(this.#instance, this.#session, this.#push).stop
  }

  stop(): void {
    this.#stop?.()
    this.#router.done(this)
  }
}
