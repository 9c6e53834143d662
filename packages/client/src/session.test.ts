import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ClosedError,
  HeldTooShortlyError,
  LockHeldError,
  LockLostError,
  TimeoutError,
  UnavailableError,
} from './errors.ts'
import { turn } from './testing/clock.ts'
import { Script, wireGrant } from './testing/scripted.ts'

async function holding(token = 7, options = {}) {
  const script = new Script(options)
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(token)
  return { script, lock: await acquiring }
}

test('the first request connects, greets with the key, and is sent after the welcome', async () => {
  const script = new Script({ name: 'billing', labels: { zone: 'x' } })
  const acquiring = script.holdfast.acquire('a', { waitMs: 500 })
  await script.welcome()
  const hello = script.connection.last('hello')
  assert.deepEqual(hello, {
    type: 'hello',
    authorization: 'Bearer key',
    ttl_ms: 15_000,
    labels: { zone: 'x', holder: 'billing' },
  })
  const asked = script.connection.last('acquire')
  assert.equal(asked.wait_ms, 500)
  await script.grant(7)
  assert.equal((await acquiring).token, 7)
})

test('requests of one turn leave as few frames, with growing ids', async () => {
  const { script } = await holding()
  const before = script.connection.frames
  for (let round = 0; round < 100; round++) script.holdfast.acquire(`b${round}`).catch(() => {})
  await turn()
  // As many as two frames hold.
  assert.equal(script.connection.frames, before + 2)
  const ids = script.connection.received.flatMap(message => (message.type === 'acquire' ? [message.id] : []))
  assert.deepEqual(
    ids,
    [...ids].sort((one, other) => one - other),
  )
  assert.equal(new Set(ids).size, ids.length)
})

test('settled is the oldest unanswered id', async () => {
  const { script } = await holding()
  const first = script.holdfast.tryAcquire('b')
  const second = script.holdfast.tryAcquire('c')
  await turn()
  const [oldest, newest] = script.connection.received.flatMap(message =>
    message.type === 'acquire' && message.name !== 'a' ? [message.id] : [],
  )
  await script.connection.say({ type: 'reply', id: newest!, error: { code: 'lock_held', message: 'held' } })
  assert.equal(await second, null)
  script.holdfast.tryAcquire('d').catch(() => {})
  await turn()
  assert.equal(script.connection.last('acquire').settled ?? oldest, oldest)
  await script.connection.say({ type: 'reply', id: oldest!, error: { code: 'lock_held', message: 'held' } })
  assert.equal(await first, null)
  script.holdfast.tryAcquire('e').catch(() => {})
  await turn()
  assert.ok(script.connection.last('acquire').settled! > newest!)
})

test('a wait of hours does not hold settled back for ever', async () => {
  const { script } = await holding()
  script.holdfast.acquire('long').catch(() => {})
  await turn()
  const waiting = script.connection.last('acquire').id
  await script.connection.say({ type: 'queued', id: waiting, position: 3 })
  for (let round = 0; round < 3_000; round++) {
    const trying = script.holdfast.tryAcquire('b')
    if (round % 500 > 0) {
      trying.catch(() => {})
      continue
    }
    await turn()
    const unanswered = script.connection.received.flatMap(message =>
      message.type === 'acquire' && message.id > waiting ? [message.id] : [],
    )
    await script.connection.say(
      ...unanswered.map(id => ({ type: 'reply' as const, id, error: { code: 'lock_held' as const, message: 'held' } })),
    )
  }
  await turn()
  const settled = script.connection.received.flatMap(message =>
    'settled' in message && message.settled ? [message.settled] : [],
  )
  assert.ok(settled.at(-1)! > waiting, `${settled.at(-1)} should be past ${waiting}`)
  // A lost connection asks again for the wait all the same.
  await script.connection.cut()
  await script.clock.advance(100)
  await script.welcome()
  assert.ok(script.connection.received.some(message => message.type === 'acquire' && message.id === waiting))
})

