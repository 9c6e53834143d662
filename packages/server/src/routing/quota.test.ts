/** Limits are those of the instance, not of a server: exact whoever is asked, and after the one that counts them has died. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from '../locks/model.ts'
import type { Terms } from '../shards/terms.ts'
import { freeTerms, type Heard } from '../shards/testing.ts'
import { Cluster } from './testing.ts'

const by = 'test'

async function startOwnedBy2(terms: Partial<Terms>): Promise<{ cluster: Cluster; instance: string }> {
  const cluster = await Cluster.start(3)
  const instance = cluster.instances(8).find(name => cluster.servers[0]!.shards.ownerUrl(name) === '2')!
  cluster.terms = (_, name) => (name === instance ? { ...freeTerms, ...terms } : null)
  return { cluster, instance }
}

const codes = (heard: readonly Heard[]) => heard.map(({ answer }) => (answer?.ok === false ? answer.code : answer?.ok))
const count = (heard: readonly Heard[], wanted: unknown) => codes(heard).filter(code => code === wanted).length

test('of what three servers ask at once exactly a burst passes, and exactly as many locks are held', async () => {
  const { cluster, instance } = await startOwnedBy2({ operationsPerSecond: 1, burstOperations: 20, heldLocks: 10 })
  const session = await cluster.servers[0]!.session(60_000, instance)
  const asked = cluster.servers.flatMap((server, place) =>
    Array.from({ length: 15 }, (_, index) => server.tell(server.acquire(session, `${place}-${index}`), { instance })),
  )
  await cluster.settle()
  // One operation was the session's.
  assert.deepEqual([count(asked, true), count(asked, 'quota_exceeded'), count(asked, 'rate_limited')], [10, 9, 26])
})

test('what is held counts at the next owner too', async () => {
  const { cluster, instance } = await startOwnedBy2({ heldLocks: 3, sessions: 2, waiters: 1 })
  const [first, second] = cluster.servers
  const session = await first!.session(60_000, instance)
  for (const lock of ['a', 'b', 'c']) await second!.grant(session, lock, instance)
  const other = await first!.session(60_000, instance)
  const waiting = second!.tell(second!.acquire(other, 'a', { waitMs: null }), { instance })
  await cluster.settle()
  assert.ok(waiting.ticket)
  cluster.kill(2)
  await cluster.pass(4_000)
  const open: Command = { type: 'open_session', by, ttlMs: 60_000, labels: null }
  const refused = [first!.acquire(session, 'd'), first!.acquire(other, 'b', { waitMs: null }), open].map(command =>
    first!.tell(command, { instance }),
  )
  await cluster.settle()
  assert.deepEqual(
    refused.map(({ answer }) => answer?.ok === false && answer.code === 'quota_exceeded' && answer.limit),
    ['held_locks', 'waiters', 'sessions'],
  )
})

type Watch = { told: unknown[]; stop(): void }

function watch(cluster: Cluster, place: number, instance: string): Watch {
  const told: unknown[] = []
  const { stop } = cluster.servers[place]!.shards.watch(
    instance,
    { prefix: '' },
    {
      began: () => void told.push('began'),
      event: () => true,
      reset: () => void told.push('reset'),
      refused: refusal => void told.push('limit' in refusal && refusal.limit),
      ended: () => void told.push('ended'),
    },
  )
  return { told, stop }
}

test('watches are counted over all servers; those that are open go on at the next owner, and one more is refused there too', async () => {
  const { cluster, instance } = await startOwnedBy2({ watches: 2 })
  const first = watch(cluster, 0, instance)
  const second = watch(cluster, 1, instance)
  await cluster.settle()
  const third = watch(cluster, 0, instance)
  await cluster.settle()
  assert.deepEqual([first.told, second.told, third.told], [['began'], ['began'], ['watches']])
  third.stop()
  cluster.kill(2)
  await cluster.pass(4_000)
  const fourth = watch(cluster, 1, instance)
  await cluster.settle()
  assert.deepEqual([first.told.at(0), second.told.at(0), fourth.told], ['began', 'began', ['watches']])
  assert.ok(![...first.told, ...second.told].includes('ended'))
  second.stop()
  await cluster.settle()
  const fifth = watch(cluster, 0, instance)
  await cluster.settle()
  assert.deepEqual(fifth.told, ['began'])
})

test('an instance that was made a moment ago on another server is waited for, not refused', async () => {
  const { cluster, instance } = await startOwnedBy2({})
  let isKnown = false
  cluster.terms = server => (server === 2 && !isKnown ? 'unknown' : freeTerms)
  const asked = cluster.servers[0]!.tell({ type: 'open_session', by, ttlMs: 60_000, labels: null }, { instance })
  await cluster.pass(500)
  assert.deepEqual([asked.answer, asked.failed], [null, null])
  isKnown = true
  await cluster.pass(200)
  assert.equal(asked.answer?.ok, true)
})
