/** When another server may be declared dead, by one of a cluster. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Membership } from './membership.ts'
import { Observer } from './observer.ts'
import { silentTelemetry } from './telemetry.ts'
import { FakeClock, keys, TestEngine } from './testing.ts'

/** One that looks at the record of another, which is silent from now on. */
async function observing({ memberTtlMs }: { memberTtlMs: number }) {
  const clock = new FakeClock()
  const engine = new TestEngine()
  const own = { isBeating: true }
  const died: string[] = []
  const key = keys.member('silent')
  const record = { server: 'silent', address: 'nowhere', startedAt: 0, memberTtlMs, beat: '1' }
  engine.store.commit({ checks: [], writes: [{ key, value: Buffer.from(JSON.stringify(record)) }] })
  const observer = new Observer({
    engine,
    clock,
    keys,
    shards: 1,
    // All that it asks of it.
    membership: { server: 'own', isWithinDeadline: () => own.isBeating } as Membership,
    telemetry: { ...silentTelemetry, died: ({ server }) => void died.push(server) },
    seen: () => undefined,
    fatal: assert.ifError,
  })
  await observer.start()
  return { clock, engine, observer, own, died, isThere: () => engine.store.get(key) !== null }
}

test('a server of the cluster that is silent is waited for as long as its own record says', async () => {
  const { clock, died, isThere } = await observing({ memberTtlMs: 7_000 })
  await clock.pass(6_900)
  assert.deepEqual(died, [])
  await clock.pass(500)
  assert.deepEqual(died, ['silent'])
  assert.equal(isThere(), false)
})

test('its silence counts only while our own beats get through, else it is the store that is silent', async () => {
  const { clock, own, died } = await observing({ memberTtlMs: 2_000 })
  own.isBeating = false
  await clock.pass(6_000)
  own.isBeating = true
  await clock.pass(1_600)
  assert.deepEqual(died, [])
  await clock.pass(800)
  assert.deepEqual(died, ['silent'])
})

test('of the time between two looks no more counts than two of them take: our own beats may come through before its do', async () => {
  const { clock, observer, died } = await observing({ memberTtlMs: 2_000 })
  for (const expected of [[], [], [], ['silent']]) {
    // Nothing has been heard of the store, and now both a beat of ours and this look.
    clock.pause(10_000)
    await observer.look()
    assert.deepEqual(died, expected)
  }
})
