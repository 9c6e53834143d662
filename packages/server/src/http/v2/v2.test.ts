import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Answer, type TestServer, type TestSession, withServer } from '../../testing.ts'

const acquire = (server: TestServer, session: TestSession, name: string, body: object = {}) =>
  server.ask('POST', `/v2/locks/${name}/acquire`, { session: session.handle, body })
const code = (answer: Answer) => [answer.status, answer.body?.errors?.[0].code]

async function queued(server: TestServer, name: string, count = 1): Promise<void> {
  while ((await server.ask('GET', `/v2/locks/${name}`)).body.waiters < count);
}

test('a session is opened, renewed, shown and closed, and takes its grants with it', async () => {
  await withServer(async server => {
    const session = await server.openSession({ ttl_ms: 20_000, labels: { holder: 'worker-1' } })
    const granted = await acquire(server, session, 'a', { metadata: { n: 1 } })
    assert.deepEqual(
      [granted.body.holder, granted.body.session_id, granted.body.ttl_ms, granted.body.changes, granted.body.waited_ms],
      ['worker-1', session.id, 20_000, 0, 0],
    )
    const renewed = await server.ask('POST', `/v2/sessions/${session.id}/renew`, {
      session: session.handle,
      body: { ttl_ms: 30_000 },
    })
    assert.deepEqual([renewed.body.ttl_ms, renewed.body.changes, renewed.body.grants], [30_000, 0, undefined])
    const shown = await server.ask('GET', `/v2/sessions/${session.id}`)
    assert.deepEqual([shown.body.grants.length, shown.body.waits, shown.body.labels], [1, [], { holder: 'worker-1' }])
    assert.equal((await server.ask('DELETE', `/v2/sessions/${session.id}`, { session: session.handle })).status, 204)
    assert.equal((await server.ask('GET', '/v2/locks/a')).status, 404)
    assert.deepEqual(code(await server.ask('POST', `/v2/sessions/${session.id}/renew`, { session: session.handle })), [
      404,
      'not_found',
    ])
  })
})

test('without a session an acquire is told how to get one; with a wrong secret it is 401', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const refused = await server.ask('POST', '/v2/locks/a/acquire', { body: {} })
    assert.deepEqual(code(refused), [400, 'invalid_request'])
    assert.match(refused.body.errors[0].message, /POST \/v2\/sessions/)
    for (const handle of [`${session.id}.wrong`, 'x', `${session.handle}x`]) {
      assert.deepEqual(code(await server.ask('POST', '/v2/locks/a/acquire', { body: {}, session: handle })), [
        401,
        'unauthenticated',
      ])
    }
    const other = await server.openSession()
    assert.deepEqual(code(await server.ask('DELETE', `/v2/sessions/${session.id}`, { session: other.handle })), [
      400,
      'invalid_request',
    ])
  })
})

test('shared, exclusive and permits', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    assert.equal((await acquire(server, one, 'doc', { mode: 'shared' })).status, 200)
    assert.equal((await acquire(server, two, 'doc', { mode: 'shared' })).status, 200)
    assert.deepEqual(code(await acquire(server, two, 'doc')), [409, 'lock_held'])
    assert.equal((await server.ask('GET', '/v2/locks/doc')).body.holders.length, 2)
    const three = await acquire(server, one, 'pool', { mode: 'permits', permits: 2, limit: 3 })
    assert.deepEqual([three.body.permits, three.body.slots], [2, [0, 1]])
    assert.deepEqual(code(await acquire(server, two, 'pool', { mode: 'permits', permits: 2, limit: 3 })), [
      409,
      'lock_held',
    ])
    assert.deepEqual((await acquire(server, two, 'pool', { mode: 'permits', limit: 3 })).body.slots, [2])
    assert.equal(
      (await acquire(server, two, 'pool', { mode: 'permits', limit: 4 })).body.errors[0].target.name,
      'limit',
    )
  })
})

