import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../shards/testing.ts'
import {
  DENIAL_BUNCHES_MAX,
  DENIAL_TRACE_CHARS_MAX,
  DENIALS_MAX,
  DENIALS_MS_MAX,
  Denials,
  INSTANCE_DENIALS_MAX,
} from './denials.ts'
import type { Deed } from './port.ts'

const denied = (instance: string | null): Deed => ({
  by: 'ann',
  from: '127.0.0.1',
  action: 'lock.acquire',
  instance,
  target: 'lock/x',
  outcome: 'denied',
  status: 403,
  reason: '',
  trace: 't',
})

function world() {
  const clock = new FakeClock()
  const bunches: Deed[][] = []
  let wait: Promise<void> | null = null
  const denials = new Denials(clock, async deeds => {
    bunches.push(deeds)
    await wait
  })
  const hold = (held: Promise<void>) => {
    wait = held
  }
  return { clock, bunches, denials, hold }
}

test('INSTANCE_DENIALS_MAX of one instance are kept, those beyond are counted for it, and hide nothing of others', async () => {
  const { clock, bunches, denials } = world()
  for (let index = 0; index < INSTANCE_DENIALS_MAX + 3; index++) denials.note(denied('red'))
  denials.note(denied('blue'))
  await clock.pass(1_100)
  const [bunch = []] = bunches
  assert.equal(bunch.filter(({ instance }) => instance === 'red').length, INSTANCE_DENIALS_MAX + 1)
  assert.equal(bunch.filter(({ instance }) => instance === 'blue').length, 1)
  assert.match(bunch.at(-1)?.reason ?? '', /and 3 more/)
})

test('DENIALS_MAX are kept of all instances together', async () => {
  const { clock, bunches, denials } = world()
  for (let index = 0; index < DENIALS_MAX; index++) denials.note(denied(`i${index}`))
  denials.note(denied('one more'))
  await clock.pass(1_100)
  assert.equal(bunches[0]?.length, DENIALS_MAX + 1)
  assert.match(bunches[0]?.at(-1)?.reason ?? '', /and 1 more/)
})

test('as long as there are too many they are told less and less often, up to DENIALS_MS_MAX; and at once again when it is over', async () => {
  const { clock, bunches, denials } = world()
  const noise = () => {
    for (let index = 0; index < INSTANCE_DENIALS_MAX * 2; index++) denials.note(denied('red'))
  }
  for (let second = 0; second < 600; second++) {
    noise()
    await clock.pass(1_000)
  }
  assert.ok(bunches.length <= 6 + 600_000 / DENIALS_MS_MAX + 1, `${bunches.length}`)
  await clock.pass(DENIALS_MS_MAX * 2)
  denials.note(denied('red'))
  await clock.pass(DENIALS_MS_MAX)
  const before = bunches.length
  denials.note(denied('red'))
  await clock.pass(1_100)
  assert.equal(bunches.length, before + 1)
})

test('who is refused once a second, day and night, writes DENIAL_BUNCHES_MAX bunches and then one in DENIALS_MS_MAX', async () => {
  const { clock, bunches, denials } = world()
  const minutes = 30
  const drip = async (ms: number) => {
    for (let passedMs = 0; passedMs < ms; passedMs += 1_000) {
      denials.note(denied('red'))
      await clock.pass(1_000)
    }
  }
  await drip(minutes * 60_000)
  const most = DENIAL_BUNCHES_MAX + (minutes * 60_000) / DENIALS_MS_MAX + 1
  assert.ok(bunches.length >= DENIAL_BUNCHES_MAX && bunches.length <= most, `${bunches.length}`)
  // When it has been quiet for a while whoever is next is heard at once.
  await clock.pass(2 * DENIALS_MS_MAX)
  denials.note(denied('red'))
  await clock.pass(3 * DENIALS_MS_MAX)
  const before = bunches.length
  denials.note(denied('red'))
  await clock.pass(1_100)
  assert.equal(bunches.length, before + 1)
})

test('of what a client calls its request DENIAL_TRACE_CHARS_MAX characters are kept', async () => {
  const { clock, bunches, denials } = world()
  denials.note({ ...denied('red'), trace: 'x'.repeat(DENIAL_TRACE_CHARS_MAX + 1) })
  await clock.pass(1_100)
  assert.equal(bunches[0]?.[0]?.trace, 'x'.repeat(DENIAL_TRACE_CHARS_MAX))
})

test('while a bunch is being written the next one waits, and is no larger for it', async () => {
  const { clock, bunches, denials, hold } = world()
  const held = Promise.withResolvers<void>()
  hold(held.promise)
  for (let second = 0; second < 30; second++) {
    for (let index = 0; index < DENIALS_MAX; index++) denials.note(denied(`i${index % 10}`))
    await clock.pass(1_000)
  }
  assert.equal(bunches.length, 1)
  held.resolve()
  await clock.pass(DENIALS_MS_MAX)
  assert.equal(bunches.length, 2)
  assert.ok((bunches[1]?.length ?? 0) <= DENIALS_MAX + 10)
})
