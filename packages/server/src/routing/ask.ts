/** One command on its way, from one owner to the next if need be. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Command } from '../locks/model.ts'
import { NotTaken, Superseded } from '../shards/callers.ts'
import type { Answer, Asking, Submitted } from '../shards/port.ts'
import { isRepeatable } from '../shards/repeat.ts'
import type { Peer } from './peer.ts'
import { nobody, type Routed, type Routes } from './routes.ts'

export class Ask implements Asking, Submitted, Routed {
  readonly #routes: Routes
  readonly #instance: string
  readonly shard: number
  #command: Command
  #asking: Asking | null
  #submitted: Submitted | null = null
  #isDetached = false
  /** It stands in line; for how long is not ours to say. */
  isQueued = false
  /** Since when it has stood in the line that it left last, or stands in. */
  #queuedAtMs: number | null = null
  readonly keepsSessionAlive: boolean
  /** Since when it has been looking for somebody who takes it. */
  atMs: number

  constructor(routes: Routes, ask: { instance: string; shard: number; command: Command; asking: Asking }) {
    this.#routes = routes
    this.#instance = ask.instance
    this.shard = ask.shard
    this.#command = ask.command
    this.#asking = ask.asking
    this.keepsSessionAlive = ask.asking.keepsSessionAlive === true
    this.atMs = routes.now()
  }

  get isOver(): boolean {
    return this.#asking === null
  }

  /** Since when it has been looking for somebody who takes it, if that may come to an end. */
  get seeksSinceMs(): number {
    return this.atMs
  }

  send(peer: Peer): void {
    this.#submitted = peer.submit(this.#instance, this.#command, this)
  }

  answer(reply: Answer): void {
    this.#end()?.answer(reply)
  }

  queued(place: { ticket: number; session: string; position: number }): void {
    this.isQueued = true
    if (this.#queuedAtMs === null) this.#asking?.queued?.(place)
    this.#queuedAtMs ??= this.#routes.now()
  }

  fail(error: HoldfastError): void {
    if (this.#asking === null) return
    if (this.isQueued) this.#leftLine()
    this.isQueued = false
    this.#submitted = null
    const isUnknown = error.code === 'unavailable' && !(error instanceof Superseded)
    const isSafe = error instanceof NotTaken || (isUnknown && isRepeatable(this.#command))
    if (isSafe && !this.#isDetached) this.#routes.park(this)
    else this.#end()?.fail(error)
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

  /** Whoever has waited for a while waits for that much less where it is asked next. */
  #leftLine(): void {
    this.atMs = this.#routes.now()
    const command = this.#command
    if (command.type !== 'acquire' || command.waitMs === null || this.#queuedAtMs === null) return
    this.#command = { ...command, waitMs: Math.max(0, command.waitMs - Math.floor(this.atMs - this.#queuedAtMs)) }
    this.#queuedAtMs = this.atMs
  }

  #end(): Asking | null {
    const asking = this.#asking
    this.#asking = null
    this.#routes.done(this)
    return asking
  }
}
