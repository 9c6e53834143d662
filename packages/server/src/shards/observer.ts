/**
 * Who lives and who owns what, as this server sees it: a hint for routing, and the ground on which deaths are declared.
 *
 * A server whose record has not changed for the whole time that the record itself grants may be declared dead: its record is deleted, by a commit
 * that checks the very beat that was seen, so of a beat and a declaration one wins (SAFETY P7). Its silence counts only while our own
 * beats get through, else it is the store that is silent; and no look counts for more than `COUNTED_MS_MAX`, for after an outage of the store
 * our own next beat may come through before theirs.
 */
import { type Cancel, type Clock, every } from '../clock.ts'
import { commitKnown } from '../engine/commit.ts'
import type { Engine, KeyValue } from '../engine/engine.ts'
import type { Keys } from './keys.ts'
import { decodeMember, type MemberRecord, type Membership } from './membership.ts'
import { decodeOwner, type OwnerRecord } from './ownership.ts'
import type { ShardTelemetry } from './telemetry.ts'

/** How often the records are looked at: twice in each beat, more often when something is known to have changed. */
export const LOOK_MS = 250
const COUNTED_MS_MAX = 2 * LOOK_MS
/** Servers of one cluster. */
export const MEMBERS_MAX = 1_000

export type View = {
  /** Those whose records are there, this server too. */
  members: ReadonlyMap<string, MemberRecord>
  /** By number of the shard. */
  owners: readonly (OwnerRecord | null)[]
}

type Seen = { revision: number; silentMs: number; lookedMs: number }

export type ObserverOptions = {
  engine: Engine
  clock: Clock
  keys: Keys
  shards: number
  membership: Membership
  telemetry: ShardTelemetry
  /** After each look. */
  seen(view: View): void
  /** The store cannot be used any more, or says what cannot be. */
  fatal(error: Error): void
}

export class Observer {
  readonly #options: ObserverOptions
  readonly #seen = new Map<string, Seen>()
  #looking: Promise<void> | null = null
  #isAgain = false
  #isOver = false
  #cancelTimer: Cancel = () => undefined

  constructor(options: ObserverOptions) {
    this.#options = options
  }

  /** Looks now, and then again and again. */
  async start(): Promise<void> {
    await this.look()
    if (!this.#isOver) this.#cancelTimer = every(this.#options.clock, LOOK_MS, () => this.look())
  }

  /** Looks, or once more after the look under way, which may have begun before what there is to see. */
  look(): Promise<void> {
    if (this.#looking) {
      this.#isAgain = true
      return this.#looking
    }
    this.#looking = this.#lookAll().finally(() => {
      this.#looking = null
    })
    return this.#looking
  }

  /** For tests: how many servers are remembered. */
  get size(): number {
    return this.#seen.size
  }

  stop(): void {
    this.#isOver = true
    this.#cancelTimer()
  }

  async #lookAll(): Promise<void> {
    do {
      this.#isAgain = false
      if (this.#isOver) return
      try {
        await this.#lookOnce()
      } catch (error) {
        // A store that is out of reach shows nothing; the beats tell of it. A record that cannot be read is another matter.
        if (error instanceof SyntaxError || error instanceof TypeError) this.#options.fatal(error)
      }
    } while (this.#isAgain)
  }

  async #lookOnce(): Promise<void> {
    const { engine, keys, shards, seen, telemetry } = this.#options
    const [listing, ...owners] = await Promise.all([
      engine.list({ prefix: keys.members, limit: MEMBERS_MAX }),
      ...Array.from({ length: shards }, (_, shard) => engine.read(keys.owner(shard))),
    ])
    if (this.#isOver) return
    if (listing.more) telemetry.alarm({ what: `the cluster has more than ${MEMBERS_MAX} servers`, error: null })
    const members = new Map<string, MemberRecord>()
    for (const pair of listing.pairs) {
      const member = decodeMember(pair.value)
      if (!(await this.#isDead(member, pair))) members.set(member.server, member)
    }
    for (const server of this.#seen.keys()) if (!members.has(server)) this.#seen.delete(server)
    seen({ members, owners: owners.map(pair => pair && decodeOwner(pair)) })
  }

  /** Declares the member dead if it may. */
  async #isDead(member: MemberRecord, pair: KeyValue): Promise<boolean> {
    const { engine, clock, membership, telemetry } = this.#options
    const { server, memberTtlMs } = member
    if (server === membership.server) return false
    const lookedMs = clock.hrtimeMs()
    const before = this.#seen.get(server)
    if (before?.revision !== pair.modRevision) {
      this.#seen.set(server, { revision: pair.modRevision, silentMs: 0, lookedMs })
      return false
    }
    if (membership.isWithinDeadline()) before.silentMs += Math.min(lookedMs - before.lookedMs, COUNTED_MS_MAX)
    before.lookedMs = lookedMs
    // How long is for its own record to say (SAFETY O10).
    if (before.silentMs < memberTtlMs) return false
    const known = await commitKnown({
      engine,
      clock,
      checks: [{ key: pair.key, modRevision: pair.modRevision }],
      writes: [{ key: pair.key, delete: true }],
      // If it is another beat's the server lives, and if it is absent that is all we want.
      passedAt: found => (found[0] ? null : 0),
      onUnknown: (error, attempt) => telemetry.commitUnknown({ what: `death of ${server}`, attempt, error }),
    })
    if (known.ok) telemetry.died({ server })
    return known.ok
  }
}
