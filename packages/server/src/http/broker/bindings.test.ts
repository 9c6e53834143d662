/** Bindings: keys that a platform has made for its applications, and what ends with them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CREDENTIALS_MAX } from '@holdfast/protocol/limits'
import { BELONGINGS_AT_ONCE } from '../../administration/administration.ts'
import { BINDING_KEYS_MAX } from '../../administration/bindings.ts'
import { PUTS_MAX } from '../../registry/registry.ts'
import { type Json, type TestServer, withServer } from '../../testing.ts'
import { bind, bindingAt, CRN, call, ended, type Got, GUID, idsOf, order } from './testing.ts'

const asKey = (server: TestServer, key: string) => server.ask('GET', '/v2/whoami', { key })

test('a binding is a key of its role in the form of IBM’s; asked for again it is one more, and all end with it', async () => {
  await withServer(async server => {
    await order(server, { id: CRN })
    const made = await bind(server, 'b1', { parameters: { role: 'Writer' }, bind_resource: { app_guid: 'x' } }, CRN)
    assert.equal(made.status, 201)
    const { credentials } = made.body
    assert.partialDeepStrictEqual(credentials, {
      iam_apikey_name: 'b1',
      iam_role_crn: 'crn:v1:bluemix:public:iam::::serviceRole:Writer',
      crn: CRN,
      guid: GUID,
    })
    assert.match(credentials.iam_serviceid_crn, /^crn:v1:bluemix:public:iam-identity::a\/acc1::serviceid:ServiceId-k-/)
    assert.match(credentials.connection.http.composed[0], /\/v1$/)
    const again = await bind(server, 'b1', {}, CRN)
    assert.equal(again.status, 200)
    const keys = [credentials.apikey, again.body.credentials.apikey] as string[]
    assert.equal(new Set(keys).size, 2)
    const subjects = await Promise.all(keys.map(async key => (await asKey(server, key)).body.subject))
    assert.equal(new Set(subjects).size, 1, 'policies know one subject')
    const lock = await server.ask('POST', '/v1/locks/a/acquire', { key: keys[1]!, body: {} })
    assert.equal(lock.status, 200)
    for (const other of [{ role: 'Reader' }, { expires_at: '2090-01-01T00:00:00Z' }])
      assert.equal((await bind(server, 'b1', { parameters: other }, CRN)).status, 409)
    const shown = (await call(server, 'GET', bindingAt(CRN, 'b1'))).body
    assert.deepEqual([shown.credentials.apikey, shown.parameters], ['REDACTED', { role: 'writer' }])
    assert.deepEqual((await call(server, 'GET', `${bindingAt(CRN, 'b1')}/last_operation`)).body, { state: 'succeeded' })
    assert.equal((await ended(server, bindingAt(CRN, 'b1'))).status, 200)
    for (const key of keys) assert.equal((await asKey(server, key)).status, 401, 'both have ended')
    const twice = await ended(server, bindingAt(CRN, 'b1'))
    assert.deepEqual([twice.status, twice.body], [410, {}])
    assert.equal((await call(server, 'GET', bindingAt(CRN, 'b1'))).status, 404)
    assert.equal((await call(server, 'GET', `${bindingAt(CRN, 'b1')}/last_operation`)).status, 410)
  })
})

test('a binding succeeds another with its subject, ends when it was said to, and knows the limits on keys', async () => {
  await withServer(async server => {
    await order(server)
    const expires_at = new Date(Date.now() + 1_000_000).toISOString()
    const parameters = { role_crn: 'crn:v1:bluemix:public:iam::::serviceRole:Manager', expires_at }
    const first = await bind(server, 'b1', { parameters })
    assert.equal(first.body.metadata.expires_at, expires_at)
    const renewMs = Date.parse(expires_at) - Date.parse(first.body.metadata.renew_before)
    assert.ok(Math.abs(renewMs - 100_000) < 1_000, `${renewMs} ms before its end`)
    const next = await bind(server, 'b2', { parameters, predecessor_binding_id: 'b1' })
    assert.equal(next.status, 201)
    const subjectOf = async ({ body }: Got) => (await asKey(server, body.credentials.apikey)).body.subject
    assert.equal(await subjectOf(next), await subjectOf(first))
    assert.equal((await ended(server, bindingAt(GUID, 'b1'))).status, 200)
    assert.equal((await asKey(server, next.body.credentials.apikey)).status, 200, 'its own key goes on')
    assert.equal((await bind(server, 'b3', { predecessor_binding_id: 'b1' })).status, 400)
    assert.equal((await bind(server, 'b3', { parameters: { expires_at: '2020-01-01T00:00:00Z' } })).status, 400)
    assert.equal((await bind(server, 'b3', { parameters: { expires_at: '2090-02-30T00:00:00Z' } })).status, 400)
    assert.equal((await bind(server, 'b3', { parameters: { role: 'nobody' } })).status, 400)
    for (let count = 1; count <= BINDING_KEYS_MAX; count++)
      assert.equal((await bind(server, 'b4')).status, count === 1 ? 201 : 200)
    const often = await bind(server, 'b4')
    assert.deepEqual([often.status, often.body.error], [429, 'QuotaExceeded'])
    assert.ok(BINDING_KEYS_MAX < CREDENTIALS_MAX)
    const { credentials } = (await server.ask('GET', '/v2/credentials', { headers: { 'holdfast-instance': GUID } }))
      .body
    const { id } = credentials.find(({ name }: Json) => name === 'b2')
    const within = { headers: { 'holdfast-instance': GUID }, body: {} }
    assert.equal((await server.ask('POST', `/v2/credentials/${id}/revoke`, within)).status, 200)
    const revoked = await bind(server, 'b2', { parameters })
    assert.equal(revoked.status, 409, 'what was revoked is not had back by asking again')
  })
})

test('a binding whose key is rotated goes on to be one: asked for again it has a key, and unbound none, however many there were', async () => {
  await withServer(async server => {
    await order(server)
    const made = await bind(server, 'b1')
    const within = { 'holdfast-instance': GUID }
    const keys = async () =>
      (await server.ask('GET', '/v2/credentials', { headers: within })).body.credentials as Json[]
    let [{ id }] = (await keys()) as [Json]
    let key: string = made.body.credentials.apikey
    const rotations = PUTS_MAX / 2
    assert.ok(rotations > BINDING_KEYS_MAX && rotations > BELONGINGS_AT_ONCE)
    for (let rotation = 1; rotation <= rotations; rotation++) {
      const rotated = await server.ask('POST', `/v2/credentials/${id}/rotate`, {
        headers: within,
        body: { overlap_ms: 0 },
      })
      assert.equal(rotated.status, 201, rotated.text)
      ;({ id } = rotated.body.credential)
      key = rotated.body.api_key
    }
    for (let count = 2; count <= BINDING_KEYS_MAX; count++) assert.equal((await bind(server, 'b1')).status, 200)
    assert.equal((await bind(server, 'b1')).status, 429, 'who asks is counted, and who rotates is not')
    const ids = (await keys()).map(one => `credential/${one.id}`)
    assert.equal(ids.length, rotations + BINDING_KEYS_MAX)
    const unbound = await ended(server, bindingAt(GUID, 'b1'))
    assert.deepEqual([unbound.status, unbound.body], [200, {}])
    assert.deepEqual(await keys(), [])
    assert.equal((await asKey(server, key)).status, 401)
    const path = '/v2/audit?action=credential.delete&order=oldest&limit=200'
    const { records } = (await server.ask('GET', path, { headers: within })).body
    const told = records.map(({ target }: Json) => target) as string[]
    assert.deepEqual([...told].sort(), [...ids].sort(), 'the trail tells of each')
    assert.ok(told.indexOf(`credential/${id}`) < BINDING_KEYS_MAX, 'what is good ends first')
    assert.equal((await ended(server, bindingAt(GUID, 'b1'))).status, 410)
  })
})

test('of those that ask at once for one binding each has a key of its one subject; ended twice at once it is gone for one', async () => {
  await withServer(async server => {
    await order(server)
    const { service_id, standard: plan_id } = await idsOf(server)
    const asked = () => call(server, 'PUT', bindingAt(GUID, 'b1'), { body: { service_id, plan_id } })
    const ending = () => call(server, 'DELETE', `${bindingAt(GUID, 'b1')}?service_id=${service_id}&plan_id=${plan_id}`)
    const made = await Promise.all([asked(), asked(), asked()])
    assert.deepEqual(made.map(({ status }) => status).sort(), [200, 200, 201])
    const subjects = await Promise.all(
      made.map(async ({ body }) => (await asKey(server, body.credentials.apikey)).body.subject),
    )
    assert.deepEqual([new Set(subjects).size, typeof subjects[0]], [1, 'string'])
    const both = await Promise.all([ending(), ending()])
    assert.deepEqual(both.map(({ status, body }) => [status, body]).sort(), [
      [200, {}],
      [410, {}],
    ])
  })
})

test('who is overtaken again while the binding is asked for anew is told that others change it', async t => {
  await withServer(async server => {
    await order(server)
    const { registry } = server
    const change = registry.change.bind(registry)
    let isTheirs = false
    // Whatever is about to be decided, somebody else unbinds first, and binds again: under another subject each time.
    t.mock.method(registry, 'change', async (...asked: Parameters<typeof change>) => {
      if (!isTheirs) {
        isTheirs = true
        await ended(server, bindingAt(GUID, 'b1'))
        assert.equal((await bind(server, 'b1')).status, 201)
        isTheirs = false
      }
      return change(...asked)
    })
    const overtaken = await bind(server, 'b1')
    assert.deepEqual([overtaken.status, overtaken.body.error], [422, 'ConcurrencyError'])
  })
})

test('a platform that may not give it gets no key of a subject that policies give more, neither again nor as its successor', async () => {
  await withServer(async server => {
    await order(server)
    const made = await server.ask('POST', '/v2/credentials', {
      body: { name: 'platform', roles: ['editor', 'writer'] },
    })
    const { service_id, standard } = await idsOf(server)
    const asPlatform = (binding: string, more = {}) => {
      const body = { service_id, plan_id: standard, parameters: { role: 'writer' }, ...more }
      return call(server, 'PUT', bindingAt(GUID, binding), { body, authorization: `Bearer ${made.body.api_key}` })
    }
    const first = await asPlatform('b1')
    assert.equal(first.status, 201)
    assert.equal((await asPlatform('b1')).status, 200, 'as long as it is worth no more')
    const { subject } = (await asKey(server, first.body.credentials.apikey)).body
    const within = { 'holdfast-instance': GUID }
    const policy = { subjects: [subject], roles: ['administrator'], locks: ['*'] }
    assert.equal((await server.ask('POST', '/v2/policies', { headers: within, body: policy })).status, 201)
    for (const asked of [await asPlatform('b1'), await asPlatform('b2', { predecessor_binding_id: 'b1' })])
      assert.deepEqual([asked.status, asked.body.error], [403, 'Forbidden'])
    assert.equal((await bind(server, 'b1')).status, 200, 'who may grant anything gives it')
  })
})