test('a repeat under the same request id gets the same grant, and a repeated release does nothing', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const first = await acquire(server, session, 'a', { request_id: 'job-1' })
    const again = await acquire(server, session, 'a', { request_id: 'job-1' })
    assert.deepEqual([again.body.token, again.body.request_id], [first.body.token, 'job-1'])
    const release = () =>
      server.ask('POST', '/v2/locks/a/release', {
        session: session.handle,
        body: { token: first.body.token, request_id: 'job-2' },
      })
    assert.deepEqual((await release()).body.released, true)
    assert.deepEqual((await release()).body.released, true)
    assert.deepEqual(code(await acquire(server, session, 'a', { request_id: 'job-1' })), [409, 'lock_lost'])
  })
})

test('a refused session hears that it holds the lock itself, and others what keeps them out', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    await acquire(server, one, 'a', { lock_delay_ms: 60_000 })
    const [own, other] = [await acquire(server, one, 'a'), await acquire(server, two, 'a')]
    assert.match(own.body.errors[0].message, /^Your own session holds the lock: .*`reentrant: true`/)
    assert.match(other.body.errors[0].message, /somebody else/)
    await server.ask('POST', '/v2/locks/a/force-release', { body: { reason: 'stuck' } })
    const [delayed] = (await acquire(server, two, 'a')).body.errors
    assert.deepEqual([delayed.reason, delayed.lock, delayed.queue_length], ['delayed', 'a', 0])
    assert.ok(delayed.delayed_ms > 0 && delayed.estimate_ms > 0)
    const [v1] = (await server.ask('POST', '/v1/locks/a/acquire', { body: {} })).body.errors
    assert.ok(v1.delayed_seconds > 0 && v1.delayed_ms === undefined)
  })
})

test('events of the line say how long it is', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    await acquire(server, one, 'a')
    await acquire(server, two, 'a', { wait_ms: 20 })
    const { events } = (await server.ask('GET', '/v2/locks/a/history')).body
    assert.deepEqual(
      events.map((event: { type: string; queue_length?: number }) => [event.type, event.queue_length]),
      [
        ['dequeued', 0],
        ['queued', 1],
        ['granted', undefined],
      ],
    )
  })
})

test('what was acquired as a set can be given back as it was answered', async () => {
  await withServer(async server => {
    const { handle: session } = await server.openSession({ labels: { holder: '' } })
    const locks = [
      { name: 'a', max_hold_ms: 60_000 },
      { name: 's', permits: 2, limit: 3 },
    ]
    const { body } = await server.ask('POST', '/v2/acquire', {
      session,
      body: { locks, metadata: { n: 1 }, request_id: 'r' },
    })
    const released = await server.ask('POST', '/v2/release', { session, body: { grants: body.grants } })
    assert.deepEqual([released.status, released.body.released], [200, true])
    const strange = { ...body.grants[0], nonsense: 1 }
    assert.equal((await server.ask('POST', '/v2/release', { session, body: { grants: [strange] } })).status, 400)
  })
})

test('whoever names permits means a semaphore, and of another mode there are none', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const first = await acquire(server, one, 's', { permits: 2, limit: 3 })
    assert.deepEqual([first.body.mode, first.body.permits], ['permits', 2])
    assert.equal((await acquire(server, two, 's', { limit: 3 })).body.permits, 1)
    for (const body of [
      { mode: 'exclusive', permits: 2 },
      { mode: 'shared', limit: 3 },
    ])
      assert.deepEqual(code(await acquire(server, one, 'a', body)), [400, 'invalid_request'])
    assert.equal((await acquire(server, one, 'a', { mode: 'exclusive', permits: 1 })).status, 200)
  })
})

