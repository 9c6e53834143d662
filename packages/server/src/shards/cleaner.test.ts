import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { apply } from '../locks/apply.ts'
import type { Entry } from '../locks/model.ts'
import { newState, type State } from '../locks/state.ts'
import { type Batch, decodeBatch } from './batch.ts'
import { appended, batchesIn, isAppend, restart, startServer, tokenOf, type World } from './testing.ts'

const logBytesMin = 4_000

/**
 * A little of everything, the same for a seed: records that live, records that die, values that change. With `isSlow` the store keeps
 * batches in flight over many steps, so that nearly all is decided while one is.
 */
async function traffic(
  { server, clock, engine }: World,
  { seed, steps, isSlow = false }: { seed: number; steps: number; isSlow?: boolean },
): Promise<void> {
  let draw = seed
  const random = (below: number) => {
    draw = (Math.imul(draw, 1_103_515_245) + 12_345) & 0x7fffffff
    return (draw >>> 8) % below
  }
  const sessions: string[] = []
  while (sessions.length < 4) sessions.push(await server.session(600_000))
  const held: { session: string; lock: string; token: number }[] = []
  for (let step = 0; step < steps; step++) {
    const session = sessions[random(sessions.length)]!
    const lock = `lock/${random(6)}`
    const grant = held[random(Math.max(1, held.length))]
    switch (random(8)) {
      case 0:
      case 1:
      case 2: {
        const heard = server.tell(server.acquire(session, lock, { waitMs: random(2) * 5_000 }))
        await clock.settle()
        if (heard.answer?.ok) held.push({ session, lock, token: tokenOf(heard.answer) })
        break
      }
      case 3:
      case 4:
        if (!grant) break
        server.tell(server.release(grant.session, grant.lock, grant.token))
        held.splice(held.indexOf(grant), 1)
        break
      case 5:
        server.tell({
          type: 'configure',
          by: 'test',
          lock,
          fields: { description: `step ${step}` },
          replaces: false,
          ifVersion: null,
        })
        // Twice in one batch: only the second may be carried.
        server.tell({
          type: 'configure',
          by: 'test',
          lock,
          fields: { description: `step ${step} again` },
          replaces: false,
          ifVersion: null,
        })
        break
      case 6:
        if (grant) server.tell({ type: 'write_value', by: 'test', ...grant, value: `value ${step}`, request: null })
        break
      case 7:
        server.tell({ type: 'renew', by: 'test', session, settled: random(2_000) + 1_000 })
        await clock.pass(random(200))
    }
    await clock.settle()
    if (isSlow && random(3) === 0) engine.hold(isAppend)
    if (isSlow && random(4) === 0) engine.letGo()
  }
  engine.letGo()
  await clock.settle()
}

/** The state as what it says, without what is only remembered by courtesy or belongs to one process. */
function essence(state: State): unknown {
  const sorted = (values: Iterable<unknown>) => [...values].map(value => JSON.stringify(value)).sort()
  return {
    locks: sorted(
      [...state.locks.values()].map(({ name, grants, delays, queue, config, value }) => ({
        name,
        grants,
        delays,
        queue,
        config,
        value,
      })),
    ),
    sessions: sorted(
      [...state.sessions].map(([id, { record, settled, requests, grants, waits }]) => [
        id,
        record,
        settled,
        [...(requests ?? [])].sort(),
        grants.map(({ token }) => token),
        waits.map(({ ticket }) => ticket).sort(),
      ]),
    ),
    freezes: sorted(state.freezes.values()),
    keys: sorted(state.keys.values()),
    counts: [state.sessionCount, state.grantCount, state.tickets.size],
  }
}

function fold(batches: Iterable<Batch>, options: { carried: boolean }): State {
  const state = newState(1)
  for (const batch of batches) {
    state.seq = batch.seq
    for (const [, ...entries] of options.carried ? batch.carried : [])
      for (const entry of entries) apply(state, structuredClone(entry))
    for (const [, ...entries] of batch.entries) for (const entry of entries) apply(state, structuredClone(entry))
  }
  return state
}

