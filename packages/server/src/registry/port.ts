/** What the rooms may ask of the registry, and nothing else. */
import type { Kind, Records } from './records.ts'

export type Put = { [K in Kind]: { kind: K; id: string; value: Records[K] | null } }[Kind]

/** Who did or tried what: a line of the administrative trail. */
export type Deed = {
  /** Subject. */
  by: string
  /** Address it came from; empty: this server itself. */
  from: string
  /** `instance.create`, `credential.revoke`, `lock.acquire` (denied), … */
  action: string
  /** null: concerns no one instance. */
  instance: string | null
  /** What it was done to: `credential/k-…`, `lock/orders`, … */
  target: string
  outcome: 'success' | 'denied' | 'failure'
  /** HTTP status that it was answered with. */
  status: number
  reason: string
  /** Request id. */
  trace: string
}

/** What the trail says of a change. A function is called with what was decided, where that is what is to be told: a deed for each thing that was done. */
export type Telling = Deed | ((puts: readonly Put[]) => Deed[])

/** One link of the chain, as stored: order is that of `seq`, on all servers. */
export type Trail = { seq: number; at: number; server: string; prev: string; deeds: Deed[]; writes: Put[] }

export interface Registry {
  /** Last change that this server knows of. */
  readonly seq: number
  /** Whether this server has heard of the store within `VIEW_MS_MAX`. What is older may have been revoked since (SAFETY O3): nothing is decided on it. */
  readonly isFresh: boolean
  get<K extends Kind>(kind: K, id: string): Records[K] | null
  /** In the order of their ids. */
  all<K extends Kind>(kind: K): Iterable<Records[K]>
  /**
   * One change, all or nothing, ordered among those of all servers. `decide` is called with the newest records, again when another server was
   * quicker; what it throws is thrown. Resolves when durable and known here; the others know within `FOLLOW_MS_MAX`.
   * Throws `unavailable` when the outcome is unknown after trying for a while.
   */
  change(telling: Telling, decide: () => readonly Put[]): Promise<void>
  /** Adds to the trail what changed nothing (denials). Told in bunches (`denials.ts`); what is beyond their bounds is counted, not kept. */
  note(deed: Deed): void
  /** Called after each change from anywhere, when `get` already answers with it. */
  onChange(listener: (puts: readonly Put[]) => void): () => void
  /** The trail from `after` on, oldest first. */
  trail(options: { after: number; limit: number }): Promise<{ links: Trail[]; more: boolean }>
}