test('a wait that ends without the lock says how long it was, of one lock or of several', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    await acquire(server, one, 'a')
    const body = { wait_ms: 20 }
    const waited = [
      await acquire(server, two, 'a', body),
      await server.ask('POST', '/v2/elections/a/campaign', { session: two.handle, body: { ...body, value: 'v' } }),
      await server.ask('POST', '/v2/acquire', { session: two.handle, body: { ...body, locks: [{ name: 'a' }] } }),
    ]
    for (const { body } of waited) {
      assert.equal(body.errors[0].reason, 'timeout')
      assert.ok(body.errors[0].waited_ms >= 20)
    }
    assert.equal((await acquire(server, two, 'a')).body.errors[0].waited_ms, undefined, 'a try does not wait')
  })
})

test('a release is told what is known: how the grant ended, or that the token is not of a grant of the session', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const { token } = (await acquire(server, one, 'a')).body
    const release = (session: TestSession, token: number) =>
      server.ask('POST', '/v2/locks/a/release', { session: session.handle, body: { token } })
    assert.deepEqual(code(await release(two, token)), [409, 'stale_token'])
    assert.deepEqual(code(await release(one, 7)), [409, 'stale_token'])
    await server.ask('DELETE', `/v2/sessions/${one.id}`, { session: one.handle })
    const late = await release(one, token)
    assert.deepEqual([...code(late), late.body.errors[0].reason], [409, 'lock_lost', 'session_closed'])
  })
})

test('a request id that has been used with another body is refused, whichever way it is asked', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const body = { request_id: 'same' }
    assert.equal((await acquire(server, session, 'ra', body)).status, 200)
    const asked = [
      acquire(server, session, 'rb', body),
      acquire(server, session, 'ra', { ...body, mode: 'shared' }),
      server.ask('POST', '/v2/elections/rb/campaign', { session: session.handle, body: { ...body, value: 'v' } }),
      server.ask('POST', '/v2/acquire', {
        session: session.handle,
        body: { ...body, locks: [{ name: 'ra' }, { name: 'rb' }] },
      }),
    ]
    for (const answer of await Promise.all(asked)) assert.deepEqual(code(answer), [400, 'invalid_request'])
    assert.equal((await server.ask('GET', '/v2/locks/rb')).status, 404)
  })
})

test('reentrancy is counted where it is asked for', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const { body } = await acquire(server, session, 'a', { reentrant: true })
    assert.equal((await acquire(server, session, 'a', { reentrant: true })).body.count, 2)
    const release = () =>
      server.ask('POST', '/v2/locks/a/release', { session: session.handle, body: { token: body.token } })
    assert.deepEqual([(await release()).body.count, (await release()).body.count], [1, 0])
  })
})

test('a wait ends by the grant, by its time, or by a cancel', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const held = await acquire(server, one, 'a')
    const timed = await acquire(server, two, 'a', { wait_ms: 30 })
    assert.deepEqual([...code(timed), timed.body.errors[0].reason], [409, 'lock_held', 'timeout'])
    const cancelled = acquire(server, two, 'a', { wait_ms: 60_000, request_id: 'r' })
    await queued(server, 'a')
    assert.deepEqual(
      (await server.ask('POST', '/v2/locks/a/cancel', { session: two.handle, body: { request_id: 'r' } })).body,
      { cancelled: true },
    )
    assert.equal((await cancelled).body.errors[0].reason, 'cancelled')
    const waiting = acquire(server, two, 'a', { wait_ms: 60_000 })
    await queued(server, 'a')
    const { body } = await server.ask('GET', '/v2/locks/a/queue')
    assert.deepEqual(
      [body.lock.holder, body.waiters.map((waiter: { position: number }) => waiter.position)],
      [one.id, [1]],
    )
    await server.ask('POST', '/v2/locks/a/release', { session: one.handle, body: { token: held.body.token } })
    assert.ok((await waiting).body.token > held.body.token)
  })
})

