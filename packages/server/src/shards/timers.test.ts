import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IDEMPOTENCY_KEY_MS } from '@holdfast/protocol/limits'
import { apply } from '../locks/apply.ts'
import type { Command, Entry, IdempotencyKey } from '../locks/model.ts'
import { liveSession, newState } from '../locks/state.ts'
import { wakeupsOf } from '../locks/wakeups.ts'
import { Agenda } from './agenda.ts'
import { Instance } from './instance.ts'
import { ShardClock } from './shard-clock.ts'
import { acquireOf, FakeClock, isAppend, isBeat, restart, startServer, tokenOf } from './testing.ts'
import type { Timers } from './timers.ts'

test('a session that is not renewed ends after its TTL, not before', async () => {
  const { server, clock } = await startServer()
  const session = await server.session(2_000)
  await server.grant(session, 'a')
  await clock.pass(1_900)
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(300)
  assert.equal(await server.isHeld('a'), false)
  assert.equal(await server.isAlive(session), false)
})

test('a renewal makes no entry and moves the deadline a full TTL from its receipt', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(1_000)
  const appends = engine.requests.filter(isAppend).length
  for (let step = 0; step < 8; step++) {
    await clock.pass(800)
    assert.ok((await server.ask(server.renew(session))).ok)
  }
  assert.equal(engine.requests.filter(isAppend).length, appends)
  await clock.pass(950)
  assert.equal(await server.isAlive(session), true)
  await clock.pass(200)
  assert.equal(await server.isAlive(session), false)
})

test('a pause of twice the TTL expires nobody whose renewals lie in the sockets', async () => {
  const { server, clock } = await startServer()
  const sessions: string[] = []
  while (sessions.length < 20) sessions.push(await server.session(3_000))
  for (const [index, session] of sessions.entries()) await server.grant(session, `lock/${index}`)
  await clock.pass(2_950)
  clock.pause(6_000)
  // As Node does it: due timers first, then the sockets.
  await clock.runTimers(() => {
    for (const session of sessions) server.tell(server.renew(session))
  })
  await clock.pass(2_000)
  for (const [index] of sessions.entries()) assert.equal(await server.isHeld(`lock/${index}`), true)
})

test('what a pause made due is looked at after the sockets have been read', async () => {
  const { server, clock } = await startServer()
  const session = await server.session(1_000)
  await server.grant(session, 'a')
  await clock.pass(940)
  // Short enough for the owner to be within its own deadline: the tick counts.
  clock.pause(1_000)
  await clock.runTimers(() => void server.tell(server.renew(session)))
  await clock.pass(500)
  assert.equal(await server.isHeld('a'), true)
})

test('what time makes due comes after what was received before, however long that waits for its turn', async () => {
  const line: (() => void)[] = []
  const { server, clock } = await startServer({ inTurn: act => line.push(act) })
  const session = await server.session(1_000)
  await server.grant(session, 'a')
  await clock.pass(900)
  for (const act of line.splice(0)) act()
  // It has been received, and is behind much else; the ticks go on.
  line.push(() => void server.tell(server.renew(session)))
  await clock.pass(2_000)
  for (const act of line.splice(0)) act()
  await clock.settle()
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(1_100)
  for (const act of line.splice(0)) act()
  await clock.settle()
  assert.equal(await server.isHeld('a'), false)
})

test('a session does not live on by what is granted to it when nobody is there to hear of it', async () => {
  const { server, clock } = await startServer()
  const other = await server.session(60_000)
  const tokens = [await server.grant(other, 'b'), await server.grant(other, 'c')]
  const dead = await server.session(1_000)
  await server.grant(dead, 'a')
  const waits = ['b', 'c'].map(lock => server.tell(server.acquire(dead, lock, { waitMs: null })))
  await clock.settle()
  for (const { detach } of waits) detach()
  await clock.pass(800)
  assert.ok((await server.ask(server.release(other, 'b', tokens[0]!))).ok)
  await clock.pass(400)
  assert.deepEqual([await server.isHeld('a'), await server.isHeld('b')], [false, false])
  // Who is there lives on by it.
  const alive = await server.session(1_000)
  server.tell(server.acquire(alive, 'c', { waitMs: null }))
  await clock.pass(800)
  await server.ask(server.release(other, 'c', tokens[1]!))
  await clock.pass(800)
  assert.equal(await server.isHeld('c'), true)
})

test('time in which the store takes no beats is not charged to the sessions', async () => {
  const { server, clock, engine } = await startServer()
  const session = await server.session(4_000)
  engine.hold(isBeat)
  await clock.pass(20_000)
  engine.letGo()
  await clock.settle()
  await clock.pass(500)
  assert.equal(await server.isAlive(session), true)
  await clock.pass(4_000)
  assert.equal(await server.isAlive(session), false)
})

