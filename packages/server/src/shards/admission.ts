/**
 * Which commands an instance may ask now, decided before they cost anything: before the queue, the turn and the log. Only the owner of the shard
 * decides, so the limit is one limit however many servers the instance's clients are connected to.
 *
 * A token bucket for each instance: it holds `burstOperations` at the most, and `operationsPerSecond` flow into it. An operation takes as many as
 * it names locks. What gives back or keeps takes none and is never refused, nor is what time makes due: an instance at its limit must be
 * able to come back from it, and nobody may lose a lock for having asked too much.
 *
 * A bucket is full when the shard comes to this server: what was taken at the owner before is not known here.
 */
import type { Command, Refusal } from '../locks/model.ts'
import { instanceDisabled } from '../locks/quota.ts'
import type { Rate, TermsOf } from './terms.ts'

/** Commands that keep, give back or confirm what there is; and those with which an operator ends it. */
const alwaysTaken: { readonly [Type in Command['type']]?: true } = {
  renew: true,
  renew_single: true,
  release: true,
  release_single: true,
  cancel: true,
  abandon: true,
  close_session: true,
  validate: true,
  force_release: true,
  preempt: true,
  evict: true,
  thaw: true,
}

/** Of how many instances the bucket is kept that have not asked for a while: it would be full by then. */
export const BUCKETS_IDLE_MAX = 10_000

/** In thousandths of an operation and whole ms, so that nothing is ever rounded: n operations are n operations. */
type Bucket = { milli: number; atMs: number }
/** Thousandths of an operation that flow in within a ms are as many as operations within a second. */
const MILLI = 1_000

export class Admission {
  readonly #termsOf: TermsOf
  readonly #buckets = new Map<string, Bucket>()

  constructor(termsOf: TermsOf) {
    this.#termsOf = termsOf
  }

  /** For tests: of how many instances a bucket is kept. */
  get size(): number {
    return this.#buckets.size
  }

  /** null: it may be asked. `unknown`: not here, or not yet. `nowMs` is monotonic. */
  refusal(instance: string, command: Command, nowMs: number): Refusal | 'unknown' | null {
    // What the service does of its own accord is not the instance's doing.
    if (alwaysTaken[command.type] || command.by === 'service') return null
    const terms = this.#termsOf(instance)
    if (terms === null || terms === 'unknown') return terms
    if (!terms.isEnabled) return instanceDisabled
    return terms.operationsPerSecond === null ? null : this.#take(instance, terms, operationsOf(command), nowMs)
  }

  #take(instance: string, rate: Rate, operations: number, nowMs: number): Refusal | null {
    const { perSecond, burst } = flowOf(rate)
    const bucket = this.#bucketOf(instance, { milli: burst * MILLI, atMs: Math.floor(nowMs) })
    fill(bucket, rate, nowMs)
    // A set that is larger than the bucket is let through when that is full.
    const needed = Math.min(operations, burst) * MILLI
    if (needed > 0 && bucket.milli >= needed) {
      bucket.milli -= needed
      return null
    }
    const retryMs = perSecond > 0 ? Math.ceil((needed - bucket.milli) / perSecond) : NEVER_RETRY_MS
    return { ok: false, code: 'rate_limited', limit: 'operations_per_second', max: perSecond, retryMs }
  }

  #bucketOf(instance: string, full: Bucket): Bucket {
    let bucket = this.#buckets.get(instance)
    if (!bucket) {
      if (this.#buckets.size >= BUCKETS_IDLE_MAX) this.#sweep(full.atMs)
      bucket = full
      this.#buckets.set(instance, bucket)
    }
    return bucket
  }

  /** Those that are full again say no more than none would. */
  #sweep(nowMs: number): void {
    for (const [instance, bucket] of this.#buckets) {
      const terms = this.#termsOf(instance)
      const isLimited = terms !== null && terms !== 'unknown' && terms.operationsPerSecond !== null
      if (isLimited) fill(bucket, terms, nowMs)
      if (!isLimited || bucket.milli >= flowOf(terms).burst * MILLI) this.#buckets.delete(instance)
    }
  }
}

function flowOf({ operationsPerSecond, burstOperations }: Rate): { perSecond: number; burst: number } {
  const perSecond = operationsPerSecond ?? 0
  return { perSecond, burst: Math.max(burstOperations ?? perSecond, perSecond > 0 ? 1 : 0) }
}

function fill(bucket: Bucket, rate: Rate, nowMs: number): void {
  const { perSecond, burst } = flowOf(rate)
  const atMs = Math.floor(nowMs)
  bucket.milli = Math.min(burst * MILLI, bucket.milli + (atMs - bucket.atMs) * perSecond)
  bucket.atMs = atMs
}

/** Nothing flows in: until the plan changes. */
const NEVER_RETRY_MS = 60_000

function operationsOf(command: Command): number {
  return command.type === 'acquire' ? command.claims.length : 1
}
