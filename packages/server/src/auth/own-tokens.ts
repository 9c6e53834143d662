/**
 * Tokens for our own API keys, as IBM Cloud IAM gives them for its own (ECOSYSTEM 1.4): for an hour, so that the key itself stays where it is kept. A token
 * says which key it is for and nothing more that is believed: who that is, and what they may do, is read from the record of the key each time, so
 * that it ends with its key.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { TOKEN_CHARS_MAX } from '@holdfast/protocol/limits'
import { decodeJwt, decodeProtectedHeader, errors as joseErrors, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'
import { type Random, randomHex } from '../random.ts'
import type { Registry } from '../registry/port.ts'
import type { ApiKeys } from './api-keys.ts'
import type { Identity } from './identity.ts'
import { RecentlyUsed } from './recently-used.ts'
import { SIGNER_PREFIX, SIGNER_SKEW_MS, Signers, TOKEN_MS } from './signers.ts'
import { type TokenVerdict, VERIFYING_MAX } from './tokens.ts'

export const APIKEY_GRANT = 'urn:ibm:params:oauth:grant-type:apikey'
export const OWN_SCOPE = 'ibm openid'
/** Who such a token is for: this service, wherever it is reached. A token that was meant for another service is none of ours, whoever signed it. */
const AUDIENCE = 'holdfast'
const TYPE = 'JWT'
const headerOf = (kid: string) => ({ alg: 'RS256', typ: TYPE, kid })
/** What every token of ours begins with: its header up to where the names of keys differ, as far as that is in whole groups of base64url. */
const START = startOf(JSON.stringify(headerOf(SIGNER_PREFIX)).slice(0, -'"}'.length))
/** Remembered tokens, some 300 bytes each. */
export const OWN_TOKENS_REMEMBERED_MAX = 10_000
/** Tokens that are signed at once: a signature takes a millisecond of a processor. */
export const SIGNING_AT_ONCE_MAX = 100
const BUSY_RETRY_MS = 1_000
const SECOND_MS = 1_000
const ID_BYTES = 16

export type OwnToken = { text: string; expiresAtMs: number }

export type OwnTokensOptions = {
  registry: Pick<Registry, 'get' | 'all' | 'change' | 'onChange'>
  keys: Pick<ApiKeys, 'standing'>
  clock: Pick<Clock, 'wallMs' | 'after'>
  random: Random
}

type Remembered = {
  credential: string
  kid: string
  expiresAtMs: number
  last: { of: Identity; made: Identity } | null
}

const wrong: TokenVerdict = { is: 'wrong' }
const refused: TokenVerdict = { is: 'refused' }

export class OwnTokens {
  readonly #options: OwnTokensOptions
  readonly #signers: Signers
  readonly #remembered = new RecentlyUsed<Remembered>(OWN_TOKENS_REMEMBERED_MAX)
  #signing = 0
  #checking = 0

  constructor(options: OwnTokensOptions) {
    this.#options = options
    this.#signers = new Signers(options)
  }

  /** Whether it claims to be one of ours; all that is said in it may be made up. Asked of every token, and so by its first letters alone. */
  static isForm(text: string): boolean {
    return text.startsWith(START)
  }

  keySet(): { keys: object[] } {
    return this.#signers.keySet()
  }