test('belief counts from the sending and ends by itself, with the signal, before the TTL', async () => {
  const { script, lock } = await holding()
  const { signal } = lock
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  await script.connection.cut()
  await script.clock.advance(12_000)
  assert.ok(lock.isHeld)
  await script.clock.advance(40)
  assert.ok(signal.aborted)
  assert.ok(signal.reason instanceof LockLostError)
  assert.equal(signal.reason.reason, 'connection')
  assert.throws(() => lock.assertHeld(), LockLostError)
})

test('time on the way to the server is not believed in', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  script.clock.stall(4_000)
  await script.grant(7)
  const lock = await acquiring
  assert.equal(Math.floor(lock.validForMs()), 8_022)
})

test('a wait that the owner measured counts', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  script.clock.stall(11_000)
  await script.grant(7, { waited_ms: 11_000 })
  assert.equal(Math.floor((await acquiring).validForMs()), 12_022 + 9_000 - 11_000)
})

test('a suspended machine has lost its locks when it wakes up', async () => {
  const { script, lock } = await holding()
  script.clock.suspend(20_000)
  assert.throws(() => lock.assertHeld(), { name: 'LockLostError', reason: 'expired' })
  assert.ok(lock.signal.aborted)
})

test('assertHeld sees a stall of the event loop before any timer has run', async () => {
  const { script, lock } = await holding()
  const { signal } = lock
  script.clock.stall(13_000)
  assert.equal(signal.aborted, false)
  assert.throws(() => lock.assertHeld(), LockLostError)
  assert.ok(signal.aborted)
})

test('assertHeld wants as much time as the effect takes', async () => {
  const { lock } = await holding()
  lock.assertHeld(12_000)
  assert.throws(() => lock.assertHeld(12_500), HeldTooShortlyError)
  assert.ok(lock.isHeld)
})

test('after a stall a frame in the socket hands nothing out that may have ended', async () => {
  const { script, lock } = await holding()
  const acquiring = script.holdfast.acquire('b')
  await turn()
  const asked = script.connection.last('acquire')
  script.clock.stall(13_000)
  await script.connection.say(script.granted({ id: asked.id, name: 'b', token: 8 }))
  assert.ok(lock.signal.aborted)
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [7, 8],
  )
  // The line is joined again.
  const again = script.connection.last('acquire')
  assert.notEqual(again.id, asked.id)
  await script.grant(9)
  assert.equal((await acquiring).token, 9)
})

test('a heartbeat goes out at a third of the TTL, and only when nothing else conferred time', async () => {
  const { script } = await holding()
  await script.clock.advance(4_000)
  const trying = script.holdfast.acquire('b')
  await turn()
  await script.grant(8)
  await trying
  await script.clock.advance(4_000)
  assert.equal(script.connection.count('renew'), 0)
  await script.clock.advance(1_100)
  assert.equal(script.connection.count('renew'), 1)
})

test('renewals extend belief; a silent connection is given up and the lock is at risk, then lost', async () => {
  const { script, lock } = await holding()
  const heard: string[] = []
  lock.on('atRisk', () => heard.push('atRisk'))
  lock.on('lost', error => heard.push(error.reason))
  await script.clock.advance(5_000)
  await script.renewed()
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  await script.clock.advance(5_000)
  await script.clock.advance(5_000)
  assert.ok(script.connections.length > 1, 'connects again when nothing is heard')
  assert.deepEqual(heard, ['atRisk'])
  await script.clock.advance(3_000)
  assert.deepEqual(heard, ['atRisk', 'connection'])
})

test('on a new connection the session is resumed and what is unanswered is sent again under its id', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b')
  await turn()
  const asked = script.connection.last('acquire')
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  assert.equal(script.connection.last('hello').session, 's-1.secret')
  assert.equal(script.connection.last('acquire').id, asked.id)
  assert.ok(lock.isHeld)
  await script.grant(8)
  assert.equal((await waiting).token, 8)
})

test('on resume, a grant that nobody here knows is given back, one that is asked for or transferred is not', async () => {
  const { script } = await holding()
  script.holdfast.acquire('b').catch(() => {})
  await turn()
  const { id } = script.connection.last('acquire')
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({
    grants: [wireGrant('a', 7, 1), wireGrant('b', 8, id), wireGrant('ghost', 9, 1), wireGrant('gift', 10)],
  })
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [9],
  )
})

