import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from 'jose'
import * as client from 'openid-client'
import {
  exampleIdentities,
  type IamEmulator,
  readAccount,
  startIamEmulator,
  systemClock,
  systemRandom,
} from './index.ts'

const APIKEY = 'urn:ibm:params:oauth:grant-type:apikey'
const listen = { host: '127.0.0.1', port: 0 }
const surroundings = { listen, clock: systemClock, random: systemRandom }
let emulator: IamEmulator

before(async () => {
  emulator = await startIamEmulator({ account: exampleIdentities, ...surroundings })
})
after(() => emulator.close())

// biome-ignore lint/suspicious/noExplicitAny: answers of many shapes are looked into by the tests, which is what checks them
type Json = any

async function ask(
  method: string,
  path: string,
  {
    form,
    body,
    token,
    ifMatch,
  }: { form?: Record<string, string>; body?: unknown; token?: string; ifMatch?: string } = {},
) {
  const sent = form ? new URLSearchParams(form) : body === undefined ? null : JSON.stringify(body)
  const headers = {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(ifMatch !== undefined && { 'if-match': ifMatch }),
  }
  const response = await fetch(`${emulator.url}${path}`, { method, headers, body: sent })
  const text = await response.text()
  const answer: Json = text === '' ? null : JSON.parse(text)
  return { status: response.status, body: answer, etag: response.headers.get('etag') ?? '' }
}

const tokenFor = async (apikey = 'emulator-key-of-orders-only-for-tests'): Promise<string> =>
  (await ask('POST', '/identity/token', { form: { grant_type: APIKEY, apikey } })).body.access_token

const verify = (token: string, keys = createRemoteJWKSet(new URL(`${emulator.issuer}/keys`))) =>
  jwtVerify(token, keys, { issuer: emulator.issuer, algorithms: ['RS256'] })

test('openid-client, which nobody here wrote, discovers it and gets a token for an API key', async () => {
  const configuration = await client.discovery(new URL(emulator.issuer), 'default', undefined, client.None(), {
    execute: [client.allowInsecureRequests],
  })
  assert.equal(configuration.serverMetadata().jwks_uri, `${emulator.issuer}/keys`)
  const apikey = 'emulator-key-of-alice-only-for-tests'
  const answer = await client.genericGrantRequest(configuration, APIKEY, { apikey, response_type: 'cloud_iam' })
  assert.equal(answer.token_type, 'bearer')
  assert.equal(answer.expires_in, 3_600)
  const { payload, protectedHeader } = await verify(answer.access_token)
  assert.equal(payload.iam_id, 'IBMid-270000ALICE')
  assert.deepEqual(payload.account, { bss: exampleIdentities.account, valid: true, frozen: false })
  assert.equal(Number(payload.exp) - Number(payload.iat), 3_600)
  assert.deepEqual([protectedHeader.alg, payload.grant_type, payload.scope], ['RS256', APIKEY, 'ibm openid'])
  await assert.rejects(client.genericGrantRequest(configuration, APIKEY, { apikey: 'no-such-key' }))
})

test('a key that nobody has, and a grant that is not known, get what IBM answers', async () => {
  const wrong = await ask('POST', '/identity/token', { form: { grant_type: APIKEY, apikey: 'no-such-key' } })
  assert.deepEqual([wrong.status, wrong.body.errorCode], [400, 'BXNIM0415E'])
  for (const form of [{ grant_type: APIKEY }, { grant_type: APIKEY, apikey: '' }])
    assert.equal((await ask('POST', '/identity/token', { form })).status, 400)
  const unknown = await ask('POST', '/identity/token', { form: { grant_type: 'password' } })
  assert.deepEqual([unknown.status, unknown.body.errorCode], [400, 'BXNIM0120E'])
  assert.equal((await ask('GET', '/identity/tokens')).status, 404)
})

test('a trusted profile gets a token for what its compute resources show, a service for a token of another', async () => {
  const crToken = 'urn:ibm:params:oauth:grant-type:cr-token'
  const good = { grant_type: crToken, cr_token: 'emulator-cr-token-of-batch', profile_name: 'batch' }
  const profile = await ask('POST', '/identity/token', { form: good })
  const { payload } = await verify(profile.body.access_token)
  assert.deepEqual([payload.iam_id, payload.sub_type], ['iam-Profile-5ca1ab1e-aaaa-4bbb-8ccc-ddddeeeeffff', 'Profile'])
  for (const form of [
    { ...good, cr_token: 'x' },
    { ...good, profile_name: 'orders' },
    { grant_type: crToken, profile_name: 'batch' },
  ])
    assert.equal((await ask('POST', '/identity/token', { form })).status, 400)
  const crn = exampleIdentities.identities.find(({ iam_id }) => iam_id.startsWith('crn-'))!.iam_id
  const form = { grant_type: 'urn:ibm:params:oauth:grant-type:iam-authz', desired_iam_id: crn }
  assert.equal((await ask('POST', '/identity/token', { form })).status, 401)
  const service = await ask('POST', '/identity/token', { form: { ...form, access_token: await tokenFor() } })
  const claims = (await verify(service.body.access_token)).payload
  assert.deepEqual([claims.iam_id, claims.sub_type], [crn, 'CRN'])
})

