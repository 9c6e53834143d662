/** A store from a backup: no token comes twice, and nothing is granted while those whom it has forgotten may still believe (SAFETY O4). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NUMBERS_PER_EPOCH } from '../locks/state.ts'
import { EPOCH_MAX, encodeOwner } from './ownership.ts'
import {
  ABOVE_TOKEN_MAX,
  EPOCHS_ABOVE_TOKEN,
  EPOCHS_SKIPPED,
  raiseAboveBackup,
  TokensExhausted,
  WAIT_MS_MIN,
} from './restoring.ts'
import { countingRandom, keys, restart, startServer, TestEngine, type World } from './testing.ts'

const root = 'test'

function restoring(world: World, more: { aboveToken?: number; aboveEpoch?: number; waitMs?: number } = {}) {
  const { engine, clock } = world
  return raiseAboveBackup({
    engine: new TestEngine(engine.store),
    clock,
    random: countingRandom(99),
    root,
    aboveToken: more.aboveToken ?? null,
    waitMs: more.waitMs ?? null,
    ...(more.aboveEpoch === undefined ? {} : { aboveEpoch: more.aboveEpoch }),
  })
}

test('tokens after a restore are larger than all that can have been given out since the backup', async () => {
  let world = await startServer()
  const before = await world.server.grant(await world.server.session(15_000), 'a')
  const restored = await restoring(world)
  assert.equal(
    Math.floor(restored.aboveToken / NUMBERS_PER_EPOCH),
    Math.floor(before / NUMBERS_PER_EPOCH) + EPOCHS_SKIPPED,
  )
  world = await restart(world)
  await world.clock.pass(WAIT_MS_MIN + 1_000)
  const after = await world.server.grant(await world.server.session(15_000), 'b')
  assert.ok(after > restored.aboveToken, `${after} is not above ${restored.aboveToken}`)
})

test('tokens of the backup that are above what its owner record says are passed too', async () => {
  let world = await startServer()
  for (let start = 0; start < 3; start++) world = await restart(world)
  const seen = await world.server.grant(await world.server.session(15_000), 'a')
  const epoch = Math.floor(seen / NUMBERS_PER_EPOCH)
  // A store in which that record was put back by hand, or by a backup that was not of one moment.
  const owner = { key: keys.owner(0), value: encodeOwner({ server: 'before', epoch: 1 }) }
  await world.engine.commit({ checks: [], writes: [owner] })
  assert.ok(epoch > 1)
  const { shards } = await restoring(world)
  assert.equal(shards[0]?.epoch, epoch + EPOCHS_SKIPPED)
})

test('a backup that was restored before goes on above what that cluster may have given out', async () => {
  const [first, second] = [await startServer(), await startServer()]
  const [one] = (await restoring(first)).shards
  const { shards, aboveToken } = await restoring(second, { aboveEpoch: one!.epoch })
  assert.equal(shards[0]?.epoch, one!.epoch + EPOCHS_SKIPPED)
  // Also when the token that is said is one of before the first time.
  const third = await restoring(await startServer(), { aboveEpoch: one!.epoch, aboveToken: 1 })
  assert.ok(third.aboveToken > one!.epoch * NUMBERS_PER_EPOCH && third.aboveToken < aboveToken)
})

test('the highest token that was seen can be said, and is passed', async () => {
  let world = await startServer()
  await world.server.grant(await world.server.session(15_000), 'a')
  const seen = 123_456 * NUMBERS_PER_EPOCH + 789
  const { aboveToken } = await restoring(world, { aboveToken: seen })
  // With room for what has drawn from the same numbers since, unseen: sessions, waits, owners.
  assert.equal(aboveToken, (123_456 + EPOCHS_ABOVE_TOKEN) * NUMBERS_PER_EPOCH)
  world = await restart(world)
  await world.clock.pass(WAIT_MS_MIN + 1_000)
  assert.ok((await world.server.grant(await world.server.session(15_000), 'b')) > seen)
})

test('a restore that would leave no exact tokens is refused', async () => {
  const world = await startServer()
  const last = (EPOCH_MAX - EPOCHS_ABOVE_TOKEN) * NUMBERS_PER_EPOCH - 1
  await assert.rejects(restoring(world, { aboveToken: last + NUMBERS_PER_EPOCH }), /beyond the last one/)
  const { aboveToken } = await restoring(world, { aboveToken: last })
  assert.ok(aboveToken > last && Number.isSafeInteger(aboveToken + 2 * NUMBERS_PER_EPOCH - 1))
})

test('a token that is too large is refused with the largest that may be given, and that one is taken', async () => {
  const world = await startServer()
  const refusal = await restoring(world, { aboveToken: Number.MAX_SAFE_INTEGER }).catch((error: unknown) => error)
  assert.ok(refusal instanceof TokensExhausted)
  const said = Number(/largest token that may be given by --above-token is (\d+)\./.exec(refusal.message)?.[1])
  assert.equal(said, ABOVE_TOKEN_MAX)
  await assert.rejects(restoring(world, { aboveToken: said + 1 }), TokensExhausted)
  assert.ok((await restoring(world, { aboveToken: said })).aboveToken > said)
  // Nothing is left after that, and no token that could be said would help.
  await assert.rejects(restoring(world, { aboveToken: 1 }), /used them up/)
})

test('nothing is granted until the longest TTL of the backup has passed, and then by itself', async () => {
  let world = await startServer()
  await world.server.session(90_000)
  const restored = await restoring(world)
  assert.equal(restored.waitMs, 90_000)
  world = await restart(world)
  const session = await world.server.session(1_000_000)
  const early = await world.server.ask(world.server.acquire(session, 'a'))
  assert.ok(!early.ok && early.code === 'frozen')
  await world.clock.pass(80_000)
  assert.ok(!(await world.server.ask(world.server.acquire(session, 'a'))).ok)
  await world.clock.pass(11_000)
  assert.ok((await world.server.grant(session, 'a')) > restored.aboveToken)
})

test('an instance that had no lock when the backup was made waits too: it may have had some since', async () => {
  let world = await startServer()
  const { key, value } = { key: 'test/registry/records/instance/team', value: Buffer.from('{}') }
  await world.engine.commit({ checks: [], writes: [{ key, value }] })
  await restoring(world)
  world = await restart(world)
  const session = await world.server.session(1_000_000, 'team')
  const early = await world.server.ask(world.server.acquire(session, 'a'), { instance: 'team' })
  assert.ok(!early.ok && early.code === 'frozen')
  await world.clock.pass(WAIT_MS_MIN + 1_000)
  assert.ok(await world.server.grant(session, 'a', 'team'))
})

test('waits of the backup are over: who was served since would hold a lock of which nobody knows', async () => {
  let world = await startServer()
  const [holder, waiter] = [await world.server.session(1_000_000), await world.server.session(1_000_000)]
  const held = await world.server.grant(holder, 'a')
  const waits = world.server.tell(world.server.acquire(waiter, 'a', { waitMs: null }))
  await world.clock.settle()
  assert.equal(waits.answer, null)
  await restoring(world, { waitMs: 1_000 })
  world = await restart(world)
  await world.clock.pass(2_000)
  assert.ok((await world.server.ask(world.server.release(holder, 'a', held))).ok)
  assert.equal(await world.server.isHeld('a'), false)
  assert.ok((await world.server.grant(waiter, 'a')) > held)
})

test('the wait can be said; without a session in the backup it is a minute', async () => {
  const world = await startServer()
  assert.equal((await restoring(world)).waitMs, WAIT_MS_MIN)
  assert.equal((await restoring(world, { waitMs: 5_000 })).waitMs, 5_000)
})

test('a restored store has another id, and knows no servers', async () => {
  const world = await startServer()
  const { clusterId, shards } = await restoring(world)
  const meta = await world.engine.read('test/meta')
  assert.match(Buffer.from(meta!.value).toString(), new RegExp(clusterId))
  assert.deepEqual((await world.engine.list({ prefix: 'test/members/', limit: 10 })).pairs, [])
  assert.equal(shards.length, 1)
})

test('a backup of something else is refused', async () => {
  const world = await startServer()
  const options = { clock: world.clock, random: countingRandom(1), aboveToken: null, waitMs: null }
  await assert.rejects(
    raiseAboveBackup({ ...options, engine: world.engine, root: 'else' }),
    /no data of Holdfast under else/,
  )
})