test('a transferred grant that was given up, and that a restored store lists again, is given back on resume', async () => {
  const { script } = await holding()
  const adopting = script.holdfast.adopt('gift')
  await turn()
  await script.renewed({ epoch: 1, grants: [wireGrant('a', 7, 1), wireGrant('gift', 10)] })
  const gift = await adopting
  assert.ok(gift?.isHeld)
  const releasing = gift.release()
  await turn()
  await script.connection.say({ type: 'reply', id: script.connection.last('release').id, changes: 0 })
  await releasing
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ grants: [wireGrant('a', 7, 1), wireGrant('gift', 10)] })
  assert.deepEqual(
    script.connection.received.filter(message => message.type === 'release').map(message => message.token),
    [10],
  )
})

test('on resume, a lock that the server does not list is lost', async () => {
  const { script, lock } = await holding()
  await script.connection.cut()
  await script.clock.advance(200)
  await script.welcome({ changes: 1, grants: [] })
  assert.equal(lock.signal.reason?.reason, 'forced')
})

test('a session that is gone takes its locks with it, and waits begin again in a new one', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b', { waitMs: 60_000 })
  await turn()
  await script.clock.advance(2_000)
  await script.connection.cut()
  await script.clock.advance(200)
  script.connection.open()
  await script.connection.say({
    type: 'reply',
    id: 0,
    error: { code: 'not_found', message: 'There is no such session.' },
  })
  assert.equal(lock.signal.reason?.reason, 'expired')
  await script.clock.advance(200)
  await script.welcome({ session: 's-2' })
  assert.equal(script.connection.last('hello').session, undefined)
  const asked = script.connection.last('acquire')
  assert.ok(asked.wait_ms! < 60_000 && asked.wait_ms! > 55_000)
  await script.grant(9)
  assert.equal((await waiting).token, 9)
})

test('a reply with unknown changes extends nothing until the list of grants has been taken over and acknowledged', async () => {
  const { script, lock } = await holding()
  await script.clock.advance(5_000)
  await script.renewed({ changes: 2 })
  assert.equal(Math.floor(lock.validForMs()), 7_022)
  const asked = script.connection.last('renew')
  assert.equal(asked.wants_grants, true)
  await script.renewed({ changes: 2, grants: [wireGrant('a', 7, 1)] })
  assert.equal(Math.floor(lock.validForMs()), 12_022)
  assert.equal(script.connection.last('renew').seen_changes, 2)
})

test('what the list lacks is lost; but not what arrived after it was asked for, which is asked for again', async () => {
  const { script, lock } = await holding()
  const acquiring = script.holdfast.acquire('b')
  await turn()
  await script.clock.advance(5_000)
  await script.renewed({ changes: 1 })
  const asked = script.connection.last('renew').id
  await script.grant(8, { changes: 1 })
  const late = await acquiring
  await script.connection.say({ type: 'reply', id: asked, ttl_ms: 15_000, changes: 1, grants: [] })
  assert.ok(lock.signal.aborted)
  assert.equal(late.signal.aborted, false)
  assert.equal(script.connection.last('renew').wants_grants, true)
  await script.renewed({ changes: 1, grants: [] })
  assert.ok(late.signal.aborted)
})

test('a notice reaches the holder once, and limits its belief to the grace', async () => {
  const { script, lock } = await holding()
  const notices: unknown[] = []
  lock.on('preempting', notice => notices.push(notice))
  await script.connection.say({
    type: 'preempting',
    name: 'a',
    token: 7,
    by: 'ops',
    reason: 'stop',
    grace_ms: 5_500,
    changes: 1,
  })
  assert.deepEqual(notices, [{ by: 'ops', reason: 'stop', graceMs: 5_500 }])
  const notice = { ...wireGrant('a', 7, 1), ends_in_ms: 5_500, notice: { by: 'ops', reason: 'stop' } }
  await script.renewed({ changes: 1, grants: [notice] })
  assert.equal(Math.round(lock.validForMs()), 4_250)
  assert.equal(notices.length, 1)
  assert.equal(script.connection.last('renew').seen_changes, 1)
  await script.clock.advance(4_300)
  assert.equal(lock.signal.reason?.reason, 'preempted')
})

