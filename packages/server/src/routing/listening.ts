/** The pushes of one session, wherever they come from now. */
import type { SessionPush } from '../shards/port.ts'
import type { Peer } from './peer.ts'
import type { Routes } from './routes.ts'

export class Listening {
  readonly #routes: Routes
  readonly #instance: string
  readonly shard: number
  readonly #session: string
  readonly #push: (push: SessionPush) => void
  #peer: Peer | null = null
  #stop: (() => void) | null = null

  constructor(
    routes: Routes,
    listening: { instance: string; shard: number; session: string; push: (push: SessionPush) => void },
  ) {
    this.#routes = routes
    this.#instance = listening.instance
    this.shard = listening.shard
    this.#session = listening.session
    this.#push = listening.push
  }

  /** Somebody decides, and it may be another one than before. */
  follow(): void {
    if (this.attach()) this.#push({ type: 'moved' })
  }

  /** Whether it listens to another server now. */
  attach(): boolean {
    const peer = this.#routes.peerOf(this.shard)
    if (!peer || peer === this.#peer) return false
    this.#stop?.()
    this.#peer = peer
    this.#stop = peer.listen(this.#instance, this.#session, this.#push).stop
    return true
  }

  stop(): void {
    this.#stop?.()
    this.#routes.done(this)
  }
}
