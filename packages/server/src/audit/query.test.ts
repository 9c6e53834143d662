import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { hashLink, registryKeysUnder } from '../registry/store.ts'
import { CLOCK_SLACK_MS } from './filter.ts'
import { SCAN_BYTES_MAX } from './query.ts'
import { recordsOfLink } from './record.ts'
import { Budget } from './scanning.ts'
import { type AuditWorld, allRecords, cycles, logOf, settled, startAudited } from './testing.ts'

/** Everything that a watcher is told from now on. */
function watched({ server }: AuditWorld, instance = 'main'): LockEvent[] {
  const events: LockEvent[] = []
  server.shards.watch(
    instance,
    {},
    {
      began: () => undefined,
      event: event => events.push(event) > 0,
      reset: () => undefined,
      ended: () => undefined,
      refused: () => assert.fail('it may be watched'),
    },
  )
  return events
}

async function busyWorld(): Promise<{ world: AuditWorld; events: LockEvent[] }> {
  const world = await startAudited()
  const events = watched(world)
  for (let part = 0; part < 6; part++) {
    await cycles(world.server, 25, `lock/${part}`)
    await world.server.session(3_600_000, 'other')
    const [one, two] = [await world.server.session(3_600_000), await world.server.session(3_600_000)]
    const token = await world.server.grant(one, 'contended')
    world.server.tell(world.server.acquire(two, 'contended', { waitMs: null }))
    await world.clock.settle()
    await world.server.ask({
      type: 'force_release',
      by: 'ann',
      from: '10.1.1.1',
      trace: 'req-1',
      lock: 'contended',
      token,
      reason: 'stuck',
      now: true,
    })
    await world.server.ask({ type: 'close_session', by: 'test', session: two })
    await world.clock.pass(1_000)
  }
  assert.ok(logOf(world)[0]!.seq > 0, 'part of it is in the archive only')
  return { world, events }
}

test('every event that watchers saw is in the trail exactly once, under its id, in both directions and with any page', async () => {
  const { world, events } = await busyWorld()
  for (const [order, limit] of [
    ['oldest', 7],
    ['oldest', 1_000],
    ['newest', 13],
  ] as const) {
    const records = await allRecords(world, { order, limit })
    if (order === 'newest') records.reverse()
    const told = records.filter(({ event }) => event !== undefined)
    assert.deepEqual(
      told.map(({ id, event, token, target }) => ({ id, event, token, lock: target.slice('lock/'.length) })),
      events.map(({ id, type, token, lock }) => ({ id, event: type, token, lock })),
    )
    assert.equal(new Set(records.map(({ id }) => id)).size, records.length)
  }
})

test('a record says who, from where, in which request, on whose behalf and why', async () => {
  const { world } = await busyWorld()
  const [forced] = await allRecords(world, { action: 'lock.force-release' })
  assert.ok(forced)
  assert.deepEqual(
    {
      subject: forced.subject,
      affected: forced.affected,
      from: forced.from,
      requestId: forced.requestId,
      reason: forced.reason,
      target: forced.target,
    },
    {
      subject: 'ann',
      affected: 'test',
      from: '10.1.1.1',
      requestId: 'req-1',
      reason: 'stuck',
      target: 'lock/contended',
    },
  )
  assert.match(forced.link, /^[0-9a-f]{64}$/)
  const granted = (await allRecords(world, { lock: 'contended', action: 'lock.acquire' }))[1]!
  // Let in by the force-release of somebody else, and yet it is his.
  assert.equal(granted.subject, 'test')
  const left = (await allRecords(world, { lock: 'contended', action: 'lock.dequeue' }))[0]!
  assert.equal(left.session, granted.session)
})

