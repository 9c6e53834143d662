/** One watch, which goes on at the next owner where it ended at the one before. */
import type { Refusal } from '../locks/model.ts'
import type { WatchFilter, WatchSink } from '../shards/port.ts'
import type { Peer } from './peer.ts'
import type { Routed, Routes } from './routes.ts'

export class Watching implements WatchSink, Routed {
  readonly #routes: Routes
  readonly #instance: string
  readonly shard: number
  readonly #filter: WatchFilter
  readonly #sink: WatchSink
  #cursor: string | undefined
  #stop: (() => void) | null = null
  #hasBegun = false
  isOver = false
  readonly seeksSinceMs = null

  constructor(routes: Routes, watch: { instance: string; shard: number; filter: WatchFilter; sink: WatchSink }) {
    this.#routes = routes
    this.#instance = watch.instance
    this.shard = watch.shard
    this.#filter = watch.filter
    this.#sink = watch.sink
    this.#cursor = watch.filter.after
  }

  send(peer: Peer): void {
    const { after: _, ...names } = this.#filter
    const { stop } = peer.watch(
      this.#instance,
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

  ended(cursor?: string): void {
    this.#stop = null
    // It has been told of all that concerns it up to there, however long ago the last of that was.
    if (cursor !== undefined && this.#hasBegun) this.#cursor = cursor
    if (!this.isOver) this.#routes.park(this)
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
    this.#routes.done(this)
  }
}
