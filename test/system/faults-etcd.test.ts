/** Faults of etcd members, under load, with real servers over them. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../packages/server/src/clock.ts'
import { openEtcd } from '../../packages/server/src/engine/etcd/etcd.ts'
import { fill, fillUp } from '../harness/foreign-data.ts'
import { asker } from '../harness/rest.ts'
import { isLong, underFaults } from '../harness/witness/faults.ts'
import type { Witness } from '../harness/witness/witness.ts'

const SERVED_MS = 3_000

test('kill -9 of the etcd leader, and then of one that stays away: served again, nothing lost', () =>
  underFaults('kill -9 of etcd members', async ({ servers, witness, bound }) => {
    const { etcd } = servers
    const line = await witness.line()
    const leader = await etcd.leader()
    const mark = witness.figures.mark()
    await leader.kill()
    bound('after the leader: served again after', { ms: await witness.served(mark), boundMs: SERVED_MS })
    etcd.start(leader)
    await etcd.ready(leader)
    // Any one of them: each server asks its own favourite.
    for (const member of etcd.members) {
      const second = witness.figures.mark()
      await member.kill()
      await sleep(isLong ? 10_000 : 1_000)
      bound('without one member: served again after', { ms: await witness.served(second), boundMs: SERVED_MS })
      etcd.start(member)
      await etcd.ready(member)
    }
    await line.serve()
  }))

const OUTAGE_MS = isLong ? 30_000 : 8_000
/** Belief in what is held has to outlive it; the sessions' own time stands still (SAFETY section 2). */
const OUTLIVES = { ttlMs: 60_000 }
/** From the last beat an owner trusts itself for so long, and charges its sessions. */
const CHARGED_MS_MAX = 2_000

test('all etcd members down, and back: nobody is expired who could not renew, and all goes on by itself', () =>
  underFaults(
    'no etcd at all',
    async ({ servers, witness, bound }) => {
      const { etcd } = servers
      // What is asked meanwhile may have to be told that its outcome is unknown.
      witness.judge.excuse = ({ code }) => code === 'unavailable'
      const line = await witness.line()
      // Far shorter than the outage.
      const idle = await witness.idle(3_000)
      const downAt = Date.now()
      await Promise.all(etcd.members.map(member => member.kill()))
      await Promise.all([...servers.all.map(({ url }, at) => hangUp(url, `left/${at}`)), sleep(OUTAGE_MS)])
      for (const member of etcd.members) etcd.start(member)
      const mark = witness.figures.mark()
      const backAt = Date.now()
      bound('served again after', { ms: await witness.served(mark), boundMs: 5_000 })
      await witness.endsByItself(idle, idle.askedAt + idle.ttlMs + (backAt - downAt) - CHARGED_MS_MAX)
      await line.serve()
      // Of a grant that nobody was told of there is nothing to be seen.
      const [one] = servers.all
      for (const at of servers.all.keys())
        while ((await asker(one!.url)('GET', `/v2/locks/left%2F${at}`)).status !== 404) await sleep(50)
      witness.judge.excuse = () => false
      await witness.served(witness.figures.mark())
    },
    { witness: { ...OUTLIVES, renewedTtlMs: 5_000 } },
  ))

/** Asks for a lock for long, and goes before there is an answer. */
async function hangUp(url: string, lock: string): Promise<void> {
  const ask = asker(url, AbortSignal.timeout(1_000))
  const body = { ttl_seconds: 600, wait_seconds: 5 }
  await assert.rejects(ask('POST', `/v1/locks/${encodeURIComponent(lock)}/acquire`, body), { name: 'TimeoutError' })
}

const QUOTA_BYTES = 24 * 1024 * 1024
const MANY_MS = 90_000

test('the space quota is reached: acquires are refused clearly, what is held goes on, and the room comes back by itself', () =>
  underFaults(
    'the space quota',
    async ({ servers, witness, bound }) => {
      const filler = await openEtcd({ urls: servers.etcd.urls, clock: systemClock, quotaBytes: QUOTA_BYTES })
      witness.judge.excuse = ({ code, operation }) => code === 'storage_full' && operation === 'acquire'
      const held = await witness.idle(4_000)
      const excused = witness.judge.excused.length
      await fill(filler, 0.87)
      await until('refused', witness, () => witness.judge.excused.length > excused)
      // Expiries go on.
      await witness.endsByItself(held, held.askedAt + held.ttlMs)
      const mark = witness.figures.mark()
      bound('with room again after', { ms: await witness.served(mark, MANY_MS), boundMs: 60_000 })
      witness.judge.excuse = () => false
      await witness.served(witness.figures.mark())
      // A minute of its own.
      if (!isLong) return void (await filler.close())
      // Further than Holdfast lets it come by itself: now etcd refuses all that writes, the beats of its servers too.
      witness.judge.excuse = ({ code }) => code === 'storage_full' || code === 'unavailable'
      await fillUp(filler)
      const full = witness.figures.mark()
      bound('after etcd refused everything: with room again after', {
        ms: await witness.served(full, MANY_MS),
        boundMs: 60_000,
      })
      await filler.close()
      witness.judge.excuse = () => false
      await witness.served(witness.figures.mark())
    },
    {
      witness: OUTLIVES,
      servers: {
        etcd: { flags: [`--quota-backend-bytes=${QUOTA_BYTES}`] },
        flags: ['--etcd-quota-bytes', String(QUOTA_BYTES)],
      },
    },
  ))

async function until(what: string, witness: Witness, isSo: () => boolean): Promise<void> {
  for (let waitedMs = 0; !isSo(); waitedMs += 50) {
    assert.ok(waitedMs < MANY_MS, `it was never ${what}; ${witness.figures.count} operations`)
    await sleep(50)
  }
}
