import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LockEvent } from '@holdfast/protocol/events'
import { FEED_BYTES_MAX, FEED_EVENTS_MAX, LOCK_NAME_BYTES_MAX } from '@holdfast/protocol/limits'
import type { Entry } from '../locks/model.ts'
import { Feed, type Filter } from './feed.ts'

const cluster = 'abcdef0123456789'

function released(lock: string, token = 1): Entry {
  return { type: 'released', record: 'grant', lock, token, value: null }
}

function publish(feed: Feed, seq: number, entries: Entry[], instance = 'main'): void {
  feed.publish({ seq, at: 0 }, [{ instance, entries }])
}

function listen(feed: Feed, filter: Filter & { after?: string }, takes = Number.POSITIVE_INFINITY) {
  const heard = {
    events: [] as LockEvent[],
    resets: [] as string[],
    ended: 0,
    cursor: '',
    stop: (): void => undefined,
  }
  const { stop } = feed.watch('main', filter, {
    refused: () => undefined,
    event: event => heard.events.push(event) < takes,
    began: cursor => {
      heard.cursor = cursor
    },
    reset: at => heard.resets.push(at),
    ended: () => heard.ended++,
  })
  return Object.assign(heard, { stop })
}

const locksOf = (events: LockEvent[]) => events.map(event => event.lock)

test('a watcher hears what comes after its cursor, under its prefix or name, of its instance', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  publish(feed, 1, [released('a/1')])
  const all = listen(feed, {})
  const prefix = listen(feed, { prefix: 'a/' })
  const name = listen(feed, { name: 'a/2' })
  publish(feed, 2, [released('a/2'), released('b'), released('a/22')])
  publish(feed, 3, [released('a/3')], 'other')
  assert.deepEqual(locksOf(all.events), ['a/2', 'b', 'a/22'])
  assert.deepEqual(locksOf(prefix.events), ['a/2', 'a/22'])
  assert.deepEqual(locksOf(name.events), ['a/2'])
  all.stop()
  publish(feed, 4, [released('a/4')])
  assert.equal(all.events.length, 3)
  assert.equal(prefix.events.length, 3)
})

test('resuming after any event misses none and repeats none', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const whole = listen(feed, {})
  for (let seq = 1; seq <= 20; seq++)
    publish(
      feed,
      seq,
      Array.from({ length: seq % 4 }, (_, index) => released(`${seq}/${index}`)),
    )
  for (const [place, event] of whole.events.entries()) {
    const resumed = listen(feed, { after: event.id })
    assert.deepEqual(resumed.events, whole.events.slice(place + 1))
    assert.equal(resumed.resets.length, 0)
    resumed.stop()
  }
  const start = listen(feed, { after: whole.cursor })
  assert.deepEqual(start.events, whole.events)
})

test('a cursor that is too old, of another cluster, of the future, or none at all is reset', () => {
  const feed = new Feed(cluster)
  feed.restart(41)
  publish(feed, 42, [released('a')])
  const good = listen(feed, {}).cursor
  for (const after of ['abcdef01-3-1', '00000000-42-1', 'abcdef01-99-1', 'nonsense', '', 'abcdef01-42-1x']) {
    const heard = listen(feed, { after })
    assert.deepEqual(heard.resets, [good], after)
  }
})

test('a watcher whose buffer is full is ended and loses nothing when it resumes', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const slow = listen(feed, {}, 2)
  publish(
    feed,
    1,
    ['a', 'b', 'c', 'd'].map(lock => released(lock)),
  )
  assert.deepEqual(locksOf(slow.events), ['a', 'b'])
  const resumed = listen(feed, { after: slow.events[1]!.id })
  assert.deepEqual(locksOf(resumed.events), ['c', 'd'])
})

test('the oldest events go when there are too many, and who needs them is told', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const first = listen(feed, {}, 1)
  for (let seq = 1; seq <= FEED_EVENTS_MAX / 64 + 1; seq++)
    publish(
      feed,
      seq,
      Array.from({ length: 64 }, () => released('a')),
    )
  assert.equal(listen(feed, { after: first.events[0]!.id }).resets.length, 1)
  const oldest = feed.history('main', { lock: 'a', limit: FEED_EVENTS_MAX }).events.at(-1)!
  const resumed = listen(feed, { after: oldest.id })
  assert.equal(resumed.resets.length, 0)
  assert.equal(resumed.events.length, FEED_EVENTS_MAX - 1)
})

