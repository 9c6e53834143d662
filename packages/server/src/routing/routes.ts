/** What is routed, and what it needs of the router. */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Peer } from './peer.ts'

/** Something that is asked of whoever decides for a shard, and of the next when that is no longer so. */
export interface Routed {
  readonly shard: number
  readonly isOver: boolean
  /** Since when it has looked for somebody in vain; null: it looks for as long as it takes. */
  readonly seeksSinceMs: number | null
  send(peer: Peer): void
  /** Nobody is looked for any more. */
  giveUp(): void
}

export type Routes = {
  /** Who decides for the shard, as far as is known; null: nobody does now. */
  peerOf(shard: number): Peer | null
  /** Tried again soon. */
  park(routed: Routed): void
  done(over: object): void
  now(): number
}

export function nobody(): HoldfastError {
  return new HoldfastError('unavailable', 'No server decides for this lock now; retry with the same request id.')
}
