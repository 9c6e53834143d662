/**
 * Bearer tokens (JWT) of the configured issuers.
 *
 * Whoever makes up a token writes all of it: its algorithm, the name of its key, its issuer. None of that is believed. The issuer in it only chooses
 * among those that are configured, and with that the algorithms, the keys, the audience; the algorithm must be on that list and must fit the type of the
 * key, so that `none`, and HS256 with a public key for a secret, are nothing. What cannot be good is refused before a signature is computed.
 *
 * Checking RS256 takes some 60 µs and answers later; so what became of a genuine token is remembered by its SHA-256 until it expires, and is answered at
 * once. It is forgotten when its key is withdrawn.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { TOKEN_CHARS_MAX } from '@holdfast/protocol/limits'
import { decodeJwt, decodeProtectedHeader, errors as joseErrors, jwtVerify } from 'jose'
import type { Clock } from '../clock.ts'
import { type Claims, identityOf } from './claims.ts'
import type { Identity } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import { type IssuerKey, KeySet } from './key-sets.ts'
import { RecentlyUsed } from './recently-used.ts'

/** Remembered tokens, about 1 KB each. */
export const TOKENS_REMEMBERED_MAX = 10_000
/** Tokens that are looked at together: those wait for a signature, or for an issuer's keys. */
export const VERIFYING_MAX = 1_000
const BUSY_RETRY_MS = 1_000

/** `wrong` may be a guess and is counted; `refused` is none: genuine as far as can be seen, but not now or not here. */
export type TokenVerdict = { is: 'valid'; identity: Identity } | { is: 'wrong' } | { is: 'refused' }

export type TokensOptions = {
  issuers: readonly IssuerConfig[]
  clock: Clock
  warn: (message: string, fields: Record<string, unknown>) => void
}

type Remembered = { verdict: TokenVerdict; key: IssuerKey; expiresAtMs: number }
type Trusted = { issuer: IssuerConfig; keys: KeySet }

const wrong: TokenVerdict = { is: 'wrong' }
const refused: TokenVerdict = { is: 'refused' }

export class Tokens {
  readonly #clock: Clock
  readonly #warn: TokensOptions['warn']
  /** By `iss`. */
  readonly #trusted: ReadonlyMap<string, Trusted>
  readonly #remembered = new RecentlyUsed<Remembered>(TOKENS_REMEMBERED_MAX)
  readonly #verifying = new Map<string, Promise<TokenVerdict>>()

  constructor({ issuers, clock, warn }: TokensOptions) {
    this.#clock = clock
    this.#warn = warn
    this.#trusted = new Map(
      issuers.map(issuer => [issuer.issuer, { issuer, keys: new KeySet({ issuer, clock, warn }) }]),
    )
    for (const { keys } of this.#trusted.values()) keys.start()
  }

