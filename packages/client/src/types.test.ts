/** What the compiler must accept and refuse; `tsc --build` is the test, and this file only has to load. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  connect,
  type Holdfast,
  type Leadership,
  type Lock,
  LockHeldError,
  type LockLostError,
  type LockSet,
} from './index.ts'

/** Never called: it is only compiled. */
export async function accepted(holdfast: Holdfast): Promise<void> {
  const maybe: Lock | null = await holdfast.tryAcquire('a')
  const text: string = await holdfast.using('a', { waitMs: 1 }, async lock => lock.name)
  const count: number = await holdfast.using(['a', { name: 'b', mode: 'shared' }], locks => locks.locks.length)
  const set: LockSet = await holdfast.acquireAll(['a'])
  const leader: Leadership = await holdfast.election('e').campaign('v')
  await using lock = await holdfast.semaphore('s', { limit: 3 }).acquire({ permits: 2 })
  lock.on('preempting', ({ by, graceMs }) => console.log(by.length, graceMs.toFixed()))
  lock.on('lost', (error: LockLostError) => error.reason)
  const once = await holdfast.once('job', 1, () => 'result')
  if (once.ran) console.log(once.result.length)
  else console.log(once.because)
  for await (const item of holdfast.watch({ prefix: 'p/' })) {
    if (item.type === 'reset') console.log(item.cursor)
    else console.log(item.lock)
  }
  console.log(maybe, text, count, set, leader)
}

/** Never called either. */
export async function refused(holdfast: Holdfast): Promise<void> {
  const maybe = await holdfast.tryAcquire('a')
  // @ts-expect-error it may be null
  await maybe.release()
  // @ts-expect-error a try does not wait
  await holdfast.tryAcquire('a', { waitMs: 5 })
  // @ts-expect-error units are in the names
  await holdfast.acquire('a', { wait: 5 })
  // @ts-expect-error the routine of one lock gets a lock, not a set
  await holdfast.using('a', locks => locks.locks)
  // @ts-expect-error the token cannot be chosen
  ;(await holdfast.acquire('a')).token = 5
  // @ts-expect-error no such event
  ;(await holdfast.acquire('a')).on('expired', () => {})
  const once = await holdfast.once('job', 1, () => 'result')
  // @ts-expect-error it may not have run
  console.log(once.result)
  // @ts-expect-error a slot is a number or a text
  await holdfast.once('job', new Date(), () => 'result')
}

test('a code narrows with its class', () => {
  const error: unknown = new LockHeldError('a', 'held', { queueLength: 2 })
  if (!(error instanceof LockHeldError)) throw new Error('not narrowed')
  const code: 'lock_held' = error.code
  assert.deepEqual([code, error.queueLength], ['lock_held', 2])
})

test('an address or a TTL that cannot be meant is refused at once', () => {
  assert.throws(() => connect({ url: 'nonsense' }), /http/)
  assert.throws(() => connect({ url: 'http://x', ttlMs: 5 }), /ttlMs/)
  assert.throws(() => connect({ url: 'http://x', ttlMs: Number.NaN }), /ttlMs/)
})
