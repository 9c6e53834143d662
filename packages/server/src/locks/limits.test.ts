/** Each limit of the core, where it is and one past it. What too many of would take too long to make, the state is told to have. */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import {
  FREEZES_MAX,
  HOLDER_CHARS_MAX,
  IDEMPOTENCY_KEYS_MAX,
  LABEL_KEY_CHARS_MAX,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  METADATA_BYTES_MAX,
  PERMITS_MAX,
  QUEUE_WAITERS_MAX,
  REASON_CHARS_MAX,
  REENTRY_MAX,
  SESSION_ENDING_BYTES_MAX,
  SESSION_LOCKS_MAX,
  SESSION_REQUESTS_MAX,
  SESSIONS_MAX,
  SET_BYTES_MAX,
  SET_LOCKS_MAX,
  SUBJECT_CHARS_MAX,
  VALUE_BYTES_MAX,
} from '@holdfast/protocol/limits'
import { grantsOf, refusedBy, releaseOf, tokenOf } from '../../../../test/simulation/core-replies.ts'
import { acquireOf, claimOf, singleOf, World } from '../../../../test/simulation/core-world.ts'
import { CYCLE_BYTES_MAX, CYCLE_STEPS_MAX } from './deadlock.ts'
import { decide } from './decide.ts'
import { encodeEntry } from './encoding.ts'
import type { Command, IdempotencyKey } from './model.ts'
import { ENDED_AT_ONCE } from './operating.ts'
import { NOTICES_AT_ONCE } from './preemption.ts'
import { ENDED_MAX, Endings } from './state.ts'
import { PAGE_UNITS_MAX, ROWS_SHOWN_MAX } from './views.ts'
import { TOLD_BYTES_MAX } from './weight.ts'

const by = 'test'
/** Large worlds are judged by what they answer. */
const large = () => new World({ isJudged: false })

test('an instance has SESSIONS_MAX sessions, however they come to be', () => {
  const world = new World()
  const open: Command = { type: 'open_session', by, ttlMs: 10_000, labels: null }
  const first = world.open()
  world.state.sessionCount += SESSIONS_MAX - 2
  assert.equal(world.do(open).ok, true)
  assert.equal(world.state.sessionCount, SESSIONS_MAX)
  refusedBy(world.do(open), 'sessions', SESSIONS_MAX)
  refusedBy(world.do(singleOf('a')), 'sessions', SESSIONS_MAX)
  world.do({ type: 'close_session', by, session: first })
  tokenOf(world.do(singleOf('a')))
  refusedBy(world.do(singleOf('b')), 'sessions', SESSIONS_MAX)
})

test('an instance remembers IDEMPOTENCY_KEYS_MAX keys', () => {
  const world = large()
  // Only how many they are is looked at.
  for (let index = 1; index < IDEMPOTENCY_KEYS_MAX; index++) world.state.keys.set(`${index}`, {} as IdempotencyKey)
  tokenOf(world.do(singleOf('a', 'the last')))
  assert.equal(world.state.keys.size, IDEMPOTENCY_KEYS_MAX)
  refusedBy(world.do(singleOf('b', 'one more')), 'idempotency_keys', IDEMPOTENCY_KEYS_MAX)
  tokenOf(world.do(singleOf('b')))
  assert.equal(world.do(singleOf('a', 'the last')).ok, true, 'a repeat needs no room')
})

test('a line has QUEUE_WAITERS_MAX places, and shows the first ROWS_SHOWN_MAX', () => {
  const world = large()
  const queue: Command = { type: 'queue', by, lock: 'x' }
  const shown = () => {
    const reply = world.do(queue)
    assert(reply.ok === true && reply.type === 'queue')
    return reply.waiters.length
  }
  world.do(acquireOf(world.open(), ['x']))
  const sessions = Array.from({ length: Math.ceil(QUEUE_WAITERS_MAX / SESSION_LOCKS_MAX) + 1 }, () => world.open())
  const join = (index: number) => world.do(acquireOf(sessions[index % sessions.length]!, ['x'], { waitMs: null }))
  for (let index = 1; index <= QUEUE_WAITERS_MAX; index++) {
    assert.equal(join(index).ok, 'queued', `waiter ${index}`)
    if (index === ROWS_SHOWN_MAX) assert.equal(shown(), ROWS_SHOWN_MAX)
  }
  assert.deepEqual(join(0), { ok: false, code: 'queue_full', limit: QUEUE_WAITERS_MAX })
  assert.equal(shown(), ROWS_SHOWN_MAX)
})