test('a new owner gives every session its full TTL from after its takeover', async () => {
  const first = await startServer()
  const session = await first.server.session(10_000)
  await first.server.grant(session, 'a')
  await first.clock.pass(9_500)
  const { server, clock } = await restart(first)
  await clock.pass(9_900)
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(400)
  assert.equal(await server.isHeld('a'), false)
})

test('a longer TTL outlives a takeover', async () => {
  const first = await startServer()
  const session = await first.server.session(1_000)
  assert.ok((await first.server.ask({ type: 'renew', by: 'test', session, ttlMs: 30_000 })).ok)
  const { server, clock } = await restart(first)
  await clock.pass(20_000)
  assert.equal(await server.isAlive(session), true)
})

test('a wait that is bounded ends in time, also under a new owner', async () => {
  const first = await startServer()
  const [holder, waiter] = [await first.server.session(60_000), await first.server.session(60_000)]
  await first.server.grant(holder, 'a')
  const request = acquireOf(waiter, 'a', { request: 7, waitMs: 5_000 })
  const heard = first.server.tell(request)
  await first.clock.pass(1_000)
  assert.notEqual(heard.ticket, null)
  const { server, clock } = await restart(first)
  const again = server.tell(request)
  await clock.settle()
  assert.equal(again.ticket, heard.ticket, 'its place has survived')
  await clock.pass(6_000)
  assert.ok(again.answer && !again.answer.ok && again.answer.code === 'lock_held')
})

test('a maximum hold ends a live holder', async () => {
  const { server, clock } = await startServer()
  const session = await server.session(60_000)
  const command = server.acquire(session, 'a')
  assert.ok(command.type === 'acquire')
  const claims = command.claims.map(claim => ({ ...claim, maxHoldMs: 3_000 }))
  tokenOf(await server.ask({ ...command, claims }))
  await clock.pass(2_800)
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(400)
  assert.equal(await server.isHeld('a'), false)
})

test('a freeze ends by the calendar, and one set in between is left alone', async () => {
  const { server, clock } = await startServer()
  const session = await server.session(60_000)
  const freeze = (ms: number): Command => ({
    type: 'freeze',
    by: 'op',
    prefix: 'a',
    untilAt: clock.wallMs() + ms,
    reason: 'test',
  })
  await server.ask(freeze(1_000))
  const refused = await server.ask(server.acquire(session, 'a'))
  assert.ok(!refused.ok && refused.code === 'frozen')
  await server.ask(freeze(3_000))
  await clock.pass(1_500)
  assert.ok(!(await server.ask(server.acquire(session, 'a'))).ok)
  await clock.pass(2_000)
  tokenOf(await server.ask(server.acquire(session, 'a')))
})

test('a thaw that comes due while the freeze is being prolonged is void', async () => {
  const { server, clock, engine } = await startServer()
  const freeze = (ms: number): Command => ({
    type: 'freeze',
    by: 'op',
    prefix: 'a',
    untilAt: clock.wallMs() + ms,
    reason: 'test',
  })
  await server.ask(freeze(1_000))
  engine.hold(isAppend)
  server.tell({ type: 'open_session', by: 'test', ttlMs: 5_000, labels: null })
  await clock.settle()
  server.tell(freeze(60_000))
  await clock.pass(1_200)
  engine.letGo()
  await clock.pass(100)
  const listed = await server.ask({ type: 'list_freezes', by: 'test' })
  assert.ok(listed.ok && listed.type === 'freezes')
  assert.equal(listed.freezes.length, 1)
})

test('an open connection keeps the session of its wait alive, and its grant starts a full TTL', async () => {
  const { server, clock } = await startServer()
  const holder = await server.session(60_000)
  const token = await server.grant(holder, 'a')
  const command: Command = {
    ...(acquireOf('', 'a', { request: 1, waitMs: 20_000 }) as Extract<Command, { type: 'acquire' }>),
    session: { ttlMs: 1_000, defaultTtlMs: 1_000, holder: 'curl', key: null },
    request: null,
  }
  const heard = server.tell(command, { keepsSessionAlive: true })
  await clock.pass(6_000)
  assert.equal(heard.answers, 0)
  await server.ask(server.release(holder, 'a', token))
  await clock.settle()
  tokenOf(heard.answer)
  await clock.pass(900)
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(400)
  assert.equal(await server.isHeld('a'), false)
})

test('the clock of a shard never runs faster than time, back, or through a pause', () => {
  const clock = new FakeClock()
  let isWithin = true
  const shard = new ShardClock({ clock, startMs: 500, isWithinDeadline: () => isWithin })
  clock.pause(40)
  assert.equal(shard.now(), 540)
  clock.pause(10)
  assert.equal(shard.tick(), 0)
  assert.equal(shard.now(), 550)
  clock.pause(10_000)
  assert.equal(shard.now(), 650, 'a reading counts 100 ms at the most')
  assert.equal(shard.tick(), 9_950)
  assert.equal(shard.now(), 650)
  isWithin = false
  clock.pause(60)
  const ahead = shard.now()
  shard.tick()
  assert.equal(shard.now(), ahead, 'never back')
  for (let step = 0; step < 100; step++) {
    clock.pause(50)
    shard.tick()
  }
  assert.equal(shard.now(), ahead, 'it stands still while no renewal could be answered')
})

