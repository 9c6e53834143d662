/** Each limit of this room, where it is and one past it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acquireOf, World } from '../../../../test/simulation/core-world.ts'
import { COMMIT_BYTES_MAX, type Engine } from '../engine/engine.ts'
import { openMemory } from '../engine/memory/memory.ts'
import type { Command } from '../locks/model.ts'
import { NUMBERS_PER_EPOCH, newState } from '../locks/state.ts'
import { DECISION_BYTES_MAX } from '../locks/weight.ts'
import { Agenda } from './agenda.ts'
import { noArchive } from './archive.ts'
import { BYTES_PER_UNIT_MAX, encodeBatch, GroupText, HEADER_BYTES_MAX } from './batch.ts'
import { CARRIED_BYTES_MAX, Cleaner, LOG_BYTES_MIN } from './cleaner.ts'
import { Instance, NUMBERS_LEFT_MIN } from './instance.ts'
import type { ShardLog } from './log.ts'
import type { Membership } from './membership.ts'
import { SHARDS_MAX } from './meta.ts'
import { MEMBERS_MAX, Observer, type ObserverOptions } from './observer.ts'
import type { Asking } from './port.ts'
import { QUEUE_COMMANDS_MAX } from './shard.ts'
import { ShardClock, TICK_MS_MAX } from './shard-clock.ts'
import { silentTelemetry } from './telemetry.ts'
import { FakeClock, keys, startServer } from './testing.ts'
import { BATCH_BYTES, COMMANDS_PER_TURN_MAX } from './turn.ts'

const renew = (session: string): Command => ({ type: 'renew', by: 'test', session })

test('a cluster has SHARDS_MAX shards, made in one commit', async () => {
  const { server } = await startServer({ config: { shards: SHARDS_MAX } })
  assert.equal(server.shards.health().shards.length, SHARDS_MAX)
  for (const shards of [SHARDS_MAX + 1, 0, 1.5])
    await assert.rejects(startServer({ config: { shards } }), /a cluster has 1 to/)
})

test('a turn takes COMMANDS_PER_TURN_MAX commands, and the next those that are left', async () => {
  for (const [asked, expected] of [
    [COMMANDS_PER_TURN_MAX, [COMMANDS_PER_TURN_MAX]],
    [COMMANDS_PER_TURN_MAX + 1, [COMMANDS_PER_TURN_MAX, 1]],
  ] as const) {
    const turns: number[] = []
    const { server, clock } = await startServer({
      telemetry: { batchCommitted: ({ commands }) => turns.push(commands) },
    })
    const session = await server.session()
    turns.length = 0
    server.tell(server.acquire(session, 'first'))
    for (let index = 2; index < asked; index++) server.tell(renew(session))
    const last = server.tell(server.acquire(session, 'last'))
    await clock.settle()
    assert.equal(last.answers, 1)
    assert.deepEqual(turns, expected)
  }
})

test('QUEUE_COMMANDS_MAX commands wait for a turn, and who comes after them is told to come back', async () => {
  const { server, clock } = await startServer()
  const session = await server.session()
  const heard = { answers: 0, failures: 0 }
  const asking: Asking = { answer: () => void heard.answers++, fail: () => void heard.failures++ }
  for (let index = 0; index < QUEUE_COMMANDS_MAX; index++) server.shards.submit('main', renew(session), asking)
  const refused = server.tell(renew(session))
  await clock.settle()
  assert.deepEqual(heard, { answers: QUEUE_COMMANDS_MAX, failures: 0 })
  assert.deepEqual([refused.answer, refused.failed?.code], [null, 'unavailable'])
  assert.ok((await server.ask(renew(session))).ok, 'there is room again')
})

test('a tick of the shard’s clock counts TICK_MS_MAX, and nothing of what is beyond', () => {
  for (const [passed, counted] of [
    [TICK_MS_MAX, TICK_MS_MAX],
    [TICK_MS_MAX + 1, TICK_MS_MAX],
  ] as const) {
    const clock = new FakeClock()
    const shard = new ShardClock({ clock, startMs: 0, isWithinDeadline: () => true })
    clock.pause(passed)
    shard.tick()
    assert.equal(shard.now(), counted)
  }
})

test('a header fits its HEADER_BYTES_MAX, whatever its numbers', () => {
  const largest = Number.MAX_SAFE_INTEGER
  const header = { id: `${'f'.repeat(16)}-${largest}`, seq: largest, epoch: largest, prev: 'f'.repeat(64) }
  const groups = { carried: new GroupText(), entries: new GroupText() }
  const bytes = encodeBatch({ ...header, now: largest + 0.5, at: largest, live: largest }, groups)
  assert.ok(bytes.length <= HEADER_BYTES_MAX, `${bytes.length} bytes`)
})

test('no text has more than BYTES_PER_UNIT_MAX bytes a unit, so what is counted by it is never too little', () => {
  for (const text of ['a', 'é', '\u07ff', '\u0800', '\uffff', '😀', '\u{10ffff}'])
    assert.ok(Buffer.byteLength(text) <= BYTES_PER_UNIT_MAX * text.length, text)
  assert.equal(Buffer.byteLength('\u0800'), BYTES_PER_UNIT_MAX)
  const group = new GroupText()
  group.add('main', '"\u0800"')
  const { bytes } = group
  assert.equal(group.exceeds(bytes), false)
  assert.equal(group.exceeds(bytes - 1), true)
})

test('what is carried, what is decided and what stands around them fit one commit together', () => {
  // A turn closes at BATCH_BYTES with what it carries; the last command may need as much again.
  assert.ok(CARRIED_BYTES_MAX < BATCH_BYTES)
  assert.ok(BATCH_BYTES + HEADER_BYTES_MAX < COMMIT_BYTES_MAX)
  assert.ok(DECISION_BYTES_MAX <= BATCH_BYTES)
})

test('cleaning begins beyond LOG_BYTES_MIN, and carries CARRIED_BYTES_MAX into one batch', () => {
  const world = new World({ isJudged: false })
  const sessions = [world.open(), world.open(), world.open()]
  for (let index = 0; index < 900; index++)
    assert.ok(world.do(acquireOf(sessions[index % 3]!, [`${index}`.padStart(250, '-')])).ok)
  const cleanerOf = (bytes: number) => {
    const end = { seq: world.state.seq, revision: 1, hash: '' }
    const log = { bytes, firstSeq: 0, end, bytesOf: () => 500 }
    // All that the cleaner asks of a log.
    const archive = noArchive({ shard: 0, shards: 1, ownerRevision: () => 0, progressed: () => undefined })
    const states = new Map([['main', world.state]])
    return new Cleaner({ log: log as unknown as ShardLog, archive, liveBytes: 0, states })
  }
  const cleaner = cleanerOf(LOG_BYTES_MIN)
  assert.equal(cleaner.isReady, false)
  cleaner.appended(1)
  assert.equal(cleaner.isReady, true)
  const text = new GroupText()
  const chosen = cleaner.choose(world.state.seq + 1, text, COMMIT_BYTES_MAX)
  assert.ok(chosen && chosen.carriedEntries > 100 && chosen.carriedEntries < 900)
  const one = Math.ceil(text.bytes / chosen.carriedEntries)
  assert.ok(text.bytes <= CARRIED_BYTES_MAX, `${text.bytes} bytes`)
  // The next is counted from above before it is added.
  assert.ok(text.bytes > CARRIED_BYTES_MAX - BYTES_PER_UNIT_MAX * 2 * one, `${text.bytes} bytes`)
})

function observerOf(engine: Engine, seen: ObserverOptions['seen'] = () => undefined): Observer {
  return new Observer({
    engine,
    clock: new FakeClock(),
    keys,
    shards: 1,
    // All that a look asks of it.
    membership: { server: 'own', isWithinDeadline: () => true } as Membership,
    telemetry: silentTelemetry,
    seen,
    fatal: assert.ifError,
  })
}

test('a cluster of MEMBERS_MAX servers is seen whole; of one with more that many are', async () => {
  const engine = openMemory()
  const seenWith = async (count: number) => {
    const record = { memberTtlMs: 2_000, address: '', startedAt: 0, beat: '' }
    for (let index = 0; index < count; index++) {
      const value = Buffer.from(JSON.stringify({ ...record, server: `s${index}` }))
      await engine.commit({ checks: [], writes: [{ key: keys.member(`s${index}`), value }] })
    }
    const seen: number[] = []
    const observer = observerOf(engine, ({ members }) => void seen.push(members.size))
    await observer.look()
    return seen
  }
  assert.deepEqual(await seenWith(MEMBERS_MAX), [MEMBERS_MAX])
  assert.deepEqual(await seenWith(MEMBERS_MAX + 1), [MEMBERS_MAX])
})

test('servers that have gone are forgotten by those who watched them', async () => {
  const engine = openMemory()
  const place = (round: number) => keys.member(`s${round}`)
  const write = (round: number, value: Uint8Array | null) => {
    const key = place(round)
    return engine.commit({ checks: [], writes: [value ? { key, value } : { key, delete: true }] })
  }
  const observer = observerOf(engine)
  for (let round = 0; round < 100; round++) {
    const record = { server: `s${round}`, memberTtlMs: 2_000, address: '', startedAt: 0, beat: '' }
    await write(round, Buffer.from(JSON.stringify(record)))
    await observer.look()
    assert.equal(observer.size, 1)
    await write(round, null)
  }
  await observer.look()
  assert.equal(observer.size, 0)
})

test('an owner takes a new epoch when fewer than NUMBERS_LEFT_MIN numbers are left', () => {
  const state = newState(3)
  const instance = new Instance('main', state, new Agenda(0))
  state.lastNumber = 4 * NUMBERS_PER_EPOCH - NUMBERS_LEFT_MIN
  assert.equal(instance.isNearEndOfEpoch(), false)
  state.lastNumber++
  assert.equal(instance.isNearEndOfEpoch(), true)
})