test('a lost push ends belief at once and is acknowledged at once', async () => {
  const { script, lock } = await holding()
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'forced', changes: 1 })
  assert.equal(lock.signal.reason?.reason, 'forced')
  assert.equal(script.connection.last('renew').seen_changes, 1)
})

test('the loss is acknowledged only when the routine under the lock has stopped', async () => {
  const script = new Script()
  const routine = Promise.withResolvers<void>()
  const using = script.holdfast.using('a', () => routine.promise)
  await script.welcome()
  await script.grant(7)
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'forced', changes: 1 })
  await script.clock.advance(5_100)
  assert.equal(script.connection.last('renew').seen_changes, 0)
  await script.renewed({ changes: 1, grants: [] })
  routine.resolve()
  await using
  await turn()
  assert.equal(script.connection.last('renew').seen_changes, 1)
})

test('a longest hold ends belief although the session is renewed', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a', { maxHoldMs: 5_500 })
  await script.welcome()
  await script.grant(7, { ends_in_ms: 5_500 })
  const lock = await acquiring
  assert.equal(Math.round(lock.validForMs()), 4_250)
  await script.clock.advance(4_300)
  assert.equal(lock.signal.reason?.reason, 'max_hold')
})

test('release stops belief before it is sent, is sent once, and never twice', async () => {
  const { script, lock } = await holding()
  const releasing = lock.release()
  assert.equal(lock.validForMs(), 0)
  assert.throws(() => lock.assertHeld(), { reason: 'released' })
  await lock.release()
  await turn()
  assert.equal(script.connection.count('release'), 1)
  await script.connection.say({
    type: 'reply',
    id: script.connection.last('release').id,
    released: true,
    count: 0,
    ttl_ms: 15_000,
    changes: 0,
  })
  await releasing
  assert.equal(lock.signal.aborted, false)
})

test('a release that is not answered in time is told so, and asked until it is answered: else the lock would stay held', async () => {
  const { script, lock } = await holding()
  const releasing = lock.release()
  releasing.catch(() => {})
  await turn()
  const { id } = script.connection.last('release')
  for (let elapsedMs = 0; elapsedMs < 10_500; elapsedMs += 500) {
    await script.clock.advance(500)
    // The server is there, and its store is not.
    await script.connection.say({ type: 'queued', id: 0, position: 0 })
  }
  await assert.rejects(releasing, UnavailableError)
  await script.connection.say({ type: 'reply', id, error: { code: 'unavailable', message: 'unknown' } })
  await script.clock.advance(600)
  assert.equal(script.connection.count('release'), 2)
  await script.connection.cut()
  await script.clock.advance(100)
  await script.welcome({ grants: [wireGrant('a', 7, 1)] })
  assert.equal(script.connection.last('release').id, id, 'on the next connection too')
})

test('using returns the result of the routine, releases after it has settled, and not at all when the lock is lost', async () => {
  const script = new Script()
  const routine = Promise.withResolvers<string>()
  const using = script.holdfast.using('a', async lock => {
    assert.equal(lock.token, 7)
    return routine.promise
  })
  await script.welcome()
  await script.grant(7)
  assert.equal(script.connection.count('release'), 0)
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'forced', changes: 1 })
  routine.resolve('done')
  assert.equal(await using, 'done')
  assert.equal(script.connection.count('release'), 0)
})

test('the error of a routine is not hidden by a release that fails', async () => {
  const script = new Script()
  const using = script.holdfast.using('a', () => {
    throw new Error('of the routine')
  })
  using.catch(() => {})
  await script.welcome()
  await script.grant(7)
  await script.connection.say({
    type: 'reply',
    id: script.connection.last('release').id,
    error: { code: 'internal', message: 'oops' },
  })
  await assert.rejects(using, /of the routine/)
})

