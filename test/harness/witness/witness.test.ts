/** The witness has to see what is wrong: streams and grants that are spoilt in one place. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Holdfast, Lock, WatchItem } from '@holdfast/client'
import { Watcher } from './events.ts'
import { Figures } from './figures.ts'
import { Judge } from './judge.ts'

const [first, second] = ['one', 'two']
let seq = 0
type Event = Exclude<WatchItem, { type: 'reset' }>

function event(type: Event['type'], rest: Partial<Event> = {}): Event {
  return { id: `c-${++seq}-1`, at: '2026-01-01T00:00:00Z', type, lock: 'a', ...rest }
}

/** Two holders, the second of which waited; the last event closes it. */
function good(): Event[] {
  return [
    event('granted', { token: 1, holder: first }),
    event('queued', { holder: second }),
    event('queued', { holder: 'three' }),
    event('released', { token: 1, holder: first }),
    event('dequeued', { holder: second, reason: 'granted' }),
    event('granted', { token: 2, holder: second }),
    event('released', { token: 2, holder: second }),
  ]
}

async function judged(items: WatchItem[], judge = new Judge()): Promise<Judge> {
  const client = {
    watch: async function* () {
      yield* items
    },
  } as unknown as Holdfast // of a client, what a watcher uses
  const watcher = new Watcher('watcher', client, judge, '')
  await watcher.stop()
  watcher.compare()
  return judge
}

/** What the judge sees of a lock. */
function lockOf(token: number, isHeld: () => boolean): Lock {
  return {
    name: 'a',
    token,
    on: () => () => undefined,
    get isHeld() {
      return isHeld()
    },
  } as unknown as Lock
}

test('a stream that is as it should be is not complained of', async () => {
  const judge = new Judge()
  judge.granted(lockOf(1, () => false))
  judge.released.add(1)
  judge.granted(lockOf(2, () => false))
  await judged(good(), judge)
  judge.verdict()
})

test('each thing that can be wrong with a stream is seen', async () => {
  const spoilt: [string, (events: Event[]) => WatchItem[], RegExp][] = [
    ['repeated', events => [...events.slice(0, 4), events[3]!, ...events.slice(4)], /came after/],
    ['out of order', events => [events[1]!, events[0]!, ...events.slice(2)], /came after/],
    ['a release missing', events => events.filter((_, place) => place !== 3), /while 1 was held/],
    ['a reset', events => [...events, { type: 'reset', cursor: 'c' }], /events were missed/],
    [
      'overtaken',
      events => events.map(one => (one.type === 'dequeued' ? { ...one, holder: 'three' } : one)),
      /first in line/,
    ],
    ['granted past the line', events => events.filter(({ type }) => type !== 'dequeued'), /not in line/],
    [
      'granted to another',
      events => events.map(one => (one.token === 2 ? { ...one, holder: first } : one)),
      /was called/,
    ],
  ]
  for (const [what, spoil, found] of spoilt) {
    const judge = await judged(spoil(good()))
    assert.throws(() => judge.verdict(), found, what)
  }
})

test('what clients did and no event told is seen', async () => {
  const granted = new Judge()
  granted.granted(lockOf(7, () => false))
  await judged(good(), granted)
  assert.throws(() => granted.verdict(), /not told that a 7 was granted/)
  const released = new Judge()
  released.released.add(7)
  await judged(good(), released)
  assert.throws(() => released.verdict(), /not told that 7 was released/)
})

test('two that believe at once, a token that does not grow, and a resource that is written late are seen', () => {
  const twice = new Judge()
  twice.granted(lockOf(1, () => true))
  twice.granted(lockOf(2, () => true))
  assert.throws(() => twice.verdict(), /granted while 1 was believed in/)
  const falling = new Judge()
  falling.granted(lockOf(2, () => false))
  falling.granted(lockOf(1, () => true))
  assert.throws(() => falling.verdict(), /token 1 came after 2[\s\S]*refuses the new holder 1/)
})

test('an operation that fails is a failure, unless this very fault excuses it', () => {
  const judge = new Judge()
  judge.excuse = ({ code }) => code === 'no HoldfastError'
  judge.failed('a', 'release', new Error('excused'))
  judge.verdict()
  judge.excuse = () => false
  judge.failed('a', 'release', new Error('not excused'))
  assert.throws(() => judge.verdict(), /1 failed operations/)
})

test('a lock is served again with the first operation that began after the mark', () => {
  const figures = new Figures()
  figures.expect('a')
  const beforeMs = performance.now()
  const mark = figures.mark()
  figures.succeeded('a', beforeMs - 1)
  assert.equal(mark.servedAgainMs, null)
  assert.deepEqual(mark.unserved, ['a'])
  figures.succeeded('a', performance.now())
  assert.ok(mark.servedAgainMs! >= 0)
})
