/**
 * Presented → who it is: the root key, API keys, tokens, client certificates, behind the limits on guessing. Knows no HTTP, so that all doors share it.
 *
 * What is presented in `Authorization` is what counts: if that proves nobody, nobody is proved, whatever certificate came with it.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Random } from '../random.ts'
import type { Registry } from '../registry/port.ts'
import { ApiKeys, parseKey } from './api-keys.ts'
import { keyOf } from './authorization.ts'
import type { Authenticate, ClientCertificate, Identity, Presented } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import { type LastUse, LastUses } from './last-uses.ts'
import { LoginLimits } from './login-limits.ts'
import { type OwnToken, OwnTokens } from './own-tokens.ts'
import { digestOf } from './secrets.ts'
import { Tokens } from './tokens.ts'

export type AuthenticatorConfig = {
  issuers: readonly IssuerConfig[]
  /** Whether API keys may be used as they are; if not, only tokens and certificates. The root key is not meant. */
  acceptsRawKeys: boolean
  /** Whether a verified client certificate says who is calling. */
  acceptsCertificates: boolean
}

export type AuthenticatorOptions = {
  registry: Pick<Registry, 'get' | 'all' | 'change' | 'onChange'>
  rootKey: string
  config: AuthenticatorConfig
  clock: Clock
  random: Random
  /** Called at most once a minute with what was used since. */
  storeLastUses: (uses: readonly LastUse[]) => void | Promise<void>
  /** Never given a secret. */
  warn: (message: string, fields: Record<string, unknown>) => void
}

/** Our own token endpoint, behind the same limits on guessing. */
export type TokenExchange = {
  /** null: nobody's key. The root key is none, and is never exchanged. Whether raw keys open anything does not matter here: this is what they are for then. */
  exchange(asked: { apiKey: string; address: string; issuer: string }): Promise<OwnToken | null>
  /** What the tokens are signed with, as a JWK set. */
  keySet(): { keys: object[] }
}

export type Authenticator = {
  authenticate: Authenticate
  ownTokens: TokenExchange
  /** Hands on what credentials were last used, and fetches no more keys. */
  close(): Promise<void>
}

export const rootIdentity: Identity = Object.freeze({
  subject: 'root',
  groups: [],
  kind: 'root',
  credential: null,
  account: null,
  instance: null,
  roles: [],
  expiresAtMs: null,
  scope: null,
})

/** Begins to fetch the keys of the issuers. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { registry, rootKey, config, clock, random, storeLastUses, warn } = options
  const keys = new ApiKeys({ registry, clock })
  const parts: Parts = {
    config,
    clock,
    root: digestOf(rootKey),
    keys,
    ownTokens: new OwnTokens({ registry, keys, clock, random }),
    tokens: new Tokens({ issuers: config.issuers, clock, warn }),
    limits: new LoginLimits({
      clock,
      onEmpty: (by, name) => warn('too many failed logins, others are refused for a while', { by, name }),
    }),
    uses: new LastUses({ clock, store: storeLastUses, warn }),
  }
  return {
    authenticate: presented => authenticate(parts, presented),
    ownTokens: { exchange: asked => exchange(parts, asked), keySet: () => parts.ownTokens.keySet() },
    async close() {
      parts.tokens.close()
      await parts.uses.close()
    },
  }
}

type Parts = {
  config: AuthenticatorConfig
  clock: Clock
  root: Buffer
  keys: ApiKeys
  ownTokens: OwnTokens
  tokens: Tokens
  limits: LoginLimits
  uses: LastUses
}

type Verdict = { is: 'valid'; identity: Identity } | { is: 'wrong' | 'refused' | 'ended' }
type Login = { address: string; key: string | null; digest: Buffer }

function authenticate(parts: Parts, { authorization, address, certificate }: Presented): ReturnType<Authenticate> {
  if (authorization === undefined) return certified(parts, certificate)
  const text = keyOf(authorization)
  // Nothing that could be right: no guess.
  if (text === null) return null
  const parsed = parseKey(text)
  const claimed = () => (parsed === null && Tokens.isForm(text) ? parts.tokens.claimed(text) : null)
  const login = { address, key: parsed?.id ?? null, digest: digestOf(text), claimed }
  parts.limits.check(login)
  const verdict = judge(parts, { text, parsed, digest: login.digest })
  return verdict instanceof Promise
    ? verdict.then(later => concluded(parts, login, later))
    : concluded(parts, login, verdict)
}

type Judged = { text: string; parsed: { id: string; secret: string } | null; digest: Buffer }

/** A preset root key may look like anything, so it is compared first. */
function judge(
  { root, keys, ownTokens, tokens, config }: Parts,
  { text, parsed, digest }: Judged,
): Verdict | Promise<Verdict> {
  if (timingSafeEqual(digest, root)) return { is: 'valid', identity: rootIdentity }
  if (parsed !== null) return config.acceptsRawKeys ? keys.verify(parsed) : { is: 'refused' }
  if (OwnTokens.isForm(text)) return ownTokens.verify(text, digest)
  return Tokens.isForm(text) ? tokens.verify(text, digest) : { is: 'wrong' }
}

async function exchange(
  parts: Parts,
  { apiKey, address, issuer }: { apiKey: string; address: string; issuer: string },
): Promise<OwnToken | null> {
  const parsed = parseKey(apiKey)
  const login: Login = { address, key: parsed?.id ?? null, digest: digestOf(apiKey) }
  parts.limits.check(login)
  const identity = concluded(parts, login, parsed === null ? { is: 'wrong' } : parts.keys.verify(parsed))
  const minted = identity && (await parts.ownTokens.mint(identity, issuer))
  // As good from there as the key that it was made for.
  if (minted) parts.limits.succeeded({ address, digest: digestOf(minted.text) })
  return minted
}

/** A key that has ended, and a token that has expired, are no guesses: a program that goes on using one must not shut out its neighbours. */
function concluded({ limits, uses }: Parts, login: Login, verdict: Verdict): Identity | null {
  if (verdict.is === 'valid') {
    const { kind, subject } = verdict.identity
    limits.succeeded(login, kind === 'token' ? subject : null)
    if (verdict.identity.credential !== null) uses.note(verdict.identity.credential)
    return verdict.identity
  }
  if (verdict.is === 'wrong') limits.failed(login)
  return null
}

/** The certificate was good when the connection began; that it has not expired since is looked at here. */
function certified({ config, clock }: Parts, certificate: ClientCertificate | null): Identity | null {
  if (!config.acceptsCertificates || certificate === null) return null
  if (certificate.expiresAtMs <= clock.wallMs()) return null
  return {
    ...rootIdentity,
    subject: `cert:${certificate.name}`,
    kind: 'certificate',
    expiresAtMs: certificate.expiresAtMs,
  }
}