test('a cancelled wait rejects at once; a grant that crosses the cancel is given back', async () => {
  const script = new Script()
  const controller = new AbortController()
  const acquiring = script.holdfast.acquire('a', { signal: controller.signal })
  await script.welcome()
  const { id } = script.connection.last('acquire')
  controller.abort(new Error('enough'))
  await assert.rejects(acquiring, /enough/)
  await turn()
  assert.equal(script.connection.last('cancel').request_id, id)
  await script.connection.say(script.granted({ id, name: 'a', token: 7 }))
  assert.equal(script.connection.last('release').token, 7)
})

test('errors are typed and carry what the server knows', async () => {
  const script = new Script()
  const first = script.holdfast.acquire('a', { waitMs: 0 })
  first.catch(() => {})
  await script.welcome()
  const error = {
    code: 'lock_held' as const,
    message: 'held',
    holder: 'x',
    since: 's',
    labels: { a_b: 'c' },
    queue_length: 4,
    reason: 'held',
  }
  await script.connection.say({ type: 'reply', id: script.connection.last('acquire').id, error })
  await assert.rejects(first, (thrown: unknown) => {
    assert.ok(thrown instanceof LockHeldError && !(thrown instanceof TimeoutError))
    assert.deepEqual([thrown.holder, thrown.queueLength, thrown.labels], ['x', 4, { a_b: 'c' }])
    return true
  })
})

test('an unknown outcome is asked for again under the same id', async () => {
  const script = new Script()
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  const { id } = script.connection.last('acquire')
  await script.connection.say({ type: 'reply', id, error: { code: 'unavailable', message: 'unknown' } })
  await script.clock.advance(300)
  assert.equal(script.connection.count('acquire'), 2)
  assert.equal(script.connection.last('acquire').id, id)
  await script.grant(7)
  await acquiring
})

test('a service that cannot be reached is said to be so, and how to start it', async () => {
  const script = new Script({ connectTimeoutMs: 3_000 })
  const acquiring = script.holdfast.acquire('a')
  acquiring.catch(() => {})
  for (let round = 0; round < 8; round++) {
    await script.connection.cut()
    await script.clock.advance(500)
  }
  await assert.rejects(
    acquiring,
    (error: unknown) => error instanceof UnavailableError && /holdfast serve/.test(error.message),
  )
})

test('close stops belief first, ends waits, and says so to the server', async () => {
  const { script, lock } = await holding()
  const waiting = script.holdfast.acquire('b')
  waiting.catch(() => {})
  await turn()
  const closing = script.holdfast.close()
  assert.equal(lock.signal.reason?.reason, 'session_closed')
  await turn()
  await script.connection.say({ type: 'reply', id: script.connection.last('close').id })
  await closing
  await script.clock.advance(10_000)
  assert.equal(script.connections.length, 1, 'stays closed')
  await assert.rejects(waiting, ClosedError)
  await assert.rejects(script.holdfast.acquire('c'), ClosedError)
})

test('a lock entered twice is held until it has been released twice', async () => {
  const { script, lock } = await holding()
  const entering = script.holdfast.acquire('a', { reentrant: true })
  await turn()
  await script.grant(7)
  const again = await entering
  lock.release().catch(() => {})
  assert.equal(lock.isHeld, false)
  assert.ok(again.isHeld)
  again.release().catch(() => {})
  assert.equal(again.isHeld, false)
})

test('deadlocks are counted by task: each acquire its own, but within a routine its own task goes on', async () => {
  const script = new Script()
  const inner = Promise.withResolvers<void>()
  script.holdfast
    .using('a', async () => {
      await inner.promise
      await script.holdfast.acquire('b')
    })
    .catch(() => {})
  script.holdfast.acquire('c').catch(() => {})
  await script.welcome()
  const [first, other] = script.connection.received.flatMap(message => (message.type === 'acquire' ? [message] : []))
  assert.notEqual(first!.task, other!.task)
  await script.connection.say(script.granted({ id: first!.id, name: 'a', token: 7 }))
  inner.resolve()
  await turn()
  assert.equal(script.connection.last('acquire').name, 'b')
  assert.equal(script.connection.last('acquire').task, first!.task)
})

