/** What goes wrong between us and a real member: lost replies, silence, half-open connections, watches that stop telling, too many pings. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EtcdCluster, startEtcd } from '../../../../../test/harness/etcd.ts'
import { type FaultProxy, startProxy } from '../../../../../test/harness/proxy.ts'
import { systemClock } from '../../clock.ts'
import { EngineCompacted, EngineRefusal } from '../engine.ts'
import { EtcdError } from './errors.ts'
import { type EtcdEngine, type EtcdOptions, openEtcd } from './etcd.ts'

let cluster: EtcdCluster
before(async () => {
  cluster = await startEtcd()
})
after(() => cluster?.stop())

const bytes = (text: string) => Buffer.from(text)
const put = (key: string, value: string, modRevision?: number) => ({
  checks: modRevision === undefined ? [] : [{ key, modRevision }],
  writes: [{ key, value: bytes(value) }],
})

type Behind = { engine: EtcdEngine; proxy: FaultProxy; troubles: unknown[] }

/** An engine that reaches the member through a proxy of its own. */
async function behindProxy(act: (behind: Behind) => Promise<void>, options: Partial<EtcdOptions> = {}): Promise<void> {
  const proxy = await startProxy(cluster.members[0]!.clientPort)
  const troubles: unknown[] = []
  const onTrouble = ({ error }: { error: unknown }) => void troubles.push(error)
  const engine = await openEtcd({ urls: [proxy.url], clock: systemClock, onTrouble, ...options })
  try {
    await act({ engine, proxy, troubles })
  } finally {
    await engine.close()
    await proxy.close()
  }
}

/** Waits for what must come, however slow the machine is. */
async function until(isSo: () => boolean): Promise<void> {
  for (let waited = 0; waited < 20_000 && !isSo(); waited += 10) await sleep(10)
  assert.ok(isSo(), 'it did not come')
}

test('a commit whose reply is lost is unknown; the same commit again finds that it was applied', () =>
  behindProxy(async ({ engine, proxy }) => {
    const commit = put('lost/reply', 'mine', 0)
    proxy.swallow('replies')
    await assert.rejects(
      engine.commit(commit),
      (error: unknown) => error instanceof EtcdError && error.kind === 'timed_out',
    )
    assert.ok(proxy.lost.replies > 0)
    proxy.heal()
    const again = await commitUntilAnswered(engine, commit)
    assert.ok(!again.ok)
    assert.equal(bytes('mine').compare(again.found[0]!.value), 0)
  }))

test('a commit whose request is lost is unknown; the same commit again passes', () =>
  behindProxy(async ({ engine, proxy }) => {
    proxy.swallow('requests')
    await assert.rejects(engine.commit(put('lost/request', 'mine', 0)), EtcdError)
    assert.ok(proxy.lost.requests > 0)
    proxy.heal()
    assert.ok((await commitUntilAnswered(engine, put('lost/request', 'mine', 0))).ok)
  }))

test('a commit that arrives after its caller has given up does what it says, once', () =>
  behindProxy(async ({ engine, proxy }) => {
    proxy.hold('requests')
    await assert.rejects(engine.commit(put('late', 'mine', 0)), EtcdError)
    proxy.heal()
    // It was cancelled behind itself on the same connection, so it may have been applied or not; the second attempt knows.
    const again = await commitUntilAnswered(engine, put('late', 'mine', 0))
    if (!again.ok) assert.equal(bytes('mine').compare(again.found[0]!.value), 0)
    assert.equal(bytes('mine').compare((await engine.read('late'))!.value), 0)
  }))

test('a connection that is reset under a commit leaves it unknown, and the next one is made at once', () =>
  behindProxy(async ({ engine, proxy }) => {
    proxy.hold('replies')
    const commit = engine.commit(put('reset', 'mine', 0))
    await until(() => proxy.lost.replies > 0)
    proxy.reset()
    await assert.rejects(commit, (error: unknown) => error instanceof EtcdError && error.kind === 'unknown')
    proxy.heal()
    const again = await commitUntilAnswered(engine, put('reset', 'mine', 0))
    assert.ok(!again.ok)
  }))