test('a reply shows ROWS_SHOWN_MAX holders of a lock, fewer if they are long, and says how many more there are', () => {
  const world = large()
  const shown = () => {
    const reply = world.do({ type: 'show', by, lock: 'x' })
    assert(reply.ok === true && reply.type === 'lock')
    return [reply.lock.grants.length, reply.lock.moreGrants]
  }
  const shared = claimOf('x', { mode: 'shared' })
  for (let count = 0; count < ROWS_SHOWN_MAX; count++) world.do(acquireOf(world.open(), [shared]))
  assert.deepEqual(shown(), [ROWS_SHOWN_MAX, 0])
  world.do(acquireOf(world.open(), [shared]))
  assert.deepEqual(shown(), [ROWS_SHOWN_MAX, 1])
  const long = large()
  const metadata = { note: 'x'.repeat(METADATA_BYTES_MAX - 20) }
  for (let count = 0; count < 500; count++) long.do(acquireOf(long.open(), [shared], { metadata }))
  const reply = long.do({ type: 'show', by, lock: 'x' })
  assert(reply.ok === true && reply.type === 'lock')
  assert.ok(reply.lock.grants.length > 0 && JSON.stringify(reply.lock.grants).length <= PAGE_UNITS_MAX * 1.01)
  assert.equal(reply.lock.grants.length + reply.lock.moreGrants, 500)
})

test('a page of locks ends at PAGE_UNITS_MAX, with one lock at least, and all pages together are all locks', () => {
  const world = large()
  const session = world.open()
  const value = String.fromCharCode(1).repeat(VALUE_BYTES_MAX)
  for (let count = 0; count < 100; count++) {
    const token = tokenOf(world.do(acquireOf(session, [`l${count}`])))
    world.do({ type: 'write_value', by, session, lock: `l${count}`, token, value, request: null })
  }
  const seen: string[] = []
  for (let after: string | null = null, pages = 0; ; pages++) {
    const page = world.do({ type: 'list', by, prefix: '', after, limit: 1_000 })
    assert(page.ok === true && page.type === 'locks' && page.locks.length > 0)
    assert.ok(page.locks.length === 1 || JSON.stringify(page.locks).length <= PAGE_UNITS_MAX * 1.01)
    seen.push(...page.locks.map(({ lock }) => lock))
    if (page.more) after = seen.at(-1) ?? null
    else {
      assert.ok(pages > 10)
      break
    }
  }
  assert.deepEqual(seen, Array.from({ length: 100 }, (_, count) => `l${count}`).sort())
})

test('a session has SESSION_LOCKS_MAX locks', () => {
  const world = large()
  const session = world.open()
  for (let index = 1; index <= SESSION_LOCKS_MAX; index++) tokenOf(world.do(acquireOf(session, [`${index}`])))
  refusedBy(world.do(acquireOf(session, ['x'])), 'session_locks', SESSION_LOCKS_MAX)
})

