import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SUBJECT_CHARS_MAX } from '@holdfast/protocol/limits'
import { type Claims, identityOf } from './claims.ts'
import type { IssuerConfig } from './issuer.ts'
import { plainIssuer } from './testing.ts'

const who = (claims: Claims, more: Partial<IssuerConfig> = {}) =>
  identityOf(claims, { issuer: { ...plainIssuer, ...more }, expiresAtMs: 1_000 })

test('a token of an OIDC issuer names whom the issuer names, under the name of the issuer', () => {
  assert.deepEqual(who({ sub: 'ann', scope: 'openid locks' }, { instance: 'i-1' }), {
    subject: 'oidc:corporate:ann',
    groups: [],
    kind: 'token',
    credential: null,
    account: null,
    instance: 'i-1',
    roles: [],
    expiresAtMs: 1_000,
    scope: 'openid locks',
  })
  assert.equal(
    who({ sub: 'x', email: 'ann@example.org' }, { subjectClaim: 'email' })?.subject,
    'oidc:corporate:ann@example.org',
  )
  assert.equal(who({ sub: 'x', scp: ['a', 'b'] })?.scope, 'a b')
})

test('groups are those of a claim, by name or by the way to it, and never those of another issuer', () => {
  const groups = (claims: Claims, groupsClaim: string) => who({ sub: 'ann', ...claims }, { groupsClaim })?.groups
  assert.deepEqual(groups({ groups: ['ops', 'dev'] }, 'groups'), ['group:corporate:ops', 'group:corporate:dev'])
  assert.deepEqual(groups({ groups: 'ops' }, 'groups'), ['group:corporate:ops'])
  assert.deepEqual(groups({ groups: ['ops', 1, null, { a: 1 }] }, 'groups'), ['group:corporate:ops'])
  assert.deepEqual(groups({ realm_access: { roles: ['ops'] } }, 'realm_access.roles'), ['group:corporate:ops'])
  assert.deepEqual(groups({ 'https://a.example/groups': ['ops'] }, 'https://a.example/groups'), ['group:corporate:ops'])
  for (const claim of ['__proto__', 'constructor', 'constructor.name', 'toString', 'missing', 'a.b.c', ''])
    assert.deepEqual(groups({}, claim), [], claim)
})

test('who is named by nothing, or by what could be mistaken in a log, is nobody', () => {
  for (const sub of [undefined, null, '', 1, {}, [], ['ann'], 'a\nb', 'a\u0000', 'a\u2028b'])
    assert.equal(who(sub === undefined ? {} : { sub }), null, JSON.stringify(sub))
  assert.equal(who({ sub: 'ann' }, { subjectClaim: 'email' }), null)
})

test('a subject has SUBJECT_CHARS_MAX characters at most, with all that stands before it', () => {
  const room = SUBJECT_CHARS_MAX - 'oidc:corporate:'.length
  assert.equal(who({ sub: 'a'.repeat(room) })?.subject.length, SUBJECT_CHARS_MAX)
  assert.equal(who({ sub: 'a'.repeat(room + 1) }), null)
})

test("a token of IBM's names users, service ids, trusted profiles and services by their IAM id", () => {
  const account = { bss: 'a1', valid: true, frozen: false }
  for (const iam_id of [
    'IBMid-270000ALICE',
    'iam-ServiceId-c0ffee00',
    'iam-Profile-5ca1ab1e',
    'crn-crn:v1:bluemix:public:resource-controller::a/a1::resource-broker:1',
  ]) {
    const identity = who({ iam_id, sub: 'other', account, scope: 'ibm openid' }, { kind: 'ibm', audiences: [] })
    assert.equal(identity?.subject, `iam:${iam_id}`)
    assert.deepEqual([identity?.account, identity?.scope, identity?.groups], ['a1', 'ibm openid', []])
  }
  assert.equal(who({ sub: 'other', account }, { kind: 'ibm' }), null, 'without an IAM id')
})

test('a service of IBM’s that calls by its CRN is of the account in it, if its token says no other', () => {
  const iam_id = 'crn-crn:v1:bluemix:public:resource-controller::a/a1::resource-broker:1'
  const service = { iam_id, sub_type: 'CRN' }
  const of = (claims: Claims, accounts: string[] | null = null) => who(claims, { kind: 'ibm', accounts })?.account
  assert.equal(of(service), 'a1')
  assert.equal(of(service, ['a1']), 'a1')
  assert.equal(of(service, ['a2']), undefined)
  assert.equal(of({ ...service, account: { bss: 'a2' } }), 'a2')
  assert.equal(of({ ...service, account: { bss: 'a1', frozen: true } }), undefined)
  for (const other of ['crn-crn:v1:bluemix:public:x:::::', 'crn-crn:v1:a/a1:::::::', 'IBMid-1', `x${iam_id}`])
    assert.equal(of({ ...service, iam_id: other }), undefined, other)
  assert.equal(of({ iam_id }), undefined, 'of no other kind of subject')
})

test('an account that is frozen, closed, foreign or not named lets nobody in', () => {
  const of = (account: unknown, accounts: string[] | null = null) =>
    who({ iam_id: 'IBMid-1', account }, { kind: 'ibm', accounts })?.account ?? null
  assert.equal(of({ bss: 'a1' }), 'a1')
  assert.equal(of({ bss: 'a1' }, ['a1', 'a2']), 'a1')
  for (const account of [
    { bss: 'a1', valid: false },
    { bss: 'a1', frozen: true },
    {},
    { bss: '' },
    'a1',
    null,
    undefined,
  ])
    assert.equal(of(account), null, JSON.stringify(account))
  assert.equal(of({ bss: 'a3' }, ['a1', 'a2']), null)
})

test('a service account of Kubernetes is in the groups of its cluster and its namespace', () => {
  const identity = who({ sub: 'system:serviceaccount:payments:worker' }, { kind: 'kubernetes', name: 'prod' })
  assert.equal(identity?.subject, 'oidc:prod:system:serviceaccount:payments:worker')
  assert.deepEqual(identity?.groups, [
    'group:prod:system:serviceaccounts',
    'group:prod:system:serviceaccounts:payments',
  ])
  for (const sub of [
    'system:node:a',
    'system:serviceaccount:a',
    'system:serviceaccount:a:b:c',
    'ann',
    'system:serviceaccount::b',
  ])
    assert.equal(who({ sub }, { kind: 'kubernetes' }), null, sub)
})
