import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connect, HoldfastError, iamTokens } from './index.ts'
import { Script } from './testing/scripted.ts'

/** As JavaScript calls it, where no compiler has looked at the options. */
const untyped = <Options>(options: object | null): Options => options as Options

const refused = (option: string, nearest: string) => (error: unknown) => {
  assert.ok(error instanceof HoldfastError, String(error))
  assert.equal(error.code, 'invalid_request')
  assert.deepEqual(error.details, { option, nearest })
  assert.ok(error.message.includes(`no option \`${option}\`. Did you mean \`${nearest}\`?`), error.message)
  return true
}

test('an option that is not known is refused, with the nearest that is', async () => {
  const { holdfast } = new Script()
  const { rest } = holdfast
  const lock = holdfast.locks.shared('a')
  const calls: [name: string, nearest: string, call: (options: object) => unknown][] = [
    ['apikey', 'apiKey', options => connect(untyped(options))],
    ['wait', 'waitMs', options => holdfast.acquire('a', untyped(options))],
    ['maxHold', 'maxHoldMs', options => holdfast.tryAcquire('a', untyped(options))],
    ['priorty', 'priority', options => holdfast.using('a', untyped(options), () => 1)],
    ['wait', 'waitMs', options => holdfast.using(['a'], untyped(options), () => 1)],
    ['singal', 'signal', options => holdfast.acquireAll(['a'], untyped(options))],
    ['premits', 'permits', options => holdfast.acquireAll([{ name: 'a', ...options }])],
    ['wait', 'waitMs', options => lock.acquire(untyped(options))],
    ['prioriti', 'priority', options => lock.tryAcquire(untyped(options))],
    ['waitms', 'waitMs', options => lock.using(untyped(options), () => 1)],
    ['permit', 'permits', options => holdfast.semaphore('a', { limit: 2 }).acquire(untyped(options))],
    ['max', 'limit', options => holdfast.semaphore('a', untyped(options))],
    ['wait', 'waitMs', options => holdfast.election('a').campaign('v', untyped(options))],
    ['abort', 'signal', options => holdfast.election('a').observe(untyped(options)).next()],
    ['prefx', 'prefix', options => holdfast.watch(untyped(options))],
    ['maxHoldms', 'maxHoldMs', options => holdfast.once('a', 1, untyped(options), () => 1)],
    ['prefx', 'prefix', options => holdfast.navigatorLocks.query(untyped(options))],
    ['start', 'prefix', options => rest.list(untyped(options)).next()],
    ['max', 'limit', options => rest.history('a', untyped(options)).next()],
    ['till', 'until', options => rest.freeze('a', untyped({ until: new Date(0), reason: 'r', ...options }))],
    ['key', 'apiKey', options => iamTokens({ apiKey: 'k', ...options })],
  ]
  for (const [name, nearest, call] of calls)
    await assert.rejects(async () => call({ [name]: 5 }), refused(name, nearest), `${name} of ${call}`)
})

test('a try does not wait, and only a semaphore has permits', async () => {
  const { holdfast } = new Script()
  await assert.rejects(async () => holdfast.tryAcquire('a', untyped({ waitMs: 5 })), { code: 'invalid_request' })
  await assert.rejects(async () => holdfast.locks.shared('a').tryAcquire(untyped({ waitMs: 5 })), /no option `waitMs`/)
  await assert.rejects(async () => holdfast.locks.shared('a').acquire({ permits: 2 }), /no option `permits`/)
})

test('a set is not entered once more, and says what to do instead', async () => {
  const { holdfast } = new Script()
  const wrong = { code: 'invalid_request', message: /ask for each lock that you may hold already/ }
  await assert.rejects(holdfast.acquireAll(['a', 'b'], { reentrant: true }), wrong)
  await assert.rejects(
    holdfast.using(['a', 'b'], { reentrant: true }, () => 1),
    wrong,
  )
})

test('what is no object of options is refused in words', async () => {
  const { holdfast } = new Script()
  const wrong = { code: 'invalid_request', message: /acquire\(\) takes its options as an object, with waitMs/ }
  await assert.rejects(async () => holdfast.acquire('a', untyped(null)), wrong)
  await assert.rejects(async () => holdfast.acquire('a', 5_000 as unknown as object), wrong)
})

test('options of the browser’s own interface that are not known are ignored, as its standard says', async () => {
  const script = new Script()
  const asked = script.holdfast.navigatorLocks.request('a', untyped({ later: true }), () => 'done')
  await script.welcome()
  await script.grant(7)
  await script.connection.say({ type: 'reply', id: script.connection.last('release').id })
  assert.equal(await asked, 'done')
})

test('options behind the routine, which nobody would hear of, and routines that are none are refused', async () => {
  const { holdfast } = new Script()
  // As JavaScript calls it.
  const loose = <Call>(call: Call) => call as (...given: unknown[]) => Promise<unknown>
  const behind = { code: 'invalid_request', message: /takes its options before the routine/ }
  const routine = () => 1
  await assert.rejects(loose(holdfast.using).call(holdfast, 'a', routine, { waitMs: 5 }), behind)
  await assert.rejects(loose(holdfast.using).call(holdfast, ['a'], routine, { waitMs: 5 }), behind)
  await assert.rejects(loose(holdfast.once).call(holdfast, 'a', 1, routine, { waitMs: 5 }), behind)
  const lock = holdfast.locks.shared('a')
  await assert.rejects(loose(lock.using).call(lock, routine, { waitMs: 5 }), behind)
  const none = { code: 'invalid_request', message: /needs a routine to run/ }
  for (const given of [[], [{}], [{}, 'x'], [5]]) await assert.rejects(loose(lock.using).call(lock, ...given), none)
  await assert.rejects(loose(holdfast.acquireAll).call(holdfast, 'abc'), { code: 'invalid_request', message: /a list/ })
})

test('a lock that no URL can name is refused in words, not taken for another', async () => {
  const { rest } = new Script().holdfast
  const unnameable = { code: 'invalid_request', message: /No URL can name/ }
  for (const name of ['.', '..']) {
    await assert.rejects(rest.show(name), unnameable)
    await assert.rejects(rest.queue(name), unnameable)
    await assert.rejects(rest.value(name), unnameable)
    await assert.rejects(rest.history(name).next(), unnameable)
  }
})
