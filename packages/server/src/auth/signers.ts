/**
 * The keys that our own tokens are signed with.
 *
 * One key for all servers would have to lie in the store, and whoever reads a backup could be anybody from then on; of API keys there is only a hash in
 * it. So each server draws a pair when it is first asked for a token, keeps the private half in memory, and puts the public half among the records, which
 * all servers know. It signs for a day, then there is another; a record stays until the last token of its key has expired. A server that starts anew
 * begins with a new pair, and what it has signed before goes on being good.
 *
 * A record needs a moment to get around: a token may be quicker. So a name that is not known is waited for, as long as records take, and not longer.
 */
import { createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import type { Cancel, Clock } from '../clock.ts'
import { type Random, randomHex } from '../random.ts'
import type { Put, Registry } from '../registry/port.ts'
import type { SignerRecord } from '../registry/records.ts'

/** As IBM's. */
const RSA_BITS = 2_048
/** For so long a key signs. */
export const SIGNING_MS = 24 * 60 * 60 * 1_000
/** A token is good for so long. */
export const TOKEN_MS = 60 * 60 * 1_000
/** How far the clocks of servers may be apart. */
export const SIGNER_SKEW_MS = 30_000
/** What a server that starts again and again leaves behind; the oldest go before their time. */
export const SIGNERS_MAX = 500
/** Longer than a change of the records takes to be known everywhere. */
export const SIGNER_WAIT_MS = 1_500
/** Tokens that wait for the record of their key; of more, it is as if there were none. */
export const SIGNER_WAITS_MAX = 100
const NAME_BYTES = 12
/** Of the names of all our keys. */
export const SIGNER_PREFIX = 'holdfast-'

const NAME = new RegExp(`^${SIGNER_PREFIX}[0-9a-f]{${2 * NAME_BYTES}}$`)

export type Signer = { kid: string; privateKey: KeyObject }
type Own = Signer & { untilMs: number }

export type SignersOptions = {
  registry: Pick<Registry, 'get' | 'all' | 'change' | 'onChange'>
  clock: Pick<Clock, 'wallMs' | 'after'>
  random: Random
}

export class Signers {
  readonly #options: SignersOptions
  #own: Own | null = null
  #making: Promise<Own> | null = null
  #waits = 0
  /** Of records, which are replaced and never changed. */
  readonly #publicKeys = new WeakMap<SignerRecord, KeyObject>()

  constructor(options: SignersOptions) {
    this.#options = options
  }

  /** Whether a token that names its key like this claims to be one of ours. */
  static isName(kid: string | undefined): kid is string {
    return kid !== undefined && NAME.test(kid)
  }

  /** The key to sign with now; known to the other servers in a moment. Rejects with `unavailable` when it cannot be made known. */
  current(): Signer | Promise<Signer> {
    const nowMs = this.#options.clock.wallMs()
    if (this.#own && nowMs < this.#own.untilMs && this.#known(this.#own.kid)) return this.#own
    this.#making ??= this.#make().finally(() => {
      this.#making = null
    })
    return this.#making
  }

  /** null: nobody has such a key, or not any more. */
  find(kid: string): KeyObject | null | Promise<KeyObject | null> {
    const record = this.#known(kid)
    if (record) return this.#publicKeyOf(record)
    if (this.#options.registry.get('signer', kid) || this.#waits >= SIGNER_WAITS_MAX) return null
    return this.#heardOf(kid)
  }

  /** All that a token may be signed with now, as a JWK set. */
  keySet(): { keys: object[] } {
    const nowMs = this.#options.clock.wallMs()
    const known = [...this.#options.registry.all('signer')].filter(({ endsAtMs }) => nowMs < endsAtMs)
    return { keys: known.map(({ id, n, e }) => ({ kty: 'RSA', use: 'sig', alg: 'RS256', kid: id, n, e })) }
  }

  #known(kid: string): SignerRecord | null {
    const record = this.#options.registry.get('signer', kid)
    return record && this.#options.clock.wallMs() < record.endsAtMs ? record : null
  }

  async #make(): Promise<Own> {
    const { registry, clock, random } = this.#options
    const pair = await promisify(generateKeyPair)('rsa', { modulusLength: RSA_BITS })
    const kid = `${SIGNER_PREFIX}${randomHex(random, NAME_BYTES)}`
    const { n = '', e = '' } = pair.publicKey.export({ format: 'jwk' })
    const createdAtMs = clock.wallMs()
    const untilMs = createdAtMs + SIGNING_MS
    const value: SignerRecord = { id: kid, n, e, createdAtMs, endsAtMs: untilMs + TOKEN_MS + SIGNER_SKEW_MS }
    const told = { by: 'service', from: '', instance: null, reason: '', trace: '' }
    const deed = { ...told, action: 'signer.create', target: `signer/${kid}`, outcome: 'success', status: 201 } as const
    await registry.change(deed, () => [...this.#outlived(createdAtMs), { kind: 'signer', id: kid, value }])
    this.#own = { kid, privateKey: pair.privateKey, untilMs }
    return this.#own
  }

  /** Those that have ended, and whoever must make room for one more. */
  #outlived(nowMs: number): Put[] {
    const all = [...this.#options.registry.all('signer')].sort((one, other) => one.endsAtMs - other.endsAtMs)
    const tooMany = all.length - (SIGNERS_MAX - 1)
    return all
      .filter(({ endsAtMs }, index) => endsAtMs <= nowMs || index < tooMany)
      .map(({ id }) => ({ kind: 'signer', id, value: null }))
  }

  #heardOf(kid: string): Promise<KeyObject | null> {
    const { registry, clock } = this.#options
    this.#waits++
    return new Promise(resolve => {
      let cancel: Cancel = () => undefined
      const settle = () => {
        this.#waits--
        cancel()
        stopListening()
        const record = this.#known(kid)
        resolve(record && this.#publicKeyOf(record))
      }
      const stopListening = registry.onChange(puts => {
        if (puts.some(({ kind, id }) => kind === 'signer' && id === kid)) settle()
      })
      cancel = clock.after(SIGNER_WAIT_MS, settle)
    })
  }

  #publicKeyOf(record: SignerRecord): KeyObject {
    let key = this.#publicKeys.get(record)
    if (key) return key
    key = createPublicKey({ format: 'jwk', key: { kty: 'RSA', n: record.n, e: record.e } })
    this.#publicKeys.set(record, key)
    return key
  }
}
