/** Administration over REST, on a server in memory: what each operation does, what it refuses, and who may not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type Ask, type TestServer, withServer } from '../../testing.ts'

const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]
const message = (answer: Answer) => answer.body.errors[0].message as string
const within = (instance: string, options: Ask = {}): Ask => ({
  ...options,
  headers: { 'holdfast-instance': instance },
})

async function team(server: TestServer, name: string, roles: string[] = ['manager', 'administrator']) {
  const instance = (await server.ask('POST', '/v2/instances', { body: { name, plan: 'standard' } })).body
  const made = await server.ask(
    'POST',
    '/v2/credentials',
    within(instance.id, { body: { name: `${name}-key`, roles } }),
  )
  assert.equal(made.status, 201, made.text)
  return { id: instance.id as string, instance, key: made.body.api_key as string, credential: made.body.credential }
}

const acquire = (server: TestServer, name: string, options: Ask) =>
  server.ask('POST', `/v1/locks/${name}/acquire`, { body: { ttl_seconds: 30 }, ...options })

test('two teams get an instance and a key in one call each; the same name is two locks, and neither sees the other', async () => {
  await withServer(async server => {
    const [red, blue] = [await team(server, 'red'), await team(server, 'blue')]
    assert.equal(red.instance.limits.held_locks, 10_000)
    for (const { key } of [red, blue]) assert.equal((await acquire(server, 'same', { key })).status, 200)
    assert.equal((await acquire(server, 'same', { key: red.key })).status, 409)
    const instances = (await server.ask('GET', '/v2/instances', { key: red.key })).body.instances
    assert.deepEqual(
      instances.map(({ id }: { id: string }) => id),
      [red.id],
    )
    const foreign = await server.ask('GET', `/v2/instances/${blue.id}`, { key: red.key })
    const nowhere = await server.ask('GET', '/v2/instances/00000000-0000-4000-8000-000000000000', { key: red.key })
    assert.deepEqual([foreign.status, nowhere.status], [404, 404])
    assert.equal(message(foreign).replace(blue.id, 'X'), message(nowhere).replace(/00000000[0-9-]*/, 'X'))
    for (const [method, path, body] of [
      ['GET', '/v2/credentials', undefined],
      ['POST', '/v2/credentials', { name: 'spy', roles: ['reader'] }],
      ['GET', '/v2/policies', undefined],
    ] as const)
      assert.equal(
        (await server.ask(method, path, within(blue.id, { key: red.key, ...(body && { body }) }))).status,
        404,
        path,
      )
    assert.deepEqual(
      code(await server.ask('POST', '/v2/instances', { key: red.key, body: { name: 'x', plan: 'standard' } })),
      [403, 'forbidden'],
    )
  })
})

test('the same create a second time is told which instance there is already, if it asks for a name of its own', async () => {
  await withServer(async server => {
    const body = { name: 'payments', plan: 'standard', unique_name: true }
    const { id } = (await server.ask('POST', '/v2/instances', { body })).body
    const again = await server.ask('POST', '/v2/instances', { body })
    assert.deepEqual([...code(again), again.body.errors[0].instance], [409, 'already_exists', id])
    assert.equal((await server.ask('GET', '/v2/instances')).body.instances.length, 2, 'it and `default`')
    const another = await server.ask('POST', '/v2/instances', { body: { name: 'payments', plan: 'standard' } })
    assert.equal(another.status, 201)
  })
})