test('a watch that is permitted no more ends with the reason, and one that has to be resumed goes on after its last event', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  const first = script.connection.last('watch')
  await script.connection.say({ type: 'reply', id: first.id, cursor: 'c0' })
  await script.connection.say({ type: 'ended', watch: first.id, error: { code: 'unavailable', message: 'Behind.' } })
  const second = script.connection.last('watch')
  assert.deepEqual([second.prefix, second.after], ['p/', 'c0'])
  await script.connection.say({ type: 'reply', id: second.id, cursor: 'c0' })
  const next = assert.rejects(events.next(), { code: 'forbidden' })
  await script.connection.say({ type: 'ended', watch: second.id, error: { code: 'forbidden', message: 'No more.' } })
  await next
  assert.equal((await events.next()).done, true)
  assert.equal(script.connection.count('unwatch'), 0)
})

test('who is let in no more hears it on open watches too, not only when asking', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  await script.connection.say({ type: 'reply', id: script.connection.last('watch').id, cursor: 'c0' })
  const next = assert.rejects(events.next(), { code: 'unauthenticated' })
  const error = { code: 'unauthenticated', message: 'Revoked.' } as const
  // The first hello is for the session, the second for a new one.
  for (let hello = 0; hello < 2; hello++) {
    await script.connection.cut()
    await script.clock.advance(1_000)
    script.connection.open()
    await script.connection.say({ type: 'reply', id: 0, error })
  }
  await next
  assert.equal((await events.next()).done, true)
})

test('a watch goes on after the last event when the connection was lost, and says when events are missing', async () => {
  const script = new Script()
  const events = script.holdfast.watch({ prefix: 'p/' })
  await script.welcome()
  const first = script.connection.last('watch')
  assert.deepEqual([first.prefix, first.after], ['p/', undefined])
  await script.connection.say({ type: 'reply', id: first.id, cursor: 'c0' })
  const event = { id: 'c1', at: 'now', type: 'granted' as const, lock: 'p/a', queue_length: 2 }
  await script.connection.say({ type: 'event', watch: first.id, event })
  assert.deepEqual((await events.next()).value, { id: 'c1', at: 'now', type: 'granted', lock: 'p/a', queueLength: 2 })
  await script.connection.cut()
  await script.clock.advance(300)
  await script.welcome()
  const second = script.connection.last('watch')
  assert.equal(second.after, 'c1')
  assert.notEqual(second.id, first.id)
  await script.connection.say(
    { type: 'reply', id: second.id, cursor: 'c1' },
    { type: 'reset', watch: second.id, cursor: 'c9' },
  )
  assert.deepEqual((await events.next()).value, { type: 'reset', cursor: 'c9' })
  await events.return?.()
  await turn()
  assert.equal(script.connection.last('unwatch').watch, second.id)
})

test('what a listener of events throws is nobody else’s concern', async () => {
  const script = new Script({
    onEvent() {
      throw new Error('of the listener')
    },
  })
  const acquiring = script.holdfast.acquire('a')
  await script.welcome()
  await script.grant(7)
  assert.equal((await acquiring).token, 7)
})

test('a lock whose credential is taken no more is lost for that reason, not for a stall', async () => {
  const { script, lock } = await holding()
  await script.connection.cut()
  await script.clock.advance(1_000)
  script.connection.open()
  await script.connection.say({ type: 'reply', id: 0, error: { code: 'unauthenticated', message: 'Revoked.' } })
  assert.equal(lock.signal.reason?.reason, 'unauthenticated')
  assert.match(lock.signal.reason?.message, /no longer takes the credential/)
})

test('a value is not written by whoever has lost the lock, and the error is that of the loss', async () => {
  const { script, lock } = await holding()
  const lost = (error: unknown) => error instanceof LockLostError && error.reason === 'forced'
  const writing = assert.rejects(lock.setValue('too late'), lost)
  await turn()
  const { id } = script.connection.last('write_value')
  await script.connection.say({ type: 'lost', name: 'a', token: 7, reason: 'forced', changes: 1 })
  await script.connection.say({ type: 'reply', id, error: { code: 'stale_token', message: 'Stale.' } })
  await writing
  await assert.rejects(lock.setValue('again'), lost)
  assert.equal(script.connection.count('write_value'), 1)
})
