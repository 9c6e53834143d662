/**
 * Presented → who it is: the root key, API keys, tokens, client certificates, behind the limits on guessing. Knows no HTTP, so that all doors share it.
 *
 * What is presented in `Authorization` is what counts: if that proves nobody, nobody is proved, whatever certificate came with it.
 */
import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Registry } from '../registry/port.ts'
import { ApiKeys, parseKey } from './api-keys.ts'
import { keyOf } from './authorization.ts'
import type { Authenticate, ClientCertificate, Identity, Presented } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'
import { type LastUse, LastUses } from './last-uses.ts'
import { LoginLimits } from './login-limits.ts'
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
  registry: Pick<Registry, 'get'>
  rootKey: string
  config: AuthenticatorConfig
  clock: Clock
  /** Called at most once a minute with what was used since. */
  storeLastUses: (uses: readonly LastUse[]) => void | Promise<void>
  /** Never given a secret. */
  warn: (message: string, fields: Record<string, unknown>) => void
}

export type Authenticator = {
  authenticate: Authenticate
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
  const { registry, rootKey, config, clock, storeLastUses, warn } = options
  const parts: Parts = {
    config,
    clock,
    root: digestOf(rootKey),
    keys: new ApiKeys({ registry, clock }),
    tokens: new Tokens({ issuers: config.issuers, clock, warn }),
    limits: new LoginLimits({
      clock,
      onEmpty: (by, name) => warn('too many failed logins, others are refused for a while', { by, name }),
    }),
    uses: new LastUses({ clock, store: storeLastUses, warn }),
  }
  return {
    authenticate: presented => authenticate(parts, presented),
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
  const login: Login = { address, key: parsed?.id ?? null, digest: digestOf(text) }
  parts.limits.check(login)
  const verdict = judge(parts, { text, parsed, digest: login.digest })
  return verdict instanceof Promise
    ? verdict.then(later => concluded(parts, login, later))
    : concluded(parts, login, verdict)
}

type Judged = { text: string; parsed: { id: string; secret: string } | null; digest: Buffer }

/** A preset root key may look like anything, so it is compared first. */
function judge({ root, keys, tokens, config }: Parts, { text, parsed, digest }: Judged): Verdict | Promise<Verdict> {
  if (timingSafeEqual(digest, root)) return { is: 'valid', identity: rootIdentity }
  if (parsed !== null) return config.acceptsRawKeys ? keys.verify(parsed) : { is: 'refused' }
  return Tokens.isForm(text) ? tokens.verify(text, digest) : { is: 'wrong' }
}

/** A key that has ended, and a token that has expired, are no guesses: a program that goes on using one must not shut out its neighbours. */
function concluded({ limits, uses }: Parts, login: Login, verdict: Verdict): Identity | null {
  if (verdict.is === 'valid') {
    limits.succeeded(login)
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
