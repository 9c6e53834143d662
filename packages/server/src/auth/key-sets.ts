/**
 * The public keys of one issuer, fetched when first needed and kept.
 *
 * An issuer changes its keys, mostly announced: the new one stands in the set before anything is signed with it. So the set is fetched anew every
 * `REFRESH_MS`; and at once when a token names a key that is not known, but then at most once in `COOLDOWN_MS`, for the name of a key is whatever
 * somebody has written into a token.
 *
 * While the issuer cannot be reached, the keys that are known go on being used: tokens that were good must not become bad because somebody else is
 * down. What names another key cannot be decided then, and that is said: `unavailable`, not `unauthenticated`.
 *
 * A key that has gone from the set is withdrawn at once, also for tokens that were checked before: `isWithdrawn` on the key that they were checked with.
 * An answer without a single key that can be used is a failure, not a withdrawal of them all.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { HoldfastError } from '@holdfast/protocol/errors'
import { type Cancel, type Clock, instant, most } from '../clock.ts'
import { fetchJson } from './fetch-json.ts'
import type { IssuerConfig } from './issuer.ts'

/** How often the set is fetched without need. */
export const REFRESH_MS = 20 * 60_000
/** The same after it has failed: nobody need be waiting for the keys for their withdrawal to matter. */
const RETRY_MS = 60_000
/** Names of keys that nobody knows, and issuers that do not answer, cause no more than one fetch in this time. */
export const COOLDOWN_MS = 10_000
/** Issuers have two or three; of more than that the first are used. */
export const ISSUER_KEYS_MAX = 100

export type IssuerKey = {
  /** null: the set does not name it. */
  kid: string | null
  /** Only for this; null: for any that its type can do. */
  algorithm: string | null
  publicKey: KeyObject
  isWithdrawn: boolean
}

export type KeySetOptions = {
  issuer: IssuerConfig
  clock: Clock
  warn: (message: string, fields: Record<string, unknown>) => void
}

export class KeySet {
  readonly #options: KeySetOptions
  readonly #closing = new AbortController()
  /** By `kid`, algorithm and the key itself: another key under a known name is another key. */
  #keys = new Map<string, IssuerKey>()
  #fetching: Promise<void> | null = null
  #hasFailed = false
  /** Until then nobody causes a fetch; null: anybody may. */
  #lastOnDemand: ReturnType<typeof instant> | null = null
  #cancelRefresh: Cancel = () => undefined

  constructor(options: KeySetOptions) {
    this.#options = options
  }

  /** Fetches the keys before anybody waits for them; that it failed is no reason not to start. */
  start(): void {
    this.#refresh()
  }

  close(): void {
    this.#closing.abort()
    this.#cancelRefresh()
  }

  /** At once if the key is known. */
  find(wanted: { kid: string | undefined; algorithm: string }): IssuerKey | null | Promise<IssuerKey | null> {
    return this.#known(wanted) ?? this.#fetched(wanted)
  }