test('attempts that are given up make the next ones more patient, so that a slow store is not asked for ever faster', () =>
  behindProxy(async ({ engine, proxy }) => {
    // A round trip takes longer than the first attempt waits.
    proxy.delay(400)
    let attempts = 0
    for (;;) {
      attempts++
      const outcome = await engine.commit(put('slow', 'mine', 0)).catch((error: unknown) => error)
      if (!(outcome instanceof Error)) break
    }
    assert.ok(attempts >= 2, 'the first attempt was to be given up')
    assert.ok(attempts <= 8, `${attempts} attempts`)
    // What took so long is waited for from the start, from now on.
    for (let step = 0; step < 3; step++) assert.ok((await engine.commit(put('slow', `${step}`))).ok)
  }))

test('a member that accepts connections and says nothing costs one attempt, not the service', async () => {
  const silent = await startProxy(cluster.members[0]!.clientPort)
  const engine = await openEtcd({ urls: [silent.url, cluster.url], clock: systemClock })
  silent.swallow('requests', 'replies')
  // Found out by asking the others, or because it took too long.
  const isGivenUp = (error: unknown) => error instanceof EtcdError && ['unknown', 'timed_out'].includes(error.kind)
  await assert.rejects(engine.commit(put('silent/1', 'mine')), isGivenUp)
  assert.equal(engine.client.current, cluster.url)
  assert.ok((await engine.commit(put('silent/1', 'mine'))).ok)
  assert.equal((await engine.read('silent/1'))?.key, 'silent/1')
  await engine.close()
  await silent.close()
})

test('a read finds another member by itself, and remembers it', async () => {
  const first = await startProxy(cluster.members[0]!.clientPort)
  const engine = await openEtcd({ urls: [first.url, cluster.url], clock: systemClock })
  await engine.commit(put('failover', 'mine'))
  first.cut()
  assert.equal((await engine.read('failover'))?.key, 'failover')
  assert.equal(engine.client.current, cluster.url)
  first.heal()
  await engine.read('failover')
  assert.equal(engine.client.current, cluster.url, 'what is good is not left for what was bad')
  await engine.close()
  await first.close()
})

test('a watch hints, although what it told before was lost with its connection', () =>
  behindProxy(async ({ engine, proxy, troubles }) => {
    const watch = follow(engine, 'cut/')
    await until(() => watch.hints > 0)
    proxy.cut()
    await until(() => troubles.length > 0)
    // Nobody told us of this one.
    await direct(client => client.commit(put('cut/1', 'x')))
    proxy.heal()
    const before = watch.hints
    await until(() => watch.hints > before)
    const reopened = watch.hints
    await sleep(50)
    await direct(client => client.commit(put('cut/2', 'x')))
    await until(() => watch.hints > reopened)
    await watch.stop()
  }))

test('a watch on a half-open connection is found out by its silence, and opened again', () =>
  behindProxy(
    async ({ engine, proxy, troubles }) => {
      const watch = follow(engine, 'silence/')
      await until(() => watch.hints > 0)
      // It answers what it is asked, so it goes on.
      await sleep(250)
      assert.equal(troubles.length, 0)
      proxy.swallow('replies')
      await direct(client => client.commit(put('silence/1', 'x')))
      await until(() => troubles.some(error => error instanceof EtcdError && error.kind === 'timed_out'))
      const before = watch.hints
      proxy.heal()
      await until(() => watch.hints > before)
      await watch.stop()
    },
    { watchAskMs: 100 },
  ))

test('a watch survives a compaction beyond all that it has seen', () =>
  behindProxy(async ({ engine, proxy }) => {
    const watch = follow(engine, 'compacted/')
    await until(() => watch.hints > 0)
    proxy.hold('replies')
    let revision = 0
    await direct(async client => {
      for (let step = 0; step < 20; step++) revision = (await client.commit(put('compacted/1', `${step}`))).revision
      await client.client.compact(revision)
    })
    proxy.reset()
    proxy.heal()
    const before = watch.hints
    await until(() => watch.hints > before)
    const reopened = watch.hints
    await sleep(50)
    await direct(client => client.commit(put('compacted/2', 'x')))
    await until(() => watch.hints > reopened)
    await watch.stop()
  }))