test('a session holds as much as its end can write in SESSION_ENDING_BYTES_MAX bytes, estimated from above', () => {
  const wide = (units: number) => '\u{1f512}'.repeat(units)
  const named = (units: number) => (index: number) => `${index}`.padStart(units, '-')
  const [short, long] = [named(12), named(256)]
  const exclusive = (lock: string) => claimOf(lock)
  const permits = (lock: string) => claimOf(lock, { mode: 'permits', permits: PERMITS_MAX, limit: PERMITS_MAX })
  const cases = [
    { nameOf: long, claim: exclusive, subject: by, holder: 'h', heldMin: 400 },
    { nameOf: short, claim: permits, subject: by, holder: 'h', heldMin: 100 },
    { nameOf: short, claim: exclusive, subject: wide(SUBJECT_CHARS_MAX), holder: wide(HOLDER_CHARS_MAX), heldMin: 300 },
  ]
  for (const { nameOf, claim, subject, holder, heldMin } of cases) {
    const world = large()
    const from = '2001:0db8:85a3:0000:0000:8a2e:0370:7334'
    const opened = world.do({ type: 'open_session', by: subject, from, ttlMs: 1_000, labels: { holder } })
    assert(opened.ok === true && opened.type === 'session')
    const session = opened.session.id
    const ask = (index: number) =>
      world.do(acquireOf(session, [{ ...claim(nameOf(index)), lockDelayMs: 60_000 }], { waitMs: 0 }))
    let held = 0
    for (let reply = ask(0); reply.ok === true; reply = ask(held)) held++
    refusedBy(ask(held), 'session_ending_bytes', SESSION_ENDING_BYTES_MAX)
    assert.ok(held >= heldMin, `${held} locks`)
    world.now += 3_600_000
    const { entries } = decide(
      world.state,
      { type: 'expire_session', by: 'service', session },
      { now: world.now, at: 0 },
    )
    assert.equal(world.state.sessions.get(session)?.grants.length ?? 0, 0)
    const bytes = Buffer.byteLength(entries.map(encodeEntry).join())
    assert.ok(bytes < SESSION_ENDING_BYTES_MAX, `${held} locks: ${bytes} bytes`)
    assert.ok(bytes > SESSION_ENDING_BYTES_MAX / 3, `${held} locks: only ${bytes} bytes`)
  }
})

test('a set that carries more than SET_BYTES_MAX is neither granted nor waited for; one that could never be granted leaves the line', () => {
  const world = large()
  const wide = (units: number) => '\u{1f512}'.repeat(units)
  const labels = Object.fromEntries(
    Array.from({ length: LABELS_MAX }, (_, index) => [
      `${index}`.padStart(LABEL_KEY_CHARS_MAX, 'k'),
      wide(LABEL_VALUE_CHARS_MAX),
    ]),
  )
  const metadata = { note: 'x'.repeat(METADATA_BYTES_MAX - 20) }
  const set = (count: number, permits: number) =>
    Array.from({ length: count }, (_, index) => claimOf(`n${index}`, { mode: 'permits', permits, limit: PERMITS_MAX }))
  const fields = { labels, metadata, task: wide(HOLDER_CHARS_MAX), waitMs: null }
  const open = () => {
    const opened = world.do({ type: 'open_session', by, ttlMs: 1e9, labels: { holder: wide(HOLDER_CHARS_MAX) } })
    assert(opened.ok === true && opened.type === 'session')
    return opened.session.id
  }
  const [first, second] = [open(), open()]
  for (const waitMs of [0, null]) {
    const reply = world.do(acquireOf(first, set(SET_LOCKS_MAX, PERMITS_MAX), { ...fields, waitMs }))
    assert.equal(reply.ok, false)
    refusedBy(reply, 'set_bytes', SET_BYTES_MAX)
  }
  // What lies in a log may have been asked for before there was this limit.
  const token = tokenOf(world.do(acquireOf(first, set(1, PERMITS_MAX))))
  const asked = set(SET_LOCKS_MAX, 1)
  assert.equal(world.do(acquireOf(second, asked, fields)).ok, 'queued')
  const [waiter] = world.state.tickets.values()
  for (const claim of waiter?.claims ?? []) claim.permits = PERMITS_MAX
  decideAll(world, { type: 'release', by, session: first, grants: [{ lock: 'n0', token }], request: 1 })
  assert.equal(world.state.tickets.size, 0)
  assert.equal(world.state.sessions.get(second)?.grants.length, 0)
})