test('an instance is renamed, resized, moved to another plan; what does not fit is told what would', async () => {
  await withServer(async server => {
    const { id, key } = await team(server, 'red')
    const path = `/v2/instances/${id}`
    const resized = await server.ask('PATCH', path, { key, body: { capacity_units: 30 } })
    assert.deepEqual([resized.body.capacity_units, resized.body.limits.sessions], [30, 6_000])
    const odd = await server.ask('PATCH', path, { key, body: { capacity_units: 31 } })
    assert.deepEqual(code(odd), [400, 'invalid_request'])
    assert.match(message(odd), /steps of 10/)
    assert.equal(odd.body.errors[0].target.name, 'capacity_units')
    const moved = await server.ask('PATCH', path, {
      body: { plan: 'premium', capacity_units: 3, overrides: { sessions: 5 } },
    })
    assert.deepEqual([moved.body.plan, moved.body.limits.sessions, moved.body.limits.waiters], ['premium', 5, 3_000])
    assert.match(
      message(await server.ask('PATCH', path, { key, body: { plan: 'gold' } })),
      /there are: `premium`, `standard`/,
    )
  })
})

test('limits of an instance’s own are the operator’s to give: its own people, whatever their role, cannot raise, lower or lift them', async () => {
  await withServer(async server => {
    const body = { name: 'red', plan: 'premium', capacity_units: 3 }
    const { id } = (await server.ask('POST', '/v2/instances', { body })).body
    const path = `/v2/instances/${id}`
    const own = async (role: string) =>
      (await server.ask('POST', '/v2/credentials', within(id, { body: { name: role, roles: [role] } }))).body.api_key
    const keys = [await own('administrator'), await own('editor')]
    const limits = async () => (await server.ask('GET', path)).body.limits
    const before = await limits()
    const wanted = [{ operations_per_second: 1_000_000 }, { sessions: null }, { sessions: 1 }, {}]
    for (const key of keys)
      for (const overrides of wanted) {
        const refused = await server.ask('PATCH', path, { key, body: { overrides, capacity_units: 4 } })
        assert.deepEqual(code(refused), [403, 'forbidden'])
        assert.equal(refused.body.errors[0].target.name, 'overrides')
      }
    assert.deepEqual(await limits(), before, 'nothing of it is done')
    const resized = await server.ask('PATCH', path, { key: keys[0], body: { capacity_units: 4 } })
    assert.equal(resized.body.limits.sessions, 800, 'a size is paid for')
    const keyOf = async (role: string) =>
      (await server.ask('POST', '/v2/credentials', { body: { name: role, roles: [role] } })).body.api_key
    const given = await server.ask('PATCH', path, { key: await keyOf('editor'), body: { overrides: { sessions: 7 } } })
    assert.equal(given.body.limits.sessions, 7, 'an editor of `default` runs the service')
    await server.ask('PATCH', path, { key: keys[0], body: { plan: 'standard', capacity_units: 10 } })
    const back = await server.ask('PATCH', path, { key: keys[0], body: { plan: 'premium', capacity_units: 1 } })
    assert.equal(back.body.limits.sessions, 7, 'nor by a plan in between')
  })
})

test('what the operator has disabled or deleted the operator opens; what its own people have, they open too', async () => {
  await withServer(async server => {
    const { id, key } = await team(server, 'red')
    const verb = (name: string, options: Ask = {}, method = 'POST') =>
      server.ask(method, `/v2/instances/${id}${name}`, options)
    assert.deepEqual(
      [(await verb('/disable', { key })).body.closed_by, (await verb('/enable', { key })).body.state],
      ['instance', 'active'],
    )
    assert.equal((await verb('/disable')).body.closed_by, 'service')
    const refused = await verb('/enable', { key })
    assert.deepEqual([...code(refused), refused.body.errors[0].reason], [403, 'forbidden', 'instance_disabled'])
    assert.deepEqual(code(await verb('', { key }, 'DELETE')), [403, 'forbidden'])
    assert.deepEqual(code(await acquire(server, 'a', { key })), [403, 'forbidden'])
    assert.equal((await verb('', {}, 'DELETE')).body.state, 'pending_reclamation')
    for (const name of ['/restore', '/reclaim']) assert.deepEqual(code(await verb(name, { key })), [403, 'forbidden'])
    assert.equal((await verb('/restore')).body.state, 'disabled')
    assert.equal((await verb('/enable')).body.closed_by, undefined)
    assert.equal((await verb('', { key }, 'DELETE')).body.closed_by, 'instance')
    assert.deepEqual(code(await acquire(server, 'a', { key })), [403, 'forbidden'])
    assert.equal((await verb('/restore', { key })).body.state, 'active')
    assert.equal((await acquire(server, 'a', { key })).status, 200)
    await verb('', { key }, 'DELETE')
    assert.equal((await verb('/reclaim', { key })).status, 204)
    assert.equal((await verb('', {}, 'GET')).status, 404)
  })
})

