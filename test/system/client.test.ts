/** The library against the real server, over real sockets. */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ConnectOptions,
  connect,
  DeadlockError,
  FrozenError,
  type Holdfast,
  HoldfastError,
  hasCode,
  LockHeldError,
  LockLostError,
  QueueFullError,
  TimeoutError,
} from '@holdfast/client'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

const folder = temporaryFolder('client')
let server: Server
const open: Holdfast[] = []

before(async () => {
  server = await startServer({ data: folder.path })
})

after(async () => {
  await Promise.all(open.map(holdfast => holdfast.close()))
  await server.stop()
  folder.remove()
})

function client(options: ConnectOptions = {}): Holdfast {
  const holdfast = connect({ url: server.url, apiKey: rootKey, ...options })
  open.push(holdfast)
  return holdfast
}

/** What a promise was rejected with. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'should have been rejected' })
}

test('a lock is held by one, and then by the next in line with a larger token', async () => {
  const [one, other] = [client({ name: 'one', labels: { team: 'a' } }), client()]
  const first = await one.acquire('turns')
  assert.ok(first.validForMs() > 5_000)
  const refused = await failure(other.acquire('turns', { waitMs: 0 }))
  assert.ok(refused instanceof LockHeldError)
  assert.equal(refused.holder, 'one')
  assert.equal(await other.tryAcquire('turns'), null)
  const waiting = other.acquire('turns', { waitMs: 20_000 })
  await queueOf('turns', 1)
  await first.release()
  const second = await waiting
  assert.ok(second.token > first.token)
  await second.release()
})

async function queueOf(name: string, length: number): Promise<void> {
  while ((await client().why(name)).waiters.length !== length) await sleep(10)
}

test('a wait that is over rejects with who holds the lock', async () => {
  const [one, other] = [client({ name: 'holder' }), client()]
  await using lock = await one.acquire('patience')
  assert.ok(lock.isHeld)
  const error = await failure(other.acquire('patience', { waitMs: 60 }))
  assert.ok(error instanceof TimeoutError, String(error))
})

test('await using and using release; using gives the result of its routine', async () => {
  const holdfast = client()
  {
    await using lock = await holdfast.acquire('scoped')
    assert.ok(lock.isHeld)
  }
  assert.equal(await holdfast.using('scoped', { waitMs: 0 }, lock => lock.name), 'scoped')
  const error = new Error('of the routine')
  assert.equal(await failure(holdfast.using('scoped', () => Promise.reject(error))), error)
  assert.equal((await holdfast.tryAcquire('scoped'))?.isHeld, true)
})

test('readers share, a writer waits for them, and later readers wait for the writer', async () => {
  const [one, two, writer] = [client(), client(), client()]
  const readers = [await one.locks.shared('book').acquire(), await two.locks.shared('book').acquire()]
  const writing = writer.acquire('book', { waitMs: 20_000 })
  await queueOf('book', 1)
  assert.equal(await one.locks.shared('book').tryAcquire(), null)
  for (const reader of readers) await reader.release()
  await (await writing).release()
})

test('a semaphore lends its permits with slots and tokens of their own', async () => {
  const pool = client().semaphore('pool', { limit: 3 })
  const two = await pool.acquire({ permits: 2 })
  const one = await pool.acquire()
  assert.deepEqual([...two.slots, ...one.slots].sort(), [0, 1, 2])
  assert.ok(one.token > two.token + 1)
  assert.equal(await client().semaphore('pool', { limit: 3 }).tryAcquire(), null)
  await two.release()
  const third = await client().semaphore('pool', { limit: 3 }).tryAcquire()
  assert.ok(third && two.slots.includes(third.slots[0] ?? -1))
  const wrong = await failure(client().semaphore('pool', { limit: 4 }).acquire())
  assert.ok(hasCode(wrong, 'invalid_request'), String(wrong))
})

test('several locks are taken in one step or not at all, and given up in one', async () => {
  const [one, other] = [client(), client()]
  const held = await other.acquire('set/b')
  assert.ok((await failure(one.acquireAll(['set/a', 'set/b'], { waitMs: 0 }))) instanceof LockHeldError)
  const free = await other.tryAcquire('set/a')
  assert.ok(free, 'nothing of the set is held')
  await free.release()
  const waiting = one.acquireAll(['set/a', 'set/b'], { waitMs: 20_000 })
  await queueOf('set/b', 1)
  await held.release()
  const set = await waiting
  assert.deepEqual(
    [...set].map(lock => lock.name),
    ['set/a', 'set/b'],
  )
  set.assertHeld()
  await set.release()
  assert.ok(await other.tryAcquire('set/a'))
  const sum = await one.using(['set/c', 'set/d'], locks => locks.get('set/c').token + locks.get('set/d').token)
  assert.ok(sum > 0)
})

test('a higher priority goes first', async () => {
  const [holder, low, high] = [client(), client(), client()]
  const lock = await holder.acquire('priority')
  const order: string[] = []
  const asLow = low.using('priority', { priority: 0 }, () => void order.push('low'))
  await queueOf('priority', 1)
  const asHigh = high.using('priority', { priority: 50 }, () => void order.push('high'))
  await queueOf('priority', 2)
  await lock.release()
  await Promise.all([asLow, asHigh])
  assert.deepEqual(order, ['high', 'low'])
})

test('a preempted holder is told who and how long, and the lock passes on when it has let go', async () => {
  const [victim, boss] = [client(), client({ name: 'boss' })]
  const lock = await victim.acquire('machine', { priority: -10 })
  const noticed = Promise.withResolvers<{ graceMs: number }>()
  lock.on('preempting', noticed.resolve)
  const taking = boss.acquire('machine', { preempt: 'graceful', priority: 90 })
  const notice = await noticed.promise
  assert.ok(notice.graceMs > 0)
  assert.ok(lock.isHeld)
  await lock.release()
  assert.ok((await taking).token > lock.token)
})

test('an immediate preemption ends the signal before the next one holds', async () => {
  const [victim, boss] = [client(), client()]
  const lock = await victim.acquire('urgent', { priority: -10 })
  const { signal } = lock
  const next = await boss.acquire('urgent', { preempt: 'immediate', priority: 90 })
  assert.ok(signal.aborted)
  assert.ok(signal.reason instanceof LockLostError)
  assert.equal(signal.reason.reason, 'preempted')
  assert.ok(next.isHeld)
})

test('a forced end reaches the holder, and the next one waits until its routine has stopped', async () => {
  const [holder, other] = [client(), client()]
  let isRunning = false
  const started = Promise.withResolvers<void>()
  const using = holder.using('forced', async lock => {
    isRunning = true
    started.resolve()
    await new Promise(resolve => lock.signal.addEventListener('abort', resolve))
    await sleep(150)
    isRunning = false
    return lock.signal.reason as LockLostError
  })
  await started.promise
  const next = other.acquire('forced').then(lock => ({ lock, wasRunning: isRunning }))
  await queueOf('forced', 1)
  await other.rest.forceRelease('forced', { reason: 'test' })
  assert.equal((await using).reason, 'forced')
  assert.equal((await next).wasRunning, false)
})

test('a longest hold ends a live holder', async () => {
  const lock = await client({ ttlMs: 2_000 }).acquire('hold', { maxHoldMs: 700 })
  const lost = Promise.withResolvers<LockLostError>()
  lock.on('lost', lost.resolve)
  assert.equal((await lost.promise).reason, 'max_hold')
  assert.ok(await client().acquire('hold', { waitMs: 20_000 }))
})

test('entered again by its own session, where asked for', async () => {
  const holdfast = client()
  const outer = await holdfast.acquire('again')
  const inner = await holdfast.acquire('again', { reentrant: true, waitMs: 0 })
  assert.equal(inner.token, outer.token)
  await outer.release()
  assert.ok(inner.isHeld)
  assert.equal(await client().tryAcquire('again'), null)
  await inner.release()
  assert.ok(await client().tryAcquire('again'))
})

test('a deadlock is told to one of its waiters, with the cycle', async () => {
  const [one, other] = [client({ name: 'one' }), client({ name: 'other' })]
  const both = Promise.withResolvers<void>()
  let inside = 0
  const nest = (holdfast: Holdfast, outer: string, inner: string) =>
    holdfast.using(outer, async () => {
      if (++inside === 2) both.resolve()
      await both.promise
      return holdfast.using(inner, { waitMs: 20_000 }, () => 'done')
    })
  const results = await Promise.allSettled([nest(one, 'dead/a', 'dead/b'), nest(other, 'dead/b', 'dead/a')])
  const failed = results.filter(result => result.status === 'rejected')
  assert.equal(failed.length, 1)
  assert.ok(failed[0]?.reason instanceof DeadlockError, String(failed[0]?.reason))
  assert.equal(failed[0].reason.cycle.length, 2)
  assert.equal(results.filter(result => result.status === 'fulfilled').length, 1)
})

test('a cancelled wait leaves nothing behind', async () => {
  const [holder, waiter] = [client(), client()]
  const lock = await holder.acquire('cancel')
  const controller = new AbortController()
  const waiting = failure(waiter.acquire('cancel', { signal: controller.signal }))
  await queueOf('cancel', 1)
  controller.abort(new Error('enough'))
  assert.match(String(await waiting), /enough/)
  await queueOf('cancel', 0)
  await lock.release()
  assert.ok(await holder.tryAcquire('cancel'))
})

test('what an operator froze is refused with who and why', async () => {
  const holdfast = client()
  await holdfast.rest.freeze('frozen/', { until: new Date(Date.now() + 60_000), reason: 'holidays' })
  const error = await failure(holdfast.acquire('frozen/x', { waitMs: 0 }))
  assert.ok(error instanceof FrozenError)
  assert.equal(error.reason, 'holidays')
  assert.equal((await holdfast.rest.freezes()).length, 1)
  await holdfast.rest.thaw('frozen/')
  assert.ok(await holdfast.tryAcquire('frozen/x'))
})

test('a queue has an end', async () => {
  const holdfast = client()
  await holdfast.rest.configure('short', { queueMax: 1 })
  await holdfast.acquire('short')
  const waiting = client().acquire('short')
  await queueOf('short', 1)
  assert.ok((await failure(client().acquire('short'))) instanceof QueueFullError)
  await holdfast.rest.forceRelease('short', { reason: 'end of test' })
  await waiting
})

test('the value of a lock is written by its holder only, and outlives it', async () => {
  const [one, other] = [client(), client()]
  const lock = await one.acquire('config')
  await lock.setValue('{"a_b":1}')
  assert.equal((await other.value('config'))?.value, '{"a_b":1}')
  assert.equal((await lock.value())?.token, lock.token)
  await lock.release()
  const stale = await failure(lock.setValue('late'))
  assert.ok(hasCode(stale, 'stale_token') || hasCode(stale, 'lock_lost'), String(stale))
  assert.equal((await other.rest.value('config'))?.value, '{"a_b":1}')
  assert.equal(await other.value('never written'), null)
})

test('a lock is transferred in one step, with a new token, and adopted by the receiver', async () => {
  const [giver, receiver] = [client(), client()]
  const lock = await giver.acquire('gift')
  const token = await lock.transfer(await receiver.sessionId())
  assert.ok(token > lock.token)
  assert.equal(lock.isHeld, false)
  const adopted = await receiver.adopt('gift')
  assert.equal(adopted?.token, token)
  adopted?.assertHeld()
  await adopted?.validate()
  assert.ok(hasCode(await failure(lock.validate()), 'stale_token'))
  await adopted?.release()
  assert.equal(await receiver.adopt('gift'), null)
})

test('a refused transfer leaves the lock with its holder', async () => {
  const lock = await client().acquire('kept')
  assert.ok((await failure(lock.transfer('s-nobody'))) instanceof HoldfastError)
  lock.assertHeld()
})

test('once: many schedulers, one run for each slot', async () => {
  let runs = 0
  const schedulers = Array.from({ length: 5 }, () => client())
  for (const slot of [1, 2]) {
    const results = await Promise.all(
      schedulers.map(scheduler => scheduler.once('nightly', slot, { waitMs: 20_000 }, () => ++runs)),
    )
    assert.equal(results.filter(result => result.ran).length, 1)
  }
  assert.equal(runs, 2)
  const [first] = schedulers
  assert.deepEqual(await first?.once('nightly', 1, () => ++runs), { ran: false, because: 'finished' })
})

test('a watch gives every event in order', async () => {
  const holdfast = client()
  const types: string[] = []
  await using events = holdfast.watch({ prefix: 'seen/' })
  const reading = (async () => {
    for await (const event of events) {
      types.push(event.type)
      if (event.type === 'value_changed') return
    }
  })()
  // The watch begins when the server has taken it: what is asked after it on the same connection comes later.
  const lock = await holdfast.acquire('seen/a')
  await lock.release()
  const again = await holdfast.acquire('seen/a')
  await again.setValue('x')
  await reading
  assert.deepEqual(types, ['granted', 'released', 'granted', 'value_changed'])
})

test('many cycles at once: every one is granted, each token once', async () => {
  const holdfast = client()
  const tokens = new Set<number>()
  await Promise.all(
    Array.from({ length: 300 }, async (_, index) => {
      for (let round = 0; round < 5; round++) {
        const lock = await holdfast.acquire(`many/${index % 50}`)
        tokens.add(lock.token)
        await lock.release()
      }
    }),
  )
  assert.equal(tokens.size, 1_500)
})

test('a wrong key is said to be so at once', async () => {
  const error = await failure(client({ apiKey: 'hf_wrong_0123456789abcdef0123456789abcdef' }).acquire('x'))
  assert.ok(hasCode(error, 'unauthenticated'), String(error))
})