test('asked by lock, prefix, subject, time, outcome, action and instance, it answers those and no others', async () => {
  const { world } = await busyWorld()
  const all = await allRecords(world)
  const same = async (query: object, fits: (record: (typeof all)[number]) => boolean) => {
    const expected = all.filter(fits).map(({ id }) => id)
    assert.ok(expected.length > 0 && expected.length < all.length)
    assert.deepEqual(
      (await allRecords(world, query)).map(({ id }) => id),
      expected,
    )
  }
  await same({ lock: 'lock/3' }, ({ target }) => target === 'lock/lock/3')
  await same({ prefix: 'lock/' }, ({ target }) => target.startsWith('lock/lock/'))
  await same({ subject: 'ann' }, ({ subject, affected }) => subject === 'ann' || affected === 'ann')
  await same({ action: 'lock.release' }, ({ action }) => action === 'lock.release')
  const middle = Date.parse(all[Math.floor(all.length / 2)]!.at)
  await same({ sinceMs: middle }, ({ at }) => Date.parse(at) >= middle)
  await same({ untilMs: middle }, ({ at }) => Date.parse(at) < middle)
  await same(
    { sinceMs: middle, untilMs: middle + 1_500 },
    ({ at }) => Date.parse(at) >= middle && Date.parse(at) < middle + 1_500,
  )
  assert.deepEqual(await allRecords(world, { outcome: 'denied' }), [])
  const others = await allRecords(world, { instance: 'other' })
  assert.deepEqual([...new Set(others.map(({ instance }) => instance))], ['other'])
  assert.ok(CLOCK_SLACK_MS > 0)
})

test('a page looks through SCAN_BYTES_MAX at the most, and the next goes on where it has come', async () => {
  const { world } = await busyWorld()
  const spent = new Budget(SCAN_BYTES_MAX, world.clock)
  await settled(world.clock, spent.spend(SCAN_BYTES_MAX - 1))
  assert.equal(spent.isUsedUp, false)
  await settled(world.clock, spent.spend(1))
  assert.equal(spent.isUsedUp, true)
})

test('deeds of the administrative trail stand between the lock changes, by their time; those of others are not seen', async () => {
  const { world } = await busyWorld()
  const keys = registryKeysUnder('test')
  const { openRegistry } = await import('../registry/registry.ts')
  const registry = await openRegistry({
    engine: world.engine,
    clock: world.clock,
    root: 'test',
    server: 's',
    alarm: () => undefined,
    fatal: () => undefined,
  })
  const deed = {
    by: 'root',
    from: '10.0.0.9',
    action: 'credential.create',
    target: 'credential/k-1',
    outcome: 'success',
    status: 201,
    reason: '',
    trace: 'r-9',
  } as const
  await settled(
    world.clock,
    registry.change({ ...deed, instance: 'main' }, () => []),
  )
  await settled(
    world.clock,
    registry.change({ ...deed, instance: 'other' }, () => []),
  )
  await settled(
    world.clock,
    registry.change({ ...deed, instance: null, action: 'plan.change' }, () => []),
  )
  await world.clock.pass(1_000)
  await cycles(world.server, 3, 'after')
  assert.ok(keys.head)
  for (const order of ['oldest', 'newest'] as const) {
    const records = await allRecords(world, { order, limit: 3 })
    if (order === 'newest') records.reverse()
    const place = records.findIndex(({ action }) => action === 'credential.create')
    assert.ok(place > 0 && place < records.length - 3)
    assert.equal(records.filter(({ id }) => id.startsWith('t-')).length, 1)
    assert.deepEqual(
      records.map(({ at }) => at),
      records.map(({ at }) => at).sort(),
    )
  }
  const service = await allRecords(world, { includesService: true })
  assert.deepEqual(
    service.filter(({ id }) => id.startsWith('t-')).map(({ action }) => action),
    ['credential.create', 'plan.change'],
  )
  assert.deepEqual((await settled(world.clock, world.audit.check())).problems, [])
})

test('a cursor of another cluster or for the other order is refused', async () => {
  const { world } = await busyWorld()
  const { next } = (await settled(world.clock, world.audit.page({ instance: 'main', order: 'oldest', limit: 1 })))!
  assert.ok(next)
  for (const [order, cursor] of [
    ['newest', next],
    ['oldest', next.replace(/^o\.../, 'o.00')],
    ['oldest', 'x'],
  ] as const)
    assert.equal(await settled(world.clock, world.audit.page({ instance: 'main', order, limit: 1, cursor })), null)
})

test('the history of a lock goes back into the archive, as the same events', async () => {
  const { world, events } = await busyWorld()
  const own = events.filter(({ lock }) => lock === 'contended').reverse()
  const past: LockEvent[] = []
  for (let before: string | undefined; ; ) {
    const page = await settled(
      world.clock,
      world.audit.history({ instance: 'main', lock: 'contended', limit: 4, ...(before !== undefined && { before }) }),
    )
    past.push(...page.events)
    if (page.next === null) break
    before = page.next
  }
  assert.deepEqual(
    past.map(({ id, type, token }) => ({ id, type, token })),
    own.map(({ id, type, token }) => ({ id, type, token })),
  )
})

