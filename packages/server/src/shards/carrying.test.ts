import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from '../locks/model.ts'
import { decodeBatch, type EntryGroup } from './batch.ts'
import { appended, batchesIn, isAppend, restart, startServer, tokenOf, type World } from './testing.ts'

/** More than one turn carries, so that a pass takes several. */
const LOCKS = 30
const METADATA_CHARS = 4_000

test('whenever the server is killed in the middle of a pass, all that was held is held', async () => {
  const options = { config: { logBytesMin: 20_000 } }
  let world = await startServer(options)
  const held = new Map<string, number>()
  const session = await world.server.session(600_000)
  let passes = 0
  for (let round = 0; round < 12; round++) {
    await take(world, session, held, round)
    // So many batches of its pass have been written when it is killed.
    const kept = batchesIn(world.engine.store)
    if (kept.some(batch => batch.carried.length > 0) && kept.some(batch => batch.carried.length === 0)) passes++
    world = await restart(world, options)
    for (const [lock, token] of held) {
      const shown = await world.server.ask({ type: 'validate', by: 'test', lock, token })
      assert.ok(shown.ok, `${lock} was held when the server was killed, round ${round}`)
    }
  }
  assert.ok(passes > 4, `only ${passes} of the kills came in the middle of a pass`)
})

/** Makes every lock anew, one after another; stops after a few, in another place each time. */
async function take({ server, clock, engine }: World, session: string, held: Map<string, number>, round: number) {
  const request = 1_000 * (round + 1)
  for (let index = 0; index < LOCKS + round; index++) {
    const lock = `lock/${index % LOCKS}`
    const token = held.get(lock)
    if (token !== undefined) {
      const release = { type: 'release', by: 'test', session, grants: [{ lock, token }], request: request + 2 * index }
      server.tell(release as Command)
      held.delete(lock)
    }
    const command = server.acquire(session, lock, { request: request + 2 * index + 1 })
    const heard = server.tell({ ...command, metadata: { text: 'x'.repeat(METADATA_CHARS) } } as Command)
    await clock.settle()
    held.set(lock, tokenOf(heard.answer))
    // The store takes no more: what is in flight is lost with the server.
    if (index === LOCKS + round - 1) engine.hold(() => true)
  }
}

test('a record that is ended by the batch that carries it, or by the one before, is ended for the next owner', async () => {
  const world = await startServer({ config: { logBytesMin: 100_000 } })
  const { server, clock, engine } = world
  const session = await server.session(600_000)
  const tokens: number[] = []
  engine.hold(isAppend)
  /** Lets one batch through; the next one is made, and waits. */
  const step = async () => {
    engine.letGo()
    engine.hold(isAppend)
    await clock.settle()
  }
  const inFlight = () => decodeBatch(appended(engine.requests.findLast(isAppend)!)!)
  for (let index = 0; inFlight().carried.length === 0; index++) {
    assert.ok(index < 2 * LOCKS, 'no pass has begun')
    const command = server.acquire(session, `lock/${index}`)
    const heard = server.tell({ ...command, metadata: { text: 'x'.repeat(METADATA_CHARS) } } as Command)
    while (!heard.answer) await step()
    tokens.push(tokenOf(heard.answer))
  }
  const first = inFlight().carried.flat().length - 1
  assert.ok(first > 2 && first < tokens.length / 2, 'a pass has begun that takes several turns')
  const release = (from: number, to: number) => {
    for (let index = from; index < to; index++) server.tell(server.release(session, `lock/${index}`, tokens[index]!))
  }
  // Some of those that the pass comes to next; then, in the turn that carries, all the others.
  release(first, first + 3)
  await clock.settle()
  await step()
  release(0, first)
  release(first + 3, tokens.length)
  await clock.settle()
  await step()
  const { carried, entries } = inFlight()
  const names = (groups: EntryGroup[], type: string) =>
    groups.flatMap(([, ...group]) =>
      group.flatMap(entry => (entry.record === 'grant' && entry.type === type ? [entry.lock] : [])),
    )
  const ended = new Set(names(entries, 'released'))
  assert.ok(
    names(carried, 'carried').some(lock => ended.has(lock)),
    'it has come to that',
  )
  engine.letGo()
  await clock.settle()
  const next = await restart(world)
  for (let index = 0; index < tokens.length; index++) {
    assert.equal(await next.server.isHeld(`lock/${index}`), false, `lock/${index}`)
  }
})