test('of a session SESSION_REQUESTS_MAX requests are remembered; it can still give back what it holds', () => {
  const world = large()
  const session = world.open()
  let request = 0
  let token = 0
  const acquire = () => world.do(acquireOf(session, ['x'], { request: ++request }))
  const release = () => world.do({ type: 'release', by, session, grants: [{ lock: 'x', token }], request: ++request })
  for (let remembered = 0; remembered < SESSION_REQUESTS_MAX; remembered += 2) {
    token = tokenOf(acquire())
    if (remembered + 2 < SESSION_REQUESTS_MAX) assert.equal(release().ok, true)
  }
  assert.equal(world.state.sessions.get(session)?.requests?.size, SESSION_REQUESTS_MAX - 1)
  const other = world.do(acquireOf(session, ['y'], { request: ++request }))
  tokenOf(other)
  assert.equal(world.state.sessions.get(session)?.requests?.size, SESSION_REQUESTS_MAX)
  const refused = world.do(acquireOf(session, ['z'], { request: ++request }))
  refusedBy(refused, 'session_requests', SESSION_REQUESTS_MAX)
  assert.equal(release().ok, true)
})

test('releases beyond SESSION_REQUESTS_MAX are done and not remembered: their repeats are answered by how the grant ended', () => {
  const world = large()
  const session = world.open(1e9)
  const requests = () => world.state.sessions.get(session)?.requests?.size
  const give = (token: number, request: string | null): Command => releaseOf(session, [{ lock: 'x', token }], request)
  for (let count = 0; count < SESSION_REQUESTS_MAX; count++)
    world.do(give(tokenOf(world.do(acquireOf(session, ['x']))), `r${count}`))
  assert.equal(requests(), SESSION_REQUESTS_MAX)
  const token = tokenOf(world.do(acquireOf(session, ['x'])))
  const released = world.do(give(token, 'beyond'))
  assert.deepEqual([released.ok, world.state.locks.get('x'), requests()], [true, undefined, SESSION_REQUESTS_MAX])
  assert.deepEqual(world.do(give(token, 'beyond')), released, 'a repeat')
  const twice = tokenOf(world.do(acquireOf(session, ['x'])))
  tokenOf(world.do(acquireOf(session, ['x'], { isReentrant: true })))
  // Left once it is held on, so that a repeat would leave it again.
  refusedBy(world.do(give(twice, 'once')), 'session_requests', SESSION_REQUESTS_MAX)
  assert.deepEqual([world.do(give(twice, null)).ok, world.do(give(twice, 'last')).ok], [true, true])
  assert.equal(world.state.locks.get('x'), undefined)
})

test('a lock is entered REENTRY_MAX times', () => {
  const world = large()
  const session = world.open()
  const enter = acquireOf(session, ['x'], { isReentrant: true })
  for (let count = 1; count <= REENTRY_MAX; count++) tokenOf(world.do(enter))
  refusedBy(world.do(enter), 'reentry', REENTRY_MAX)
})

test('an instance has FREEZES_MAX freezes, each of which can be changed', () => {
  const world = new World()
  const freeze = (prefix: string, reason = 'test') =>
    world.do({ type: 'freeze', by, prefix, untilAt: Number.MAX_SAFE_INTEGER, reason })
  for (let index = 1; index <= FREEZES_MAX; index++) assert.equal(freeze(`${index}/`).ok, true)
  refusedBy(freeze('one/more/'), 'freezes', FREEZES_MAX)
  assert.equal(freeze('1/', 'another reason').ok, true)
  assert.equal(world.state.freezes.get('1/')?.reason, 'another reason')
})

test('the last ENDED_MAX endings are remembered', () => {
  const endings = new Endings()
  for (let token = 1; token <= ENDED_MAX; token++) endings.add(token, 'forced')
  assert.equal(endings.find(1), 'forced')
  endings.add(ENDED_MAX + 1, 'expired')
  assert.deepEqual([endings.find(1), endings.find(2), endings.find(ENDED_MAX + 1)], [null, 'forced', 'expired'])
  assert.equal(endings.places, ENDED_MAX)
})

test('who ends few grants takes room for few endings', () => {
  const endings = new Endings()
  for (let token = 1; token <= 100; token++) endings.add(token, token % 2 ? 'released' : 'expired')
  assert.equal(endings.places, 128)
  for (let token = 1; token <= 100; token++) assert.equal(endings.find(token), token % 2 ? 'released' : 'expired')
  assert.equal(endings.find(0), null)
})

