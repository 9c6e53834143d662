/**
 * Every server answers every request: what another server decides for is asked of that one, and what meets a change of owner is asked again of the
 * next, as far as that is safe. Whoever asks sees an answer, or `unavailable` when the outcome could not be known.
 *
 * A command that surely was not taken is asked again, whatever it is. One whose outcome is unknown is asked again if a repeat does no
 * harm (shards/repeat.ts). Waits that stand in line are found again by their request id; watches go on after the last event that was seen; listeners
 * are set up anew, and what they missed in between is found by the session's `changes` (SAFETY P14).
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { type Clock, pause } from '../clock.ts'
import type { Command } from '../locks/model.ts'
import type { View } from '../shards/observer.ts'
import type { Asking, History, HistoryOptions, SessionPush, Submitted, WatchFilter, WatchSink } from '../shards/port.ts'
import { shardOf } from '../shards/router.ts'
import { Ask } from './ask.ts'
import { Listening } from './listening.ts'
import type { Peer, Peers } from './peer.ts'
import { nobody, type Routed, type Routes } from './routes.ts'
import { Watching } from './watching.ts'

/** What was refused is tried again this often, or as soon as an owner has changed. */
export const AGAIN_MS = 50
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

export class Router implements Routes {
  readonly #options: RouterOptions
  #view: View = { members: new Map(), owners: [] }
  readonly #parked = new Set<Parked>()
  readonly #watches = new Set<Watching>()
  /** By shard. */
  readonly #listeners: Set<Listening>[]
  /** By shard: who decided for it when that was looked at last. */
  readonly #peers: (Peer | null)[]
  readonly #asks = new Set<Ask>()
  #cancelAgain: (() => void) | null = null
  #isClosed = false

  constructor(options: RouterOptions) {
    this.#options = options
    this.#listeners = Array.from({ length: options.shards }, () => new Set())
    this.#peers = this.#listeners.map(() => null)
  }

  /** Owners or members have changed, or may have. */
  update(view: View): void {
    this.#view = view
    this.#options.peers.keep(new Set(view.members.keys()))
    this.changed()
  }

  /** A shard has come to be served here, or no longer is. */
  changed(): void {
    for (const [shard, listeners] of this.#listeners.entries()) {
      const peer = this.peerOf(shard)
      if (peer === this.#peers[shard]) continue
      this.#peers[shard] = peer
      for (const listening of listeners) listening.follow()
    }
    for (const parked of [...this.#parked]) this.#retry(parked)
  }

  submit(instance: string, command: Command, asking: Asking): Submitted {
    const ask = new Ask(this, { instance, shard: this.#shardOf(instance), command, asking })
    this.#asks.add(ask)
    this.dispatch(ask)
    return ask
  }

  watch(instance: string, filter: WatchFilter, sink: WatchSink): { stop(): void } {
    if (this.#isClosed) throw new HoldfastError('unavailable', 'The server is stopping.')
    const watching = new Watching(this, { instance, shard: this.#shardOf(instance), filter, sink })
    this.#watches.add(watching)
    this.dispatch(watching)
    return { stop: () => watching.stop() }
  }

  listen(instance: string, session: string, push: (push: SessionPush) => void): { stop(): void } {
    const shard = this.#shardOf(instance)
    const listening = new Listening(this, { instance, shard, session, push })
    this.#listeners[shard]?.add(listening)
    listening.attach()
    return { stop: () => listening.stop() }
  }

  async history(instance: string, options: HistoryOptions): Promise<History> {
    const sinceMs = this.#options.clock.hrtimeMs()
    for (;;) {
      try {
        const peer = this.peerOf(this.#shardOf(instance))
        if (peer) return await peer.history(instance, options)
      } catch (error) {
        // Reading twice does no harm.
        if (!(error instanceof HoldfastError) || error.code !== 'unavailable') throw error
      }
      if (this.#isClosed || this.#isLate(sinceMs)) throw nobody()
      await pause(this.#options.clock, AGAIN_MS)
    }
  }

  ownerUrl(instance: string): string | null {
    const { server, isServing } = this.#options
    const shard = this.#shardOf(instance)
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
    for (const listeners of this.#listeners) for (const listening of [...listeners]) listening.stop()
    this.#options.peers.close()
  }

  // ---------------------------------------------------------------------------------- for asks, watches, listeners

  peerOf(shard: number): Peer | null {
    const { local, peers, server, isServing } = this.#options
    if (isServing(shard)) return local
    const owner = this.#view.owners[shard]
    const member = owner && owner.server !== server ? this.#view.members.get(owner.server) : undefined
    return member ? peers.to(member) : null
  }

  dispatch(routed: Routed): void {
    const peer = this.#isClosed ? null : this.peerOf(routed.shard)
    if (peer) routed.send(peer)
    else this.park(routed)
  }

  park(routed: Routed): void {
    if (this.#isClosed || this.#parked.size >= (this.#options.parkedMax ?? PARKED_MAX)) return routed.giveUp()
    this.#parked.add({ routed, peer: this.peerOf(routed.shard), atMs: this.#options.clock.hrtimeMs() })
    this.#options.stale()
    this.#again()
  }

  #retry(parked: Parked): void {
    const { routed } = parked
    const { clock } = this.#options
    // Whoever has just refused it is left in peace for a moment; and where nobody decides, looking at once would only be looking again at once.
    const isSame = parked.peer === this.peerOf(routed.shard)
    if (isSame && clock.hrtimeMs() - parked.atMs < AGAIN_MS) return this.#again()
    this.#parked.delete(parked)
    if (routed.isOver) return
    if (routed.seeksSinceMs !== null && this.#isLate(routed.seeksSinceMs)) return routed.giveUp()
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

  done(over: object): void {
    if (over instanceof Ask) this.#asks.delete(over)
    else if (over instanceof Watching) this.#watches.delete(over)
    else if (over instanceof Listening) this.#listeners[over.shard]?.delete(over)
  }

  #shardOf(instance: string): number {
    return shardOf(instance, this.#options.shards)
  }

  #isLate(sinceMs: number): boolean {
    return this.#options.clock.hrtimeMs() - sinceMs >= (this.#options.routeMsMax ?? ROUTE_MS_MAX)
  }
}

/** `peer`: who refused it last; null: there was nobody. */
type Parked = { routed: Routed; peer: Peer | null; atMs: number }
