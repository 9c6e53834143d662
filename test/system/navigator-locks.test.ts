/** The browser's interface, ours beside the one that Node has of its own: what is asked of both is answered by both in the same way. */
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { connect, type Holdfast } from '@holdfast/client'
import { temporaryFolder } from '../harness/process.ts'
import { rootKey, type Server, startServer } from '../harness/server.ts'

/** As JavaScript calls it. */
type Locks = {
  request(...given: unknown[]): Promise<unknown>
  query(): Promise<{ held: { name: string; mode: string }[]; pending: { name: string; mode: string }[] }>
}
type Seen = { name: string; mode: string } | null

const folder = temporaryFolder('navigator-locks')
let server: Server
let holdfast: Holdfast

before(async () => {
  server = await startServer({ data: folder.path })
  holdfast = connect({ url: server.url, apiKey: rootKey })
})

after(async () => {
  await holdfast.close()
  await server.stop()
  folder.remove()
})

const native = (navigator as unknown as { locks: Locks }).locks
const ours = () => holdfast.navigatorLocks as unknown as Locks

const seen = (lock: Seen) => lock && [lock.name, lock.mode]
const patient = () => new AbortController().signal

const requests: Record<string, (locks: Locks, a: string) => Promise<unknown>> = {
  'no options': (locks, a) => locks.request(a, seen),
  'options left out in their place': (locks, a) => locks.request(a, undefined, seen),
  'options that are null': (locks, a) => locks.request(a, null, seen),
  'a mode': (locks, a) => locks.request(a, { mode: 'shared' }, seen),
  'options with what nobody knows': (locks, a) => locks.request(a, { later: true }, seen),
  'options that inherit': (locks, a) => locks.request(a, Object.create({ mode: 'shared' }), seen),
  'all options left out by name': (locks, a) =>
    locks.request(a, { mode: undefined, ifAvailable: undefined, steal: undefined, signal: undefined }, seen),
  'what counts as true': (locks, a) => locks.request(a, { ifAvailable: 1 }, seen),
  'a signal': (locks, a) => locks.request(a, { signal: patient() }, seen),
  'a name that is a number': locks => locks.request(5, seen),
  'a promise that the callback gives': (locks, a) => locks.request(a, async () => 'later'),
  'a callback that throws': (locks, a) => locks.request(a, () => assert.fail('of the callback')),
  'a callback that rejects': (locks, a) => locks.request(a, () => Promise.reject(new RangeError('of the callback'))),
  'no callback': (locks, a) => locks.request(a),
  'options and no callback': (locks, a) => locks.request(a, {}),
  'a callback that is none': (locks, a) => locks.request(a, {}, 5),
  'nothing at all': locks => locks.request(),
  'options that are a word': (locks, a) => locks.request(a, 'shared', seen),
  'options that are a number': (locks, a) => locks.request(a, 5_000, seen),
  'a name that is a symbol': locks => locks.request(Symbol('a'), seen),
  'a mode that there is not': (locks, a) => locks.request(a, { mode: 'both' }, seen),
  'a mode that is null': (locks, a) => locks.request(a, { mode: null }, seen),
  'a signal that is none': (locks, a) => locks.request(a, { signal: {} }, seen),
  'a signal that is null': (locks, a) => locks.request(a, { signal: null }, seen),
  'a name of the browser’s own': locks => locks.request('-a', seen),
  'steal and ifAvailable': (locks, a) => locks.request(a, { steal: true, ifAvailable: true }, seen),
  'steal and shared': (locks, a) => locks.request(a, { steal: true, mode: 'shared' }, seen),
  'a signal and ifAvailable': (locks, a) => locks.request(a, { signal: patient(), ifAvailable: true }, seen),
  'a signal and steal': (locks, a) => locks.request(a, { signal: patient(), steal: true }, seen),
  'a signal that has been given': (locks, a) => locks.request(a, { signal: AbortSignal.abort('why') }, seen),
  'a signal that has been given, and a name that is none': locks =>
    locks.request('-a', { signal: AbortSignal.abort('why') }, seen),
}

/** Other words are ours, other kinds of outcome are not. */
async function outcomeOf(asked: Promise<unknown>): Promise<unknown[]> {
  try {
    return ['fulfilled', await asked]
  } catch (error) {
    return ['rejected', error instanceof Error ? error.name : error]
  }
}

test('what `request` is given is understood, or refused, as Node’s own does it', async () => {
  // Each its own lock: Node 24 keeps one for ever whose callback throws before it has given a promise.
  for (const [what, ask] of Object.entries(requests))
    assert.deepEqual(await outcomeOf(ask(ours(), what)), await outcomeOf(ask(native, what)), what)
})

/** What is seen in turn where several ask for the same lock. */
async function story(locks: Locks): Promise<unknown[]> {
  const told: unknown[] = []
  const [held, end] = [Promise.withResolvers<void>(), Promise.withResolvers<string>()]
  const first = locks.request('told', (lock: Seen) => {
    told.push(['first', seen(lock)])
    held.resolve()
    return end.promise
  })
  await held.promise
  told.push(await locks.request('told', { ifAvailable: true }, (lock: Seen) => lock))
  const givesUp = new AbortController()
  const gone = outcomeOf(locks.request('told', { signal: givesUp.signal }, seen))
  const readers = ['one', 'two'].map(name =>
    locks.request('told', { mode: 'shared' }, (lock: Seen) => told.push([name, seen(lock)])),
  )
  // Whom nobody has taken down does not stand in the line.
  while ((await namesOf(locks)).pending.length < 3);
  told.push(await namesOf(locks))
  givesUp.abort('too long')
  told.push(await gone)
  end.resolve('the end')
  // Whether who gave it up or who gets it hears first is nobody's promise.
  await Promise.all(readers)
  told.push(await first)
  // A theft.
  const [stolen, never] = [Promise.withResolvers<void>(), Promise.withResolvers<never>()]
  const robbed = outcomeOf(
    locks.request('told', () => {
      stolen.resolve()
      return never.promise
    }),
  )
  await stolen.promise
  told.push(await locks.request('told', { steal: true }, seen), await robbed)
  return told
}

async function namesOf(locks: Locks) {
  const { held, pending } = await locks.query()
  const ofStory = (all: { name: string; mode: string }[]) =>
    all.flatMap(({ name, mode }) => (name === 'told' ? [mode] : []))
  return { held: ofStory(held), pending: ofStory(pending) }
}

test('who holds, waits, gives up and steals is told the same story by both', async () => {
  assert.deepEqual(await story(ours()), await story(native))
})

test('what only ours can say: the token, and a signal when the lock is lost', async () => {
  const other = connect({ url: server.url, apiKey: rootKey })
  const [held, lost] = [Promise.withResolvers<number>(), Promise.withResolvers<string>()]
  const robbed = outcomeOf(
    other.navigatorLocks.request('web', lock => {
      lock!.signal.addEventListener('abort', () => lost.resolve(lock!.signal.reason.reason))
      held.resolve(lock!.token)
      return lost.promise
    }),
  )
  const token = await held.promise
  const { held: holders } = await holdfast.navigatorLocks.query({ prefix: 'web' })
  assert.deepEqual(
    holders.map(({ name, mode }) => [name, mode]),
    [['web', 'exclusive']],
  )
  const next = await holdfast.navigatorLocks.request('web', { steal: true }, lock => lock!.token)
  assert.ok(next > token)
  assert.equal(await lost.promise, 'preempted')
  assert.deepEqual(await robbed, ['rejected', 'AbortError'])
  await other.close()
})