test('a session remembers SESSION_REQUESTS_MAX requests, of whatever kind; what ends nothing is not remembered', () => {
  const world = large()
  const session = world.open(1e9)
  const { token } = grantsOf(world.do(acquireOf(session, ['x'], { request: 'first' })))[0]!
  const cancel = (cancels: string): Command => ({ type: 'cancel', by, session, cancels, request: null })
  for (let count = 1; count < SESSION_REQUESTS_MAX; count++) world.do(cancel(`c${count}`))
  refusedBy(world.do(cancel('one more')), 'session_requests', SESSION_REQUESTS_MAX)
  const write: Command = { type: 'write_value', by, session, lock: 'x', token, value: 'v', request: 'w' }
  refusedBy(world.do(write), 'session_requests', SESSION_REQUESTS_MAX)
  assert.equal(world.do({ ...write, request: null }).ok, true)
  const enter = acquireOf(session, ['x'], { request: 'r', isReentrant: true })
  refusedBy(world.do(enter), 'session_requests', SESSION_REQUESTS_MAX)
  const release = (request: string): Command => ({
    type: 'release',
    by,
    session,
    grants: [{ lock: 'x', token }],
    request,
  })
  world.do(release('z'))
  const size = world.state.sessions.get(session)?.requests?.size
  world.do(release('z2'))
  assert.equal(world.state.sessions.get(session)?.requests?.size, size)
})

test('one decision ends ENDED_AT_ONCE grants of a lock, or gives NOTICES_AT_ONCE notices; the rest follows', () => {
  const world = large()
  const hold = (lock: string, count: number) => {
    for (let index = 0; index < count; index++)
      tokenOf(world.do(acquireOf(world.open(1e9), [claimOf(lock, { mode: 'shared' })])))
  }
  const moment = () => ({ now: world.now, at: 0 })
  hold('ended', ENDED_AT_ONCE + 1)
  const force: Command = { type: 'force_release', by, lock: 'ended', token: null, reason: 'r', now: true }
  const ended = decide(world.state, force, moment())
  assert.equal(ended.entries.filter(({ type }) => type === 'forced').length, ENDED_AT_ONCE)
  assert.equal(ended.followUps.length, 1)
  // It is said of those alone: the rest is not done yet.
  assert.ok(ended.reply.ok === true && ended.reply.type === 'ended')
  assert.deepEqual([ended.reply.grants.length, ended.reply.left], [ENDED_AT_ONCE, 1])
  for (const follow of ended.followUps) world.do(follow)
  assert.equal(world.state.locks.get('ended'), undefined)
  hold('told', NOTICES_AT_ONCE + 1)
  const preempting = acquireOf(world.open(1e9), ['told'], { waitMs: null, priority: 9, preempt: 'graceful' })
  const noticed = decide(world.state, preempting, moment())
  assert.equal(noticed.entries.filter(({ type }) => type === 'preempting').length, NOTICES_AT_ONCE)
  for (const follow of noticed.followUps) world.do(follow)
  assert.ok(world.state.locks.get('told')?.grants.every(({ notice }) => notice !== null))
  hold('warned', NOTICES_AT_ONCE + 1)
  const operator: Command = { type: 'preempt', by, lock: 'warned', token: null, reason: 'r', graceMs: 1_000 }
  const warned = decide(world.state, operator, moment())
  assert.equal(warned.entries.filter(({ type }) => type === 'preempting').length, NOTICES_AT_ONCE)
  assert.ok(warned.reply.ok === true && warned.reply.type === 'ended')
  assert.deepEqual([warned.reply.grants.length, warned.reply.left], [NOTICES_AT_ONCE, 1])
})

/** Of the entries of one batch: a commit has 1 MiB, its header and its keys included. */
const BATCH_BYTES_MAX = 1024 * 1024 - 8 * 1024

/** What an entry may carry at the most, and what every unit of it takes. */
const heavy = {
  labels: Object.fromEntries(
    Array.from({ length: LABELS_MAX }, (_, index) => [
      `${index}`.padStart(LABEL_KEY_CHARS_MAX, 'k'),
      '\u4e00'.repeat(LABEL_VALUE_CHARS_MAX),
    ]),
  ),
  metadata: { note: 'x'.repeat(METADATA_BYTES_MAX - 20) },
}
const heaviest = { ...heavy, value: String.fromCharCode(1).repeat(VALUE_BYTES_MAX) }

