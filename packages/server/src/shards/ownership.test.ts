import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeMember } from './membership.ts'
import { DataDirectoryInUse } from './ownership.ts'
import type { Processes } from './processes.ts'
import { systemProcesses } from './processes.ts'
import { shardOf } from './router.ts'
import { STUCK_MS } from './shard.ts'
import { batchesIn, isAppend, isBeat, keys, restart, startServer, TestEngine, tokenOf, type World } from './testing.ts'

const ownerIn = ({ engine }: World) => JSON.parse(Buffer.from(engine.store.get(keys.owner(0))!.value).toString())

function processes(state: ReturnType<Processes['stateOf']>): Processes {
  return { own: () => ({ pid: 7, bootId: 'boot', pidNamespace: 'pid', processStart: '1' }), stateOf: () => state }
}

test('every start has an id and an epoch of its own', async () => {
  const first = await startServer()
  const second = await restart(first)
  assert.notEqual(first.server.shards.server, second.server.shards.server)
  assert.equal(ownerIn(second).server, second.server.shards.server)
  assert.equal(second.server.shards.health().shards[0]!.epoch, 2)
})

test('a silent server is waited for as long as its own record says, on our clock', async () => {
  const first = await startServer()
  const startedMs = first.clock.hrtimeMs()
  await restart(first)
  assert.ok(first.clock.hrtimeMs() - startedMs >= 2_000)
})

test('its silence counts only while our own beats get through', async () => {
  const first = await startServer()
  const { clock } = first
  first.engine.kill()
  const engine = new TestEngine(first.engine.store)
  let beats = 0
  // The first beat passes; then the store is silent for everybody.
  engine.hold(request => isBeat(request) && beats++ > 0)
  const opening = startServer({ clock, engine })
  let isOpen = false
  void opening.then(() => {
    isOpen = true
  })
  await clock.pass(2_600)
  assert.equal(isOpen, false)
  engine.letGo()
  await clock.pass(5_000)
  await opening
})

test('a process that is surely gone is not waited for', async () => {
  const first = await startServer({ processes: processes('gone') })
  const startedMs = first.clock.hrtimeMs()
  await restart(first, { processes: processes('gone') })
  assert.ok(first.clock.hrtimeMs() - startedMs < 500)
})

test('a process that lives keeps its directory, and the other is told who it is', async () => {
  const first = await startServer({ processes: processes('alive') })
  const engine = new TestEngine(first.engine.store)
  await assert.rejects(startServer({ clock: first.clock, engine, processes: processes('alive') }), (error: unknown) => {
    assert.ok(error instanceof DataDirectoryInUse)
    assert.match(error.message, /process 7/)
    return true
  })
  const members = first.engine.store.list({ prefix: keys.members, limit: 10 }).pairs
  assert.deepEqual(
    members.map(({ value }) => decodeMember(value).server),
    [first.server.shards.server],
    'the refused one leaves nothing',
  )
  await first.server.session()
})

test('a server that beats keeps its directory, also against a machine that knows nothing of its processes', async () => {
  const first = await startServer()
  const engine = new TestEngine(first.engine.store)
  await assert.rejects(startServer({ clock: first.clock, engine }), DataDirectoryInUse)
})

test('a server that stops in good order is not waited for, and leaves no record', async () => {
  const first = await startServer()
  const session = await first.server.session()
  const heard = first.server.tell(first.server.acquire(session, 'a'))
  const closing = first.server.shards.close()
  const late = first.server.tell(first.server.acquire(session, 'b'))
  await first.clock.pass(10)
  await closing
  assert.equal(heard.answers, 1)
  assert.equal(late.failed?.code, 'unavailable')
  assert.equal(ownerIn(first).server, '')
  assert.equal(first.engine.store.list({ prefix: keys.members, limit: 10 }).pairs.length, 0)
  const startedMs = first.clock.hrtimeMs()
  const second = await restart(first)
  assert.ok(second.clock.hrtimeMs() - startedMs < 500)
  assert.equal(await second.server.isAlive(session), true)
})

