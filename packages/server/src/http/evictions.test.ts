/** What a credential that was revoked with its sessions holds is released: also what comes to it late, and what is too much for once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VIEW_MS_MAX } from '../registry/freshness.ts'
import { credentialRecord, memoryRegistry } from '../registry/testing.ts'
import { startServer, type World } from '../shards/testing.ts'
import { Evictions } from './evictions.ts'

const instance = 'main'
/** Of whom the sessions of `Server` are. */
const revoked = credentialRecord({ id: 'ann', subject: 'test', instance, state: 'revoked', endsSessions: true })
const TTL_MS = 60_000

async function withEvictions(act: (world: World & { revoke(): Promise<void> }) => Promise<void>): Promise<void> {
  const world = await startServer()
  const registry = memoryRegistry()
  const evictions = new Evictions({ registry, shards: world.server.shards, clock: world.clock })
  const revoke = () => {
    registry.put({ kind: 'credential', id: revoked.id, value: revoked })
    return world.clock.settle()
  }
  try {
    await act({ ...world, revoke })
  } finally {
    evictions.close()
    const closed = world.server.shards.close()
    await world.clock.settle()
    await closed
  }
}

test('a session that a server opened which had not heard of the revocation yet holds nothing four seconds later', async () => {
  await withEvictions(async ({ server, clock, revoke }) => {
    await server.grant(await server.session(TTL_MS), 'before')
    await revoke()
    assert.equal(await server.isHeld('before'), false)
    await server.grant(await server.session(TTL_MS), 'late')
    await clock.pass(4_000)
    assert.equal(await server.isHeld('late'), false)
  })
})

test('so does one of a server that was cut off from the store, and went by what it knew for as long as it may', async () => {
  await withEvictions(async ({ server, clock, revoke }) => {
    await revoke()
    await clock.pass(VIEW_MS_MAX)
    await server.grant(await server.session(TTL_MS), 'late')
    await clock.pass(6_000)
    assert.equal(await server.isHeld('late'), false)
  })
})

test('what a server did not come to release before it ended is released when it starts', async () => {
  const world = await startServer()
  await world.server.grant(await world.server.session(TTL_MS), 'kept')
  const registry = memoryRegistry()
  registry.put({ kind: 'credential', id: revoked.id, value: revoked })
  const evictions = new Evictions({ registry, shards: world.server.shards, clock: world.clock })
  await world.clock.settle()
  assert.equal(await world.server.isHeld('kept'), false)
  evictions.close()
  const closed = world.server.shards.close()
  await world.clock.settle()
  await closed
})

test('who holds more than is ended at once loses all of it, soon', async () => {
  await withEvictions(async ({ server, clock, revoke }) => {
    const sessions: string[] = []
    while (sessions.length < 3) sessions.push(await server.session(TTL_MS))
    const locks = Array.from({ length: 2_100 }, (_, number) => `lock-${number}`)
    const asked = locks.map((lock, place) => server.tell(server.acquire(sessions[place % 3]!, lock)))
    await clock.pass(500)
    assert.ok(asked.every(({ answer }) => answer?.ok))
    await revoke()
    assert.equal(await server.isHeld(locks[0]!), false)
    assert.equal(await server.isHeld(locks.at(-1)!), true, 'that would be one long turn')
    await clock.pass(1_000)
    for (const lock of [locks[1_000]!, locks[2_000]!, locks.at(-1)!]) assert.equal(await server.isHeld(lock), false)
  })
})