test('a listing that is pinned to a compacted revision is told so, and starts over', () =>
  behindProxy(async ({ engine }) => {
    for (const key of ['pin/1', 'pin/2', 'pin/3']) await engine.commit(put(key, 'old'))
    const first = await engine.list({ prefix: 'pin/', limit: 2 })
    const last = await engine.commit(put('pin/3', 'new'))
    const pinned = { prefix: 'pin/', limit: 2, after: 'pin/2', revision: first.revision }
    const [old] = (await engine.list(pinned)).pairs
    assert.equal(bytes('old').compare(old!.value), 0)
    await engine.client.compact(last.revision)
    await assert.rejects(engine.list(pinned), EngineCompacted)
    const [fresh] = (await engine.list({ ...pinned, revision: last.revision })).pairs
    assert.equal(bytes('new').compare(fresh!.value), 0)
  }))

test("the store's own limit on operations is the one that we keep", () =>
  behindProxy(async ({ engine }) => {
    const keys = Array.from({ length: 129 }, (_, index) => `many/${index}`)
    const puts = keys.map(key => ({ requestPut: { key: bytes(key), value: bytes('x') } }))
    const isTooMany = (error: unknown) => error instanceof EtcdError && error.kind === 'too_many_operations'
    await engine.client.txn({ success: puts.slice(1) })
    await assert.rejects(engine.client.txn({ success: puts }), isTooMany)
    const writes = keys.map(key => ({ key, value: bytes('x') }))
    const isRefused = (error: unknown) => error instanceof EngineRefusal && error.reason === 'too_many_operations'
    await assert.rejects(engine.commit({ checks: [], writes }), isRefused)
  }))

test('what is too large for the store is refused by it, definitely', () =>
  behindProxy(async ({ engine }) => {
    const large = { requestPut: { key: bytes('large'), value: Buffer.alloc(1_700_000) } }
    const isTooLarge = (error: unknown) => error instanceof EtcdError && error.kind === 'too_large'
    await assert.rejects(engine.client.txn({ success: [large] }, 5_000), isTooLarge)
  }))

test('too many pings end a connection; calls and watches go on', () =>
  behindProxy(
    async ({ engine, proxy, troubles }) => {
      // Far more often than the member allows: it says goodbye after the third.
      const watch = follow(engine, 'pings/')
      await until(() => troubles.length > 0)
      const before = watch.hints
      await until(() => watch.hints > before)
      assert.ok((await commitUntilAnswered(engine, put('pings/1', 'x'))).revision > 0)
      assert.ok(proxy.connections > 2)
      await watch.stop()
    },
    { keepaliveMs: 30 },
  ))

test('our own pings are few enough: a quiet watch keeps its connection', async () => {
  // It allows one in 250 ms here, and one in 5 s by default. Ours come half as often as it allows, as in production.
  const strict = await startEtcd({ flags: ['--grpc-keepalive-min-time=250ms'] })
  const proxy = await startProxy(strict.members[0]!.clientPort)
  const troubles: unknown[] = []
  const onTrouble = ({ error }: { error: unknown }) => void troubles.push(error)
  const engine = await openEtcd({ urls: [proxy.url], clock: systemClock, keepaliveMs: 500, onTrouble })
  const watch = follow(engine, 'quiet/')
  await until(() => watch.hints > 0)
  const { connections } = proxy
  await sleep(3_000)
  assert.deepEqual([proxy.connections, troubles.length], [connections, 0])
  await watch.stop()
  await engine.close()
  await proxy.close()
  await strict.stop()
})

test('watches and commits do not share a connection', () =>
  behindProxy(async ({ engine, proxy }) => {
    const before = proxy.connections
    const watch = follow(engine, 'own/')
    await until(() => watch.hints > 0)
    assert.equal(proxy.connections, before + 1)
    await watch.stop()
  }))

/** As who needs the outcome does it. */
async function commitUntilAnswered(engine: EtcdEngine, commit: Parameters<EtcdEngine['commit']>[0]) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await engine.commit(commit)
    } catch (error) {
      if (attempt === 50) throw error
    }
    await sleep(20)
  }
}

/** With an engine that nothing stands before. */
async function direct(act: (engine: EtcdEngine) => Promise<unknown>): Promise<void> {
  const engine = await openEtcd({ urls: [cluster.url], clock: systemClock })
  await act(engine)
  await engine.close()
}

function follow(engine: EtcdEngine, prefix: string): { readonly hints: number; stop(): Promise<void> } {
  const ending = new AbortController()
  const stop = () => {
    ending.abort()
    return counted
  }
  const watch = { hints: 0, stop }
  const counted = (async () => {
    for await (const _ of engine.watch({ prefix, signal: ending.signal })) watch.hints++
  })()
  return watch
}