  close(): void {
    for (const { keys } of this.#trusted.values()) keys.close()
  }

  /** Whether it is worth being looked at as a token; an API key never is. */
  static isForm(text: string): boolean {
    return text.startsWith('ey') && text.split('.', 4).length === 3
  }

  /** Whose it says that it is, in the words of an issuer that is known; nothing of it is proved. null: nobody's. */
  claimed(text: string): string | null {
    const claims = text.length > TOKEN_CHARS_MAX ? undefined : decode(text)?.claims
    const trusted = typeof claims?.iss === 'string' ? this.#trusted.get(claims.iss) : undefined
    return claims && trusted ? (identityOf(claims, { issuer: trusted.issuer, expiresAtMs: 0 })?.subject ?? null) : null
  }

  /**
   * At once if it is remembered or cannot be good. `digest` is the SHA-256 of `text`.
   * Rejects with `unavailable` when the issuer's keys cannot be had; throws `rate_limited` when too many are being looked at.
   */
  verify(text: string, digest: Buffer): TokenVerdict | Promise<TokenVerdict> {
    if (text.length > TOKEN_CHARS_MAX) return wrong
    const name = digest.toString('latin1')
    const remembered = this.#remembered.get(name)
    if (remembered) {
      if (this.#clock.wallMs() >= remembered.expiresAtMs) return refused
      if (!remembered.key.isWithdrawn) return remembered.verdict
      this.#remembered.delete(name)
    }
    return this.#verifying.get(name) ?? this.#begin(text, name)
  }

  #begin(text: string, name: string): TokenVerdict | Promise<TokenVerdict> {
    const read = this.#read(text)
    if ('is' in read) return read
    if (this.#verifying.size >= VERIFYING_MAX)
      throw new HoldfastError('rate_limited', 'Too many tokens are being checked; come back in a moment.', {
        details: { limit: 'tokens_being_checked', retry_after_ms: BUSY_RETRY_MS },
      })
    const verdict = this.#check(text, read).then(({ verdict, remember }) => {
      if (remember) this.#remembered.set(name, remember)
      return verdict
    })
    const settled = verdict.finally(() => this.#verifying.delete(name))
    this.#verifying.set(name, settled)
    return settled
  }

  /** What can be said without a key. */
  #read(text: string): TokenVerdict | Readable {
    const decoded = decode(text)
    if (!decoded) return wrong
    const { algorithm, kid, claims } = decoded
    const trusted = typeof claims.iss === 'string' ? this.#trusted.get(claims.iss) : undefined
    if (!trusted || typeof claims.exp !== 'number') return wrong
    if (!trusted.issuer.algorithms.some(known => known === algorithm)) return wrong
    const { clockSkewMs } = trusted.issuer
    const expiresAtMs = claims.exp * 1_000 + clockSkewMs
    const nowMs = this.#clock.wallMs()
    if (!(nowMs < expiresAtMs)) return refused
    if (isLater(claims.nbf, nowMs + clockSkewMs) || isLater(claims.iat, nowMs + clockSkewMs)) return refused
    return { ...trusted, algorithm, kid, expiresAtMs }
  }

  async #check(
    text: string,
    { issuer, keys, algorithm, kid, expiresAtMs }: Readable,
  ): Promise<{ verdict: TokenVerdict; remember?: Remembered }> {
    const key = await keys.find({ kid, algorithm })
    if (!key) return { verdict: wrong }
    const claims = await this.#verified(text, { issuer, algorithm, key })
    if ('is' in claims && claims.is === 'wrong') return { verdict: wrong }
    const identity = 'is' in claims ? null : identityOf(claims.payload, { issuer, expiresAtMs })
    // The keys may have been fetched anew while it was being checked.
    if (key.isWithdrawn || this.#clock.wallMs() >= expiresAtMs) return { verdict: refused }
    // A genuine token that is not for us is not for us next time either: whoever repeats it costs no more signatures.
    const verdict: TokenVerdict = identity ? { is: 'valid', identity } : refused
    return { verdict, remember: { verdict, key, expiresAtMs } }
  }

  async #verified(
    text: string,
    { issuer, algorithm, key }: { issuer: IssuerConfig; algorithm: string; key: IssuerKey },
  ): Promise<TokenVerdict | { payload: Claims }> {
    try {
      return await jwtVerify(text, key.publicKey, {
        algorithms: [algorithm],
        issuer: issuer.issuer,
        ...(issuer.audiences.length > 0 && { audience: [...issuer.audiences] }),
        requiredClaims: ['exp'],
        clockTolerance: issuer.clockSkewMs / 1_000,
        currentDate: new Date(this.#clock.wallMs()),
      })
    } catch (error) {
      // These are looked at only when the signature was good.
      if (error instanceof joseErrors.JWTClaimValidationFailed || error instanceof joseErrors.JWTExpired) return refused
      // Anything else means that it is not proved, whatever went wrong; what jose does not know should be seen.
      if (!(error instanceof joseErrors.JOSEError))
        this.#warn('a token could not be checked', { issuer: issuer.name, reason: nameOf(error) })
      return wrong
    }
  }
}

type Readable = Trusted & { algorithm: string; kid: string | undefined; expiresAtMs: number }

function decode(text: string): { algorithm: string; kid: string | undefined; claims: Claims } | null {
  try {
    const { alg, kid } = decodeProtectedHeader(text)
    if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return null
    return { algorithm: alg, kid, claims: decodeJwt(text) }
  } catch {
    // Not the form of a token: there is nothing to say about it.
    return null
  }
}

/** What is there and is no number is not earlier either. */
function isLater(claim: unknown, limitMs: number): boolean {
  return claim !== undefined && !(typeof claim === 'number' && claim * 1_000 <= limitMs)
}

/** Never the message: it may quote the token. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
