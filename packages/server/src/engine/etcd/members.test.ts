/** Three real members, of which some die, stop, come back, or are all away. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EtcdCluster, type EtcdMember, startEtcd } from '../../../../../test/harness/etcd.ts'
import { startProxy } from '../../../../../test/harness/proxy.ts'
import { systemClock } from '../../clock.ts'
import { type EtcdEngine, openEtcd } from './etcd.ts'
import { LOOK_AGAIN_MS, SLOW_MS } from './quicker.ts'

let cluster: EtcdCluster
before(async () => {
  cluster = await startEtcd({ members: 3 })
})
after(() => cluster?.stop())
beforeEach(async () => {
  for (const member of cluster.members) {
    member.resume()
    if (!member.isRunning) cluster.start(member)
  }
  await cluster.allReady()
})

/** An engine that asks `first` before the others. */
function openAt(first: EtcdMember): Promise<EtcdEngine> {
  const others = cluster.members.filter(member => member !== first)
  return openEtcd({ urls: [first, ...others].map(member => member.url), clock: systemClock, readMsMax: 2_000 })
}

/** One that asks `first` still, when that has been done: on a busy machine a slow answer leads elsewhere. */
async function openStaying(first: EtcdMember, after: (engine: EtcdEngine) => Promise<unknown>): Promise<EtcdEngine> {
  for (;;) {
    const engine = await openAt(first)
    await after(engine)
    if (engine.client.current === first.url) return engine
    await engine.close()
  }
}

/** One chain of commits, each on the revision of the one before, as a log is: what comes twice or is lost breaks it. */
class Chain {
  readonly key: string
  readonly engine: EtcdEngine
  revision = 0
  length = 0
  /** Of one commit, at the most. */
  attempts = 0
  constructor(engine: EtcdEngine, key: string) {
    this.engine = engine
    this.key = key
  }

  async grow(): Promise<void> {
    const value = Buffer.from(String(this.length + 1))
    for (let attempt = 1; ; attempt++) {
      const request = { checks: [{ key: this.key, modRevision: this.revision }], writes: [{ key: this.key, value }] }
      const outcome = await this.engine.commit(request).catch(() => null)
      if (outcome?.ok) this.revision = outcome.revision
      // An attempt before this one had passed.
      else if (outcome?.found[0] && value.equals(outcome.found[0].value)) this.revision = outcome.found[0].modRevision
      else {
        assert.equal(outcome, null, 'somebody else has written')
        await sleep(10)
        continue
      }
      this.attempts = Math.max(this.attempts, attempt)
      this.length++
      return
    }
  }

  /** Grows until it is stopped. */
  run(): { stop(): Promise<void> } {
    let isOver = false
    const running = (async () => {
      while (!isOver) await this.grow()
    })()
    return {
      stop: () => {
        isOver = true
        return running
      },
    }
  }

  async check(): Promise<void> {
    const pair = await this.engine.read(this.key)
    assert.deepEqual([Number(Buffer.from(pair!.value)), pair!.modRevision], [this.length, this.revision])
  }
}

async function notLeader(): Promise<EtcdMember> {
  const leader = await cluster.leader()
  return cluster.members.find(member => member !== leader)!
}

test('kill -9 of the leader costs an election, and no commit', async () => {
  const engine = await openAt(await notLeader())
  const chain = new Chain(engine, 'chain/leader')
  const running = chain.run()
  await sleep(200)
  await (await cluster.leader()).kill()
  const before = chain.length
  for (let waited = 0; waited < 10_000 && chain.length < before + 20; waited += 10) await sleep(10)
  await running.stop()
  assert.ok(chain.length >= before + 20)
  await chain.check()
  await engine.close()
})

test('kill -9 of the member that is asked costs nothing: another is asked', async () => {
  const asked = await notLeader()
  const engine = await openAt(asked)
  const chain = new Chain(engine, 'chain/follower')
  const running = chain.run()
  await sleep(200)
  assert.equal(engine.client.current, asked.url)
  await asked.kill()
  const before = chain.length
  for (let waited = 0; waited < 10_000 && chain.length < before + 20; waited += 10) await sleep(10)
  await running.stop()
  await chain.check()
  assert.notEqual(engine.client.current, asked.url)
  assert.ok(chain.attempts > 1, 'the commit in flight was to be lost with it')
  await engine.close()
})

test('a member that is stopped costs one attempt; what it carries out when it goes on does no harm', async () => {
  const asked = await notLeader()
  const engine = await openAt(asked)
  const chain = new Chain(engine, 'chain/stopped')
  for (let step = 0; step < 10; step++) await chain.grow()
  await asked.pause()
  for (let step = 0; step < 20; step++) await chain.grow()
  assert.notEqual(engine.client.current, asked.url)
  // The one that was given up; another for a machine that is slow itself.
  assert.ok(chain.attempts >= 2 && chain.attempts <= 3, `${chain.attempts} attempts`)
  const read = await engine.read(chain.key, { atLeast: chain.revision })
  assert.equal(read?.modRevision, chain.revision)
  // The commit that it had in its socket is carried out now, and finds its predecessor gone.
  asked.resume()
  await sleep(300)
  for (let step = 0; step < 10; step++) await chain.grow()
  await chain.check()
  await engine.close()
})

