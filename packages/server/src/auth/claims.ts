/** What a token says, once its signature is known to be good → who that is. */
import { SUBJECT_CHARS_MAX } from '@holdfast/protocol/limits'
import type { Identity } from './identity.ts'
import type { IssuerConfig } from './issuer.ts'

export type Claims = Readonly<Record<string, unknown>>

/** null: the token is genuine, but names nobody, or nobody who is let in here. */
export function identityOf(
  claims: Claims,
  { issuer, expiresAtMs }: { issuer: IssuerConfig; expiresAtMs: number },
): Identity | null {
  const subject = subjectOf(claims, issuer)
  if (subject === null) return null
  const account = issuer.kind === 'ibm' ? accountOf(claims, issuer) : null
  if (issuer.kind === 'ibm' && account === null) return null
  return Object.freeze({
    subject,
    groups: groupsOf(claims, issuer),
    kind: 'token',
    credential: null,
    account,
    instance: issuer.instance,
    roles: [],
    expiresAtMs,
    scope: scopeOf(claims),
  })
}

const serviceAccount = /^system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)$/

function subjectOf(claims: Claims, { kind, name, subjectClaim }: IssuerConfig): string | null {
  const id = textOf(claims, subjectClaim ?? (kind === 'ibm' ? 'iam_id' : 'sub'))
  if (id === null || id === '' || /[\p{Cc}\p{Zl}\p{Zp}]/u.test(id)) return null
  // In place of anything else that a cluster might sign one day.
  if (kind === 'kubernetes' && !serviceAccount.test(id)) return null
  const subject = kind === 'ibm' ? `iam:${id}` : `oidc:${name}:${id}`
  return subject.length > SUBJECT_CHARS_MAX ? null : subject
}

/** An account that is frozen or was closed lets nobody in, nor does one that is not listed. */
function accountOf(claims: Claims, { accounts }: IssuerConfig): string | null {
  const account = claims.account === undefined ? accountInCrn(claims) : openAccount(claims.account)
  return account !== null && (accounts === null || accounts.includes(account)) ? account : null
}

function openAccount(account: unknown): string | null {
  if (account === null || typeof account !== 'object') return null
  const { bss, valid, frozen } = account as Record<string, unknown> // each is looked at
  return typeof bss !== 'string' || bss === '' || valid === false || frozen === true ? null : bss
}

/** Services of IBM's call each other by a CRN, whose scope is the account; their tokens may say no other (ECOSYSTEM 1.3). */
function accountInCrn(claims: Claims): string | null {
  if (claims.sub_type !== 'CRN') return null
  return /^crn-crn:v1:(?:[^:]*:){4}a\/([^:]+):/.exec(textOf(claims, 'iam_id') ?? '')?.[1] ?? null
}

/** With the issuer's name before them, so that no issuer can put anybody into another's groups. */
function groupsOf(claims: Claims, { kind, name, groupsClaim }: IssuerConfig): string[] {
  const given = groupsClaim === null ? [] : listOf(claimOf(claims, groupsClaim))
  const [, namespace] = (kind === 'kubernetes' && serviceAccount.exec(textOf(claims, 'sub') ?? '')) || []
  const own = namespace === undefined ? [] : ['system:serviceaccounts', `system:serviceaccounts:${namespace}`]
  return [...own, ...given].map(group => `group:${name}:${group}`)
}

function listOf(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : []
}

function textOf(claims: Claims, name: string): string | null {
  const value = claimOf(claims, name)
  return typeof value === 'string' ? value : null
}

/** Some issuers write it as a list, under another name. */
function scopeOf({ scope, scp }: Claims): string | null {
  const value = scope ?? scp
  if (typeof value === 'string') return value
  return Array.isArray(value) && value.length > 0 && value.every(item => typeof item === 'string')
    ? value.join(' ')
    : null
}

/** By its name; else, like `realm_access.roles`, by the way that leads to it. */
function claimOf(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let found: unknown = claims
  for (const part of name.split('.')) {
    if (found === null || typeof found !== 'object' || !Object.hasOwn(found, part)) return undefined
    found = (found as Record<string, unknown>)[part] // it has just been seen to have it
  }
  return found
}