const longReason = '\u4e00'.repeat(REASON_CHARS_MAX)

/** Decides it, and all that is left to later turns; none of these may be more than a batch holds. */
function decideAll(world: World, command: Command): void {
  const commands = [command]
  for (let next = commands.shift(); next; next = commands.shift()) {
    const { entries, followUps } = decide(world.state, next, { now: world.now, at: 0 })
    const bytes = Buffer.byteLength(entries.map(encodeEntry).join())
    assert.ok(bytes < BATCH_BYTES_MAX, `${next.type} writes ${bytes} bytes`)
    for (const entry of entries)
      if (entry.why?.cycle) assert.ok(Buffer.byteLength(encodeEntry(entry)) <= CYCLE_BYTES_MAX)
    commands.push(...followUps)
  }
}

test('one decision fits one batch, whatever those carry to whom it grants', () => {
  for (const carried of [heavy, heaviest]) {
    const world = large()
    const session = world.open(1e9)
    const token = tokenOf(world.do(acquireOf(session, ['x'])))
    for (let count = 0; count < 100; count++)
      assert.equal(world.do(acquireOf(world.open(1e9), [shared], { waitMs: null, ...carried })).ok, 'queued')
    decideAll(world, { type: 'release', by, session, grants: [{ lock: 'x', token }], request: 1 })
    assert.equal(world.state.locks.get('x')?.grants.length, 100)
  }
})

test('nor does the end of a session write more, for all of whose locks others stand in line, each with a value', () => {
  const world = large()
  const session = world.open(1e9)
  const names = Array.from({ length: 30 }, (_, index) => `l${index}`)
  for (const name of names) {
    tokenOf(world.do(acquireOf(session, [name])))
    assert.equal(world.do(acquireOf(world.open(1e9), [name], { waitMs: null, ...heaviest })).ok, 'queued')
  }
  decideAll(world, { type: 'close_session', by, session })
  for (const name of names) assert.equal(world.state.locks.get(name)?.grants.length, 1)
})

const shared = claimOf('x', { mode: 'shared' })
/** What tells holders of `x` that they have to go, by another session. */
const telling: ((session: string) => Command)[] = [
  () => ({ type: 'force_release', by, lock: 'x', token: null, reason: longReason, now: false }),
  () => ({ type: 'preempt', by, lock: 'x', token: null, reason: longReason, graceMs: 1_000 }),
  session => acquireOf(session, ['x'], { waitMs: null, priority: 9, preempt: 'graceful' }),
  session => acquireOf(session, ['x'], { waitMs: null, priority: 9, preempt: 'immediate' }),
]

/** A world in which so many share `x`, and carry as much as anybody may. */
function heldBy(count: number): World {
  const world = large()
  for (let held = 0; held < count; held++) {
    const opened = world.do({ type: 'open_session', by, ttlMs: 1e9, labels: heavy.labels })
    assert(opened.ok === true && opened.type === 'session')
    tokenOf(world.do(acquireOf(opened.session.id, [shared], heavy)))
  }
  return world
}

test('nor do notices and ends of grants by others, whatever their holders carry', () => {
  for (const commandOf of telling) {
    const world = heldBy(100)
    decideAll(world, commandOf(world.open(1e9)))
    const grants = world.state.locks.get('x')?.grants ?? []
    assert.ok(grants.every(({ mode, notice }) => mode === 'exclusive' || notice !== null))
  }
})

test('one of them takes at most TOLD_BYTES_MAX', () => {
  for (const commandOf of telling) {
    const bytes = [1, 2].map(count => {
      const world = heldBy(count)
      const { entries } = decide(world.state, commandOf(world.open(1e9)), { now: world.now, at: 0 })
      return Buffer.byteLength(entries.map(encodeEntry).join())
    })
    const [one = 0, two = 0] = bytes
    assert.ok(two > one && two - one <= TOLD_BYTES_MAX, bytes.join())
  }
})