test('a member that is slow is left for one that is not, and none is left when all are slow', async () => {
  const asked = await notLeader()
  const others = cluster.members.filter(member => member !== asked)
  const proxies = await Promise.all([asked, ...others].map(({ clientPort }) => startProxy(clientPort)))
  const troubles: string[] = []
  const engine = await openEtcd({
    urls: proxies.map(({ url }) => url),
    clock: systemClock,
    onTrouble: ({ what }) => troubles.push(what),
  })
  const chain = new Chain(engine, 'chain/slow')
  try {
    for (let step = 0; step < 10; step++) await chain.grow()
    assert.equal(engine.client.current, proxies[0]!.url)
    // All of them: that is the way of this store, and no reason to go.
    for (const proxy of proxies) proxy.delay(SLOW_MS)
    for (let step = 0; step < 10; step++) await chain.grow()
    assert.equal(engine.client.current, proxies[0]!.url)
    assert.deepEqual(troubles, [])
    for (const proxy of proxies.slice(1)) proxy.delay(0)
    await sleep(LOOK_AGAIN_MS)
    // Found out while the next are under way.
    for (let step = 0; step < 5; step++) await chain.grow()
    assert.notEqual(engine.client.current, proxies[0]!.url)
    assert.match(troubles.join(), /^etcd at .* is slow: .* is asked instead$/)
    await chain.check()
  } finally {
    await engine.close()
    await Promise.all(proxies.map(proxy => proxy.close()))
  }
})

test('what waits at a member that answers nothing is given up as soon as others answer, however long it may take; what only that member can say is waited for', async () => {
  for (const asked of [await notLeader(), await cluster.leader()]) {
    const put = { success: [{ requestPut: { key: Buffer.from('left'), value: Buffer.from('1') } }] }
    const engine = await openStaying(asked, ({ client }) => client.txn(put))
    const { client } = engine
    await asked.pause()
    const own = assert.rejects(client.at(asked.url).status(), { kind: 'timed_out' })
    await assert.rejects(client.txn(put, 60_000), { kind: 'unknown', message: /where another member has one$/ })
    assert.notEqual(client.current, asked.url)
    await client.txn(put)
    await own
    asked.resume()
    await cluster.allReady()
    await engine.close()
  }
})

test('a member that was stopped, asked right after: no page is older than the takeover', async () => {
  const leader = await cluster.leader()
  const stopped = cluster.members.find(member => member !== leader)!
  const writer = await openAt(leader)
  // It asks that member and no other.
  const reader = await openEtcd({ urls: [stopped.url], clock: systemClock, readMsMax: 5_000 })
  for (let round = 0; round < 5; round++) {
    await stopped.pause()
    let takeover = 0
    for (let step = 0; step < 50; step++) {
      const writes = [{ key: `stale/${step}`, value: Buffer.from(String(round)) }]
      takeover = (await writer.commit({ checks: [], writes })).revision
    }
    stopped.resume()
    const { pairs, revision } = await reader.list({ prefix: 'stale/', limit: 100, atLeast: takeover })
    assert.ok(revision >= takeover)
    assert.ok(pairs.every(({ value }) => Number(Buffer.from(value)) === round))
    const pinned = await reader.list({ prefix: 'stale/', limit: 100, revision: takeover })
    assert.equal(pinned.pairs.length, 50)
  }
  await reader.close()
  await writer.close()
})

test('all members gone, and back: the same engine goes on by itself, soon', async () => {
  const engine = await openAt(cluster.members[0]!)
  const chain = new Chain(engine, 'chain/all')
  for (let step = 0; step < 5; step++) await chain.grow()
  const running = chain.run()
  await Promise.all(cluster.members.map(member => member.kill()))
  await sleep(2_000)
  for (const member of cluster.members) cluster.start(member)
  await cluster.allReady()
  const before = chain.length
  for (let waited = 0; waited < 10_000 && chain.length < before + 5; waited += 10) await sleep(10)
  await running.stop()
  await chain.check()
  assert.ok(chain.length >= before + 5)
  await engine.close()
})

test('one member of three without the others answers nothing; with them it all goes on', async () => {
  const engine = await openAt(cluster.members[0]!)
  const chain = new Chain(engine, 'chain/quorum')
  for (let step = 0; step < 5; step++) await chain.grow()
  const [, ...others] = cluster.members
  await Promise.all(others.map(member => member.pause()))
  const running = chain.run()
  const before = chain.length
  await sleep(1_500)
  // What was on its way when they stopped may have been the last.
  assert.ok(chain.length <= before + 1)
  await assert.rejects(engine.read(chain.key, { atLeast: chain.revision + 100 }))
  for (const member of others) member.resume()
  for (let waited = 0; waited < 20_000 && chain.length < before + 10; waited += 10) await sleep(10)
  await running.stop()
  assert.ok(chain.length >= before + 10)
  await chain.check()
  await engine.close()
})

test('the client asks exactly the member that it is told to, and knows them all', async () => {
  const engine = await openAt(cluster.members[0]!)
  const { client } = engine
  const leader = await cluster.leader()
  const members = await client.memberList({ isLinearizable: true })
  assert.deepEqual(members.map(({ name }) => name).sort(), ['m0', 'm1', 'm2'])
  for (const { id, clientURLs } of members) {
    const status = await client.at(clientURLs[0]!).status()
    assert.equal(status.header?.memberId, id)
    assert.equal(status.header?.memberId === status.leader, clientURLs[0] === leader.url)
    assert.match(status.version, /^3\.\d+\.\d+/)
    assert.ok(status.dbSize >= status.dbSizeInUse && status.dbSizeInUse > 0)
  }
  const hashes = await Promise.all(client.urls.map(url => client.at(url).hashKv(0)))
  assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1)
  const heir = members.find(({ clientURLs }) => clientURLs[0] !== leader.url)!
  await client.at(leader.url).moveLeader(heir.id)
  assert.equal((await client.at(leader.url).status()).leader, heir.id)
  await engine.close()
})