test('a server whose store refuses the hand-over still leaves, and is not waited for', async () => {
  const alarms: string[] = []
  const first = await startServer({ telemetry: { alarm: ({ what }) => alarms.push(what) } })
  const session = await first.server.session()
  const token = await first.server.grant(session, 'a')
  first.engine.fate = ({ writes }) =>
    writes.some(write => 'key' in write && write.key === keys.owner(0)) ? 'refuse' : 'pass'
  const closing = first.server.shards.close()
  await first.clock.pass(10)
  await closing
  assert.equal(alarms.length, 1)
  assert.notEqual(ownerIn(first).server, '')
  const startedMs = first.clock.hrtimeMs()
  const second = await restart(first)
  assert.ok(second.clock.hrtimeMs() - startedMs < 500)
  assert.equal(await second.server.isHeld('a'), true)
  const next = await second.server.session()
  assert.ok((await second.server.grant(next, 'b')) > token)
})

test('who is no longer the owner cannot append, and says that the outcome is unknown', async () => {
  const first = await startServer()
  const session = await first.server.session(60_000)
  const waiting = first.server.tell(first.server.acquire(session, 'a'))
  await first.clock.settle()
  tokenOf(waiting.answer)
  // Another has taken over behind its back; its member record is left as it is.
  const owner = Buffer.from(JSON.stringify({ server: 'other', epoch: 9 }))
  first.engine.store.commit({
    checks: [],
    writes: [
      { key: keys.owner(0), value: owner },
      { key: keys.member('other'), value: memberOf('other') },
    ],
  })
  const before = batchesIn(first.engine.store).length
  const heard = first.server.tell(first.server.acquire(session, 'b'))
  await first.clock.settle()
  assert.equal(heard.failed?.code, 'unavailable')
  assert.equal(heard.answers, 1)
  assert.equal(batchesIn(first.engine.store).length, before)
  assert.equal(first.server.shards.health().isReady, false)
})

function memberOf(server: string): Buffer {
  return Buffer.from(JSON.stringify({ server, address: 'elsewhere', startedAt: 0, memberTtlMs: 2_000, pid: 1 }))
}

test('an owner whose appends surely failed takes the shard again and goes on from the log', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  await server.grant(session, 'a')
  const { epoch } = server.shards.health().shards[0]!
  // The owner record has been touched by somebody, and still names us.
  const owner = engine.store.get(keys.owner(0))!
  engine.store.commit({ checks: [], writes: [{ key: owner.key, value: owner.value }] })
  const heard = server.tell(server.acquire(session, 'b'))
  await clock.settle()
  assert.equal(heard.failed?.code, 'unavailable')
  assert.equal(server.shards.health().shards[0]!.epoch, epoch + 1)
  assert.equal(await server.isHeld('a'), true)
  assert.equal(await server.isHeld('b'), false)
})

test('a late duplicate of an append is refused after its place has been cleaned', async () => {
  const { server, clock, engine } = await startServer({ config: { logBytesMin: 2_000 } })
  const session = await server.session(60_000)
  const token = await server.grant(session, 'a')
  const duplicate = engine.requests.filter(isAppend).at(-1)!
  await server.ask(server.release(session, 'a', token))
  for (let step = 0; step < 40; step++) await server.ask(server.release(session, 'x', await server.grant(session, 'x')))
  await clock.pass(500)
  const key = (duplicate.writes.at(-1) as { key: string }).key
  assert.equal(engine.store.get(key), null, 'its place is empty again')
  assert.equal(engine.store.commit(duplicate).ok, false)
})

test('no beat is sent while a batch is stuck', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isAppend)
  server.tell(server.acquire(session, 'a'))
  await clock.pass(6_000)
  const beats = engine.requests.filter(isBeat).length
  await clock.pass(3_000)
  assert.equal(engine.requests.filter(isBeat).length, beats)
  engine.letGo()
  await clock.pass(1_000)
  assert.ok(engine.requests.filter(isBeat).length > beats)
})

test('nor while what is written between two turns is', async () => {
  const { server, clock, engine } = await startServer()
  engine.hold(request => !isBeat(request))
  server.shards.sealAnew()
  await clock.pass(6_000)
  const beats = engine.requests.filter(isBeat).length
  await clock.pass(3_000)
  assert.equal(engine.requests.filter(isBeat).length, beats)
})