for (const [seed, isSlow] of [
  [1, false],
  [2, false],
  [3, true],
] as const) {
  test(`the cleaned log folds to what the whole log folds to (seed ${seed}, ${isSlow ? 'slow' : 'quick'} store)`, async () => {
    let cleaned = 0
    const world = await startServer({
      config: { logBytesMin },
      telemetry: { cleaned: ({ batches }) => (cleaned += batches) },
    })
    await traffic(world, { seed, steps: 900, isSlow })
    await world.clock.pass(1_000)
    const whole = world.engine.requests.filter(isAppend).map(request => decodeBatch(appended(request)!))
    const kept = batchesIn(world.engine.store)
    assert.ok(cleaned > 100 && kept[0]!.seq > 100, 'it has cleaned')
    assert.ok(
      kept.some(batch => batch.carried.length > 0),
      'it has carried',
    )
    const expected = essence(fold(whole, { carried: false }))
    assert.deepEqual(essence(fold(kept, { carried: true })), expected)
    const next = await restart(world)
    assert.equal(await next.server.isAlive('nobody'), false)
    const { locks, sessions, waiters } = next.server.shards.health().shards[0]!
    const state = fold(whole, { carried: false })
    assert.deepEqual([locks, sessions, waiters], [state.locks.size, state.sessionCount, state.tickets.size])
  })
}

test('the log is bounded by what is alive, in idle time too', async () => {
  const world = await startServer({ config: { logBytesMin } })
  await traffic(world, { seed: 9, steps: 300 })
  await world.clock.pass(2_000)
  const { logBytes } = world.server.shards.health().shards[0]!
  const live = JSON.stringify(essence(fold(batchesIn(world.engine.store), { carried: true }))).length
  assert.ok(logBytes < 5 * live + 2 * logBytesMin, `${logBytes} bytes of log for ${live} alive`)
})

test('what is carried is chosen in the turn that commits it, on the state before its commands', async () => {
  const world = await startServer({ config: { logBytesMin: 1_000 } })
  const { server, clock, engine } = world
  const session = await server.session(600_000)
  const token = await server.grant(session, 'victim')
  // Every turn cleans now, and every one of them ends a grant that is at the old end of the log.
  for (let step = 0; step < 60; step++) {
    const next = await server.grant(session, `lock/${step}`)
    server.tell(server.release(session, `lock/${step}`, next))
    if (step === 30) server.tell(server.release(session, 'victim', token))
    await clock.settle()
  }
  const kept = batchesIn(engine.store)
  assert.ok(kept[0]!.seq > 30)
  const state = fold(kept, { carried: true })
  assert.equal(state.locks.get('victim'), undefined)
  for (const batch of kept) {
    const order = Object.keys(batch)
    assert.ok(order.indexOf('carried') < order.indexOf('entries'))
  }
  const next = await restart(world)
  assert.equal(await next.server.isHeld('victim'), false)
})

test('carried entries are no events, and every event comes once', async () => {
  const world = await startServer({ config: { logBytesMin } })
  const events: LockEvent[] = []
  world.server.shards.watch(
    'main',
    {},
    {
      began: () => undefined,
      event: event => events.push(event) > 0,
      reset: () => assert.fail('reset'),
      refused: () => assert.fail('refused'),
      ended: () => undefined,
    },
  )
  await traffic(world, { seed: 5, steps: 900 })
  await world.clock.pass(1_000)
  const entries: Entry[] = []
  let carried = 0
  for (const request of world.engine.requests.filter(isAppend)) {
    const batch = decodeBatch(appended(request)!)
    for (const [, ...group] of batch.entries) entries.push(...group)
    for (const [, ...group] of batch.carried) carried += group.length
  }
  assert.ok(carried > 10)
  const granted = entries
    .filter(entry => entry.type === 'granted')
    .map(entry => (entry.record === 'grant' ? entry.token : 0))
  assert.deepEqual(
    events.filter(event => event.type === 'granted').map(event => event.token),
    granted,
  )
  assert.equal(new Set(events.map(event => event.id)).size, events.length)
  // A new owner remembers what is in the log that was kept, and no more.
  const kept = batchesIn(world.engine.store)
  assert.ok(kept.some(batch => batch.carried.length > 0))
  const { server } = await restart(world)
  for (let lock = 0; lock < 6; lock++) {
    const known = (await server.shards.history('main', { lock: `lock/${lock}`, limit: 10_000 })).events
    const expected = events.filter(
      event => event.lock === `lock/${lock}` && Number(event.id.split('-')[1]) >= kept[0]!.seq,
    )
    const before = known.filter(event => Number(event.id.split('-')[1]) <= kept.at(-1)!.seq)
    assert.deepEqual(before.reverse(), expected)
  }
})

test('the newest batch is never cleaned', async () => {
  const world = await startServer({ config: { logBytesMin: 1 } })
  const session = await world.server.session(600_000)
  for (let step = 0; step < 10; step++) {
    await world.server.ask(world.server.release(session, 'a', await world.server.grant(session, 'a')))
    await world.clock.pass(200)
  }
  const kept = batchesIn(world.engine.store)
  assert.ok(kept.length >= 1)
  assert.equal(kept.at(-1)!.seq, world.server.shards.health().shards[0]!.seq)
  const next = await restart(world)
  assert.equal(await next.server.isAlive(session), true)
})