test('validate, value and transfer go by the token', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const { body } = await acquire(server, one, 'a', { value: 'v1' })
    const { token } = body
    const validate = (asked: number) => server.ask('POST', '/v2/locks/a/validate', { body: { token: asked } })
    assert.equal((await validate(token)).body.valid, true)
    assert.deepEqual(code(await validate(token + 1)), [409, 'stale_token'])
    assert.equal((await server.ask('GET', '/v2/locks/a/value')).body.value, 'v1')
    const write = (session: TestSession, asked: number, value: string) =>
      server.ask('PUT', '/v2/locks/a/value', { session: session.handle, body: { token: asked, value } })
    assert.equal((await write(one, token, 'v2')).body.token, token)
    assert.deepEqual(code(await write(two, token, 'stolen')), [409, 'stale_token'])
    const handed = await server.ask('POST', '/v2/locks/a/transfer', {
      session: one.handle,
      body: { token, to_session: two.id },
    })
    assert.ok(handed.body.token > token)
    assert.deepEqual(code(await validate(token)), [409, 'stale_token'])
    assert.equal((await write(two, handed.body.token, 'v3')).status, 200)
    assert.deepEqual(code(await server.ask('GET', '/v2/locks/nowhere/value')), [404, 'not_found'])
  })
})

test('a set of locks is acquired whole or not at all, and released whole', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    await acquire(server, one, 'b')
    const body = { locks: [{ name: 'a' }, { name: 'b' }] }
    const refused = await server.ask('POST', '/v2/acquire', { session: two.handle, body })
    assert.deepEqual([...code(refused), refused.body.errors[0].lock], [409, 'lock_held', 'b'])
    assert.equal((await server.ask('GET', '/v2/locks/a')).status, 404)
    const granted = await server.ask('POST', '/v2/acquire', {
      session: two.handle,
      body: { locks: [{ name: 'x' }, { name: 'y', mode: 'shared' }] },
    })
    const grants = granted.body.grants.map(({ name, token }: { name: string; token: number }) => ({ name, token }))
    assert.equal(grants.length, 2)
    assert.equal(
      (await server.ask('POST', '/v2/release', { session: two.handle, body: { grants } })).body.released,
      true,
    )
    assert.equal(
      (
        await server.ask('POST', '/v2/acquire', {
          session: two.handle,
          body: { locks: [{ name: 'x' }, { name: 'x' }] },
        })
      ).body.errors[0].target.name,
      'locks',
    )
  })
})

test('a deadlock is refused with its cycle', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    await acquire(server, one, 'a')
    await acquire(server, two, 'b')
    const waiting = acquire(server, one, 'b', { wait_ms: 60_000, request_id: 'r' })
    await queued(server, 'b')
    const refused = await acquire(server, two, 'a', { wait_ms: 60_000 })
    assert.deepEqual(code(refused), [409, 'deadlock'])
    assert.equal(refused.body.errors[0].cycle.length, 2)
    await server.ask('POST', '/v2/locks/b/cancel', { session: one.handle, body: { request_id: 'r' } })
    await waiting
  })
})