test('disabled: everything is refused and nothing lost; deleted: restored; reclaimed: gone with its locks', async () => {
  await withServer(async server => {
    const { id, key } = await team(server, 'red')
    const held = await acquire(server, 'a', { key })
    await server.ask('PUT', '/v1/locks/configured', { key, body: { description: 'x' } })
    const verb = (name: string, method = 'POST') => server.ask(method, `/v2/instances/${id}${name}`)
    assert.equal((await verb('/disable')).body.state, 'disabled')
    assert.deepEqual(code(await acquire(server, 'b', { key })), [403, 'forbidden'])
    assert.equal((await verb('/enable')).body.state, 'active')
    const renewed = await server.ask('POST', '/v1/locks/a/renew', { key, body: { lock_id: held.body.lock_id } })
    assert.equal(renewed.body.token, held.body.token)
    assert.match(message(await verb('/reclaim')), /deleted first/)
    assert.ok((await verb('', 'DELETE')).body.reclaim_at)
    assert.deepEqual(code(await acquire(server, 'b', { key })), [403, 'forbidden'])
    assert.equal((await verb('/restore')).body.state, 'active')
    await verb('', 'DELETE')
    assert.equal((await verb('/reclaim')).status, 204)
    assert.equal((await verb('', 'GET')).status, 404)
    assert.deepEqual(code(await acquire(server, 'b', { key })), [401, 'unauthenticated'])
    assert.deepEqual(code(await server.ask('DELETE', '/v2/instances/default')), [400, 'invalid_request'])
  })
})

test('a key is shown once, rotated with overlap, revoked and deleted', async () => {
  await withServer(async server => {
    const { key, credential } = await team(server, 'red')
    const shown = await server.ask('GET', `/v2/credentials/${credential.id}`, { key })
    assert.equal(shown.body.api_key, undefined)
    assert.ok(!shown.text.includes(key.slice(-43)))
    const rotated = await server.ask('POST', `/v2/credentials/${credential.id}/rotate`, {
      key,
      body: { overlap_ms: 60_000 },
    })
    const next = rotated.body.api_key as string
    for (const either of [key, next]) assert.equal((await server.ask('GET', '/v2/whoami', { key: either })).status, 200)
    assert.equal(rotated.body.credential.subject, credential.subject)
    const revoked = await server.ask('POST', `/v2/credentials/${credential.id}/revoke`, {
      key: next,
      body: { reason: 'leaked' },
    })
    assert.equal(revoked.body.state, 'revoked')
    assert.deepEqual(code(await server.ask('GET', '/v2/whoami', { key })), [401, 'unauthenticated'])
    assert.equal((await server.ask('DELETE', `/v2/credentials/${credential.id}`, { key: next })).status, 204)
    assert.equal((await server.ask('GET', `/v2/credentials/${credential.id}`, { key: next })).status, 404)
    const past = { name: 'p', roles: ['reader'], expires_at: '2020-01-01T00:00:00Z' }
    assert.match(message(await server.ask('POST', '/v2/credentials', { key: next, body: past })), /past/)
  })
})

test('nobody gives roles that they do not have, unless they may grant anything', async () => {
  await withServer(async server => {
    const { key } = await team(server, 'red', ['writer', 'editor'])
    const give = (roles: string[]) => server.ask('POST', '/v2/credentials', { key, body: { name: 'x', roles } })
    assert.equal((await give(['writer'])).status, 201)
    assert.equal((await give(['crn:v1:bluemix:public:iam::::serviceRole:Writer'])).body.credential.roles[0], 'writer')
    assert.deepEqual(code(await give(['manager'])), [403, 'forbidden'])
    assert.deepEqual(code(await give(['writer', 'administrator'])), [403, 'forbidden'])
    assert.match(message(await give(['king'])), /There is no role `king`/)
  })
})