  /** For whoever has just shown the key of this identity. `issuer` is where the caller has found us; nobody here believes it. */
  async mint({ credential, subject, instance }: Identity, issuer: string): Promise<OwnToken> {
    if (credential === null) throw new Error('only keys are exchanged for tokens')
    if (this.#signing >= SIGNING_AT_ONCE_MAX) throw busy('Too many tokens are asked for at once', 'tokens_being_signed')
    this.#signing++
    try {
      const { kid, privateKey } = await this.#signers.current()
      const { clock, random } = this.#options
      const iat = Math.floor(clock.wallMs() / SECOND_MS)
      const exp = iat + TOKEN_MS / SECOND_MS
      const times = { jti: randomHex(random, ID_BYTES), iat, exp, iss: issuer, aud: AUDIENCE }
      const claims = { ...this.#claims({ credential, subject, instance }), ...times }
      const text = await new SignJWT(claims).setProtectedHeader(headerOf(kid)).sign(privateKey)
      return { text, expiresAtMs: exp * SECOND_MS }
    } finally {
      this.#signing--
    }
  }

  /** At once if it is remembered. `digest` is the SHA-256 of `text`. */
  verify(text: string, digest: Buffer): TokenVerdict | Promise<TokenVerdict> {
    if (text.length > TOKEN_CHARS_MAX) return wrong
    const name = digest.toString('latin1')
    const remembered = this.#remembered.get(name)
    if (!remembered) return this.#begin(text, name)
    // Its key may have been withdrawn since.
    if (this.#options.registry.get('signer', remembered.kid) === null) return refused
    return this.#standing(remembered)
  }

  async #begin(text: string, name: string): Promise<TokenVerdict> {
    if (this.#checking >= VERIFYING_MAX) throw busy('Too many tokens are being checked', 'tokens_being_checked')
    this.#checking++
    try {
      return await this.#check(text, name)
    } finally {
      this.#checking--
    }
  }

  async #check(text: string, name: string): Promise<TokenVerdict> {
    // Said without a key, as by the tokens of others: an old token is no guess, and nobody waits for the record of its key.
    if (!(this.#options.clock.wallMs() < endOf(text))) return refused
    const kid = kidOf(text)
    const key = Signers.isName(kid) ? await this.#signers.find(kid) : null
    if (kid === undefined || key === null) return wrong
    const currentDate = new Date(this.#options.clock.wallMs())
    try {
      const { payload } = await jwtVerify(text, key, {
        algorithms: ['RS256'],
        audience: AUDIENCE,
        typ: TYPE,
        requiredClaims: ['exp', 'iat', 'credential'],
        clockTolerance: SIGNER_SKEW_MS / SECOND_MS,
        currentDate,
      })
      if (typeof payload.credential !== 'string' || typeof payload.exp !== 'number') return wrong
      const expiresAtMs = payload.exp * SECOND_MS + SIGNER_SKEW_MS
      const remembered: Remembered = { credential: payload.credential, kid, expiresAtMs, last: null }
      this.#remembered.set(name, remembered)
      return this.#standing(remembered)
    } catch (error) {
      // These are looked at only when the signature was good.
      if (error instanceof joseErrors.JWTExpired || error instanceof joseErrors.JWTClaimValidationFailed) return refused
      if (error instanceof joseErrors.JOSEError) return wrong
      throw error
    }
  }

  /** What has become of its key since; and itself, is it still good? */
  #standing(remembered: Remembered): TokenVerdict {
    const { credential, expiresAtMs, last } = remembered
    if (this.#options.clock.wallMs() >= expiresAtMs) return refused
    const verdict = this.#options.keys.standing(credential)
    if (verdict.is !== 'valid') return refused
    const { identity } = verdict
    if (last?.of === identity) return { is: 'valid', identity: last.made }
    const made = Object.freeze({ ...identity, expiresAtMs: Math.min(expiresAtMs, identity.expiresAtMs ?? expiresAtMs) })
    remembered.last = { of: identity, made }
    return { is: 'valid', identity: made }
  }

  /** As IBM's tokens for service ids; `credential` is all that is read here again. */
  #claims({ credential, subject, instance }: { credential: string; subject: string; instance: string | null }): object {
    const serviceId = `ServiceId-${subject.replace(/^key:/, '')}`
    const record = instance === null ? null : this.#options.registry.get('instance', instance)
    const iamId = `iam-${serviceId}`
    return {
      credential,
      iam_id: iamId,
      id: iamId,
      realmid: 'iam',
      identifier: serviceId,
      sub: serviceId,
      sub_type: 'ServiceId',
      authn: { sub: serviceId, iam_id: iamId },
      ...(record && { account: { bss: record.account, valid: true, frozen: false } }),
      grant_type: APIKEY_GRANT,
      scope: OWN_SCOPE,
      client_id: 'default',
      acr: 1,
      amr: ['pwd'],
    }
  }
}

/** Three bytes are four letters, whatever comes after them. */
function startOf(text: string): string {
  return Buffer.from(text.slice(0, text.length - (text.length % 3))).toString('base64url')
}

/** As it says itself. */
function endOf(text: string): number {
  try {
    return Number(decodeJwt(text).exp) * SECOND_MS + SIGNER_SKEW_MS
  } catch {
    // No end that is known: it is looked at for what it is.
    return Number.POSITIVE_INFINITY
  }
}

function busy(what: string, limit: string): HoldfastError {
  return new HoldfastError('rate_limited', `${what}; come back in a moment.`, {
    details: { limit, retry_after_ms: BUSY_RETRY_MS },
  })
}

function kidOf(text: string): string | undefined {
  try {
    const { kid } = decodeProtectedHeader(text)
    return typeof kid === 'string' ? kid : undefined
  } catch {
    // Not the form of a token: there is nothing to say about it.
    return undefined
  }
}