  /** Without a name it must be the only one that it can be. */
  #known({ kid, algorithm }: { kid: string | undefined; algorithm: string }): IssuerKey | null {
    const fitting = [...this.#keys.values()].filter(
      key => (kid === undefined || key.kid === kid) && fits(key, algorithm),
    )
    return fitting.length === 1 ? fitting[0]! : null
  }

  async #fetched(wanted: { kid: string | undefined; algorithm: string }): Promise<IssuerKey | null> {
    if (this.#fetching) await this.#fetching
    const known = this.#known(wanted)
    if (known) return known
    if (this.#mayFetch()) {
      this.#lastOnDemand = instant(this.#options.clock)
      await this.#fetch()
    }
    if (this.#hasFailed)
      throw new HoldfastError('unavailable', 'The keys of the issuer of this token cannot be had; try again.', {
        details: { issuer: this.#options.issuer.name, retry_after_ms: COOLDOWN_MS },
      })
    return this.#known(wanted)
  }

  #mayFetch(): boolean {
    return this.#lastOnDemand === null || most(this.#options.clock, this.#lastOnDemand) >= COOLDOWN_MS
  }

  #refresh(): void {
    if (this.#closing.signal.aborted) return
    void this.#fetch().then(() => {
      const delayMs = this.#hasFailed ? RETRY_MS : REFRESH_MS
      if (!this.#closing.signal.aborted) this.#cancelRefresh = this.#options.clock.after(delayMs, () => this.#refresh())
    })
  }

  /** Never rejects. Those who come while it is under way wait for the same one. */
  #fetch(): Promise<void> {
    this.#fetching ??= this.#replace().finally(() => {
      this.#fetching = null
    })
    return this.#fetching
  }

  async #replace(): Promise<void> {
    const { issuer, warn } = this.#options
    try {
      const keys = keysOf(await this.#get(issuer.jwksUri ?? (await this.#discovered())))
      for (const [name, key] of this.#keys) if (!keys.has(name)) key.isWithdrawn = true
      this.#keys = new Map([...keys].map(([name, key]) => [name, this.#keys.get(name) ?? key]))
      this.#hasFailed = false
    } catch (error) {
      if (this.#closing.signal.aborted) return
      this.#hasFailed = true
      warn('the keys of an issuer cannot be had', {
        issuer: issuer.name,
        reason: error instanceof Error ? error.message : String(error),
      })
    }
  }

  async #discovered(): Promise<string> {
    const { issuer } = this.#options.issuer
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
    const found = (await this.#get(url)) as { issuer?: unknown; jwks_uri?: unknown } | null // looked at right below
    if (found?.issuer !== issuer) throw new Error(`${url} is the configuration of another issuer`)
    const uri = found.jwks_uri
    if (typeof uri !== 'string' || !isFetchable(uri)) throw new Error(`${url} names no \`jwks_uri\` that may be used`)
    return uri
  }

  #get(url: string): Promise<unknown> {
    const { clock, issuer } = this.#options
    return fetchJson(url, {
      clock,
      authorities: issuer.authoritiesFile && readFileSync(issuer.authoritiesFile, 'utf8'),
      bearer: issuer.bearerFile && readFileSync(issuer.bearerFile, 'utf8').trim(),
      signal: this.#closing.signal,
    })
  }
}

/** Keys that came in the clear could be anybody's, but for those of this machine. */
export function isFetchable(text: string): boolean {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) return false
  if (url.username !== '' || url.password !== '' || url.hash !== '') return false
  const isLoopback = ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback)
}

/** @throws Error if there is not one that can be used. */
function keysOf(answer: unknown): Map<string, IssuerKey> {
  const listed = (answer as { keys?: unknown } | null)?.keys // of unknown shape until here
  if (!Array.isArray(listed)) throw new Error('the answer is no set of keys')
  const found = new Map<string, IssuerKey>()
  for (const entry of listed.slice(0, ISSUER_KEYS_MAX)) {
    const key = keyOf(entry)
    if (key)
      found.set(
        `${key.kid}\n${key.algorithm}\n${key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`,
        key,
      )
  }
  if (found.size === 0) throw new Error('the answer holds no key that can be used')
  return found
}

/** null: a key for something else, or of a type that is not known here. Issuers may have such. */
function keyOf(entry: unknown): IssuerKey | null {
  if (entry === null || typeof entry !== 'object') return null
  const { kid, alg, use, kty, key_ops: uses } = entry as Record<string, unknown> // each is looked at
  if (use !== undefined && use !== 'sig') return null
  if (Array.isArray(uses) && !uses.includes('verify')) return null
  if (typeof kty !== 'string' || !['RSA', 'EC', 'OKP'].includes(kty)) return null
  try {
    return {
      kid: typeof kid === 'string' ? kid : null,
      algorithm: typeof alg === 'string' ? alg : null,
      publicKey: createPublicKey({ key: entry as Record<string, string>, format: 'jwk' }), // throws if it is none
      isWithdrawn: false,
    }
  } catch {
    // Broken, or a curve that is not known here: as good as not there.
    return null
  }
}

const curves: Record<string, string> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }

function fits({ algorithm, publicKey }: IssuerKey, wanted: string): boolean {
  if (algorithm !== null && algorithm !== wanted && !isEdwards(algorithm, wanted)) return false
  switch (publicKey.asymmetricKeyType) {
    case 'rsa':
      return wanted.startsWith('RS') || wanted.startsWith('PS')
    case 'ec':
      return curves[publicKey.asymmetricKeyDetails?.namedCurve ?? ''] === wanted
    case 'ed25519':
      return isEdwards(wanted, wanted)
    default:
      return false
  }
}

/** Two names of one thing. */
function isEdwards(one: string, other: string): boolean {
  return [one, other].every(name => name === 'EdDSA' || name === 'Ed25519')
}
