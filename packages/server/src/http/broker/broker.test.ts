/** The Open Service Broker API and IBM's extension of it, as platforms call them: on a real server in memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RECORD_NAME_CHARS_MAX } from '@holdfast/protocol/limits'
import fc from 'fast-check'
import { ORDERED_AS_CHARS_MAX } from '../../administration/orders.ts'
import { planIdOf } from '../../instances/catalog-ids.ts'
import { builtInRoles } from '../../policies/roles.ts'
import { type Json, ROOT_KEY, withServer } from '../../testing.ts'
import { IDENTITY_CHARS_MAX } from './asked.ts'
import { endpoints } from './index.ts'
import {
  at,
  bearer,
  bind,
  bindingAt,
  CRN,
  call,
  ended,
  GUID,
  idsOf,
  type Order,
  order,
  type Sent,
  stateAt,
} from './testing.ts'

test('the catalogue has the plans on offer with ids that are GUIDs and stay the same, and schemas of what may be said', async () => {
  let first: unknown
  for (let start = 0; start < 2; start++)
    await withServer(async server => {
      const { status, body } = await call(server, 'GET', '/v2/catalog')
      assert.equal(status, 200)
      const [service] = body.services
      assert.partialDeepStrictEqual(service, {
        name: 'go-etcd-lock',
        bindable: true,
        plan_updateable: true,
        instances_retrievable: true,
        bindings_retrievable: false,
        metadata: { rc_compatible: true, iam_compatible: true, provisionable: true },
      })
      assert.deepEqual(service.plans.map(({ name }: Json) => name).sort(), ['premium', 'standard'])
      for (const { id } of [service, ...service.plans])
        assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      for (const { id, name } of service.plans)
        assert.equal(id, planIdOf({ serviceName: 'go-etcd-lock', plan: name }), 'by which it is billed')
      const [cost] = service.plans.find(({ name }: Json) => name === 'standard').metadata.costs
      assert.partialDeepStrictEqual(cost, {
        unitId: 'CAPACITY_UNIT_HOURS',
        model: 'standard_add',
        rating_model: 'linear_tier',
        amount: { usd: 0.1 },
      })
      first ??= body
      assert.deepEqual(body, first, 'another start, the same ids')
      const own = { title: 'Own', description: '', price_usd: 0, per_units: 1, min_units: 1, step_units: 1 }
      const unit = { operations_per_second: 1, burst_operations: 1, held_locks: 1, sessions: 1, waiters: 1 }
      const plan = { ...own, allows_overrides: false, unit: { ...unit, watches: 1, stored_bytes: 1 }, state: 'offered' }
      const put = await server.ask('PUT', '/v2/plans/own', { body: plan })
      assert.equal(put.status, 200, put.text)
      const free = (await call(server, 'GET', '/v2/catalog')).body.services[0].plans.find((one: Json) => one.free)
      assert.equal(free.name, 'own')
      await server.ask('PUT', '/v2/plans/own', { body: { ...plan, state: 'retired' } })
      assert.equal((await call(server, 'GET', '/v2/catalog')).body.services[0].plans.length, 2)
    })
})

test('an instance is made once however often it is ordered, and refused as another', async () => {
  await withServer(async server => {
    const parameters = { name: 'payments', capacity_units: 20 }
    const made = await order(server, { parameters, context: { platform: 'cloudfoundry', organization_guid: 'o' } })
    assert.equal(made.status, 201)
    assert.match(made.body.dashboard_url, /^http:\/\/.+\/$/)
    assert.partialDeepStrictEqual((await server.ask('GET', `/v2/instances/${GUID}`)).body, {
      name: 'payments',
      plan: 'standard',
      capacity_units: 20,
    })
    assert.equal((await order(server, { parameters })).status, 200)
    assert.equal((await order(server)).status, 200, 'what is left open does not matter')
    const others: Order[] = [
      { plan: 'premium' },
      { parameters: { capacity_units: 30 } },
      { parameters: { name: 'other' } },
      { context: { account_id: 'acc2' } },
    ]
    for (const other of others)
      assert.deepEqual([(await order(server, other)).status, other], [409, other], 'a different one exists')
    const both = await Promise.all(
      Array.from({ length: 5 }, () => order(server, { id: '11111111-1111-4111-8111-111111111111' })),
    )
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 200, 200, 200, 201])
    assert.equal((await server.ask('GET', '/v2/instances')).body.instances.length, 3, 'two and `default`')
  })
})

test('how the platform calls an instance is no reason to refuse it: what does not fit is cut or left out, each time alike', async () => {
  await withServer(async server => {
    const long = '\u{1f512}'.repeat(RECORD_NAME_CHARS_MAX)
    const names: [unknown, string | null][] = [
      ['n'.repeat(RECORD_NAME_CHARS_MAX + 1), 'n'.repeat(RECORD_NAME_CHARS_MAX)],
      [`x${long}`, `x${long}`.slice(0, RECORD_NAME_CHARS_MAX - 1)],
      ['a\nb\u0000\u0085', 'ab'],
      ['caf\u00e9 \ud800', 'caf\u00e9 \ufffd'],
      ['', null],
      ['\n', null],
      [null, null],
      [{ deep: 1 }, null],
    ]
    for (const [index, [instance_name, expected]] of names.entries()) {
      const id = `named-${index}`
      const asked = { id, context: { platform: 'cloudfoundry', instance_name } }
      const statuses = [(await order(server, asked)).status, (await order(server, asked)).status]
      assert.deepEqual([statuses, instance_name], [[201, 200], instance_name])
      const { name } = (await call(server, 'GET', at(id))).body.parameters
      if (expected === null) assert.match(name, /^[0-9a-f-]{36}$/, 'its id')
      else assert.equal(name, expected)
    }
    const inParameters = await order(server, { id: 'p', parameters: { name: 'n'.repeat(RECORD_NAME_CHARS_MAX + 1) } })
    assert.equal(inParameters.status, 400, 'what is ours is as we say')
  })
})

test('whoever the platform acts for may be called anything, and the trail tells them apart', async () => {
  await withServer(async server => {
    await order(server)
    const { service_id } = await idsOf(server)
    const users: [string, string][] = [
      ['system:serviceaccount:kube system:x', 'system:serviceaccount:kube%20system:x'],
      ['j\u00fcrgen@example.org', 'j%C3%BCrgen@example.org'],
      ['a%20b', 'a%2520b'],
      ['a\nb', 'a%0Ab'],
      ['\u{1f512}'.repeat(100), '%F0%9F%94%92'.repeat(15)],
      ['u'.repeat(IDENTITY_CHARS_MAX), 'u'.repeat(IDENTITY_CHARS_MAX - 'kubernetes '.length)],
    ]
    for (const [index, [username, told]] of users.entries()) {
      const identity = Buffer.from(JSON.stringify({ username, uid: 'u' })).toString('base64')
      const headers = { 'x-broker-api-originating-identity': `kubernetes ${identity}` }
      assert.equal((await call(server, 'GET', '/v2/catalog', { headers })).status, 200, username)
      const body = { service_id, parameters: { capacity_units: 20 + 10 * index } }
      assert.equal((await call(server, 'PATCH', at(GUID), { body, headers })).status, 200)
      const [newest] = (await server.ask('GET', '/v2/audit?limit=1&order=newest&action=instance.update')).body.records
      assert.ok(newest.reason.startsWith(`on behalf of kubernetes ${told}`), `${username}: ${newest.reason}`)
      assert.ok(newest.reason.length <= 'on behalf of '.length + IDENTITY_CHARS_MAX)
    }
  })
})

test('by its CRN an instance is of that account, region and GUID, and has that CRN', async () => {
  await withServer(async server => {
    assert.equal((await order(server, { id: CRN, context: { platform: 'ibmcloud', account_id: 'acc1' } })).status, 201)
    assert.partialDeepStrictEqual((await server.ask('GET', `/v2/instances/${GUID}`)).body, {
      id: GUID,
      crn: CRN,
      account: 'acc1',
      region: 'us-south',
    })
    assert.equal((await call(server, 'GET', at(CRN))).status, 200)
    assert.equal((await call(server, 'GET', at(GUID))).status, 404, 'it was not ordered under this name')
    assert.equal((await order(server, { id: GUID })).status, 409, 'and the place is taken')
    const odd = [
      CRN.replace('go-etcd-lock', 'other'),
      CRN.replace('a/acc1', 'o/acc1'),
      CRN.replace('::', ':key:1'),
      CRN.replace(GUID, ''),
      CRN.replace('us-south', 'US South'),
      `${CRN}:`,
      'crn:',
    ]
    for (const id of odd) assert.deepEqual([(await order(server, { id })).status, id], [400, id])
  })
})

test('names of any kind are instances of their own, and none is one that was made otherwise', async () => {
  await withServer(async server => {
    const names = ['A', 'a', 'a/b', 'a%2Fb', '...', 'default', 'x'.repeat(ORDERED_AS_CHARS_MAX)]
    for (const id of names) assert.deepEqual([(await order(server, { id })).status, id], [201, id])
    const { instances } = (await server.ask('GET', '/v2/instances')).body
    assert.equal(new Set(instances.map(({ id }: Json) => id)).size, names.length + 1)
    for (const id of ['x'.repeat(ORDERED_AS_CHARS_MAX + 1), 'a b', 'caf\u00e9', 'a\u0000'])
      assert.deepEqual([(await order(server, { id })).status, id], [400, id])
    const own = (await server.ask('POST', '/v2/instances', { body: { name: 'own', plan: 'standard' } })).body.id
    assert.deepEqual([(await order(server, { id: own })).status], [409])
    for (const path of [at(own), stateAt(own), bindingAt(own, 'b')])
      assert.equal((await call(server, 'GET', path)).status, 404, path)
    assert.deepEqual([(await ended(server, at(own))).status, (await bind(server, 'b', {}, own)).status], [410, 404])
    assert.equal((await server.ask('GET', `/v2/instances/${own}`)).body.state, 'active')
  })
})

test('an instance is shown, changed and deleted; what is deleted is gone for the platform, and can be restored by people', async () => {
  await withServer(async server => {
    await order(server, { context: { instance_name: 'orders' } })
    const { service_id, standard, premium } = await idsOf(server)
    const shown = { name: 'orders', capacity_units: 10 }
    const seen = async () => (await call(server, 'GET', at(GUID))).body
    assert.partialDeepStrictEqual(await seen(), { service_id, plan_id: standard, parameters: shown })
    const change = (body: object) => call(server, 'PATCH', at(GUID), { body: { service_id, ...body } })
    assert.equal((await change({ parameters: { capacity_units: 30 } })).status, 200)
    const moved = { plan_id: premium, previous_values: { plan_id: standard }, parameters: { capacity_units: 7 } }
    assert.equal((await change(moved)).status, 200)
    assert.partialDeepStrictEqual(await seen(), { plan_id: premium, parameters: { ...shown, capacity_units: 7 } })
    const back = await change({ plan_id: standard })
    assert.deepEqual([back.status, back.body.error], [400, 'InvalidRequest'])
    assert.match(back.body.description, /in steps of 10; not 7/)
    assert.equal((await call(server, 'PATCH', at('other'), { body: { service_id } })).status, 404)
    const last = `${at(GUID)}/last_operation?operation=x&service_id=${service_id}&plan_id=${premium}`
    assert.deepEqual((await call(server, 'GET', last)).body, { state: 'succeeded' })
    assert.equal((await call(server, 'DELETE', at(GUID))).status, 400, 'without the ids')
    const foreign = await call(server, 'DELETE', `${at(GUID)}?service_id=x&plan_id=y`)
    assert.equal(foreign.status, 400)
    const done = await ended(server, at(GUID))
    assert.deepEqual([done.status, done.body], [200, {}])
    const again = await ended(server, at(GUID))
    assert.deepEqual([again.status, again.body], [410, {}])
    assert.deepEqual(
      [(await call(server, 'GET', at(GUID))).status, (await call(server, 'GET', last)).status],
      [404, 410],
    )
    assert.equal((await order(server)).status, 409, 'its name is not free while it can be restored')
    assert.equal((await server.ask('POST', `/v2/instances/${GUID}/restore`)).status, 200)
    assert.equal((await seen()).parameters.name, 'orders')
    await ended(server, at(GUID))
    assert.equal((await server.ask('POST', `/v2/instances/${GUID}/reclaim`)).status, 204)
    assert.equal((await order(server)).status, 409, 'nor while it may have to be billed')
  })
})

test('what the platform has disabled or deleted its own people do not take back, though they had closed it before', async () => {
  await withServer(async server => {
    await order(server)
    const asked = { body: { name: 'own', roles: ['administrator'] }, headers: { 'holdfast-instance': GUID } }
    const key = (await server.ask('POST', '/v2/credentials', asked)).body.api_key
    const own = async (method: string, verb = '') =>
      (await server.ask(method, `/v2/instances/${GUID}${verb}`, { key })).status
    const put = (enabled: boolean) => call(server, 'PUT', stateAt(GUID), { body: { enabled } })
    assert.equal(await own('POST', '/disable'), 200)
    assert.deepEqual((await put(false)).body, { enabled: false })
    assert.equal(await own('POST', '/enable'), 403)
    assert.equal((await put(true)).body.enabled, true)

    assert.equal(await own('DELETE'), 200)
    for (const _ of ['once', 'and again']) assert.deepEqual((await put(false)).body, { enabled: false })
    assert.equal((await put(true)).status, 404, 'it is deleted all the same')
    assert.equal(await own('POST', '/restore'), 200)
    assert.equal(await own('POST', '/enable'), 403)
    assert.equal((await put(true)).body.enabled, true)

    assert.equal(await own('DELETE'), 200)
    assert.equal((await ended(server, at(GUID))).status, 410)
    assert.equal(await own('POST', '/restore'), 403)
    assert.equal((await ended(server, at(GUID))).status, 410, 'and again')
    const trail = (await server.ask('GET', '/v2/audit?action=instance.delete')).body.records
    assert.equal(trail.length, 3, 'what changes nothing is not written down')
    assert.equal((await server.ask('POST', `/v2/instances/${GUID}/restore`)).body.state, 'active')
  })
})

test('a disabled instance lets nobody in until it is enabled, and the trail says for whom and why', async () => {
  await withServer(async server => {
    await order(server)
    const { apikey } = (await bind(server, 'b1')).body.credentials
    const put = (body: object) => call(server, 'PUT', stateAt(GUID), { body })
    const state = async () => (await call(server, 'GET', stateAt(GUID))).body
    assert.deepEqual(await state(), { enabled: true, active: false })
    const disabled = await put({ enabled: false, initiator_id: 'IBMid-1', reason_code: 'UNPAID' })
    assert.deepEqual([disabled.status, disabled.body], [200, { enabled: false }])
    assert.deepEqual(await state(), { enabled: false })
    const refused = await server.ask('POST', '/v1/locks/a/acquire', { key: apikey, body: {} })
    assert.deepEqual([refused.status, refused.body.errors[0].reason], [403, 'instance_disabled'])
    assert.deepEqual((await put({ enabled: true })).body, { enabled: true, active: false })
    assert.equal((await server.ask('POST', '/v1/locks/a/acquire', { key: apikey, body: {} })).status, 200)
    for (const body of [{}, { enabled: 'no' }, { enabled: false, initiator_id: 'a\nb' }])
      assert.equal((await put(body)).status, 400, JSON.stringify(body))
    assert.equal((await call(server, 'PUT', stateAt('other'), { body: { enabled: true } })).status, 404)
    const identity = Buffer.from(JSON.stringify({ iam_id: 'IBMid-2' })).toString('base64')
    const { service_id } = await idsOf(server)
    const patched = await call(server, 'PATCH', at(GUID), {
      body: { service_id, parameters: { capacity_units: 20 } },
      headers: { 'x-broker-api-originating-identity': `ibmcloud ${identity}` },
    })
    assert.equal(patched.status, 200)
    const { records } = (await server.ask('GET', `/v2/audit?limit=200`)).body
    const reasons = records.map(({ action, reason }: Json) => `${action}: ${reason}`)
    assert.ok(reasons.includes('instance.disable: on behalf of IBMid-1, reason code UNPAID'), reasons.join('\n'))
    assert.ok(reasons.includes('instance.update: on behalf of ibmcloud IBMid-2'), reasons.join('\n'))
  })
})

test('versions: 2.12 and what is later of 2 are served, all else is 412; who is not known is told nothing of it', async () => {
  await withServer(async server => {
    const status = async (version: string, authorization = bearer) =>
      (await call(server, 'GET', '/v2/catalog', { headers: { 'x-broker-api-version': version }, authorization })).status
    for (const version of ['2.12', '2.13', '2.17', '2.18']) assert.equal(await status(version), 200, version)
    for (const version of ['', '2', '2.11', '3.0', '1.12', '2.12.1', 'two']) assert.equal(await status(version), 412)
    const missing = await server.app.inject({ url: '/broker/v2/catalog', headers: { authorization: bearer } })
    assert.deepEqual([missing.statusCode, missing.json().error], [412, 'UnsupportedVersion'])
    assert.equal(await status('9', 'Bearer wrong'), 401)
    const stranger = await call(server, 'GET', '/v2/catalog', { authorization: 'Basic eDp5' })
    assert.match(String(stranger.headers['www-authenticate']), /Basic/)
    const basic = `Basic ${Buffer.from(`platform:${ROOT_KEY}`).toString('base64')}`
    assert.equal(await status('2.17', basic), 200)
    const echoed = await call(server, 'GET', '/v2/catalog', { headers: { 'x-broker-api-request-identity': 'r-1' } })
    assert.equal(echoed.headers['x-broker-api-request-identity'], 'r-1')
  })
})

test('unknown fields are ignored but not in `parameters`; what cannot be read is told in OSB’s form', async () => {
  await withServer(async server => {
    const { service_id, standard } = await idsOf(server)
    const known = { service_id, plan_id: standard }
    const put = (sent: Sent) => call(server, 'PUT', at(GUID), sent)
    const bad: [Sent, number, string][] = [
      [{ body: { ...known, parameters: { units: 3 } } }, 400, 'InvalidRequest'],
      [{ body: { ...known, service_id: 'x' } }, 400, 'InvalidRequest'],
      [{ body: { ...known, plan_id: 'x' } }, 400, 'InvalidRequest'],
      [{ body: { ...known, maintenance_info: { version: '1.0.0' } } }, 422, 'MaintenanceInfoConflict'],
      [{ body: { plan_id: standard } }, 400, 'InvalidRequest'],
      [{ body: [] }, 400, 'InvalidRequest'],
      [{ raw: '{' }, 400, 'InvalidRequest'],
      [{}, 400, 'InvalidRequest'],
      [{ raw: 'x', headers: { 'content-type': 'text/plain' } }, 415, 'UnsupportedMediaType'],
      [{ body: { ...known, filler: 'x'.repeat(2_000_000) } }, 413, 'BodyTooLarge'],
    ]
    for (const [sent, status, error] of bad) {
      const answer = await put(sent)
      assert.deepEqual([answer.status, answer.body.error], [status, error], JSON.stringify(sent).slice(0, 99))
    }
    for (const identity of ['ibmcloud', 'ibmcloud x y', 'ibmcloud !!!', `ibmcloud ${btoa('{}')}`, `x ${btoa('[')}`]) {
      const headers = { 'x-broker-api-originating-identity': identity }
      assert.equal((await put({ body: known, headers })).status, 400, identity)
    }
    assert.equal((await server.ask('GET', '/v2/instances')).body.instances.length, 1, 'nothing was made')
    assert.equal((await put({ body: { ...known, unknown: 1, context: { cluster: 2 } } })).status, 201)
    const nowhere = await call(server, 'GET', '/v2/nothing')
    assert.deepEqual([nowhere.status, nowhere.body.error], [404, 'NotFound'])
    const method = await call(server, 'POST', at(GUID), { body: {} })
    assert.deepEqual([method.status, method.headers.allow], [405, 'PUT, PATCH, DELETE, GET'])
  })
})

test('whatever is sent, the answer has OSB’s form and is no error of the server', async () => {
  await withServer(async server => {
    await order(server)
    const ids = await idsOf(server)
    const word = fc.oneof(
      fc.constantFrom(GUID, CRN, 'b1', '..', 'default', '%', '%zz', '%00', ''),
      fc.string({ unit: 'binary', maxLength: 20 }).map(text => encodeURIComponent(text.toWellFormed())),
    )
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom(ids.service_id, ids.standard, true, { role: 'Reader' }))
    const fields = ['service_id', 'plan_id', 'parameters', 'context', 'enabled', 'predecessor_binding_id', '__proto__']
    const body = fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom(...fields), value))
    const request = fc.record({
      endpoint: fc.constantFrom(...endpoints),
      names: fc.tuple(word, word),
      query: fc.constantFrom('', '?', '?service_id=x&plan_id', `?service_id=${ids.service_id}&plan_id=y`, '?a=1&a=2'),
      sent: fc.record({ body }, { requiredKeys: [] }),
    })
    await fc.assert(
      fc.asyncProperty(request, async ({ endpoint: { method, path }, names, query, sent }) => {
        const named = path.replace('{instance_id}', () => names[0]).replace('{binding_id}', () => names[1])
        const { status } = await call(server, method, named + query, sent)
        assert.ok(status < 500, `${status}`)
      }),
      { numRuns: 500, ...(process.env.TEST_SEED && { seed: Number(process.env.TEST_SEED) }) },
    )
  })
})

test('each endpoint asks for its right in `default`, whatever somebody may in an instance of their own', async () => {
  await withServer(async server => {
    await order(server)
    const keyOf = async (instance: string, role: string) => {
      const body = { name: role, roles: [role] }
      return (await server.ask('POST', '/v2/credentials', { body, headers: { 'holdfast-instance': instance } })).body
        .api_key as string
    }
    const others = [await keyOf(GUID, 'administrator'), await keyOf(GUID, 'manager')]
    for (const [role, { actions }] of Object.entries(builtInRoles)) {
      const key = await keyOf('default', role)
      for (const { method, path, action } of endpoints) {
        const url = path.replace('{instance_id}', 'none').replace('{binding_id}', 'none')
        const body = method === 'PUT' || method === 'PATCH' ? { body: {} } : {}
        const status = async (presented: string) =>
          (await call(server, method, url, { ...body, authorization: `Bearer ${presented}` })).status
        const may = (actions as readonly string[]).includes(action)
        assert.equal((await status(key)) !== 403, may, `${role}: ${method} ${path}`)
        if (role === 'reader') for (const other of others) assert.equal(await status(other), 403, `${method} ${path}`)
      }
    }
    const editor = await keyOf('default', 'editor')
    const { service_id, standard } = await idsOf(server)
    const body = { service_id, plan_id: standard, parameters: { role: 'writer' } }
    const given = await call(server, 'PUT', bindingAt(GUID, 'b'), { body, authorization: `Bearer ${editor}` })
    assert.equal(given.status, 403, 'nobody gives what they do not have')
  })
})