test('nor does the largest set, granted at once or when its turn has come', () => {
  const wide = (units: number) => '\u4e00'.repeat(units)
  const claims = Array.from({ length: SET_LOCKS_MAX }, (_, index) =>
    claimOf(`${index}-${wide(80)}`, { mode: 'permits', permits: PERMITS_MAX, limit: PERMITS_MAX }),
  )
  const world = large()
  const sessions = [1, 2].map(() => {
    const labels = { ...heavy.labels, holder: wide(HOLDER_CHARS_MAX) }
    const opened = world.do({ type: 'open_session', by, ttlMs: 1e9, labels })
    assert(opened.ok === true && opened.type === 'session')
    return opened.session.id
  })
  const fields = { ...heavy, task: wide(HOLDER_CHARS_MAX), waitMs: null, request: 1 }
  for (const session of sessions) decideAll(world, acquireOf(session, claims, fields))
  const [first = '', second = ''] = sessions
  const held = () => claims.map(({ lock }) => world.state.locks.get(lock)?.grants[0])
  assert.ok(held().every(grant => grant?.session === first))
  const grants = held().map(grant => ({ lock: grant?.lock ?? '', token: grant?.token ?? 0 }))
  decideAll(world, { type: 'release', by, session: first, grants, request: 2 })
  assert.ok(held().every(grant => grant?.session === second))
})

test('nor do the circles that one grant closes, however long the names of all who are in them', () => {
  const wide = (units: number) => '\u4e00'.repeat(units)
  const task = wide(HOLDER_CHARS_MAX)
  const world = large()
  const open = () => {
    const opened = world.do({ type: 'open_session', by, ttlMs: 1e9, labels: { holder: wide(HOLDER_CHARS_MAX) } })
    assert(opened.ok === true && opened.type === 'session')
    return opened.session.id
  }
  const name = (circle: number, step: number) => `${circle}-${step}-${wide(80)}`
  const wait = (session: string, lock: string) =>
    assert.equal(world.do(acquireOf(session, [lock], { waitMs: null, task })).ok, 'queued')
  const [before, hub] = [open(), open()]
  const token = tokenOf(world.do(acquireOf(before, ['x'])))
  wait(hub, 'x')
  for (let circle = 0; circle < 30; circle++) {
    for (let step = 0; step < CYCLE_STEPS_MAX; step++) {
      const session = open()
      tokenOf(world.do(acquireOf(session, [name(circle, step)], { task })))
      if (step === 0) wait(session, 'x')
      else wait(session, name(circle, step - 1))
    }
    wait(hub, name(circle, CYCLE_STEPS_MAX - 1))
  }
  const waiting = world.state.tickets.size
  decideAll(world, { type: 'release', by, session: before, grants: [{ lock: 'x', token }], request: null })
  assert.equal(world.state.locks.get('x')?.grants[0]?.session, hub)
  assert.ok(world.state.tickets.size < waiting - 1, 'some of them are broken')
})

test('nor does an end of what very many ended grants have left behind: said to be known, or waived', () => {
  const [many, name] = [4_000, 'n'.repeat(250)]
  const world = large()
  const session = world.open(1e9)
  const end = (lock: string, now: boolean): Command => ({
    type: 'force_release',
    by,
    lock,
    token: null,
    reason: 'r',
    now,
  })
  for (let count = 0; count < many; count++) {
    tokenOf(world.do(acquireOf(session, [`${name}${count}`])))
    world.do(end(`${name}${count}`, false))
  }
  assert.equal(world.state.sessions.get(session)?.delays.length, many)
  decideAll(world, { type: 'renew', by, session, seenChanges: many })
  assert.equal(world.state.sessions.get(session)?.delays.length, 0)
  for (let count = 0; count < many; count++)
    tokenOf(world.do(acquireOf(world.open(1e9), [claimOf(name, { mode: 'shared' })])))
  decideAll(world, end(name, false))
  assert.equal(world.state.locks.get(name)?.delays.length, many)
  decideAll(world, end(name, true))
  assert.equal(world.state.locks.get(name), undefined)
})
