import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClosedError, LockHeldError, LockLostError, TimeoutError, UnavailableError } from './errors.ts'
import { turn } from './testing/clock.ts'
import { holding, Script, wireGrant } from './testing/scripted.ts'

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

test('a cancelled wait rejects at once; a grant that crosses the cancel is left to it, as it may be of a lock that others here hold', async () => {
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
  await turn()
  assert.throws(() => script.connection.last('release'), /no release/)
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

test('close while the connection is being made anew tells the server, if others could wait for it; but not for long', async () => {
  const { script, lock } = await holding()
  await script.connection.cut()
  const ended = Promise.all([lock.release(), script.holdfast.close()])
  ended.catch(() => {})
  await script.clock.advance(200)
  await script.welcome()
  assert.deepEqual([script.connection.count('release'), script.connection.count('close')], [1, 1])
  await script.connection.say({ type: 'reply', id: script.connection.last('close').id })
  await ended

  const away = await holding()
  await away.script.connection.cut()
  const unheard = assert.rejects(away.lock.release(), UnavailableError)
  const left = away.script.holdfast.close()
  await away.script.clock.advance(2_000)
  await Promise.all([left, unheard])

  const idle = new Script()
  const value = idle.holdfast.acquire('a')
  await idle.welcome()
  await idle.grant(7)
  const released = (await value).release()
  await turn()
  await idle.connection.say({ type: 'reply', id: idle.connection.last('release').id, changes: 0 })
  await released
  await idle.connection.cut()
  // Nobody could wait for anything.
  await idle.holdfast.close()

  const late = await holding()
  await late.script.connection.cut()
  await late.script.clock.advance(15_000)
  assert.equal(late.lock.isHeld, false)
  // The service ends it by itself now.
  await late.script.holdfast.close()
})