test('whom a trusted profile names may assume it with a token of their own, and nobody else', async () => {
  const assume = 'urn:ibm:params:oauth:grant-type:assume'
  const asked = async (apikey: string, more: Record<string, string>) =>
    ask('POST', '/identity/token', { form: { grant_type: assume, access_token: await tokenFor(apikey), ...more } })
  const batch = 'iam-Profile-5ca1ab1e-aaaa-4bbb-8ccc-ddddeeeeffff'
  const alice = 'emulator-key-of-alice-only-for-tests'
  for (const profile of [{ profile_id: batch }, { profile_name: 'batch' }]) {
    const { payload } = await verify((await asked(alice, profile)).body.access_token)
    assert.deepEqual([payload.iam_id, payload.sub_type, payload.grant_type], [batch, 'Profile', assume])
  }
  assert.equal((await asked(alice, { profile_name: 'orders' })).status, 400)
  assert.equal((await asked(alice, {})).status, 400)
  assert.equal((await asked('emulator-key-of-bob-only-for-tests', { profile_id: batch })).status, 400)
  const form = { grant_type: assume, access_token: 'x', profile_id: batch }
  assert.equal((await ask('POST', '/identity/token', { form })).status, 401)
  const { grant_types_supported } = (await ask('GET', '/identity/.well-known/openid-configuration')).body
  assert.ok(grant_types_supported.includes(assume))
})