test('nor is one for the requests of another shard, which are told that their outcome is unknown', async () => {
  const { server, clock, engine } = await startServer({ config: { shards: 2 } })
  const instance = Array.from({ length: 8 }, (_, number) => `other-${number}`).find(
    name => shardOf(name, 2) !== shardOf('main', 2),
  )!
  const [session, other] = [await server.session(60_000), await server.session(60_000, instance)]
  engine.hold(isAppend)
  server.tell(server.acquire(session, 'a'))
  await clock.pass(6_000)
  const beats = engine.requests.filter(isBeat).length
  const renewals = []
  for (let time = 0; time < 6; time++) {
    renewals.push(server.tell(server.renew(other), { instance }))
    await clock.pass(500)
  }
  assert.equal(engine.requests.filter(isBeat).length, beats)
  assert.deepEqual(new Set(renewals.slice(-2).map(({ failed }) => failed?.code)), new Set(['unavailable']))
  engine.letGo()
  await clock.pass(1_000)
  assert.ok((await server.ask(server.renew(other), { instance })).ok)
})

test('a renewal that has waited for a slow beat for as long is no batch that is stuck', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(60_000)
  engine.hold(isAppend)
  server.tell(server.acquire(session, 'a'))
  await clock.settle()
  clock.pause(1_700)
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  engine.letGo()
  engine.hold(isBeat)
  await clock.pass(6_000)
  assert.equal(renewed.answers, 0)
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
})

test('this process is alive, a pid that has come to another is gone, another boot is unknown', () => {
  const own = systemProcesses.own()
  if (process.platform !== 'linux') return assert.equal(systemProcesses.stateOf(own), 'unknown')
  assert.equal(systemProcesses.stateOf(own), 'alive')
  assert.equal(systemProcesses.stateOf({ ...own, processStart: '1' }), 'gone')
  assert.equal(systemProcesses.stateOf({ ...own, pid: 2 ** 22 + 1 }), 'gone')
  assert.equal(systemProcesses.stateOf({ ...own, bootId: 'another' }), 'unknown')
  assert.equal(systemProcesses.stateOf({ ...own, pidNamespace: 'another' }), 'unknown')
})

test('of a beat and a declaration of death that race, one wins', async () => {
  const first = await startServer()
  const engine = new TestEngine(first.engine.store)
  const isDeath = (request: { writes: object[] }) => request.writes.some(write => 'delete' in write)
  engine.hold(isDeath)
  // Nothing comes of the first server for long enough …
  first.engine.hold(isBeat)
  const opening = startServer({ clock: first.clock, engine })
  const refused = assert.rejects(opening, DataDirectoryInUse)
  await first.clock.pass(2_600)
  assert.equal(engine.requests.filter(isDeath).length, 1)
  // … and then its beat arrives before the declaration does.
  first.engine.letGo()
  await first.clock.settle()
  engine.letGo()
  await first.clock.pass(1_000)
  await refused
  assert.deepEqual(first.fatal, [])
})

test('a takeover does not pass while the server it takes from has a member record', async () => {
  const first = await startServer()
  first.engine.kill()
  const former = first.server.shards.server
  const record = first.engine.store.get(keys.member(former))!
  const engine = new TestEngine(first.engine.store)
  const isTakeover = (request: { writes: object[] }) =>
    request.writes.some(write => 'key' in write && write.key === keys.owner(0))
  engine.hold(isTakeover)
  const opening = startServer({ clock: first.clock, engine })
  await first.clock.pass(3_000)
  assert.equal(engine.requests.filter(isTakeover).length, 1)
  engine.store.commit({ checks: [], writes: [{ key: record.key, value: record.value }] })
  engine.letGo()
  await first.clock.settle()
  assert.equal(ownerIn(first).server, former)
  await first.clock.pass(4_000)
  await opening
})

test('while a shard that was dropped is read again its server goes on beating, however long that takes', async () => {
  const { server, clock, engine } = await startServer()
  await server.session()
  const { list } = engine
  engine.list = async options => {
    if (options.prefix.includes('/log/')) await new Promise<void>(resolve => clock.after(3 * STUCK_MS, resolve))
    return list(options)
  }
  let isRefused = false
  engine.fate = request => {
    if (!isAppend(request) || isRefused) return 'pass'
    isRefused = true
    return 'refuse'
  }
  server.tell({ type: 'open_session', by: 'test', ttlMs: 1_000, labels: null })
  await clock.pass(STUCK_MS + 1_000)
  const beats = () => engine.requests.filter(isBeat).length
  const before = beats()
  await clock.pass(STUCK_MS)
  assert.ok(isRefused && beats() > before + 2, `${beats() - before} beats`)
})
