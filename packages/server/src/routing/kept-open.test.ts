/** What stays open for as long as somebody wishes (waits, watches, pushes), over changes of owner and broken links. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { FEED_EVENTS_MAX } from '@holdfast/protocol/limits'
import type { Command } from '../locks/model.ts'
import { CALLERS_OF_WAIT_MAX } from '../shards/callers.ts'
import { acquireOf, type Heard } from '../shards/testing.ts'
import { ROUTE_MS_MAX } from './router.ts'
import { Cluster } from './testing.ts'

test('who waits over REST without a key joins the line of the next owner, and leaves no place behind that is nobody’s', async () => {
  const cluster = await Cluster.start(3)
  const [first, second, third] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(60_000, instance)
  const token = await first!.grant(session, 'a', instance)
  const single = { ttlMs: 30_000, defaultTtlMs: 30_000, holder: null, key: null }
  const acquire = { ...acquireOf('', 'a', { waitMs: 4_000, request: 0 }), session: single, request: null } as Command
  const waits = [second, first].map(server => server!.tell(acquire, { instance, keepsSessionAlive: true }))
  await cluster.pass(1_000)
  const closed = third!.shards.close()
  await cluster.pass(1_000)
  await closed
  const asked = first!.tell({ type: 'queue', by: 'test', lock: 'a' }, { instance })
  await cluster.pass(100)
  assert.ok(asked.answer?.ok && asked.answer.type === 'queue')
  assert.equal(asked.answer.waiters.length, 2)
  const released = first!.tell(first!.release(session, 'a', token), { instance })
  await cluster.pass(200)
  assert.ok(released.answer?.ok)
  const served = waits.filter(({ answer }) => answer?.ok)
  assert.equal(served.length, 1)
  // The time that they have waited at the owner before counts.
  await cluster.pass(2_000)
  assert.deepEqual(
    waits.map(({ failed }) => failed),
    [null, null],
  )
  const told = waits.map(({ answer }) => answer).find(answer => answer && !answer.ok)
  assert.ok(told && !told.ok && told.code === 'lock_held' && told.reason === 'timeout')
})

test('who waits over REST under a key keeps the place when a connection between two servers breaks, and for so long only as it may be asked for again', async () => {
  const cluster = await Cluster.start(3)
  const [first] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(60_000, instance)
  const token = await first!.grant(session, 'a', instance)
  const single = { ttlMs: 30_000, defaultTtlMs: 30_000, holder: null, key: { key: 'k', digest: '' } }
  const acquire = { ...acquireOf('', 'a', { waitMs: 50_000, request: 0 }), session: single, request: null } as Command
  const heard = first!.tell(acquire, { instance, keepsSessionAlive: true })
  await cluster.pass(100)
  const another = await first!.session(60_000, instance)
  const other = first!.tell(first!.acquire(another, 'a', { waitMs: null }), { instance })
  await cluster.pass(100)
  cluster.cut()
  await cluster.pass(ROUTE_MS_MAX + 1_000)
  assert.deepEqual([heard.answers, other.answers], [0, 0])
  const waiting = async () => {
    const asked = first!.tell({ type: 'queue', by: 'test', lock: 'a' }, { instance })
    await cluster.pass(100)
    assert.ok(asked.answer?.ok && asked.answer.type === 'queue')
    return asked.answer.waiters.map(({ ticket }) => ticket)
  }
  assert.deepEqual(await waiting(), [heard.ticket, other.ticket])
  heard.detach()
  await cluster.pass(200)
  assert.deepEqual(await waiting(), [other.ticket])
  assert.ok((await first!.ask(first!.release(session, 'a', token), { instance })).ok)
})

test('a watch goes on over a change of owner, with every event once', async () => {
  const cluster = await Cluster.start(3)
  const [first] = cluster.servers
  const seen = new Map<string, LockEvent[]>()
  let resets = 0
  for (const instance of cluster.instances(8)) {
    const events: LockEvent[] = []
    seen.set(instance, events)
    first!.shards.watch(
      instance,
      {},
      {
        began: () => undefined,
        event: event => events.push(event) > 0,
        reset: () => resets++,
        ended: () => assert.fail('it goes on'),
        refused: () => assert.fail('it may be watched'),
      },
    )
  }
  const sessions = new Map<string, string>()
  for (const instance of seen.keys()) sessions.set(instance, await first!.session(60_000, instance))
  const cycle = async (lock: string) => {
    for (const [instance, session] of sessions) {
      const token = await first!.grant(session, lock, instance)
      await first!.ask(first!.release(session, lock, token), { instance })
    }
  }
  await cycle('before')
  cluster.kill(2)
  await cluster.pass(4_000)
  await cycle('after')
  await cluster.pass(200)
  for (const events of seen.values()) {
    const told = events.map(event => `${event.type} ${event.lock}`)
    assert.deepEqual(told, ['granted before', 'released before', 'granted after', 'released after'])
  }
  assert.equal(resets, 0)
})

test('pushes reach the session through any server, before and after a change of owner', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers
  for (const phase of ['before', 'after'] as const) {
    if (phase === 'after') {
      cluster.kill(2)
      await cluster.pass(4_000)
    }
    for (const instance of cluster.instances(8)) {
      const session = await first!.session(60_000, instance)
      const pushes: string[] = []
      const { stop } = first!.shards.listen(instance, session, push => pushes.push(push.type))
      await first!.grant(session, phase, instance)
      const forced = { type: 'force_release', by: 'op', lock: phase, token: null, reason: 'test', now: true } as const
      assert.ok((await second!.ask(forced, { instance })).ok)
      await cluster.pass(100)
      assert.deepEqual(pushes, ['lost'])
      stop()
    }
  }
})

test('a session hears on each of its connections that another server has come to decide, and when it is back', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(60_000, instance)
  const heard = [first!, second!].map(({ shards }) => {
    const owners: (string | null)[] = []
    shards.listen(instance, session, ({ type }) => type === 'moved' && owners.push(shards.ownerUrl(instance)))
    return owners
  })
  await cluster.pass(4_000)
  assert.deepEqual(heard, [[], []], 'it knew that when it came')
  cluster.kill(2)
  await cluster.pass(4_000)
  const taker = heard[0]![0] === null ? '0' : '1'
  assert.deepEqual(
    heard,
    ['0', '1'].map(own => [own === taker ? null : taker]),
  )
  cluster.restart(2)
  await cluster.pass(10_000)
  assert.deepEqual(
    heard.map(owners => owners.slice(1)),
    [['2'], ['2']],
  )
})

test('who asks the same from two connections hears it on both; of too many the first hears no more, and does not ask again', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const [holder, waiter] = [await first!.session(60_000, instance), await first!.session(60_000, instance)]
  const token = await first!.grant(holder, 'a', instance)
  const acquire = acquireOf(waiter, 'a', { waitMs: null, request: 7 })
  const asked: Heard[] = []
  for (let count = 0; count <= CALLERS_OF_WAIT_MAX; count++) {
    asked.push((count % 2 === 0 ? first! : second!).tell(acquire, { instance }))
    await cluster.pass(100)
  }
  await cluster.pass(5_000)
  assert.deepEqual(
    asked.map(({ failed }) => failed?.code),
    ['unavailable', ...Array.from({ length: CALLERS_OF_WAIT_MAX }, () => undefined)],
  )
  await first!.ask(first!.release(holder, 'a', token), { instance })
  await cluster.pass(100)
  for (const { answer, answers } of asked.slice(1)) assert.deepEqual([answer?.ok, answers], [true, 1])
})

test('all connections of a session hear its pushes, over a change of owner too, and when one of them has ended', async () => {
  const cluster = await Cluster.start(3)
  const [first, second, third] = cluster.servers
  const instances = cluster.instances(8).filter(name => third!.shards.ownerUrl(name) === null)
  assert.ok(instances.length > 0)
  for (const [number, instance] of instances.entries()) {
    const session = await first!.session(600_000, instance)
    const heard = { stale: 0, live: 0 }
    // In one order and in the other.
    const [one, other] = number % 2 === 0 ? [first, second] : [second, first]
    const stale = one!.shards.listen(instance, session, ({ type }) => type === 'lost' && heard.stale++)
    other!.shards.listen(instance, session, ({ type }) => type === 'lost' && heard.live++)
    const lose = async (lock: string) => {
      await first!.grant(session, lock, instance)
      const forced = { type: 'force_release', by: 'op', lock, token: null, reason: 'test', now: true } as const
      await first!.ask(forced, { instance })
      await cluster.pass(100)
    }
    await lose('before')
    if (number === 0) {
      const closed = third!.shards.close()
      await cluster.pass(3_000)
      await closed
    }
    await lose('after')
    assert.deepEqual(heard, { stale: 2, live: 2 })
    stale.stop()
    await cluster.pass(50)
    await lose('later')
    assert.deepEqual(heard, { stale: 2, live: 3 })
  }
})

test('a session whose owner is reached over a new connection is heard over that', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(600_000, instance)
  let heard = 0
  first!.shards.listen(instance, session, () => heard++)
  await cluster.pass(100)
  cluster.cut()
  await cluster.pass(1_000)
  await first!.grant(session, 'a', instance)
  const forced = { type: 'force_release', by: 'op', lock: 'a', token: null, reason: 'test', now: true } as const
  await second!.ask(forced, { instance })
  await cluster.pass(100)
  assert.equal(heard, 1)
})

test('a wait that has been in line for longer than an owner is looked for goes on at the next', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const [holder, waiter] = [await first!.session(600_000, instance), await second!.session(600_000, instance)]
  await first!.grant(holder, 'a', instance)
  const heard = first!.tell(second!.acquire(waiter, 'a', { waitMs: null }), { instance })
  await cluster.pass(ROUTE_MS_MAX + 2_000)
  cluster.kill(2)
  await cluster.pass(4_000)
  assert.equal(heard.answers, 0, heard.failed?.message)
})

test('a watch of what nothing happens to is told of no gap when an owner leaves in good order, whatever happened beside it', async () => {
  const cluster = await Cluster.start(3)
  const [first, , third] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(600_000_000, instance)
  const token = await first!.grant(session, 'quiet', instance)
  let resets = 0
  const events: string[] = []
  first!.shards.watch(
    instance,
    { name: 'quiet' },
    {
      began: () => undefined,
      event: event => events.push(event.type) > 0,
      reset: () => resets++,
      ended: () => assert.fail('it goes on'),
      refused: () => assert.fail('it may be watched'),
    },
  )
  await cluster.pass(100)
  const [claim] = (acquireOf(session, '', { request: 0 }) as Extract<Command, { type: 'acquire' }>).claims
  const claims = Array.from({ length: 64 }, (_, number) => ({ ...claim!, lock: `busy-${number}` }))
  for (let made = 0; made <= FEED_EVENTS_MAX; made += 2 * claims.length) {
    const acquire = { ...acquireOf(session, '', { request: 0 }), claims, request: null } as Command
    const granted = await first!.ask(acquire, { instance })
    assert.ok(granted.ok && granted.type === 'granted')
    const grants = granted.grants.map(({ lock, token }) => ({ lock, token }))
    await first!.ask({ type: 'release', by: 'test', session, grants, request: null }, { instance })
  }
  const closed = third!.shards.close()
  await cluster.pass(3_000)
  await closed
  assert.ok((await first!.ask(first!.release(session, 'quiet', token), { instance })).ok)
  await cluster.pass(200)
  assert.deepEqual([resets, events], [0, ['released']])
})
