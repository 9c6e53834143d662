/** What becomes of instances that are not used any more, within the shard that decides for them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchesIn, isAppend, restart, startServer, tokenOf, type World } from './testing.ts'
import { REST_MS } from './working.ts'

/** Once more it is looked at which of them rest. The shard's own clock hardly moves: the process is stopped meanwhile. */
async function rested({ clock }: World): Promise<void> {
  clock.pause(REST_MS)
  await clock.pass(100)
}

/** How many instances take room. */
const kept = ({ server }: World) => server.shards.tenants().length

async function useAll(world: World, instances: readonly string[]): Promise<number[]> {
  const tokens: number[] = []
  for (const instance of instances) {
    const session = await world.server.session(10_000, instance)
    const token = await world.server.grant(session, 'a', instance)
    await world.server.ask(world.server.release(session, 'a', token), { instance })
    await world.server.ask({ type: 'close_session', by: 'test', session }, { instance })
    tokens.push(token)
  }
  return tokens
}

const names = Array.from({ length: 40 }, (_, index) => `i${index}`)

test('of an instance that was used and is not any more nothing stays in memory but how far its numbers went', async () => {
  const world = await startServer()
  const tokens = await useAll(world, names)
  // This one is used no more either, and has something.
  const session = await world.server.session(24 * 60 * 60 * 1000, 'keeps')
  const kept1 = await world.server.grant(session, 'a', 'keeps')
  assert.equal(kept(world), names.length + 1)
  await rested(world)
  await rested(world)
  assert.deepEqual(
    world.server.shards.tenants().map(({ instance, grants }) => ({ instance, grants })),
    [{ instance: 'keeps', grants: 1 }],
  )
  const again = await useAll(world, names)
  for (const [index, token] of again.entries()) assert.ok(token > tokens[index]!, `${token} after ${tokens[index]}`)
  assert.ok(again.every(Number.isSafeInteger))
  assert.ok((await world.server.ask(world.server.release(session, 'a', kept1), { instance: 'keeps' })).ok)
})

test('an instance that is used stays, and so does who waits in it', async () => {
  const world = await startServer()
  const [holder, waiter] = [await world.server.session(60_000), await world.server.session(60_000)]
  const token = await world.server.grant(holder, 'a')
  const waiting = world.server.tell(world.server.acquire(waiter, 'a', { waitMs: null }))
  for (let look = 0; look < 4; look++) await rested(world)
  assert.equal(waiting.answers, 0)
  await world.server.ask(world.server.release(holder, 'a', token))
  assert.equal(tokenOf(waiting.answer) > token, true)
})

test('numbers of an instance that went are given out again neither by it, when a batch was refused, nor after a restart', async () => {
  const world = await startServer()
  const [before] = await useAll(world, ['one'])
  await rested(world)
  await rested(world)
  assert.equal(kept(world), 0)
  world.engine.fate = request => (isAppend(request) ? 'refuse' : 'pass')
  world.server.tell({ type: 'open_session', by: 'test', ttlMs: 1_000, labels: null }, { instance: 'two' })
  await world.clock.settle()
  world.engine.fate = () => 'pass'
  await world.clock.pass(1_000)
  const [again] = await useAll(world, ['one'])
  assert.ok(again! > before!)
  const next = await restart(world)
  const [later] = await useAll(next, ['one'])
  assert.ok(later! > again!)
})

test('the log is cleaned of what was written for instances that went', async () => {
  const world = await startServer({ config: { logBytesMin: 4_000 } })
  await useAll(world, names)
  await rested(world)
  await rested(world)
  const before = batchesIn(world.engine.store).at(0)!.seq
  for (let round = 0; round < 5; round++) await useAll(world, ['main'])
  await useAll(world, names)
  assert.ok(batchesIn(world.engine.store).at(0)!.seq > before)
  assert.deepEqual(world.fatal, [])
})
