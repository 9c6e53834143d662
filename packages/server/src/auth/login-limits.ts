/**
 * How often one may guess.
 *
 * Failures are counted, never successes: by the address they come from, and by the id of the key that was tried. Each failure takes one from a bucket
 * that fills up again over time. While a bucket is empty, what comes for it is refused without being looked at, so that nothing is learnt from it.
 *
 * That alone would let one broken or hostile client shut out everybody behind its address, and anybody who knows the public id of a key shut out that
 * key. So a credential that has been good from an address goes on being looked at when it comes from there again: exactly that credential, by its hash,
 * and therefore no guess. Those who have never been in from there wait; the buckets are large and fill up fast enough for mistakes.
 *
 * A token is another one every hour. One of ours that was made for a good key is as good, from where it was asked for; one of an issuer is looked at when it
 * says that it is of somebody of whom one has been good from there. Anybody can say so, and nobody can guess a signature: what it costs is to look.
 *
 * Requests that arrive at once may all be looked at before the first of them has failed. For keys that is none: they are looked at on the spot. Of
 * tokens, no more than `VERIFYING_MAX` are looked at together.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { Clock } from '../clock.ts'
import { RecentlyUsed } from './recently-used.ts'

/** Failed logins from one address at once: a program that was started with an old key must not shut itself out before somebody looks. */
export const ADDRESS_FAILURES_MAX = 30
/** Failed logins with the id of one key at once, wherever they come from. */
export const KEY_FAILURES_MAX = 30
/** After so long one more failure is forgiven. */
const FORGIVEN_MS = 2_000
/** Addresses, and ids of keys, that are counted; of more, those that failed longest ago are forgotten. Some 100 bytes each. */
export const LOGIN_FAILURES_TRACKED_MAX = 20_000
/** Pairs of credential and address that have been good. Some 200 bytes each. */
export const GOOD_LOGINS_MAX = 20_000

type Login = { address: string; key: string | null; digest: Buffer }
type Bucket = { failures: number; atMs: number }

export class LoginLimits {
  readonly #clock: Pick<Clock, 'hrtimeMs'>
  readonly #byAddress = new RecentlyUsed<Bucket>(LOGIN_FAILURES_TRACKED_MAX)
  readonly #byKey = new RecentlyUsed<Bucket>(LOGIN_FAILURES_TRACKED_MAX)
  readonly #good = new RecentlyUsed<true>(GOOD_LOGINS_MAX)
  readonly #onEmpty: (by: 'address' | 'key', name: string) => void

  constructor({
    clock,
    onEmpty,
  }: {
    clock: Pick<Clock, 'hrtimeMs'>
    /** A bucket has become empty: a person may want to know. */
    onEmpty: (by: 'address' | 'key', name: string) => void
  }) {
    this.#clock = clock
    this.#onEmpty = onEmpty
  }

  /**
   * Before anything is looked at. `digest` is that of the whole credential; `key` the id of the key that it claims to be, null for others; `claimed`
   * says whose token it claims to be, null: nobody's.
   * @throws HoldfastError `rate_limited`, with `retry_after_ms`.
   */
  check({ address, key, digest, claimed }: Login & { claimed?: () => string | null }): void {
    // The rule, and nothing is computed for it: nobody has failed.
    if (this.#byAddress.size === 0 && this.#byKey.size === 0) return
    const source = sourceOf(address)
    const waits = [
      waitMs(this.#byAddress, source, { max: ADDRESS_FAILURES_MAX, nowMs: this.#clock.hrtimeMs() }),
      key === null ? 0 : waitMs(this.#byKey, key, { max: KEY_FAILURES_MAX, nowMs: this.#clock.hrtimeMs() }),
    ]
    const longestMs = Math.max(...waits)
    if (longestMs === 0 || this.#good.get(goodOf(source, digest))) return
    const subject = claimed?.() ?? null
    if (subject !== null && this.#good.get(`${subject}@${source}`)) return
    throw tooManyLogins(longestMs)
  }

  /** `subject`: whose token it was, if it was an issuer's. */
  succeeded({ address, digest }: Omit<Login, 'key'>, subject: string | null = null): void {
    const source = sourceOf(address)
    this.#good.set(goodOf(source, digest), true)
    if (subject !== null) this.#good.set(`${subject}@${source}`, true)
  }

  failed({ address, key }: { address: string; key: string | null }): void {
    const source = sourceOf(address)
    const nowMs = this.#clock.hrtimeMs()
    if (take(this.#byAddress, source, { max: ADDRESS_FAILURES_MAX, nowMs })) this.#onEmpty('address', source)
    if (key !== null && take(this.#byKey, key, { max: KEY_FAILURES_MAX, nowMs })) this.#onEmpty('key', key)
  }
}

export function tooManyLogins(waitMs: number): HoldfastError {
  return new HoldfastError('rate_limited', 'Too many failed logins; wait before the next one.', {
    details: { limit: 'failed_logins', retry_after_ms: Math.ceil(waitMs) },
  })
}

function goodOf(source: string, digest: Buffer): string {
  return `${digest.toString('latin1')}@${source}`
}

type Rule = { max: number; nowMs: number }

/** What is left of the failures by now. */
function failuresOf(bucket: Bucket, nowMs: number): number {
  return Math.max(0, bucket.failures - (nowMs - bucket.atMs) / FORGIVEN_MS)
}

/** How long until the bucket has room for one more failure. */
function waitMs(table: RecentlyUsed<Bucket>, name: string, { max, nowMs }: Rule): number {
  const bucket = table.get(name)
  if (!bucket) return 0
  const failures = failuresOf(bucket, nowMs)
  // Forgotten when nothing is left of it, so that the table is empty again when nobody fails.
  if (failures === 0) table.delete(name)
  return Math.max(0, (failures - (max - 1)) * FORGIVEN_MS)
}

/** Whether that was the last one. */
function take(table: RecentlyUsed<Bucket>, name: string, { max, nowMs }: Rule): boolean {
  const bucket = table.get(name)
  const before = bucket ? failuresOf(bucket, nowMs) : 0
  const failures = Math.min(max, before + 1)
  table.set(name, { failures, atMs: nowMs })
  return before <= max - 1 && failures > max - 1
}

/** Whoever has one address of IPv6 has 2^64 of them: those are one source. An address of IPv4 is one in either notation. */
export function sourceOf(address: string): string {
  if (!address.includes(':')) return address
  const [bare = ''] = address.toLowerCase().split('%')
  const mapped = /^::ffff:([0-9]{1,3}(?:\.[0-9]{1,3}){3})$/.exec(bare)
  if (mapped) return mapped[1]!
  const [head = '', tail] = bare.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  // The last group may be written as IPv4, which is two.
  const rightLength = right.length + (right.at(-1)?.includes('.') ? 1 : 0)
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - rightLength)).fill('0')
  const groups = [...left, ...zeros, ...right].slice(0, 4).map(group => group.replace(/^0+(?=.)/, ''))
  return `${groups.join(':')}::/64`
}
