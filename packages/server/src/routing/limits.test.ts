/** Each limit of this room, where it is and one past it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Command } from '../locks/model.ts'
import { FakeClock } from '../shards/testing.ts'
import { FRAME_UNITS_MAX, Frames } from './messages.ts'
import type { Peer, Peers } from './peer.ts'
import { AGAIN_MS, PARKED_MAX, ROUTE_MS_MAX, Router } from './router.ts'

const command: Command = { type: 'show', by: 'test', lock: 'a' }

/** Nobody owns anything, so that all that is asked waits for an owner. */
function ownerless() {
  const looks = { count: 0 }
  const clock = new FakeClock()
  // Never asked, as there is no owner.
  const nobody = {} as Peer
  const peers: Peers = {
    to: () => nobody,
    keep: () => {},
    reach: () => {},
    unreachable: () => [],
    tell: () => {},
    close: () => {},
  }
  const router = new Router({
    clock,
    server: 'server',
    shards: 1,
    local: nobody,
    peers,
    isServing: () => false,
    stale: () => void looks.count++,
  })
  const failures: string[] = []
  const asking = { answer: () => {}, fail: (error: HoldfastError) => void failures.push(error.code) }
  return { clock, router, failures, looks, submit: () => router.submit('main', command, asking) }
}

test('a command looks for an owner for ROUTE_MS_MAX, and then its caller is told to come back', async () => {
  const { clock, failures, submit } = ownerless()
  submit()
  await clock.pass(ROUTE_MS_MAX - 1)
  assert.deepEqual(failures, [])
  await clock.pass(1)
  assert.deepEqual(failures, ['unavailable'])
})

test('PARKED_MAX commands may be between two owners, and who comes after them is told to come back', () => {
  const { router, failures, submit } = ownerless()
  for (let index = 0; index < PARKED_MAX; index++) submit()
  assert.deepEqual([failures.length, router.underway], [0, PARKED_MAX])
  submit()
  assert.deepEqual([failures, router.underway], [['unavailable'], PARKED_MAX])
})

test('while nobody decides, whoever looks for an owner looks now and then, however often nothing has changed', async () => {
  const { clock, router, looks, submit } = ownerless()
  submit()
  const view = { members: new Map(), owners: [] }
  // Each look of the observer says what it has seen.
  for (let ms = 0; ms < 1_000; ms++) {
    router.update(view)
    await clock.pass(1)
  }
  assert.ok(looks.count > 0 && looks.count <= 1 + 1_000 / AGAIN_MS, `${looks.count} looks in a second`)
})

test('between two servers a frame has so many messages, and is not much longer than FRAME_UNITS_MAX', () => {
  const clock = new FakeClock()
  const sent: string[] = []
  const frames = new Frames<string>({ send: frame => sent.push(frame), close: () => {} }, clock)
  const long = 'x'.repeat(FRAME_UNITS_MAX / 4)
  for (let count = 0; count < 40; count++) frames.say(long)
  frames.flush()
  assert.deepEqual(
    sent.map(frame => (JSON.parse(frame) as string[]).length),
    Array.from({ length: 10 }, () => 4),
  )
  for (const frame of sent) assert.ok(frame.length <= FRAME_UNITS_MAX + long.length)
  sent.length = 0
  for (let count = 0; count < 3; count++) frames.say('short')
  assert.deepEqual(sent, [])
  frames.flush()
  assert.deepEqual(
    sent.map(frame => JSON.parse(frame)),
    [['short', 'short', 'short']],
  )
})