test('policies grant own roles on patterns; a test of a policy says why; a page at a time', async () => {
  await withServer(async server => {
    const { key, id } = await team(server, 'red')
    const worker = (await server.ask('POST', '/v2/credentials', { key, body: { name: 'w' } })).body
    const asWorker = { key: worker.api_key as string }
    assert.deepEqual(code(await acquire(server, 'payments%2F1', asWorker)), [403, 'forbidden'])
    const role = await server.ask('PUT', '/v2/roles/holder', {
      key,
      body: { actions: ['lock.acquire', 'lock.release', 'session.open'] },
    })
    assert.equal(role.status, 200)
    assert.match(
      message(await server.ask('PUT', '/v2/roles/writer', { key, body: { actions: ['lock.read'] } })),
      /built-in/,
    )
    const policy = {
      subjects: [worker.credential.subject],
      roles: ['holder'],
      locks: ['payments/*'],
      conditions: {
        max_ttl_ms: 30_000,
        hours: { from: '00:00', to: '23:59', days: [0, 1, 2, 3, 4, 5, 6] },
        sources: ['127.0.0.0/8'],
      },
    }
    const made = await server.ask('POST', '/v2/policies', { key, body: policy })
    assert.deepEqual([made.status, made.body.conditions], [201, policy.conditions])
    assert.equal((await acquire(server, 'payments%2F1', asWorker)).status, 200)
    for (const name of ['payments', 'paymentsX%2F1', 'Payments%2F1'])
      assert.equal((await acquire(server, name, asWorker)).status, 403, name)
    assert.equal((await acquire(server, 'payments%2F2', { ...asWorker, body: { ttl_seconds: 31 } })).status, 403)
    const ask = (lock: string) =>
      server.ask('POST', '/v2/policies/test', {
        key,
        body: { subject: worker.credential.subject, action: 'lock.acquire', lock, ttl_ms: 1_000 },
      })
    assert.equal((await ask('payments/1')).body.permitted, true)
    const denied = (await ask('orders/1')).body
    assert.equal(denied.permitted, false)
    assert.match(JSON.stringify(denied.looked_at), /patterns/)
    const bad = { ...policy, conditions: { sources: ['nowhere'] } }
    assert.match(message(await server.ask('PUT', `/v2/policies/${made.body.id}`, { key, body: bad })), /CIDR/)
    assert.match(
      message(await server.ask('POST', '/v2/policies', { key, body: { ...policy, roles: ['nobody'] } })),
      /There is no role/,
    )
    for (const other of ['a', 'b'])
      await server.ask('PUT', `/v2/policies/${other}-${id.slice(0, 8)}`, { key, body: policy })
    const first = (await server.ask('GET', '/v2/policies?limit=2', { key })).body
    const second = (await server.ask('GET', `/v2/policies?limit=2&start=${first.next.start}`, { key })).body
    assert.deepEqual([first.policies.length, second.policies.length, second.next], [2, 1, undefined])
    for (const { id: each } of [...first.policies, ...second.policies])
      await server.ask('DELETE', `/v2/policies/${each}`, { key })
    assert.deepEqual(code(await acquire(server, 'payments%2F3', asWorker)), [403, 'forbidden'])
    assert.equal((await server.ask('DELETE', '/v2/roles/holder', { key })).status, 204)
  })
})