test('configuration is put, patched and deleted under its ETag', async () => {
  await withServer(async server => {
    const put = (body: object, headers: Record<string, string> = {}) =>
      server.ask('PUT', '/v2/locks/a', { body, headers })
    const created = await put({ description: 'one', queue_max: 3, max_hold_ms: 5_000 })
    assert.equal(created.status, 201)
    const { etag = '' } = created.headers
    assert.match(etag, /^"[0-9a-z]{16,}"$/)
    const patched = await server.ask('PATCH', '/v2/locks/a', {
      body: { description: null, grace_ms: 10 },
      headers: { 'if-match': etag, 'content-type': 'application/merge-patch+json' },
    })
    assert.deepEqual([patched.body.description, patched.body.grace_ms, patched.body.queue_max], [undefined, 10, 3])
    assert.deepEqual(code(await put({}, { 'if-match': etag })), [412, 'precondition_failed'])
    assert.deepEqual(code(await put({}, { 'if-match': `W/${patched.headers.etag}` })), [412, 'precondition_failed'])
    assert.deepEqual(code(await put({}, { 'if-match': 'unquoted' })), [400, 'invalid_request'])
    assert.deepEqual(code(await put({}, { 'if-none-match': '*' })), [400, 'invalid_request'])
    assert.deepEqual((await put({}, { 'if-match': '*' })).body.queue_max, undefined)
    assert.deepEqual(code(await server.ask('PUT', '/v2/locks/new', { body: {}, headers: { 'if-match': '*' } })), [
      412,
      'precondition_failed',
    ])
    assert.deepEqual(code(await server.ask('DELETE', '/v2/locks/a', { headers: { 'if-match': etag } })), [
      412,
      'precondition_failed',
    ])
    const current = await server.ask('GET', '/v2/locks/a')
    assert.equal(
      (await server.ask('DELETE', '/v2/locks/a', { headers: { 'if-match': current.headers.etag ?? '' } })).status,
      204,
    )
  })
})

test('a full queue turns away, and says when to come back', async () => {
  await withServer(async server => {
    await server.ask('PUT', '/v2/locks/a', { body: { queue_max: 1 } })
    const [one, two, three] = [await server.openSession(), await server.openSession(), await server.openSession()]
    await acquire(server, one, 'a')
    const waiting = acquire(server, two, 'a', { wait_ms: 60_000, request_id: 'r' })
    await queued(server, 'a')
    const refused = await acquire(server, three, 'a', { wait_ms: 1_000 })
    assert.deepEqual([...code(refused), refused.body.errors[0].limit], [429, 'queue_full', 1])
    assert.match(refused.headers['retry-after'] ?? '', /^[0-9]+$/)
    await server.ask('POST', '/v2/locks/a/cancel', { session: two.handle, body: { request_id: 'r' } })
    await waiting
  })
})

test('operators preempt, release by force and freeze, each with a reason that the holder hears', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const { body } = await acquire(server, one, 'deploy%2Fweb')
    const preempted = await server.ask('POST', '/v2/locks/deploy%2Fweb/preempt', {
      body: { reason: 'stop', grace_ms: 60_000 },
    })
    assert.deepEqual(preempted.body.ended, [{ name: 'deploy/web', token: body.token, holder: one.id }])
    assert.deepEqual((await server.ask('GET', '/v2/locks/deploy%2Fweb')).body.holders[0].notice, {
      by: 'root',
      reason: 'stop',
    })
    const seen = await server.ask('POST', `/v2/sessions/${one.id}/renew`, {
      session: one.handle,
      body: { seen_changes: 0 },
    })
    assert.deepEqual([seen.body.changes, seen.body.grants[0].notice.reason], [1, 'stop'])
    const forced = await server.ask('POST', '/v2/locks/deploy%2Fweb/force-release', {
      body: { reason: 'really', now: true },
    })
    assert.equal(forced.body.ended[0].token, body.token)
    const late = await server.ask('POST', '/v2/locks/deploy%2Fweb/release', {
      session: one.handle,
      body: { token: body.token },
    })
    assert.deepEqual([...code(late), late.body.errors[0].reason], [409, 'lock_lost', 'forced'])
    assert.deepEqual(code(await server.ask('POST', '/v2/locks/nowhere/force-release', { body: { reason: 'x' } })), [
      404,
      'not_found',
    ])

    const until = '2999-01-02T08:00:00Z'
    const frozen = await server.ask('POST', '/v2/freezes', { body: { prefix: 'deploy/', until, reason: 'holidays' } })
    assert.deepEqual([frozen.status, frozen.body.until], [201, '2999-01-02T08:00:00.000Z'])
    const refused = await acquire(server, two, 'deploy%2Fweb')
    assert.deepEqual(
      [...code(refused), refused.body.errors[0].by, refused.body.errors[0].reason],
      [409, 'frozen', 'root', 'holidays'],
    )
    assert.equal((await server.ask('GET', '/v2/freezes')).body.freezes.length, 1)
    assert.equal((await server.ask('DELETE', '/v2/freezes?prefix=deploy/')).status, 204)
    assert.deepEqual(code(await server.ask('DELETE', '/v2/freezes?prefix=deploy/')), [404, 'not_found'])
    assert.equal((await acquire(server, two, 'deploy%2Fweb')).status, 200)
    assert.equal(
      (await server.ask('POST', '/v2/freezes', { body: { prefix: '', until: '2020-01-01T00:00:00Z', reason: 'x' } }))
        .body.errors[0].target.name,
      'until',
    )
    assert.equal(
      (await server.ask('POST', '/v2/freezes', { body: { prefix: '', until: '2999-99-99T00:00:00Z', reason: 'x' } }))
        .body.errors[0].target.name,
      'until',
    )
  })
})