test('sessions and waits that are long gone do not pile up until their time would have come', () => {
  const state = newState(1)
  const agenda = new Agenda(0)
  const { timers } = new Instance('main', state, agenda)
  const dayMs = 24 * 60 * 60 * 1000
  for (let number = 1; number <= 300_000; number++) {
    const id = String(number)
    const value = { number, id, ttlMs: dayMs, labels: null, isSingle: false, by: '', changes: 0, seenChanges: 0 }
    apply(state, { type: 'session_opened', record: 'session', session: id, value })
    timers.startSession(liveSession(state, id)!, number)
    timers.add({ dueMs: dayMs, command: { type: 'end_wait', ticket: number, by: '' } })
    if (number > 10) apply(state, { type: 'session_ended', record: 'session', session: id, value: null })
  }
  assert.ok(timers.count < 140_000, `${timers.count} things for ten sessions`)
  const due: string[] = []
  const submit = (command: Command) => command.type === 'expire_session' && due.push(command.session)
  takeAll(agenda, dayMs + 100, submit)
  assert.equal(due.length, 10, 'and those that are not gone are not forgotten')
})

test('what is swept is off the agenda too, and an instance that was given back is on none', () => {
  const agenda = new Agenda(0)
  const dayMs = 24 * 60 * 60 * 1000
  const instances = ['one', 'two'].map(name => new Instance(name, newState(1), agenda))
  // Each in a slot of its own, and void: there is no such wait.
  for (let number = 1; number <= 200_000; number++)
    for (const { timers } of instances)
      timers.add({ dueMs: dayMs + number * 50, command: { type: 'end_wait', ticket: number, by: '' } })
  assert.ok(agenda.count < 70_000, `${agenda.count} slots`)
  const [one, two] = instances
  one!.timers.stop()
  const due: string[] = []
  const waiting = two!.timers.count
  agenda.take(3 * dayMs, {
    due: (timers, slot) => timers.due(slot, 3 * dayMs, () => due.push(timers.instance.name)),
    frozen: () => undefined,
  })
  assert.deepEqual([due.length, new Set(due)], [waiting, new Set(['two'])])
  two!.timers.stop()
  assert.equal(agenda.count, 0)
})

test('a key is asked to be forgotten when its day is over and its session has ended, however long that lives', () => {
  const state = newState(1)
  const agenda = new Agenda(0)
  const { timers } = new Instance('main', state, agenda)
  const value = { number: 1, id: 's', ttlMs: 1, labels: null, isSingle: true, by: '', changes: 0, seenChanges: 0 }
  apply(state, { type: 'session_opened', record: 'session', session: 's', value })
  const key = { key: 'k', session: 's', digest: '', sinceMs: 0, lock: 'a', ticket: null } as unknown as IdempotencyKey
  const entry: Entry = { type: 'remembered', record: 'key', key: 'k', value: key }
  apply(state, entry)
  for (const wakeup of wakeupsOf(entry)) timers.add(wakeup)
  const due: Command[] = []
  const submit = (command: Command) => void due.push(command)
  for (let nowMs = 0; nowMs <= 3 * IDEMPOTENCY_KEY_MS; nowMs += IDEMPOTENCY_KEY_MS / 4) takeAll(agenda, nowMs, submit)
  assert.deepEqual(due, [])
  apply(state, { type: 'session_ended', record: 'session', session: 's', value: null })
  takeAll(agenda, 3 * IDEMPOTENCY_KEY_MS + 2 * 60_000, submit)
  assert.deepEqual(due, [{ type: 'forget_key', key: 'k', by: 'service' }])
})

test('only instances that have something due are looked at, once for each slot in which they have', () => {
  const agenda = new Agenda(0)
  const instances = ['busy', 'later', 'resting'].map(name => new Instance(name, newState(1), agenda))
  const [busy, later] = instances
  for (const ticket of [1, 2]) busy!.timers.add({ dueMs: 1_000, command: { type: 'end_wait', ticket, by: '' } })
  later!.timers.add({ dueMs: 5_000, command: { type: 'end_wait', ticket: 3, by: '' } })
  const looked: string[] = []
  const due = ({ instance }: Timers) => void looked.push(instance.name)
  for (let nowMs = 0; nowMs <= 4_000; nowMs += 50) agenda.take(nowMs, { due, frozen: due })
  assert.deepEqual(looked, ['busy'])
  agenda.take(6_000, { due, frozen: due })
  assert.deepEqual(looked, ['busy', 'later'])
})

/** All that is due by then. */
function takeAll(agenda: Agenda, nowMs: number, submit: (command: Command) => void): void {
  agenda.take(nowMs, {
    due: (timers, slot) => timers.due(slot, nowMs, submit),
    frozen: timers => timers.thaw(0, submit),
  })
}
