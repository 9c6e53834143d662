import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command } from '../locks/model.ts'
import { NotTaken } from './callers.ts'
import { acquireOf, isAppend, startServer, TestEngine, tokenOf, type World } from './testing.ts'

const single = (lock: string, waitMs: number, key: string | null = null): Command => ({
  ...(acquireOf('', lock, { request: 1, waitMs }) as Extract<Command, { type: 'acquire' }>),
  session: { ttlMs: 5_000, defaultTtlMs: 5_000, holder: 'curl', key: key === null ? null : { key, digest: '' } },
  request: null,
})

async function heldLock(): Promise<World & { holder: string; token: number }> {
  const world = await startServer()
  const holder = await world.server.session(600_000)
  return { ...world, holder, token: await world.server.grant(holder, 'a') }
}

async function stateOf({ server }: World, lock: string): Promise<string> {
  const shown = await server.ask({ type: 'show', by: 'test', lock })
  return shown.ok && shown.type === 'lock' ? shown.lock.state : 'none'
}

async function waitersOf({ server }: World, lock: string): Promise<number> {
  const shown = await server.ask({ type: 'show', by: 'test', lock })
  return shown.ok && shown.type === 'lock' ? shown.lock.waiters : 0
}

test('who waits is told its place, and later that it was granted, once each', async () => {
  const { server, clock, holder, token } = await heldLock()
  const waiter = await server.session(600_000)
  const heard = server.tell(server.acquire(waiter, 'a', { waitMs: null }))
  await clock.settle()
  assert.notEqual(heard.ticket, null)
  assert.equal(heard.answers, 0)
  await server.ask(server.release(holder, 'a', token))
  assert.ok(tokenOf(heard.answer) > token)
  assert.equal(heard.answers, 1)
})

test('a release hands over in its own batch', async () => {
  const { server, clock, engine, holder, token } = await heldLock()
  const waiter = await server.session(600_000)
  const heard = server.tell(server.acquire(waiter, 'a', { waitMs: null }))
  await clock.settle()
  const appends = engine.requests.filter(isAppend).length
  await server.ask(server.release(holder, 'a', token))
  tokenOf(heard.answer)
  assert.equal(engine.requests.filter(isAppend).length, appends + 1)
})

test('a repeat of a waiting request stands where it stood, and both callers hear how it ends', async () => {
  const { server, clock, holder, token } = await heldLock()
  const waiter = await server.session(600_000)
  const command = server.acquire(waiter, 'a', { waitMs: null })
  const before = server.tell(command)
  await clock.settle()
  const after = server.tell(command)
  await clock.settle()
  assert.equal(after.ticket, before.ticket)
  await server.ask(server.release(holder, 'a', token))
  assert.equal(tokenOf(after.answer), tokenOf(before.answer))
  assert.deepEqual([before.answers, after.answers], [1, 1])
})

test('a wait goes on without its caller, and a repeat finds it', async () => {
  const world = await heldLock()
  const { server, clock, holder, token } = world
  const waiter = await server.session(600_000)
  const command = server.acquire(waiter, 'a', { waitMs: null })
  const gone = server.tell(command)
  await clock.settle()
  gone.detach()
  await clock.settle()
  assert.equal(await waitersOf(world, 'a'), 1)
  await server.ask(server.release(holder, 'a', token))
  assert.equal(gone.answers, 0)
  tokenOf(await server.ask(command))
})

test('a wait that its connection kept alive is given up with the connection', async () => {
  const world = await heldLock()
  const heard = world.server.tell(single('a', 60_000), { keepsSessionAlive: true })
  await world.clock.settle()
  assert.equal(await waitersOf(world, 'a'), 1)
  heard.detach()
  await world.clock.settle()
  assert.equal(await waitersOf(world, 'a'), 0)
  assert.equal(heard.answers, 0)
})

test('nor is it given up while another connection asks the same', async () => {
  const world = await heldLock()
  const { server, clock, holder, token } = world
  const [one, other] = [0, 1].map(() => server.tell(single('a', 60_000, 'a key'), { keepsSessionAlive: true }))
  await clock.settle()
  one!.detach()
  await clock.settle()
  assert.equal(await waitersOf(world, 'a'), 1)
  await server.ask(server.release(holder, 'a', token))
  tokenOf(other!.answer)
  assert.deepEqual([one!.answers, other!.answers], [0, 1])
})

test('who asks again under its key has waited since then, and who numbers its requests since it asked first', async () => {
  const { server, clock, holder, token } = await heldLock()
  const numbered = server.acquire(await server.session(600_000), 'a', { waitMs: null })
  const waited = ({ answer }: ReturnType<typeof server.tell>) =>
    answer?.ok && answer.type === 'granted' ? answer.waitedMs : null
  const first = server.tell(single('a', 60_000, 'a key'))
  const before = server.tell(numbered)
  await clock.pass(3_000)
  const second = server.tell(single('a', 60_000, 'a key'))
  const after = server.tell(numbered)
  await clock.pass(1_000)
  await server.ask(server.release(holder, 'a', token))
  const singles = [waited(first), waited(second)].map(ms => Math.round((ms ?? 0) / 1_000))
  assert.deepEqual(singles, [4, 1])
  const next = first.answer
  assert.ok(next?.ok && next.type === 'granted')
  await server.ask({ type: 'release_single', by: 'test', session: next.session, lock: 'a' })
  assert.equal(waited(before), waited(after))
  assert.ok((waited(after) ?? 0) > 3_500)
})

