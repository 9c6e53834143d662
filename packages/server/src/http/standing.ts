/**
 * Who was let in stays in only as long as that is permitted: connections, streams and waits are looked at again whenever the registry changes, and
 * by and by as time passes, for credentials expire and policies have hours. Those that may go on no longer are ended, with the reason.
 *
 * A change of the registry is known to every server within half a second or so, and all that is open is looked at in the same turn; what
 * changes by the clock alone is seen within `ROUND_MS`.
 */
import type { Identity } from '../auth/identity.ts'
import type { Cancel, Clock } from '../clock.ts'
import type { Verdict } from '../policies/port.ts'
import type { Registry } from '../registry/port.ts'
import type { Caller } from './caller.ts'
import { type Ended, endedRefusal, isStale } from './ended.ts'
import type { Refused } from './reply.ts'
import { whenKnown } from './when-known.ts'

/** Every stream is looked at once in this time: less than the 5 s in which a revocation must be felt. */
const ROUND_MS = 2_000
/** A part of them at a time, so that none of the looks takes long. */
const LOOKS = 4

export type Stream = {
  caller: Caller
  /** Whether what it was opened for would be permitted now. */
  isPermitted(): Verdict | Promise<Verdict>
  /** Called once. */
  end(reason: Ended): void
}

type Options = { registry: Registry; clock: Pick<Clock, 'after' | 'wallMs'> }

export class Standing {
  readonly #registry: Registry
  readonly #clock: Options['clock']
  readonly #open = new Set<Stream>()
  readonly #stopListening: () => void
  #cancel: Cancel | null = null
  /** Of the round that goes on: those that have yet to be looked at, and as many as are looked at together. */
  #rest: Stream[] = []
  #count = 0

  constructor({ registry, clock }: Options) {
    this.#registry = registry
    this.#clock = clock
    // When all have heard of it: the decision point listens too, and may be told later.
    this.#stopListening = registry.onChange(() => queueMicrotask(() => this.#lookAtAll()))
  }

  get count(): number {
    return this.#open.size
  }

  /** Watches over the stream until the function it returns is called, or it has been ended. */
  add(stream: Stream): () => void {
    this.#open.add(stream)
    this.#cancel ??= this.#lookLater()
    return () => void this.#open.delete(stream)
  }

  close(): void {
    this.#stopListening()
    this.#cancel?.()
    this.#open.clear()
  }

  #lookAtAll(): void {
    for (const stream of [...this.#open]) this.#look(stream)
  }

  #lookLater(): Cancel {
    return this.#clock.after(ROUND_MS / LOOKS, () => {
      if (this.#rest.length === 0) {
        this.#rest = [...this.#open]
        // However many of them have gone by the end of the round.
        this.#count = Math.ceil(this.#rest.length / LOOKS)
      }
      for (const stream of this.#rest.splice(0, this.#count)) if (this.#open.has(stream)) this.#look(stream)
      this.#cancel = this.#open.size > 0 ? this.#lookLater() : null
    })
  }

  #look(stream: Stream): void {
    const { caller } = stream
    if (isStale(caller.identity, this.#registry)) return this.#end(stream, 'view_stale')
    const now = identityNow(caller.identity, { registry: this.#registry, wallMs: this.#clock.wallMs() })
    if (typeof now === 'string') return this.#end(stream, now)
    caller.identity = now
    // A decision point does not reject: what it cannot decide is unknown.
    void whenKnown(stream.isPermitted(), verdict => this.#judge(stream, verdict))
  }

  #judge(stream: Stream, verdict: Verdict): void {
    if (verdict === null) this.#end(stream, 'permission_unknown')
    else if (!verdict) this.#end(stream, 'permission_revoked')
  }

  #end(stream: Stream, reason: Ended): void {
    if (this.#open.delete(stream)) stream.end(reason)
  }
}

/** As its credential is recorded now; or why it is nobody's any more. */
export function identityNow(
  identity: Identity,
  { registry, wallMs }: { registry: Pick<Registry, 'get'>; wallMs: number },
): Identity | Ended {
  if (identity.expiresAtMs !== null && identity.expiresAtMs <= wallMs) return 'credential_expired'
  if (identity.credential === null) return identity
  const record = registry.get('credential', identity.credential)
  if (record?.state !== 'active' || record.instance !== identity.instance) return 'credential_revoked'
  if (record.expiresAtMs !== null && record.expiresAtMs <= wallMs) return 'credential_expired'
  if (record.roles === identity.roles && record.groups === identity.groups) return identity
  const { subject, groups, roles, expiresAtMs } = record
  // A token made for a key ends with the earlier of the two.
  const ends = [expiresAtMs, identity.expiresAtMs].filter(at => at !== null)
  return { ...identity, subject, groups, roles, expiresAtMs: ends.length > 0 ? Math.min(...ends) : null }
}

/** Why whoever was proved when the headers came may do nothing any more; null: they may, as their credential is recorded now. */
export function shutOut(
  { registry, clock }: { registry: Pick<Registry, 'get'>; clock: Pick<Clock, 'wallMs'> },
  caller: Caller,
): Refused | null {
  const now = identityNow(caller.identity, { registry, wallMs: clock.wallMs() })
  if (typeof now === 'string') return endedRefusal(now)
  caller.identity = now
  return null
}
