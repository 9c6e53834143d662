/** What is believed of answers, and what is not: with members that say what they are told to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { status } from '@grpc/grpc-js'
import { systemClock } from '../../clock.ts'
import { EngineFatal, EngineRefusal } from '../engine.ts'
import { isInTheClear } from './channel.ts'
import { openEtcd } from './etcd.ts'
import { etcdError, startScripted } from './scripted.ts'

const value = Buffer.from('v')
const header = (revision: number, clusterId = 7n) => ({ clusterId, memberId: 1n, revision, raftTerm: 1n })
const current = (revision: number) => ({ header: header(revision), version: '3.5.33' })
const pair = (modRevision: number) => ({ key: Buffer.from('k'), value, modRevision })
const put = { checks: [{ key: 'k', modRevision: 1 }], writes: [{ key: 'k', value }] }

const open = (urls: string[], options: { readMsMax?: number; takesAnyVersion?: boolean } = {}) => {
  const warnings: string[] = []
  const opening = openEtcd({
    urls,
    clock: systemClock,
    readMsMax: 300,
    onWarning: text => void warnings.push(text),
    ...options,
  })
  return { opening, warnings }
}

test('a read that is older than what was seen before is not believed: another member is asked', async () => {
  const asked: string[] = []
  const lagging = await startScripted({
    status: () => current(10),
    range: () => {
      asked.push('lagging')
      return { header: header(4), kvs: [pair(3)] }
    },
    // Its log is that of all: only its reads are behind.
    txn: () => ({ header: header(10), succeeded: true }),
  })
  const fresh = await startScripted({
    status: () => current(10),
    range: () => {
      asked.push('fresh')
      return { header: header(10), kvs: [pair(9)] }
    },
  })
  const engine = await open([lagging.url, fresh.url]).opening
  assert.equal((await engine.read('k'))?.modRevision, 9)
  assert.deepEqual(asked, ['lagging', 'fresh'])
  // Remembered: the next read does not go there first.
  await engine.read('k')
  assert.deepEqual(asked, ['lagging', 'fresh', 'fresh'])
  await engine.close()
  lagging.close()
  fresh.close()
})

test('a recovery gets pages that are no older than its takeover, or none', async () => {
  let revision = 4
  const member = await startScripted({
    status: () => current(2),
    range: () => ({ header: header(revision++), kvs: [pair(3)] }),
    txn: () => ({ header: header(revision), succeeded: true }),
  })
  const engine = await open([member.url]).opening
  assert.equal((await engine.list({ prefix: 'k', limit: 1, atLeast: 6 })).revision, 6)
  await assert.rejects(engine.list({ prefix: 'k', limit: 1, atLeast: 1_000 }), /older than 1000/)
  await engine.close()
  member.close()
})

test('a page at a revision that a member has not reached is asked for elsewhere', async () => {
  const behind = await startScripted({
    status: () => current(5),
    range: () => etcdError(status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision is a future revision'),
  })
  const level = await startScripted({
    status: () => current(5),
    range: ({ revision }) => ({ header: header(9), kvs: [pair(revision)] }),
  })
  const engine = await open([behind.url, level.url]).opening
  const page = await engine.list({ prefix: 'k', limit: 1, revision: 6 })
  assert.equal(page.pairs[0]?.modRevision, 6)
  assert.equal(page.revision, 6)
  await engine.close()
  behind.close()
  level.close()
})

test('a write that is answered below what was seen before it was sent means that the store went back: nothing more is done', async () => {
  let revision = 10
  const member = await startScripted({
    status: () => current(10),
    txn: () => ({ header: header(revision), succeeded: true }),
    range: () => ({ header: header(revision) }),
  })
  const engine = await open([member.url]).opening
  await engine.commit(put)
  revision = 9
  await assert.rejects(engine.commit(put), EngineFatal)
  revision = 100
  await assert.rejects(engine.commit(put), EngineFatal)
  await assert.rejects(engine.read('k'), EngineFatal)
  await engine.close()
  member.close()
})

test('a read shows that the store went back, too, once a write has confirmed it', async () => {
  let revision = 10
  const member = await startScripted({
    status: () => current(10),
    txn: () => ({ header: header(revision), succeeded: true }),
    range: () => ({ header: header(revision) }),
  })
  const engine = await open([member.url]).opening
  revision = 3
  await assert.rejects(engine.read('k'), /gone back in time/)
  await assert.rejects(engine.read('k'), EngineFatal)
  await engine.close()
  member.close()
})

test('answers that overtake each other are no step back', async () => {
  let letGo = () => {}
  let revision = 10
  const member = await startScripted({
    status: () => current(10),
    txn: ({ success }) => {
      const reply = { header: header(++revision), succeeded: true }
      const isSlow = success[0]?.requestPut?.key.toString() === 'slow'
      return isSlow ? new Promise(resolve => (letGo = () => resolve(reply))) : reply
    },
  })
  const engine = await open([member.url]).opening
  const slow = engine.commit({ checks: [], writes: [{ key: 'slow', value }] })
  const quick = await engine.commit({ checks: [], writes: [{ key: 'quick', value }] })
  letGo()
  assert.ok(quick.revision > (await slow).revision)
  await engine.close()
  member.close()
})

test('another cluster id is another store', async () => {
  let clusterId = 7n
  const member = await startScripted({
    status: () => current(10),
    txn: () => ({ header: header(11, clusterId), succeeded: true }),
  })
  const engine = await open([member.url]).opening
  await engine.commit(put)
  clusterId = 8n
  await assert.rejects(engine.commit(put), /cluster 8, and was 7/)
  await assert.rejects(engine.commit(put), EngineFatal)
  await engine.close()
  member.close()
})

test('what an earlier start has seen is held against the store', async () => {
  const member = await startScripted({
    status: () => current(10),
    txn: () => ({ header: header(10), succeeded: true }),
  })
  const options = { urls: [member.url], clock: systemClock }
  const other = openEtcd({ ...options, known: { clusterId: 8n, revision: 1 } })
  await assert.rejects(other, EngineFatal)
  const engine = await openEtcd({ ...options, known: { clusterId: 7n, revision: 11 } })
  await assert.rejects(engine.commit(put), EngineFatal)
  await engine.close()
  member.close()
})

test('full, etcd says, of a commit that it has refused: a refusal; of one that it has applied: the truth', async () => {
  let isApplied = false
  const probes: boolean[] = []
  const member = await startScripted({
    status: () => current(10),
    txn: ({ success, failure }) => {
      if (success[0]?.requestPut)
        return etcdError(status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded')
      probes.push(isApplied)
      assert.equal(failure.length, 2)
      const found = { responseRange: { kvs: [pair(11)] } }
      return { header: header(11), succeeded: !isApplied, responses: isApplied ? [{}, found] : [{}] }
    },
  })
  const engine = await open([member.url]).opening
  await assert.rejects(
    engine.commit(put),
    (error: unknown) => error instanceof EngineRefusal && error.reason === 'storage_full',
  )
  isApplied = true
  const outcome = await engine.commit(put)
  assert.ok(!outcome.ok)
  assert.equal(outcome.found[0]?.modRevision, 11)
  // What it writes tells nothing of whether it was applied: it stays unknown.
  const blind = engine.commit({ checks: [{ key: 'k', modRevision: 1 }], writes: [{ key: 'other', value }] })
  await assert.rejects(blind, (error: unknown) => error instanceof Error && !(error instanceof EngineRefusal))
  assert.deepEqual(probes, [false, true])
  await engine.close()
  member.close()
})

test('only what is in the table is definite; whatever else etcd says leaves the outcome unknown', async () => {
  let error = etcdError(0, '')
  const member = await startScripted({ status: () => current(10), txn: () => error })
  const engine = await open([member.url]).opening
  const definite: [number, string, EngineRefusal['reason']][] = [
    [status.INVALID_ARGUMENT, 'etcdserver: request is too large', 'too_large'],
    [status.INVALID_ARGUMENT, 'etcdserver: too many operations in txn request', 'too_many_operations'],
    [status.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request', 'bad_request'],
    [status.PERMISSION_DENIED, 'etcdserver: permission denied', 'bad_request'],
  ]
  for (const [code, text, reason] of definite) {
    error = etcdError(code, text)
    await assert.rejects(
      engine.commit(put),
      (thrown: unknown) => thrown instanceof EngineRefusal && thrown.reason === reason,
    )
  }
  const unknown: [number, string][] = [
    [status.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure'],
    [status.UNAVAILABLE, 'etcdserver: leader changed'],
    [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests'],
    [status.INVALID_ARGUMENT, 'etcdserver: something new'],
    [status.UNKNOWN, 'raft: proposal dropped'],
    [status.INTERNAL, 'stream terminated'],
  ]
  for (const [code, text] of unknown) {
    error = etcdError(code, text)
    await assert.rejects(
      engine.commit(put),
      (thrown: unknown) => thrown instanceof Error && !(thrown instanceof EngineRefusal),
    )
  }
  await engine.close()
  member.close()
})

test('an etcd that is too old is refused with the reason, unless told otherwise', async () => {
  const member = await startScripted({ status: () => ({ ...current(10), version: '3.4.37' }) })
  await assert.rejects(open([member.url]).opening, /3\.4\.37 is older than 3\.5\.0/)
  const told = open([member.url], { takesAnyVersion: true })
  await (await told.opening).close()
  assert.match(told.warnings[0] ?? '', /older than 3\.5\.0/)
  member.close()
})

test('what could be read on its way to a member is warned of', () => {
  for (const url of ['http://10.0.0.1:2379', 'http://etcd:2379', 'http://127.0.0.1.example:1'])
    assert.ok(isInTheClear(url))
  for (const url of ['https://10.0.0.1:2379', 'http://127.0.0.1:1', 'http://localhost:1', 'http://[::1]:1']) {
    assert.ok(!isInTheClear(url), url)
  }
})

test('no URL, no endpoint', async () => {
  for (const url of ['127.0.0.1:2379', 'ftp://x', 'http://user@x:1', 'http://x:1/path', '']) {
    await assert.rejects(open([url]).opening, /is a URL like/)
  }
  await assert.rejects(open([]).opening, /at least one/)
})