test('a test of a policy says no where the server does: to freezes, to preemption, to keys that have ended', async () => {
  await withServer(async server => {
    const made = async (fields: object) =>
      (await server.ask('POST', '/v2/credentials', { body: { name: 'k', roles: [], ...fields } })).body.credential
    const says = async (subject: string, action: string, more: object = {}) =>
      (await server.ask('POST', '/v2/policies/test', { body: { subject, action, lock: 'orders', ...more } })).body
    const { subject } = await made({})
    const policy = { subjects: [subject], roles: ['manager'], locks: ['orders'] }
    await server.ask('PUT', '/v2/policies/p', { body: policy })
    assert.equal((await says(subject, 'lock.freeze')).permitted, false, 'not all names that begin so')
    await server.ask('PUT', '/v2/policies/p', { body: { ...policy, locks: ['orders*'] } })
    assert.equal((await says(subject, 'lock.freeze')).permitted, true)
    assert.equal((await says(subject, 'lock.acquire', { preempt: 'graceful' })).permitted, true)
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    const writer = await made({ roles: ['writer'], expires_at })
    assert.equal((await says(writer.subject, 'lock.acquire')).permitted, true)
    const taken = await says(writer.subject, 'lock.acquire', { preempt: 'graceful' })
    assert.deepEqual([taken.permitted, /lock\.preempt/.test(taken.why)], [false, true])
    assert.equal((await says(writer.subject, 'lock.acquire', { at: expires_at })).permitted, false, 'expired by then')
    await server.ask('POST', `/v2/credentials/${writer.id}/revoke`, { body: {} })
    const revoked = await says(writer.subject, 'lock.acquire')
    assert.deepEqual([revoked.permitted, revoked.looked_at], [false, []])
  })
})

test('plans are for whoever runs the service to change, and for all to see', async () => {
  await withServer(async server => {
    const { key } = await team(server, 'red')
    const { plans } = (await server.ask('GET', '/v2/plans', { key })).body
    const { id, ...standard } = plans.find((plan: { id: string }) => plan.id === 'standard')
    assert.deepEqual([id, standard.price_usd, standard.per_units], ['standard', 0.1, 10])
    assert.deepEqual(code(await server.ask('PUT', '/v2/plans/standard', { key, body: standard })), [403, 'forbidden'])
    const tiny = { ...standard, title: 'Tiny', min_units: 1, step_units: 1, unit: { ...standard.unit, held_locks: 2 } }
    assert.equal((await server.ask('PUT', '/v2/plans/tiny', { body: tiny })).status, 200)
    const small = (await server.ask('POST', '/v2/instances', { body: { name: 's', plan: 'tiny' } })).body
    const asSmall = within(small.id)
    for (const name of ['a', 'b']) assert.equal((await acquire(server, name, asSmall)).status, 200)
    const third = await acquire(server, 'c', asSmall)
    assert.deepEqual(code(third), [429, 'quota_exceeded'])
    assert.ok(third.headers['retry-after'])
  })
})

