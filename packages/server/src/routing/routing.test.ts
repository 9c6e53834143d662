/** Several servers on one store, in one process, with links that never fail by themselves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeRecord } from '../engine/commit.ts'
import type { Command } from '../locks/model.ts'
import { batchText, decodeBatch, encodeBatch, FORMAT, GroupText } from '../shards/batch.ts'
import { decodeOwner } from '../shards/ownership.ts'
import { shardOf } from '../shards/router.ts'
import { acquireOf, FakeClock, keys } from '../shards/testing.ts'
import { Accepted } from './accepted.ts'
import { AcceptedLinks } from './accepted-links.ts'
import { COMPLAINT_MS } from './link.ts'
import type { Peer } from './peer.ts'
import { Cluster } from './testing.ts'

test('every server answers every request, whoever decides', async () => {
  const cluster = await Cluster.start(3)
  const owners = cluster.owners()
  assert.equal(new Set(owners).size > 1, true, 'the shards are spread')
  for (const instance of cluster.instances(8)) {
    const [first, second, third] = cluster.servers
    const session = await first!.session(60_000, instance)
    const token = await second!.grant(session, 'a', instance)
    assert.equal(await third!.isHeld('a', instance), true)
    assert.ok((await third!.ask(first!.release(session, 'a', token), { instance })).ok)
    assert.equal(await first!.isHeld('a', instance), false)
  }
})

test('a server that does not decide says who does, and who does says nothing', async () => {
  const cluster = await Cluster.start(3)
  for (const instance of cluster.instances(8)) {
    const told = cluster.servers.map(server => server.shards.ownerUrl(instance))
    // In this cluster an address is the place of the server.
    const owner = Number(told.find(url => url !== null))
    assert.deepEqual(
      told,
      told.map((_, place) => (place === owner ? null : String(owner))),
    )
  }
})

test('after a death its shards are taken, and nothing that was granted is lost', async () => {
  const cluster = await Cluster.start(3)
  const held: { instance: string; session: string; token: number }[] = []
  for (const instance of cluster.instances(8)) {
    const session = await cluster.servers[0]!.session(60_000, instance)
    held.push({ instance, session, token: await cluster.servers[1]!.grant(session, 'a', instance) })
  }
  cluster.kill(2)
  await cluster.pass(4_000)
  assert.equal(cluster.owners().includes(cluster.servers[2]!.shards.server), false)
  for (const { instance, session, token } of held) {
    assert.equal(await cluster.servers[0]!.isHeld('a', instance), true)
    const other = await cluster.servers[1]!.session(60_000, instance)
    assert.ok((await cluster.servers[0]!.ask(cluster.servers[0]!.release(session, 'a', token), { instance })).ok)
    assert.ok((await cluster.servers[1]!.grant(other, 'a', instance)) > token, 'tokens only grow')
  }
})

test('who is overtaken while it reads a shard calls for nobody, and the shard is taken as ever', async () => {
  const cluster = await Cluster.start(2)
  const [first, second] = cluster.servers
  const shard = cluster.owners().indexOf(second!.shards.server)
  const [instance = ''] = cluster.instances(8).filter(name => shardOf(name, 8) === shard)
  const session = await first!.session(60_000, instance)
  let isOvertaken = false
  cluster.reads(0, value => {
    if (isOvertaken || !decodeBatch(value).entries.some(([name]) => name === instance)) return value
    isOvertaken = true
    const key = keys.owner(shard)
    const { epoch } = decodeOwner(cluster.store.get(key)!)
    const next = encodeRecord({ shard, server: 'another', epoch: epoch + 1 })
    cluster.store.commit({ checks: [], writes: [{ key, value: next }] })
    return encodeBatch({ ...decodeBatch(value), seq: 9 }, { carried: new GroupText(), entries: new GroupText() })
  })
  cluster.kill(1)
  await cluster.pass(6_000)
  assert.equal(isOvertaken, true)
  assert.deepEqual(cluster.alarms, [])
  assert.ok((await first!.grant(session, 'a', instance)) > 0)
})

test('what has no request id is asked again only if it surely was not taken', async () => {
  const cluster = await Cluster.start(3)
  const instance = cluster.instances(8).find(name => cluster.servers[0]!.shards.ownerUrl(name) === '2')!
  const [first] = cluster.servers
  const session = await first!.session(60_000, instance)
  const acquire = { ...acquireOf(session, 'a', { request: 1 }), request: null } as Command
  cluster.hold(2)
  const sent = first!.tell(acquire, { instance })
  await cluster.settle()
  const repeatable = first!.tell(acquireOf(session, 'b', { request: 2 }), { instance })
  await cluster.settle()
  cluster.kill(2)
  await cluster.settle()
  assert.equal(sent.failed?.code, 'unavailable')
  const other = { ...acquireOf(session, 'c', { request: 3 }), request: null } as Command
  const unsent = first!.tell(other, {
    instance,
  })
  assert.equal(repeatable.answers + unsent.answers, 0)
  await cluster.pass(4_000)
  assert.ok(repeatable.answer?.ok, 'it is remembered by its id')
  assert.ok(unsent.answer?.ok, 'the dead owner never heard of it')
  assert.equal(sent.answers, 1)
})

test('a forced end whose answer was lost is not asked for again: it would end the grant of the next in line', async () => {
  const cluster = await Cluster.start(3)
  const [first] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const [holder, next] = [await first!.session(60_000, instance), await first!.session(60_000, instance)]
  await first!.grant(holder, 'a', instance)
  const waiting = first!.tell(first!.acquire(next, 'a', { waitMs: null }), { instance })
  await cluster.pass(50)
  cluster.hold(2)
  const reason = 'it hangs'
  const force = { type: 'force_release', by: 'ops', lock: 'a', token: null, reason, now: true } as const
  const forced = first!.tell(force, { instance })
  await cluster.settle()
  cluster.cut()
  await cluster.pass(200)
  cluster.letGo(2)
  await cluster.pass(2_000)
  assert.equal(forced.failed?.code, 'unavailable')
  assert.ok(waiting.answer?.ok && waiting.answer.type === 'granted')
  const { token } = waiting.answer.grants[0]!
  assert.ok((await first!.ask(first!.release(next, 'a', token), { instance })).ok, 'it holds it still')
})

test('a server that beats and that no other can reach loses its shards to them, and gets its share again when it can be reached', async () => {
  const cluster = await Cluster.start(3)
  const [apart, second, third] = cluster.servers.map(server => server.shards.server)
  const instance = cluster.instances(8).find(name => cluster.servers[1]!.shards.ownerUrl(name) === '0')!
  const session = await cluster.servers[1]!.session(60_000, instance)
  const token = await cluster.servers[1]!.grant(session, 'a', instance)
  cluster.setApart(0, true)
  await cluster.pass(COMPLAINT_MS - 1_000)
  assert.ok(cluster.owners().includes(apart!), 'a moment apart is no reason')
  await cluster.pass(4_000)
  assert.deepEqual(new Set(cluster.owners()), new Set([second, third]))
  assert.equal(await cluster.servers[1]!.isHeld('a', instance), true)
  assert.ok((await cluster.servers[2]!.ask(cluster.servers[1]!.release(session, 'a', token), { instance })).ok)
  assert.deepEqual(cluster.fatal, [[], [], []], 'it lives, and beats')
  cluster.setApart(0, false)
  await cluster.pass(4_000)
  assert.ok(cluster.owners().includes(apart!))
})

test('a server with a shard that is stuck loses its shards to the others, whatever goes on in the rest of them', async () => {
  const cluster = await Cluster.start(3)
  const [first] = cluster.servers
  const [stuck, other] = cluster.instances(8).filter(name => first!.shards.ownerUrl(name) === '2')
  const [session, another] = [await first!.session(60_000, stuck), await first!.session(60_000, other)]
  const log = keys.log(shardOf(stuck!, 8))
  cluster.fate(2, ({ writes }) =>
    writes.some(write => 'value' in write && write.key.startsWith(log)) ? 'lose' : 'pass',
  )
  const acquired = first!.tell(first!.acquire(session, 'a'), { instance: stuck! })
  for (let halfSeconds = 0; halfSeconds < 20; halfSeconds++) {
    first!.tell(first!.renew(another), { instance: other! })
    await cluster.pass(500)
  }
  assert.ok(acquired.answer?.ok, 'another server has taken the shard')
  assert.ok((await first!.ask(first!.renew(another), { instance: other! })).ok)
})

test('what a newer server asks and an older one does not know is refused, and nothing ends of it', async () => {
  const cluster = await Cluster.start(3)
  const [first] = cluster.servers
  const instance = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const session = await first!.session(60_000, instance)
  // Of a version that is yet to come.
  const asked = first!.tell({ ...first!.renew(session), type: 'renew_all' } as unknown as Command, { instance })
  await cluster.pass(100)
  assert.equal(asked.failed?.code, 'unavailable')
  assert.match(asked.failed?.message ?? '', /older version/)
  assert.deepEqual(cluster.fatal, [[], [], []])
  assert.ok((await first!.ask(first!.renew(session), { instance })).ok)
})

test('a shard that an older server cannot read is left to a newer one, and stays there', async () => {
  const cluster = await Cluster.start(3)
  const [first, second] = cluster.servers.map(server => server.shards.server)
  const before = cluster.owners()
  // The third server is of a newer version, and so is the second.
  cluster.reads(0, value => encodeRecord({ ...JSON.parse(batchText(value)), format: FORMAT + 1 }))
  cluster.kill(2)
  await cluster.pass(4_000)
  // What the first has it has read before.
  const expected = before.map(owner => (owner === first ? first : second))
  assert.deepEqual(cluster.owners(), expected)
  await cluster.pass(6_000)
  assert.deepEqual(cluster.owners(), expected)
  assert.deepEqual(cluster.fatal.slice(0, 2), [[], []])
  for (const instance of cluster.instances(8)) assert.ok(await cluster.servers[0]!.session(60_000, instance))
})

test('a message of a kind that is not known is refused by its id, or let pass if it has none', async () => {
  const said: string[] = []
  const clock = new FakeClock()
  const transport = { send: (frame: string) => void said.push(frame), close: () => undefined }
  // Nothing of this comes as far as the shards.
  const accepted = new Accepted({ transport, clock, local: {} as Peer, told: assert.fail })
  accepted.heard(
    JSON.stringify([
      { type: 'hint', of: 'a newer version' },
      { type: 'subscribe', id: 7 },
    ]),
  )
  await clock.settle()
  const [answer, ...more] = said.flatMap(frame => JSON.parse(frame))
  assert.deepEqual([answer.type, answer.id, answer.error.code, more], ['fail', 7, 'unavailable', []])
})

test('what lies in a connection is not heard once the same server has made another', async () => {
  const clock = new FakeClock()
  const heard: string[] = []
  const local = {
    submit: (instance: string) => {
      heard.push(instance)
      return { detach: () => undefined }
    },
  }
  const links = new AcceptedLinks({ local: local as unknown as Peer, told: assert.fail, clock })
  const closed: string[] = []
  const connect = (server: string, name: string) =>
    links.accept(server, { send: () => undefined, close: () => closed.push(name) })
  const ask = (id: number, instance: string) =>
    JSON.stringify([{ type: 'ask', id, instance, command: acquireOf('s', 'a', { request: id }) }])
  const first = connect('server-1', 'first')
  const another = connect('server-2', 'another')
  first.heard(ask(1, 'before'))
  const second = connect('server-1', 'second')
  first.heard(ask(2, 'late'))
  second.heard(ask(1, 'repeated'))
  another.heard(ask(1, 'of another'))
  first.closed()
  const third = connect('server-1', 'third')
  third.heard(ask(3, 'after'))
  assert.deepEqual(heard, ['before', 'repeated', 'of another', 'after'])
  assert.deepEqual(closed, ['first', 'second'])
})

test('servers that cannot reach each other keep their shards: it is the network between them', async () => {
  const cluster = await Cluster.start(3)
  const before = cluster.owners()
  for (const index of [0, 1, 2]) cluster.setApart(index, true)
  await cluster.pass(COMPLAINT_MS + 4_000)
  assert.deepEqual(cluster.owners(), before)
})

test('a server that leaves hands over at once: nothing fails, places and grants stay', async () => {
  const cluster = await Cluster.start(3)
  const [first, second, third] = cluster.servers
  const waits = []
  for (const instance of cluster.instances(8)) {
    const [holder, waiter] = [await first!.session(60_000, instance), await second!.session(60_000, instance)]
    const token = await first!.grant(holder, 'a', instance)
    waits.push({
      instance,
      holder,
      token,
      heard: second!.tell(second!.acquire(waiter, 'a', { waitMs: null }), { instance }),
    })
  }
  await cluster.pass(50)
  const closed = third!.shards.close()
  await cluster.pass(1_500)
  await closed
  for (const { instance, holder, token, heard } of waits) {
    assert.equal(heard.answers, 0, heard.failed?.message)
    const asked = first!.tell(first!.release(holder, 'a', token), { instance })
    await cluster.pass(200)
    assert.ok(asked.answer?.ok)
    assert.ok(heard.answer?.ok, 'who waited is next, wherever it waits')
  }
})

test('what a server that leaves has asked others for is answered before it is gone, and what others ask it for is not failed', async () => {
  const cluster = await Cluster.start(3)
  const [first, second, third] = cluster.servers
  const elsewhere = cluster.instances(8).find(name => third!.shards.ownerUrl(name) === '0')!
  const here = cluster.instances(8).find(name => first!.shards.ownerUrl(name) === '2')!
  const sessions = await Promise.all([elsewhere, here].map(instance => second!.session(60_000, instance)))
  // No request id: of what was under way when the server went nobody would know what came of it.
  const unnamed = (session: string, lock: string) =>
    ({ ...acquireOf(session, lock, { request: 1 }), request: null }) as Command
  const locks = Array.from({ length: 5 }, (_, number) => `lock-${number}`)
  // The store is slow for the one that is asked.
  cluster.hold(0)
  const byIt = locks.map(lock => third!.tell(unnamed(sessions[0]!, lock), { instance: elsewhere }))
  const ofIt = locks.map(lock => first!.tell(unnamed(sessions[1]!, lock), { instance: here }))
  await cluster.settle()
  const closed = third!.shards.close()
  let isClosed = false
  closed.then(() => {
    isClosed = true
  })
  const late = first!.tell(unnamed(sessions[1]!, 'late'), { instance: here })
  await cluster.pass(500)
  assert.equal(isClosed, false, 'it waits for what it has asked for')
  const outcomes = (all: typeof byIt) => all.map(({ failed, answer }) => failed?.code ?? answer?.ok)
  assert.deepEqual(
    outcomes([...ofIt, late]),
    [...locks, 'late'].map(() => true),
    'others know that it goes',
  )
  cluster.letGo(0)
  await cluster.pass(2_000)
  await closed
  assert.deepEqual(
    outcomes(byIt),
    locks.map(() => true),
  )
})

test('a server that joins is handed its share, while everything goes on', async () => {
  const cluster = await Cluster.start(2)
  const heard = []
  const joined = cluster.join()
  for (let step = 0; step < 100; step++) {
    for (const instance of cluster.instances(4)) {
      const server = cluster.servers[step % 2]!
      heard.push(server.tell({ type: 'open_session', by: 'test', ttlMs: 60_000, labels: null }, { instance }))
    }
    await cluster.pass(50)
  }
  const server = await joined
  assert.ok(cluster.owners().includes(server.shards.server))
  for (const one of heard) assert.ok(one.answer?.ok, one.failed?.message)
})

test('a server that was stopped for longer than its record lives decides nothing more, and ends', async () => {
  const cluster = await Cluster.start(3)
  const stopped = cluster.servers[2]!
  const owned = cluster.owners().filter(owner => owner === stopped.shards.server).length
  assert.ok(owned > 0)
  cluster.stop(2)
  await cluster.pass(4_000)
  cluster.resume(2)
  const instance = cluster.instances(8)[0]!
  const heard = stopped.tell({ type: 'open_session', by: 'test', ttlMs: 60_000, labels: null }, { instance })
  await cluster.pass(3_000)
  assert.equal(cluster.fatal[2]?.length, 1)
  if (heard.answer) assert.ok(cluster.owners().every(owner => owner !== stopped.shards.server))
})
