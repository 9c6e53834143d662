import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type TestServer, withServer } from '../../testing.ts'

const acquire = (server: TestServer, name: string, body: object = {}, headers: Record<string, string> = {}) =>
  server.ask('POST', `/v1/locks/${name}/acquire`, { body, headers })

test('a lock is acquired, shown, renewed and released, with nothing but the lock_id', async () => {
  await withServer(async server => {
    const granted = await acquire(server, 'orders', { holder: 'billing-7', ttl_seconds: 45, metadata: { job: 7 } })
    assert.equal(granted.status, 200)
    assert.equal(granted.body.ttl_seconds, 45)
    assert.equal(granted.body.holder, 'billing-7')
    assert.equal(granted.body.waited_seconds, 0)
    const secret = granted.body.lock_id.split('.')[1]
    assert.ok(Buffer.from(secret, 'base64url').length * 8 >= 128)

    const shown = await server.ask('GET', '/v1/locks/orders')
    assert.deepEqual(
      [shown.body.state, shown.body.holder, shown.body.token, shown.body.waiters],
      ['held', 'billing-7', granted.body.token, 0],
    )

    const renewed = await server.ask('POST', '/v1/locks/orders/renew', {
      body: { lock_id: granted.body.lock_id, ttl_seconds: 60 },
    })
    assert.deepEqual(
      [renewed.status, renewed.body.token, renewed.body.ttl_seconds, renewed.body.changes],
      [200, granted.body.token, 60, 0],
    )

    const released = await server.ask('POST', '/v1/locks/orders/release', { body: { lock_id: granted.body.lock_id } })
    assert.deepEqual(released.body, { released: true })
    assert.equal((await server.ask('GET', '/v1/locks/orders')).status, 404)
  })
})

test('a body is not needed to acquire, and the TTL is then 30 seconds or what the lock says', async () => {
  await withServer(async server => {
    assert.equal((await server.ask('POST', '/v1/locks/a/acquire')).body.ttl_seconds, 30)
    await server.ask('PUT', '/v1/locks/b', { body: { default_ttl_seconds: 90 } })
    assert.equal((await server.ask('POST', '/v1/locks/b/acquire')).body.ttl_seconds, 90)
  })
})

test('a held lock answers who holds it, since when and how many wait', async () => {
  await withServer(async server => {
    const granted = await acquire(server, 'a', { holder: 'first' })
    const refused = await acquire(server, 'a', { holder: 'second' })
    assert.equal(refused.status, 409)
    const [error] = refused.body.errors
    assert.deepEqual(
      [error.code, error.holder, error.since, error.queue_length],
      ['lock_held', 'first', granted.body.acquired_at, 0],
    )
  })
})

test('a wait that ends without the lock says how long it was', async () => {
  await withServer(async server => {
    await acquire(server, 'a')
    const [waited, tried] = [await acquire(server, 'a', { wait_seconds: 1 }), await acquire(server, 'a')]
    const [error] = waited.body.errors
    assert.deepEqual([waited.status, error.reason, error.waited_ms], [409, 'timeout', undefined])
    assert.ok(error.waited_seconds >= 1)
    assert.equal(tried.body.errors[0].waited_seconds, undefined)
  })
})

test('a wait ends with the grant when the holder releases, and tokens grow', async () => {
  await withServer(async server => {
    const first = await acquire(server, 'a')
    const waiting = acquire(server, 'a', { wait_seconds: 30 })
    while ((await server.ask('GET', '/v1/locks/a')).body.waiters === 0);
    await server.ask('POST', '/v1/locks/a/release', { body: { lock_id: first.body.lock_id } })
    const second = await waiting
    assert.equal(second.status, 200)
    assert.ok(second.body.token > first.body.token)
  })
})

test('a lock_id that is not that of this lock ends nothing, and tells nothing', async () => {
  await withServer(async server => {
    const a = await acquire(server, 'a')
    const b = await acquire(server, 'b')
    const [session, secret] = a.body.lock_id.split('.')
    const wrong = [
      b.body.lock_id,
      `${session}.${'x'.repeat(secret.length)}`,
      `s-zzzz.${secret}`,
      'nonsense',
      `${session}`,
      '.',
    ]
    for (const lock_id of wrong) {
      for (const verb of ['renew', 'release']) {
        const refused = await server.ask('POST', `/v1/locks/a/${verb}`, { body: { lock_id } })
        assert.deepEqual(
          [refused.status, refused.body.errors?.[0].code, refused.body.errors?.[0].reason],
          [409, 'lock_lost', 'expired'],
          `${verb} ${lock_id}`,
        )
      }
    }
    assert.equal((await server.ask('GET', '/v1/locks/a')).body.token, a.body.token)
    assert.equal((await server.ask('GET', '/v1/locks/b')).body.token, b.body.token)
  })
})