test('metrics of an instance tell how long its people waited and held, and how it ended, each of their own', async () => {
  await withServer(async server => {
    const [red, blue] = [await team(server, 'red', ['manager', 'operator']), await team(server, 'blue', ['operator'])]
    const held = (await acquire(server, 'a', { key: red.key })).body
    const body = { ttl_seconds: 30, wait_seconds: 30 }
    const next = server.ask('POST', '/v1/locks/a/acquire', { key: red.key, body })
    const queued = async () => (await server.ask('GET', '/v1/locks/a', { key: red.key })).body.waiters === 1
    while (!(await queued()));
    await server.ask('POST', '/v1/locks/a/release', { key: red.key, body: { lock_id: held.lock_id } })
    assert.equal((await next).status, 200)
    const of = async (key: string) => (await server.ask('GET', '/metrics', { key })).text
    const own = await of(red.key)
    const number = (text: string, name: string) =>
      Number(new RegExp(`^ibm_go_etcd_lock_${name} ([0-9.e-]+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
    assert.equal(number(own, 'wait_seconds_count\\{.*\\}'), 2)
    assert.equal(number(own, 'wait_seconds_bucket\\{.*,le="\\+Inf"\\}'), 2)
    assert.ok(number(own, 'wait_seconds_sum\\{.*\\}') > 0)
    assert.equal(number(own, 'hold_seconds_count\\{.*\\}'), 1)
    assert.equal(number(own, 'grants_ended_total\\{.*,how="released"\\}'), 1)
    assert.ok(!/wait_seconds_|grants_ended_total\{/.test(await of(blue.key)), 'another has done nothing')
    assert.ok((await server.ask('GET', '/metrics')).text.includes(red.id))
    await server.ask('DELETE', `/v2/instances/${red.id}`)
    await server.ask('POST', `/v2/instances/${red.id}/reclaim`)
    assert.ok(!(await server.ask('GET', '/metrics')).text.includes(red.id), 'what is gone is forgotten')
  })
})

test('metrics: of all for whoever runs the service, of the own instance for its people, of nobody else’s', async () => {
  await withServer(async server => {
    const [red, blue] = [await team(server, 'red', ['manager', 'operator']), await team(server, 'blue')]
    for (const { key } of [red, blue]) await acquire(server, 'a', { key })
    const of = async (options: Ask) => (await server.ask('GET', '/metrics', options)).text
    const all = await of({})
    assert.match(all, /^holdfast_grants\{shard="0"\} 2$/m)
    for (const { id } of [red, blue]) assert.ok(all.includes(`ibm_service_instance="${id}"`))
    const own = await of({ key: red.key })
    assert.match(own, /^ibm_go_etcd_lock_grants\{.*ibm_service_instance_name="red".*\} 1$/m)
    assert.match(own, /^ibm_go_etcd_lock_acquires_total\{.*outcome="granted"\} 1$/m)
    assert.match(own, /^ibm_go_etcd_lock_limit\{.*of="held_locks"\} 10000$/m)
    assert.match(own, /^ibm_go_etcd_lock_stored_bytes\{.*\} \d+$/m)
    assert.ok(!own.includes(blue.id) && !own.includes('holdfast_'))
    assert.ok(!(await of(within(red.id))).includes(blue.id), 'the operator names one')
    const writer = (
      await server.ask('POST', '/v2/credentials', within(red.id, { body: { name: 'w', roles: ['writer'] } }))
    ).body
    assert.deepEqual(code(await server.ask('GET', '/metrics', { key: writer.api_key })), [403, 'forbidden'])
    assert.equal((await server.ask('GET', '/metrics', { key: null })).status, 200, 'from this machine')
    const proxied = { key: null, headers: { 'x-forwarded-for': '192.0.2.1' } }
    assert.equal((await server.ask('GET', '/metrics', proxied)).status, 401, 'a proxy on it stands for others')
  })
  await withServer(
    async server => {
      const from = { key: null, headers: { 'x-forwarded-for': '192.0.2.1' } }
      assert.deepEqual(code(await server.ask('GET', '/metrics', from)), [401, 'unauthenticated'])
    },
    { args: ['--trusted-proxies', '127.0.0.1'] },
  )
})

test('every deed is in the trail, with who, from where, what and on what; what was denied too', async () => {
  await withServer(async server => {
    const { key, id, credential } = await team(server, 'red')
    await server.ask('POST', '/v2/instances', { key, body: { name: 'x', plan: 'standard' } })
    await server.registry.change(
      {
        by: 'test',
        from: '',
        action: 'test',
        instance: null,
        target: '',
        outcome: 'success',
        status: 200,
        reason: '',
        trace: '',
      },
      () => [],
    )
    const { links } = await server.registry.trail({ after: 0, limit: 100 })
    const deeds = links.flatMap(link => link.deeds).filter(deed => deed.by === 'root')
    assert.deepEqual(
      deeds.map(({ action, instance, target, outcome, status }) => [action, instance, target, outcome, status]),
      [
        ['instance.create', id, `instance/${id}`, 'success', 201],
        ['credential.create', id, `credential/${credential.id}`, 'success', 201],
      ],
    )
    assert.ok(deeds.every(({ from, trace }) => from === '127.0.0.1' && trace !== ''))
  })
})