test('an election is won with a value, proclaimed, and resigned from', async () => {
  await withServer(async server => {
    const [one, two] = [await server.openSession(), await server.openSession()]
    const election = () => server.ask('GET', '/v2/elections/boss')
    assert.deepEqual((await election()).body, { name: 'boss', leader: null, candidates: 0 })
    const won = await server.ask('POST', '/v2/elections/boss/campaign', {
      session: one.handle,
      body: { value: 'http://one' },
    })
    assert.deepEqual((await election()).body.leader, {
      holder: one.id,
      session_id: one.id,
      token: won.body.token,
      value: 'http://one',
      since: won.body.acquired_at,
    })
    const standing = server.ask('POST', '/v2/elections/boss/campaign', {
      session: two.handle,
      body: { value: 'http://two', wait_ms: 60_000 },
    })
    await queued(server, 'boss')
    assert.equal((await election()).body.candidates, 1)
    await server.ask('POST', '/v2/elections/boss/proclaim', {
      session: one.handle,
      body: { token: won.body.token, value: 'http://one/b' },
    })
    assert.equal((await election()).body.leader.value, 'http://one/b')
    assert.deepEqual(
      (await server.ask('POST', '/v2/elections/boss/resign', { session: one.handle, body: { token: won.body.token } }))
        .body,
      { resigned: true },
    )
    await standing
    assert.deepEqual([(await election()).body.leader.value, (await election()).body.candidates], ['http://two', 0])
  })
})

test('locks are listed in pages and their history is kept, newest first', async () => {
  await withServer(async server => {
    const session = await server.openSession()
    const { body } = await acquire(server, session, 'a')
    await server.ask('POST', '/v2/locks/a/release', { session: session.handle, body: { token: body.token } })
    const history = await server.ask('GET', '/v2/locks/a/history')
    assert.deepEqual(
      history.body.events.map((event: { type: string }) => event.type),
      ['released', 'granted'],
    )
    const page = await server.ask('GET', '/v2/locks/a/history?limit=1')
    assert.equal(
      (await server.ask('GET', `/v2/locks/a/history?limit=1&start=${page.body.next.start}`)).body.events[0].type,
      'granted',
    )
    for (const name of ['c', 'b', 'd']) await acquire(server, session, name)
    const names = (answer: Answer) => answer.body.locks.map((lock: { name: string }) => lock.name)
    const first = await server.ask('GET', '/v2/locks?limit=2')
    assert.deepEqual(names(first), ['b', 'c'])
    assert.deepEqual(names(await server.ask('GET', `/v2/locks?limit=2&start=${first.body.next.start}`)), ['d'])
  })
})

test('whoami says whose credential it is', async () => {
  await withServer(async server => {
    const { body } = await server.ask('GET', '/v2/whoami')
    assert.deepEqual([body.subject, body.instance, body.actions.includes('lock.freeze')], ['root', 'default', true])
  })
})
