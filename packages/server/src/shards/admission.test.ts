/** What an instance may ask in a second, exactly; what is never refused; and that who asks much waits behind itself. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import type { Command, Refusal } from '../locks/model.ts'
import { Admission, BUCKETS_IDLE_MAX } from './admission.ts'
import { Arrival } from './callers.ts'
import { Lanes } from './lanes.ts'
import type { Terms } from './terms.ts'
import { freeTerms, isAppend, startServer } from './testing.ts'
import { COMMANDS_PER_TURN_MAX } from './turn.ts'

const by = 'test'
const show: Command = { type: 'show', by, lock: 'a' }
const rate = (operationsPerSecond: number | null, burstOperations: number | null): Terms => ({
  ...freeTerms,
  operationsPerSecond,
  burstOperations,
})

function setOf(count: number): Command {
  const claim = { mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null } as const
  const claims = Array.from({ length: count }, (_, index) => ({ ...claim, lock: `${index}` }))
  const rest = { waitMs: 0, priority: 0, preempt: 'never', isReentrant: false, task: '', request: null } as const
  return { type: 'acquire', by, session: 's', claims, ...rest, labels: null, metadata: null, value: null }
}

function retryOf(refusal: Refusal | 'unknown' | null): number {
  assert.ok(refusal !== null && refusal !== 'unknown' && refusal.code === 'rate_limited', JSON.stringify(refusal))
  return refusal.retryMs
}

test('a burst of n passes and the next is refused, until as much has flowed in as it takes', () => {
  const admission = new Admission(() => rate(10, 30))
  const ask = (nowMs: number) => admission.refusal('a', show, nowMs)
  for (let count = 1; count <= 30; count++) assert.equal(ask(1_000), null, `operation ${count}`)
  assert.deepEqual(ask(1_000), {
    ok: false,
    code: 'rate_limited',
    limit: 'operations_per_second',
    max: 10,
    retryMs: 100,
  })
  assert.equal(retryOf(ask(1_099)), 1)
  assert.equal(ask(1_100), null)
  retryOf(ask(1_100))
  // Of a long silence no more is kept than the bucket holds.
  for (let count = 1; count <= 30; count++) assert.equal(ask(100_000), null)
  retryOf(ask(100_000))
})

test('over any span no more than the burst and what flowed in has passed, however it was asked', () => {
  const admission = new Admission(() => rate(7, 5))
  let passed = 0
  for (let nowMs = 0; nowMs <= 10_000; nowMs += 13) if (admission.refusal('a', show, nowMs) === null) passed++
  assert.equal(passed, 5 + Math.floor((7 * 9_997) / 1_000))
})

test('a set takes one for each lock; one that is larger than the bucket passes when that is full', () => {
  const admission = new Admission(() => rate(10, 20))
  assert.equal(admission.refusal('a', setOf(15), 0), null)
  assert.equal(retryOf(admission.refusal('a', setOf(15), 0)), 1_000)
  assert.equal(admission.refusal('a', setOf(15), 1_000), null)
  assert.equal(retryOf(admission.refusal('a', setOf(64), 1_000)), 2_000)
  assert.equal(admission.refusal('a', setOf(64), 3_000), null)
})

test('what keeps, gives back or confirms is never refused and takes nothing; a disabled instance can do no more than that', () => {
  let terms = rate(1, 1)
  const admission = new Admission(() => terms)
  const kept: Command[] = [
    { type: 'renew', by, session: 's' },
    { type: 'renew_single', by, session: 's', lock: 'a' },
    { type: 'release', by, session: 's', grants: [{ lock: 'a', token: 1 }], request: null },
    { type: 'release_single', by, session: 's', lock: 'a' },
    { type: 'cancel', by, session: 's', cancels: 1, request: null },
    { type: 'close_session', by, session: 's' },
    { type: 'validate', by, lock: 'a', token: 1 },
    { type: 'force_release', by, lock: 'a', token: null, reason: '', now: false },
  ]
  for (const command of kept) assert.equal(admission.refusal('a', command, 0), null)
  assert.equal(admission.refusal('a', show, 0), null)
  retryOf(admission.refusal('a', show, 0))
  for (const command of kept) assert.equal(admission.refusal('a', command, 0), null)
  terms = { ...freeTerms, isEnabled: false }
  for (const command of kept) assert.equal(admission.refusal('a', command, 0), null)
  const disabled = { ok: false, code: 'forbidden', reason: 'instance_disabled' }
  assert.deepEqual(admission.refusal('a', show, 10_000), disabled)
})

test('new limits count from the next command on; without one, or with none at all, they are what they say', () => {
  let terms = rate(1, 100)
  const admission = new Admission(() => terms)
  assert.equal(admission.refusal('a', show, 0), null)
  terms = rate(1, 2)
  assert.equal(admission.refusal('a', show, 0), null)
  assert.equal(admission.refusal('a', show, 0), null)
  retryOf(admission.refusal('a', show, 0))
  terms = freeTerms
  assert.equal(admission.refusal('a', show, 0), null)
  terms = rate(0, 0)
  retryOf(admission.refusal('a', show, 1_000_000))
  terms = rate(2, null)
  assert.equal(admission.refusal('b', show, 0), null)
  assert.equal(admission.refusal('b', show, 0), null)
  retryOf(admission.refusal('b', show, 0))
})

test('buckets of very many instances are forgotten when they are full again, and no sooner', () => {
  const admission = new Admission(() => rate(1, 1))
  for (let index = 0; index < 10_000; index++) assert.equal(admission.refusal(`${index}`, show, 0), null)
  // One more: nobody's is full yet.
  assert.equal(admission.refusal('more', show, 500), null)
  retryOf(admission.refusal('0', show, 500))
  assert.equal(admission.refusal('and more', show, 1_000), null)
  assert.equal(admission.refusal('0', show, 1_000), null)
  retryOf(admission.refusal('0', show, 1_000))
})

test('of BUCKETS_IDLE_MAX instances at the most a bucket is kept that has been full again', () => {
  const admission = new Admission(() => rate(1, 1))
  for (let index = 0; index < 3 * BUCKETS_IDLE_MAX; index++) {
    assert.equal(admission.refusal(`${index}`, show, index * 1_000), null)
    assert.ok(admission.size <= BUCKETS_IDLE_MAX)
  }
})

const arrivalOf = (instance: string, lock: string) =>
  new Arrival({ instance, command: { type: 'show', by, lock }, asking: null, onDetach: () => undefined })
const nameOf = ({ instance, command }: Arrival) => `${instance}${'lock' in command ? command.lock : ''}`

test('who asks much waits behind itself: others are served in each round, and within an instance the order stands', () => {
  const lanes = new Lanes()
  for (let index = 0; index < 1_000; index++) lanes.push(arrivalOf('noisy', `${index}`))
  for (let index = 0; index < 3; index++) lanes.push(arrivalOf('quiet', `${index}`))
  const taken: string[] = []
  lanes.drain(
    arrival => taken.push(nameOf(arrival)),
    () => taken.length >= 100,
  )
  assert.equal(lanes.length, 903)
  assert.deepEqual(
    taken.filter(name => name.startsWith('quiet')),
    ['quiet0', 'quiet1', 'quiet2'],
  )
  lanes.push(arrivalOf('quiet', 'last'))
  lanes.drain(
    arrival => taken.push(nameOf(arrival)),
    () => taken.length >= 200,
  )
  assert.ok(taken.includes('quietlast'))
  const noisy = taken.filter(name => name.startsWith('noisy'))
  assert.deepEqual(
    noisy,
    noisy.map((_, index) => `noisy${index}`),
  )
})

test('what is added while lines are served is for the next time', () => {
  const lanes = new Lanes()
  lanes.push(arrivalOf('a', '1'))
  lanes.push(arrivalOf('b', '1'))
  const taken: string[] = []
  const take = (arrival: Arrival) => {
    taken.push(nameOf(arrival))
    lanes.push(arrivalOf('a', `${taken.length + 1}`))
  }
  lanes.drain(take, () => false)
  assert.deepEqual(taken, ['a1', 'b1'])
  assert.deepEqual(lanes.takeAll().map(nameOf), ['a2', 'a3'])
  assert.equal(lanes.length, 0)
})

test('a shard refuses at once and writes nothing; another instance notices nothing of it', async () => {
  const limited = { ...rate(1, 3), sessions: 2 }
  const world = await startServer({ termsOf: instance => (instance === 'small' ? limited : null) })
  const { server, engine, clock } = world
  const session = await server.session(10_000, 'small')
  const token = await server.grant(session, 'a', 'small')
  assert.equal((await server.ask(show, { instance: 'small' })).ok, true)
  const before = engine.requests.filter(isAppend).length
  const refused = server.tell(server.acquire(session, 'b'), { instance: 'small' })
  assert.equal(refused.answers, 0, 'nobody is answered before `submit` has returned')
  await clock.settle()
  assert.ok(refused.answer?.ok === false && refused.answer.code === 'rate_limited')
  assert.equal(engine.requests.filter(isAppend).length, before)
  assert.equal((await server.ask(server.renew(session), { instance: 'small' })).ok, true)
  assert.equal((await server.ask(server.release(session, 'a', token), { instance: 'small' })).ok, true)
  const other = await server.session(10_000, 'main')
  for (let index = 0; index < 10; index++) await server.grant(other, `${index}`, 'main')
  // A refusal need not wait for a store that is stuck.
  engine.hold(isAppend)
  const stuck = server.tell(server.acquire(other, 'x'))
  const quick = server.tell(server.acquire(session, 'b'), { instance: 'small' })
  await clock.settle()
  assert.equal(stuck.answer, null)
  assert.ok(quick.answer?.ok === false)
  engine.letGo()
  await clock.pass(2_000)
  const open: Command = { type: 'open_session', by, ttlMs: 60_000, labels: null }
  assert.equal((await server.ask(open, { instance: 'small' })).ok, true)
  assert.deepEqual(await server.ask(open, { instance: 'small' }), {
    ok: false,
    code: 'quota_exceeded',
    limit: 'sessions',
    max: 2,
  })
  await server.shards.close()
})

test('a modest instance is served in the very next turn, whatever another has piled up', async () => {
  const { server, engine, clock } = await startServer()
  const [noisy, modest] = [await server.session(60_000, 'noisy'), await server.session(60_000, 'modest')]
  engine.hold(isAppend)
  const flying = server.tell(server.acquire(noisy, 'first'), { instance: 'noisy' })
  await clock.settle()
  const flood = Array.from({ length: 3 * COMMANDS_PER_TURN_MAX }, () =>
    server.tell({ type: 'renew', by, session: noisy }, { instance: 'noisy' }),
  )
  let before = 0
  server.shards.submit('modest', server.acquire(modest, 'a'), {
    answer: () => {
      before = flood.filter(({ answer }) => answer).length
    },
    fail: error => assert.fail(error),
  })
  engine.letGo()
  await clock.settle()
  assert.ok(flying.answer?.ok)
  assert.ok(before < COMMANDS_PER_TURN_MAX, `${before} of the others were answered first`)
  assert.ok(flood.every(({ answer }) => answer?.ok))
  await server.shards.close()
})

test('ten times the limit of another costs a modest instance not one batch more', async () => {
  const batchesOf = async (offered: number) => {
    const termsOf = (instance: string) => (instance === 'noisy' ? rate(10, 10) : null)
    const { server, engine, clock } = await startServer({ termsOf })
    const [noisy, modest] = [await server.session(60_000, 'noisy'), await server.session(60_000, 'modest')]
    const before = engine.requests.filter(isAppend).length
    for (let round = 0; round < 20; round++) {
      for (let index = 0; index < offered; index++)
        server.tell(server.acquire(noisy, `${round}-${index}`), { instance: 'noisy' })
      await server.grant(modest, `${round}`, 'modest')
      await clock.pass(50)
    }
    await server.shards.close()
    return engine.requests.filter(isAppend).length - before
  }
  assert.equal(await batchesOf(5), await batchesOf(0))
})

test('an instance that its server has not heard of is not taken, and may be asked again', async () => {
  let terms: Terms | 'unknown' | null = 'unknown'
  const { server, clock } = await startServer({ termsOf: () => terms })
  const open: Command = { type: 'open_session', by, ttlMs: 60_000, labels: null }
  const early = server.tell(open)
  await clock.settle()
  assert.equal(early.failed?.name, 'NotTaken')
  terms = freeTerms
  assert.equal((await server.ask(open)).ok, true)
  await server.shards.close()
})

test('the n-th watch of an instance is open, the next is refused, and one that ends makes room', async () => {
  let terms: Terms = { ...freeTerms, watches: 2 }
  const { server } = await startServer({ termsOf: () => terms })
  const watch = (instance = 'main') => {
    const told: unknown[] = []
    const { stop } = server.shards.watch(
      instance,
      { prefix: '' },
      {
        began: () => void told.push('began'),
        event: (event: LockEvent) => told.push(event) > 0,
        reset: () => void told.push('reset'),
        refused: refusal => void told.push(refusal),
        ended: () => void told.push('ended'),
      },
    )
    return { told, stop }
  }
  const full = { ok: false, code: 'quota_exceeded', limit: 'watches', max: 2 }
  const [one, two, three] = [watch(), watch(), watch()]
  assert.deepEqual([one.told, two.told, three.told], [['began'], ['began'], [full]])
  assert.deepEqual(watch('other').told, ['began'])
  three.stop()
  assert.deepEqual(watch().told, [full])
  one.stop()
  assert.deepEqual(watch().told, ['began'])
  assert.deepEqual(watch().told, [full])
  terms = { ...freeTerms, isEnabled: false }
  assert.deepEqual(watch('other').told, [{ ok: false, code: 'forbidden', reason: 'instance_disabled' }])
  await server.shards.close()
})