test('under one idempotency key a retry gets the same grant, and another body is refused', async () => {
  await withServer(async server => {
    const key = { 'idempotency-key': 'job 17' }
    const first = await acquire(server, 'a', { holder: 'x', ttl_seconds: 60 }, key)
    const again = await acquire(server, 'a', { ttl_seconds: 60, holder: 'x' }, key)
    assert.deepEqual([again.status, again.body.lock_id, again.body.token], [200, first.body.lock_id, first.body.token])
    for (const [name, body] of [
      ['a', { holder: 'y', ttl_seconds: 60 }],
      ['b', { holder: 'x', ttl_seconds: 60 }],
    ] as const) {
      const refused = await acquire(server, name, body, key)
      assert.deepEqual(
        [refused.status, refused.body.errors[0].target],
        [400, { type: 'header', name: 'Idempotency-Key' }],
      )
    }
    for (const bad of ['x'.repeat(129), 'tab\there'])
      assert.equal((await acquire(server, 'c', {}, { 'idempotency-key': bad })).status, 400)
    assert.equal((await acquire(server, 'c', {}, { 'idempotency-key': 'x'.repeat(128) })).status, 200)
  })
})

test('a lock is configured, changed, listed in pages and deleted', async () => {
  await withServer(async server => {
    const created = await server.ask('PUT', '/v1/locks/p%2Fa', {
      body: {
        description: 'one',
        default_ttl_seconds: 90,
        lock_delay_seconds: 0,
        preemption: 'graceful',
        labels: { team: 'x' },
      },
    })
    assert.equal(created.status, 201)
    const changed = await server.ask('PUT', '/v1/locks/p%2Fa', { body: { description: 'two' } })
    assert.deepEqual(
      [changed.status, changed.body.description, changed.body.default_ttl_seconds, changed.body.name],
      [200, 'two', undefined, 'p/a'],
    )
    for (const name of ['p%2Fb', 'p%2Fc', 'q']) await acquire(server, name)
    const first = await server.ask('GET', '/v1/locks?prefix=p/&limit=2')
    assert.deepEqual(
      first.body.locks.map((lock: { name: string }) => lock.name),
      ['p/a', 'p/b'],
    )
    const next = await server.ask('GET', new URL(first.body.next.href).pathname + new URL(first.body.next.href).search)
    assert.deepEqual(
      next.body.locks.map((lock: { name: string }) => lock.name),
      ['p/c'],
    )
    assert.equal(next.body.next, undefined)
    assert.equal((await server.ask('DELETE', '/v1/locks/p%2Fb')).status, 409)
    assert.equal((await server.ask('DELETE', '/v1/locks/p%2Fa')).status, 204)
    assert.equal((await server.ask('DELETE', '/v1/locks/p%2Fa')).status, 404)
    assert.equal((await server.ask('GET', '/v1/locks?start=%21')).status, 400)
  })
})

test('no reply promises more than the longest hold or a notice leaves', async () => {
  const isWithin = (name: string, body: Promised, seconds: number) => {
    assert.ok(Date.parse(body.expires_at) <= Date.now() + seconds * 1_000, `${name}: ${body.expires_at}`)
    if (body.ttl_seconds !== undefined) assert.ok(body.ttl_seconds <= seconds, `${name}: ${body.ttl_seconds}`)
  }
  type Promised = { expires_at: string; ttl_seconds?: number }
  await withServer(async server => {
    await server.ask('PUT', '/v1/locks/a', { body: { max_hold_seconds: 50 } })
    const granted = await acquire(server, 'a', { ttl_seconds: 600 })
    const renew = () =>
      server.ask('POST', '/v1/locks/a/renew', { body: { lock_id: granted.body.lock_id, ttl_seconds: 600 } })
    isWithin('acquired', granted.body, 50)
    isWithin('renewed', (await renew()).body, 50)
    isWithin('shown', (await server.ask('GET', '/v1/locks/a')).body, 50)
    isWithin('listed', (await server.ask('GET', '/v1/locks')).body.locks[0], 50)
    await server.ask('POST', '/v2/locks/a/preempt', { body: { reason: 'emergency stop', grace_ms: 20_000 } })
    isWithin('renewed under notice', (await renew()).body, 20)
    isWithin('shown under notice', (await server.ask('GET', '/v1/locks/a')).body, 20)
  })
})

test('a holder under notice hears of it at its next renewal', async () => {
  await withServer(async server => {
    const granted = await acquire(server, 'a', { ttl_seconds: 60 })
    await server.ask('POST', '/v2/locks/a/preempt', { body: { reason: 'emergency stop', grace_ms: 60_000 } })
    const renewed = await server.ask('POST', '/v1/locks/a/renew', { body: { lock_id: granted.body.lock_id } })
    assert.deepEqual([renewed.body.preempting.by, renewed.body.preempting.reason], ['root', 'emergency stop'])
    assert.ok(renewed.body.preempting.ends_in_seconds <= 60)
    assert.equal(renewed.body.changes, 1)
  })
})

test('a forced end is told to the holder as what it was', async () => {
  await withServer(async server => {
    const granted = await acquire(server, 'a')
    await server.ask('POST', '/v2/locks/a/force-release', { body: { reason: 'stuck', now: true } })
    const refused = await server.ask('POST', '/v1/locks/a/renew', { body: { lock_id: granted.body.lock_id } })
    assert.deepEqual([refused.status, refused.body.errors[0].reason], [409, 'forced'])
  })
})