test('as many events are kept as may be, by number and by size, and not one more', () => {
  // The size of an event without a reason; that of a reason is its length twice.
  const bytes = 200 + 2 * 'lock'.length
  for (const limits of [
    { eventsMax: 3, bytesMax: 1e9 },
    { eventsMax: 1e9, bytesMax: 3 * bytes },
  ]) {
    const feed = new Feed(cluster, limits)
    feed.restart(0)
    const whole = listen(feed, {})
    const kept = () => feed.history('main', { lock: 'lock', limit: 100 }).events.map(event => event.token)
    for (let seq = 1; seq <= 3; seq++) publish(feed, seq, [released('lock', seq)])
    assert.deepEqual(kept(), [3, 2, 1])
    assert.equal(listen(feed, { after: whole.cursor }).resets.length, 0, 'nothing has gone')
    publish(feed, 4, [released('lock', 4)])
    assert.deepEqual(kept(), [4, 3, 2])
    assert.equal(listen(feed, { after: whole.cursor }).resets.length, 1)
    assert.equal(listen(feed, { after: whole.events[0]!.id }).events.length, 3)
    for (let seq = 5; seq <= 20; seq++) publish(feed, seq, [released('lock', seq)])
    assert.deepEqual(kept(), [20, 19, 18])
    assert.equal(whole.events.length, 20)
  }
})

test('a large event pushes out several small ones, and is kept even when it is larger than all may be', () => {
  const feed = new Feed(cluster, { eventsMax: 100, bytesMax: 1_000 })
  feed.restart(0)
  const heard = listen(feed, {})
  for (let seq = 1; seq <= 4; seq++) publish(feed, seq, [released('a', seq)])
  publish(feed, 5, [released('x'.repeat(300), 5)])
  assert.deepEqual([listen(feed, { after: heard.events[0]!.id }).resets.length, heard.events.length], [1, 5])
  publish(feed, 6, [released('y'.repeat(3_000), 6)])
  assert.equal(listen(feed, { after: heard.events[4]!.id }).events.length, 1)
  publish(feed, 7, [released('a', 7)])
  assert.deepEqual(
    listen(feed, { after: heard.events[5]!.id }).events.map(event => event.token),
    [7],
  )
})

test('in production a feed keeps what its two limits say', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const name = 'x'.repeat(LOCK_NAME_BYTES_MAX)
  const fitting = Math.floor(FEED_BYTES_MAX / (200 + 2 * name.length))
  assert.ok(fitting < FEED_EVENTS_MAX)
  const first = listen(feed, {}, 1)
  for (let seq = 1; seq <= fitting; seq++) publish(feed, seq, [released(name)])
  assert.equal(listen(feed, { after: first.cursor }).resets.length, 0)
  publish(feed, fitting + 1, [released(name)])
  assert.equal(listen(feed, { after: first.cursor }).resets.length, 1)
})

test('history goes backwards, in pages', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  for (let seq = 1; seq <= 10; seq++) publish(feed, seq, [released('a', seq), released('b', seq)])
  const newest = feed.history('main', { lock: 'a', limit: 3 })
  assert.deepEqual(
    newest.events.map(event => event.token),
    [10, 9, 8],
  )
  assert.equal(newest.more, true)
  const next = feed.history('main', { lock: 'a', limit: 100, before: newest.events[2]!.id })
  assert.deepEqual(
    next.events.map(event => event.token),
    [7, 6, 5, 4, 3, 2, 1],
  )
  assert.equal(next.more, false)
  assert.deepEqual(feed.history('other', { lock: 'a', limit: 3 }).events, [])
})

test('a freeze of a prefix concerns those who watch a lock under it', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const under = listen(feed, { name: 'a/b/1' })
  const beside = listen(feed, { name: 'c' })
  const above = listen(feed, { prefix: 'a' })
  const value = { prefix: 'a/b/', number: 1, untilAt: 0, reason: '', by: '', at: 0 }
  publish(feed, 1, [{ type: 'frozen', record: 'freeze', prefix: 'a/b/', value }])
  assert.deepEqual([under.events.length, beside.events.length, above.events.length], [1, 0, 1])
})

test('at the end all watchers are told to go elsewhere', () => {
  const feed = new Feed(cluster)
  feed.restart(0)
  const heard = listen(feed, {})
  feed.end()
  publish(feed, 1, [released('a')])
  assert.deepEqual([heard.ended, heard.events.length], [1, 0])
})