test('who held it then: its holder, those who waited, and how it ended', async () => {
  const world = await startAudited()
  const { server, clock, audit } = world
  const [one, two, three] = [
    await server.session(3_600_000),
    await server.session(3_600_000),
    await server.session(3_600_000),
  ]
  const token = await server.grant(one, 'x')
  const tookMs = clock.wallMs()
  await clock.pass(1_000)
  server.tell(server.acquire(two, 'x', { waitMs: null }))
  server.tell(server.acquire(three, 'x', { waitMs: null }))
  await clock.pass(1_000)
  const whileHeldMs = clock.wallMs()
  await cycles(server, 60)
  await clock.pass(1_000)
  await server.ask(server.release(one, 'x', token))
  const releasedMs = clock.wallMs()
  await clock.pass(1_000)
  const secondMs = clock.wallMs()
  await clock.pass(1_000)
  await server.ask({ type: 'close_session', by: 'test', session: two })
  await server.ask({ type: 'close_session', by: 'test', session: three })
  await clock.pass(1_000)
  await cycles(server, 60)
  await clock.pass(1_000)
  assert.ok(logOf(world)[0]!.seq > 10)
  const at = (atMs: number) => settled(clock, audit.heldAt({ instance: 'main', lock: 'x', atMs }))
  const first = await at(whileHeldMs)
  assert.deepEqual(
    first.holds.map(({ session, sinceMs, untilMs, ended }) => ({ session, sinceMs, untilMs, ended })),
    [{ session: one, sinceMs: tookMs, untilMs: releasedMs, ended: 'released' }],
  )
  assert.deepEqual(first.waits.map(({ session }) => session).sort(), [two, three].sort())
  assert.equal(first.isComplete, true)
  const second = await at(secondMs)
  assert.deepEqual(
    second.holds.map(({ session, ended }) => ({ session, ended })),
    [{ session: two, ended: 'session_closed' }],
  )
  assert.deepEqual(
    second.waits.map(({ session }) => session),
    [three],
  )
  assert.deepEqual((await at(clock.wallMs())).holds, [])
  const before = await at(tookMs - 1)
  assert.deepEqual(
    [before.holds, before.isComplete, before.knownSinceMs],
    [[], true, null],
    'it is kept from the first batch on',
  )
})

for (const [how, retention] of [
  ['nothing is archived', null],
  ['the archive has been cut', { ageMs: 2_000, bytesMax: 2 ** 30 }],
] as const)
  test(`of a time of which nothing is kept it is not said that nobody held it: ${how}`, async () => {
    const { server, clock, audit } = await startAudited({ retention })
    const session = await server.session(3_600_000)
    const token = await server.grant(session, 'x')
    await clock.pass(1_000)
    const heldMs = clock.wallMs()
    await clock.pass(1_000)
    await server.ask(server.release(session, 'x', token))
    for (let part = 0; part < 5; part++) {
      await cycles(server, 60)
      await clock.pass(1_000)
    }
    const at = (atMs: number) => settled(clock, audit.heldAt({ instance: 'main', lock: 'x', atMs }))
    const { holds, isComplete, knownSinceMs } = await at(heldMs)
    assert.deepEqual([holds, isComplete], [[], false])
    assert.ok(knownSinceMs !== null && knownSinceMs > heldMs && knownSinceMs <= clock.wallMs(), String(knownSinceMs))
    const again = await server.grant(session, 'x')
    const now = await at(clock.wallMs())
    assert.deepEqual([now.holds[0]?.token, now.isComplete, now.knownSinceMs], [again, true, null], 'its grant is kept')
  })

test('links of one number, of which a restore has forgotten one, tell records of different ids', () => {
  const did = { by: 'root', from: '', action: 'plan.change', target: 'plan/one', status: 200, reason: '', trace: '' }
  const trail = {
    seq: 7,
    at: 0,
    server: 's1',
    prev: '',
    deeds: [{ ...did, instance: null, outcome: 'success' as const }],
  }
  const ids = ['before', 'since'].map(
    link => recordsOfLink({ ...trail, writes: [] }, hashLink(Buffer.from(link)))[0]?.record.id,
  )
  assert.notEqual(ids[0], ids[1])
  for (const id of ids) assert.match(id ?? '', /^t-7-[0-9a-f]{8}-1$/)
})