test('after a rotation both keys are there, after a withdrawal only the new one', async () => {
  const before = await tokenFor()
  const rotated = await ask('POST', '/identity/keys/rotate')
  const now = await tokenFor()
  assert.equal(decodeProtectedHeader(now).kid, rotated.body.kid)
  assert.notEqual(decodeProtectedHeader(before).kid, rotated.body.kid)
  await verify(before)
  await verify(now)
  await ask('POST', '/identity/keys/rotate?withdraw=true')
  await assert.rejects(verify(now), /no applicable key/)
  const { keys } = (await ask('GET', '/identity/keys')).body
  assert.equal(keys.length, 1)
  assert.deepEqual(Object.keys(keys[0]).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use'], 'and nothing private')
})

const policy = (iamId: string, role: string, resource: [key: string, operator: string, value: string][]) => ({
  type: 'access',
  subject: { attributes: [{ key: 'iam_id', operator: 'stringEquals', value: iamId }] },
  resource: { attributes: resource.map(([key, operator, value]) => ({ key, operator, value })) },
  control: { grant: { roles: [{ role_id: `crn:v1:bluemix:public:iam::::serviceRole:${role}` }] } },
})
const bob = 'IBMid-270000BOB'
const question = (id: string, action: string, resource: string, more: object = {}) => ({
  subject: { attributes: { id, scope: 'ibm openid' } },
  resource: {
    attributes: { serviceName: 'go-etcd-lock', serviceInstance: 'i-1', resourceType: 'lock', resource, ...more },
  },
  action: `go-etcd-lock.lock.${action}`,
})

async function decisions(token: string, questions: object[]): Promise<boolean[]> {
  const { status, body } = await ask('POST', '/v2/authz', { body: questions, token })
  assert.equal(status, 200)
  return body.responses.map((one: Json) => {
    assert.equal(one.status, '200')
    return one.authorizationDecision.permitted
  })
}

test('the decision point permits what a policy grants and nothing else', async () => {
  const token = await tokenFor()
  const asked = [
    question(bob, 'acquire', 'orders/7'),
    question(bob, 'read', 'orders/7'),
    question(bob, 'preempt', 'orders/7'),
    question(bob, 'acquire', 'order'),
    question(bob, 'acquire', 'orders/7', { serviceInstance: 'i-2' }),
    question(`${bob}2`, 'acquire', 'orders/7'),
    {
      ...question(bob, 'acquire', ''),
      resource: { crn: 'crn:v1:bluemix:public:go-etcd-lock:eu-de:a/x:i-1:lock:orders/a:b' },
    },
    {
      ...question(bob, 'acquire', ''),
      resource: { crn: 'crn:v1:bluemix:public:go-etcd-lock:eu-de:a/x:i-2:lock:orders/7' },
    },
  ]
  assert.deepEqual(await decisions(token, asked), Array(8).fill(false))
  const granted = policy(bob, 'Writer', [
    ['serviceName', 'stringEquals', 'go-etcd-lock'],
    ['serviceInstance', 'stringEquals', 'i-1'],
    ['resource', 'stringMatch', 'orders/*'],
  ])
  const made = await ask('POST', '/v2/policies', { body: granted, token })
  assert.equal(made.status, 201)
  assert.deepEqual(await decisions(token, asked), [true, true, false, false, false, false, true, false])
  assert.deepEqual((await ask('GET', '/v2/policies', { token })).body.policies, [{ id: made.body.id, ...granted }])
  assert.equal((await ask('DELETE', `/v2/policies/${made.body.id}`, { token })).status, 204)
  assert.equal((await ask('DELETE', `/v2/policies/${made.body.id}`, { token })).status, 404)
  assert.deepEqual(await decisions(token, asked), Array(8).fill(false))
})

test('the last segment of a CRN is percent-encoded, as audit events have it; one that was sent as it is means the same', async () => {
  const token = await tokenFor()
  const granted = policy(bob, 'Writer', [['resource', 'stringEquals', 'orders/1:ü %']])
  const { id } = (await ask('POST', '/v2/policies', { body: granted, token })).body
  const ofCrn = (name: string) => ({
    ...question(bob, 'acquire', ''),
    resource: { crn: `crn:v1:bluemix:public:go-etcd-lock:eu-de:a/x:i-1:lock:${name}` },
  })
  const names = ['orders%2F1%3A%C3%BC%20%25', 'orders/1:ü %', 'orders%2F1', 'orders%252F1%3A%C3%BC%20%25']
  assert.deepEqual(await decisions(token, names.map(ofCrn)), [true, true, false, false])
  assert.equal((await ask('DELETE', `/v2/policies/${id}`, { token })).status, 204)
})

test('who replaces a policy says which state of it was meant', async () => {
  const token = await tokenFor()
  const first = policy(bob, 'Reader', [['resource', 'stringEquals', 'replaced']])
  const made = await ask('POST', '/v2/policies', { body: first, token })
  const path = `/v2/policies/${made.body.id}`
  const body = policy(bob, 'Writer', [['resource', 'stringEquals', 'replaced']])
  assert.equal((await ask('PUT', '/v2/policies/policy-none', { body, token, ifMatch: made.etag })).status, 404)
  assert.equal((await ask('PUT', path, { body, token })).status, 400)
  assert.equal((await ask('PUT', path, { body, token, ifMatch: '"other"' })).status, 412)
  assert.deepEqual(await decisions(token, [question(bob, 'acquire', 'replaced')]), [false])
  assert.match(made.etag, /^"[0-9a-z]{16,}"$/)
  const put = await ask('PUT', path, { body, token, ifMatch: made.etag })
  assert.deepEqual([put.status, put.body], [200, { id: made.body.id, ...body }])
  assert.equal((await ask('PUT', path, { body: first, token, ifMatch: made.etag })).status, 412)
  const read = await ask('GET', path, { token })
  assert.deepEqual([read.body, read.etag], [put.body, put.etag])
  assert.deepEqual(await decisions(token, [question(bob, 'acquire', 'replaced')]), [true])
  assert.equal((await ask('PATCH', path, { body, token })).status, 405)
  assert.equal((await ask('DELETE', path, { token })).status, 204)
  assert.equal((await ask('GET', path, { token })).status, 404)
})

test('a role of the account permits what it says until it is changed', async () => {
  const token = await tokenFor()
  const fields = { display_name: 'Breaker', actions: ['go-etcd-lock.lock.force-release'] }
  const role = { ...fields, name: 'Breaker', account_id: exampleIdentities.account, service_name: 'go-etcd-lock' }
  const made = await ask('POST', '/v2/roles', { body: role, token })
  const crn = `crn:v1:bluemix:public:iam::a/${exampleIdentities.account}::customRole:Breaker`
  assert.deepEqual([made.status, made.body], [201, { id: made.body.id, ...role, crn }])
  assert.equal((await ask('POST', '/v2/roles', { body: role, token })).status, 409)
  const refused = [{ ...role, name: 'lower' }, { ...role, actions: ['*'] }, { ...role, account_id: 'other' }, fields]
  for (const body of refused) assert.equal((await ask('POST', '/v2/roles', { body, token })).status, 400)
  const granted = policy(bob, 'Reader', [['resource', 'stringEquals', 'broken']])
  granted.control.grant.roles = [{ role_id: crn }]
  const { id } = (await ask('POST', '/v2/policies', { body: granted, token })).body
  const asked = [question(bob, 'force-release', 'broken'), question(bob, 'preempt', 'broken')]
  assert.deepEqual(await decisions(token, asked), [true, false])
  const path = `/v2/roles/${made.body.id}`
  const body = { ...fields, actions: ['go-etcd-lock.lock.preempt'] }
  assert.equal((await ask('PUT', path, { body, token })).status, 400)
  const put = await ask('PUT', path, { body, token, ifMatch: made.etag })
  assert.deepEqual([put.status, put.body], [200, { ...made.body, ...body }])
  assert.deepEqual(await decisions(token, asked), [false, true])
  const all = (await ask('GET', '/v2/roles', { token })).body
  assert.deepEqual(all.custom_roles, [put.body])
  assert.deepEqual(
    all.service_roles.map(({ display_name }: Json) => display_name),
    ['Reader', 'Writer', 'Manager'],
  )
  assert.equal((await ask('GET', '/v2/roles')).status, 401)
  for (const one of [path, `/v2/policies/${id}`]) assert.equal((await ask('DELETE', one, { token })).status, 204)
  assert.deepEqual(await decisions(token, asked), [false, false])
})

test('without a token of the emulator nobody asks, and what it does not understand it does not take', async () => {
  const token = await tokenFor()
  const [header, payload] = token.split('.')
  for (const wrong of [undefined, 'x', `${header}.${payload}.AAAA`]) {
    const more = wrong === undefined ? {} : { token: wrong }
    assert.equal((await ask('POST', '/v2/authz', { body: [question(bob, 'read', 'a')], ...more })).status, 401)
    assert.equal((await ask('GET', '/v2/policies', more)).status, 401)
  }
  for (const body of [{}, [], [{}], 'x', [question(bob, 'read', 'a'), 1]])
    assert.equal((await ask('POST', '/v2/authz', { body, token })).status, 400, JSON.stringify(body))
  const good = policy(bob, 'Reader', [['serviceName', 'stringEquals', 'go-etcd-lock']])
  for (const body of [
    { ...good, type: 'authorization' },
    { ...good, rule: {} },
    { ...good, resource: { attributes: [] } },
  ])
    assert.equal((await ask('POST', '/v2/policies', { body, token })).status, 400)
  assert.equal((await ask('POST', '/v2/authz', { body: 'x'.repeat(300_000), token })).status, 413)
})

test('an account is read from a file, and mistakes in it are named', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-iam-'))
  const path = join(directory, 'account.json')
  const write = (content: unknown) => writeFileSync(path, JSON.stringify(content))
  const granted = policy('IBMid-1', 'Auditor', [['serviceName', 'stringEquals', 'go-etcd-lock']])
  const account = {
    account: 'mine',
    identities: [{ iam_id: 'IBMid-1', name: 'Me', apikey: 'a-key-of-my-own-0123' }],
    policies: [granted],
    roles: { 'crn:v1:bluemix:public:iam::::serviceRole:Auditor': ['go-etcd-lock.audit.read'] },
  }
  try {
    write(account)
    const own = await startIamEmulator({ account: readAccount(path), ...surroundings })
    const token = await own.signing.sign(own.identity('IBMid-1'), 'test')
    const asked = { ...question('IBMid-1', 'x', 'a'), action: 'go-etcd-lock.audit.read' }
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${own.url}/v2/authz`, { method: 'POST', headers, body: JSON.stringify([asked]) })
    assert.deepEqual(await response.json(), {
      responses: [{ status: '200', authorizationDecision: { permitted: true } }],
    })
    await own.close()
    write({ ...account, identities: [{ iam_id: 'root', name: 'Me' }] })
    assert.throws(() => readAccount(path), /identities\/0\/iam_id/)
    write({ ...account, extra: 1 })
    assert.throws(() => readAccount(path), /additional|extra/i)
    writeFileSync(path, '{')
    assert.throws(() => readAccount(path), /cannot be read as JSON/)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('it listens on this machine only', async () => {
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.evil.example'])
    await assert.rejects(
      startIamEmulator({ account: exampleIdentities, ...surroundings, listen: { host, port: 0 } }),
      /on this machine only/,
      host,
    )
})
