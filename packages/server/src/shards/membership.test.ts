import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeMember, Membership } from './membership.ts'
import { silentTelemetry } from './telemetry.ts'
import {
  countingRandom,
  FakeClock,
  type Heard,
  isAppend,
  isBeat,
  keys,
  restart,
  startServer,
  strangers,
  TestEngine,
  tokenOf,
} from './testing.ts'

type Request = TestEngine['requests'][number]
const writes = (request: Request, key: string) => request.writes.some(write => 'value' in write && write.key === key)
const deletes = (request: Request, key: string) =>
  request.writes.some(write => 'delete' in write && 'key' in write && write.key === key)
const isTakeover = (request: Request) => writes(request, keys.owner(0))

test('the owner’s deadline counts from before its beat was sent', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(30_000)
  engine.hold(isBeat)
  // One beat leaves within this, and is on its way for longer than that.
  await clock.pass(1_400)
  engine.letGo()
  await clock.settle()
  engine.hold(isBeat)
  clock.pause(700)
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  assert.equal(renewed.answers, 0, 'by the beat’s sending its deadline has passed')
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
})

test('a check that was made for one request does not serve a later one', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(30_000)
  assert.ok((await server.ask(server.renew(session))).ok)
  engine.hold(isBeat)
  clock.pause(1_700)
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  assert.equal(renewed.answers, 0)
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
})

test('a pause does not move the owner’s deadline', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(30_000)
  engine.hold(isBeat)
  clock.pause(1_700)
  let renewed: Heard | null = null
  // Its own timers run first, late as they are; then it reads what has lain in the sockets.
  await clock.runTimers(() => {
    renewed = server.tell(server.renew(session))
  })
  await clock.pass(200)
  const heard = renewed as Heard | null // assigned in the callback
  assert.equal(heard?.answers, 0)
  assert.equal(server.shards.health().isReady, false)
  engine.letGo()
  await clock.settle()
  assert.ok(heard.answer?.ok)
})

test('an owner whose machine was suspended answers nothing before a fresh beat', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(30_000)
  engine.hold(isBeat)
  clock.suspend(10_000)
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  assert.equal(renewed.answers, 0)
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
})

test('how long a silent server is waited for is what its own record says', async () => {
  const first = await startServer()
  const key = keys.member(first.server.shards.server)
  const record = JSON.parse(Buffer.from(first.engine.store.get(key)!.value).toString())
  first.engine.kill()
  // Of a server that was configured, or made, with more patience.
  const value = Buffer.from(JSON.stringify({ ...record, memberTtlMs: 7_000 }))
  first.engine.store.commit({ checks: [], writes: [{ key, value }] })
  const startedMs = first.clock.hrtimeMs()
  await restart(first)
  assert.ok(first.clock.hrtimeMs() - startedMs >= 7_000)
})

test('a takeover does not pass when another was quicker', async () => {
  const first = await startServer()
  first.engine.kill()
  const engine = new TestEngine(first.engine.store)
  engine.hold(isTakeover)
  const opening = startServer({ clock: first.clock, engine })
  await first.clock.pass(3_000)
  assert.equal(engine.requests.filter(isTakeover).length, 1)
  // Another has looked at the same record at the same time, and its commit is first.
  const quicker = Buffer.from(JSON.stringify({ server: 'quicker', epoch: 2 }))
  first.engine.store.commit({ checks: [], writes: [{ key: keys.owner(0), value: quicker }] })
  engine.letGo()
  const { server } = await opening
  assert.equal(server.shards.health().shards[0]!.epoch, 3, 'an epoch of its own')
})

test('a server leaves in good order: what is in flight, then the shard, then its own record', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isAppend)
  const inFlight = server.tell(server.acquire(session, 'a'))
  await clock.settle()
  const before = engine.requests.length
  const closing = server.shards.close()
  await clock.pass(300)
  const late = server.tell(server.acquire(session, 'b'))
  await clock.settle()
  const sent = engine.requests.slice(before)
  const member = keys.member(server.shards.server)
  assert.deepEqual(
    sent.filter(request => isTakeover(request) || deletes(request, member)),
    [],
    'nothing is given up while a batch is in flight',
  )
  assert.equal(inFlight.answers, 0)
  engine.letGo()
  await clock.pass(10)
  await closing
  tokenOf(inFlight.answer)
  assert.equal(late.failed?.code, 'unavailable')
  const ends = engine.requests.slice(before).filter(request => isTakeover(request) || deletes(request, member))
  assert.deepEqual(
    ends.map(request => (isTakeover(request) ? 'shard' : 'record')),
    ['shard', 'record'],
  )
})

test('where a beat takes longer than it is good for, what needs one is refused, and what is to be written goes on', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  const token = await server.grant(session, 'a')
  // Whatever the store is asked from now on takes it up to so long.
  engine.hold(() => true)
  const slowly = async () => {
    await clock.pass(3_000)
    engine.letGo()
    engine.hold(() => true)
    await clock.settle()
  }
  await slowly()
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  const released = server.tell(server.release(session, 'a', token))
  for (let commits = 0; commits < 4; commits++) await slowly()
  assert.equal(renewed.failed?.code, 'unavailable')
  assert.ok(released.answer?.ok)
})

test('one beat is under way at a time: who waits for a fresh one and who announces that it leaves share it', async () => {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const fatal: string[] = []
  const membership = new Membership({
    engine,
    clock,
    random: countingRandom(1),
    keys,
    telemetry: silentTelemetry,
    server: 'server.1',
    address: 'nowhere',
    process: strangers.own(),
    isProgressing: () => true,
    fatal: error => fatal.push(error.message),
  })
  await membership.start()
  engine.hold(isBeat)
  // A slow store: the beat under way was sent so long ago that a renewal needs another.
  await clock.pass(2_200)
  const confirmed = membership.confirm()
  const left = membership.announceLeaving()
  await clock.settle()
  engine.letGo()
  assert.equal(await confirmed, true)
  await left
  assert.deepEqual(fatal, [])
  assert.equal(decodeMember(engine.store.get(keys.member('server.1'))!.value).isLeaving, true)
})