test('so is one whose connection went before it was in line', async () => {
  const world = await heldLock()
  world.engine.hold(isAppend)
  const session = await world.server.tell({ type: 'open_session', by: 'test', ttlMs: 5_000, labels: null })
  await world.clock.settle()
  const heard = world.server.tell(single('a', 60_000), { keepsSessionAlive: true })
  heard.detach()
  world.engine.letGo()
  await world.clock.settle()
  assert.ok(session.answer?.ok)
  assert.equal(await waitersOf(world, 'a'), 0)
})

test('a grant of which its caller never heard, and that nobody can ask for, is given back', async () => {
  const world = await startServer()
  const { server, clock, engine } = world
  engine.hold(isAppend)
  const asked = [null, 'a key'].map(key => server.tell(single(`of ${key}`, 0, key), { keepsSessionAlive: true }))
  const heard = server.tell(single('heard', 0), { keepsSessionAlive: true })
  await clock.settle()
  for (const gone of asked) gone.detach()
  engine.letGo()
  await clock.settle()
  tokenOf(heard.answer)
  assert.deepEqual(
    asked.map(({ answers }) => answers),
    [0, 0],
  )
  assert.equal(await stateOf(world, 'of null'), 'none')
  assert.equal(await stateOf(world, 'of a key'), 'held')
  assert.equal(await stateOf(world, 'heard'), 'held')
  tokenOf(await server.ask(single('of a key', 0, 'a key')))
})

test('so is one that was granted while its wait was being given up', async () => {
  const world = await heldLock()
  const { server, clock, engine, holder, token } = world
  const heard = server.tell(single('a', 60_000), { keepsSessionAlive: true })
  await clock.settle()
  engine.hold(isAppend)
  const released = server.tell(server.release(holder, 'a', token))
  heard.detach()
  engine.letGo()
  await clock.settle()
  assert.ok(released.answer?.ok)
  assert.equal(heard.answers, 0)
  assert.equal(await stateOf(world, 'a'), 'none')
})

test('what is asked for with a connection that goes before it is decided is never decided', async () => {
  const world = await startServer()
  const { server, clock, engine } = world
  const session = await server.session(600_000)
  const appends = engine.requests.filter(isAppend).length
  const heard = server.tell(server.acquire(session, 'a'), { keepsSessionAlive: true })
  heard.detach()
  await clock.settle()
  assert.equal(engine.requests.filter(isAppend).length, appends)
  assert.equal(await stateOf(world, 'a'), 'none')
})

test('pushes go to the newest listener of the session, as long as it listens', async () => {
  const { server, clock, holder } = await heldLock()
  const [first, second] = [[] as string[], [] as string[]]
  const one = server.shards.listen('main', holder, push => first.push(push.type))
  const two = server.shards.listen('main', holder, push => second.push(push.type))
  one.stop()
  const force: Command = { type: 'force_release', by: 'op', lock: 'a', token: null, reason: 'test', now: true }
  await server.ask(force)
  assert.deepEqual([first, second], [[], ['lost']])
  two.stop()
  await server.grant(holder, 'a')
  await server.ask(force)
  await clock.settle()
  assert.deepEqual(second, ['lost'])
})

test('instances know nothing of each other', async () => {
  const { server } = await heldLock()
  const opened = await server.ask(
    { type: 'open_session', by: 'test', ttlMs: 5_000, labels: null },
    { instance: 'other' },
  )
  assert.ok(opened.ok && opened.type === 'session')
  const granted = await server.ask(server.acquire(opened.session.id, 'a'), { instance: 'other' })
  tokenOf(granted)
})

test('who comes again under the same request before the end of the former connection was looked at keeps the place', async () => {
  const world = await heldLock()
  const { server, clock, holder, token } = world
  const command = single('a', 60_000, 'key')
  const former = server.tell(command, { keepsSessionAlive: true })
  await clock.settle()
  const again = server.tell(command, { keepsSessionAlive: true })
  former.detach()
  await clock.settle()
  assert.equal(await waitersOf(world, 'a'), 1)
  await server.ask(server.release(holder, 'a', token))
  tokenOf(again.answer)
})

test('a wait whose end was decided and never sent is told that this is unknown, as it still stands in line', async () => {
  const { server, clock, engine, holder, token } = await heldLock()
  const heard = server.tell(single('a', 60_000), { keepsSessionAlive: true })
  await clock.settle()
  engine.hold(isAppend)
  server.tell({ type: 'open_session', by: 'test', ttlMs: 5_000, labels: null })
  await clock.settle()
  const behind = server.tell(server.release(holder, 'a', token))
  await clock.settle()
  const closing = server.shards.close()
  engine.letGo()
  await clock.settle()
  await closing
  assert.ok(behind.failed instanceof NotTaken)
  assert.equal(heard.failed?.code, 'unavailable')
  assert.ok(!(heard.failed instanceof NotTaken))
})

test('of a wait that nobody could ask for again nothing stays in line when a shard is given up, also where it had only just arrived', async () => {
  const world = await heldLock()
  const ask = () => world.server.tell(single('a', 60_000), { keepsSessionAlive: true })
  const inLine = ask()
  await world.clock.settle()
  // Not decided yet.
  const [arrived, named] = [ask(), world.server.tell(single('a', 60_000, 'k'), { keepsSessionAlive: true })]
  const closing = world.server.shards.close()
  await world.clock.pass(500)
  await closing
  for (const heard of [inLine, arrived]) assert.ok(heard.failed instanceof NotTaken, heard.failed?.message)
  assert.ok(named.failed)
  const next = await startServer({ clock: world.clock, engine: new TestEngine(world.engine.store) })
  assert.equal(await waitersOf(next, 'a'), 1, 'who can ask again by its key')
})
