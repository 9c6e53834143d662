/**
 * What a connection tells the shard of its session beside what it is asked: that the client lives, and what it has settled. Both are renewals that
 * nobody waits for.
 *
 * Any message renews the session. The shard sees that by itself in what is done in the session's name; of what is only read, of a watch and of what is
 * refused at the door it hears no session. So the first such message of each third of a TTL brings a renewal along, and no more: of a client that asks as
 * fast as it can nearly all would be for nothing. After a message of this kind the session lives for two thirds of its TTL at the least.
 */
import type { ClientRequest } from '@holdfast/protocol/frame'
import type { Clock } from '../../clock.ts'
import type { Answer } from '../../shards/port.ts'
import type { Pending } from './pending.ts'

/** How many more ids must be settled before the shard is told, beside renewals. */
const SETTLED_STEP = 256
/** Renewals of this kind in a TTL. */
const KEPT_IN_TTL = 3

/** What the shard takes for a sign of life, if it comes so far. */
const isOfSession: Record<ClientRequest['type'], boolean> = {
  renew: true,
  acquire: true,
  acquire_all: true,
  release: true,
  release_all: true,
  cancel: true,
  transfer: true,
  write_value: true,
  close: true,
  validate: false,
  value: false,
  show: false,
  queue: false,
  watch: false,
  unwatch: false,
}

type Told = { settled?: number }

export class Beside {
  readonly #clock: Pick<Clock, 'hrtimeMs'>
  readonly #renew: (told: Told) => void
  #settled = 0
  /** When the shard last had a sign of life from here, as far as is known. */
  #keptMs: number

  constructor(clock: Pick<Clock, 'hrtimeMs'>, renew: (told: Told) => void) {
    this.#clock = clock
    this.#renew = renew
    this.#keptMs = clock.hrtimeMs()
  }

  /** A request is on its way to the shard. */
  asked({ type, settled }: ClientRequest, ttlMs: number): void {
    if (!isOfSession[type]) this.heard(ttlMs)
    // Renewals tell it what is settled; a connection that is busy with other things tells it now and then.
    if (settled === undefined || settled < this.#settled + SETTLED_STEP) return
    this.#settled = settled
    if (type !== 'renew') this.#renew({ settled })
  }

  answered({ request, ticket }: Pending, answer: Answer, ttlMs: number): void {
    // Of a wait that has ended the sign of life is as old as the wait.
    if (!isOfSession[request.type] || ticket !== null) return
    // That was refused before anything was looked at.
    if (!answer.ok && answer.code === 'rate_limited') this.heard(ttlMs)
    else this.#keptMs = this.#clock.hrtimeMs()
  }

  /** A message has come of which the shard hears no session. */
  heard(ttlMs: number): void {
    const nowMs = this.#clock.hrtimeMs()
    if (nowMs - this.#keptMs < ttlMs / KEPT_IN_TTL) return
    this.#keptMs = nowMs
    this.#renew({})
  }
}
