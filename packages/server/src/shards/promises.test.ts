/**
 * What was promised to a session is kept: a reply that confers time counts, for its client, from before the request was sent, and no session
 * ends before all that it was so promised is over (SAFETY P9, P10, P13; invariant I9). Every kind of reply that confers is tried here, alone and
 * in random traffic with pauses, late stores and new owners.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Command } from '../locks/model.ts'
import type { Answer } from './port.ts'
import { acquireOf, type Heard, isAppend, restart, startServer, tokenOf, type World } from './testing.ts'

const RUNS = Number(process.env.TEST_RUNS ?? 40)
/** A failure prints its seed; with this it comes again. */
const SEED = process.env.TEST_SEED
const TTL_MS = 2_000
/** Expiry is looked at by ticks and slots of the wheel; it may come later, never earlier. */
const SOON_MS = 300

/** What the reply lets its client believe, in ms from the sending; null: nothing. */
function conferred(answer: Answer | null): number | null {
  if (!answer?.ok || !('confers' in answer) || answer.confers === null) return null
  return answer.confers.ttlMs + (answer.type === 'granted' ? answer.waitedMs : 0)
}

type Case = { name: string; ask(world: World, session: string): Promise<Heard> }

async function told({ server, clock }: World, command: Command): Promise<Heard> {
  const heard = server.tell(command)
  await clock.settle()
  return heard
}

const cases: Case[] = [
  { name: 'a renewal', ask: (world, session) => told(world, world.server.renew(session)) },
  { name: 'a grant', ask: (world, session) => told(world, world.server.acquire(session, 'new')) },
  { name: 'a grant asked for again', ask: (world, session) => told(world, acquireOf(session, 'a', { request: 1 })) },
  {
    name: 'a release',
    async ask(world, session) {
      const token = tokenOf((await told(world, acquireOf(session, 'b', { request: 2 }))).answer)
      return told(world, world.server.release(session, 'b', token))
    },
  },
  {
    name: 'a release asked for again',
    ask: (world, session) =>
      told(world, { type: 'release', by: 'test', session, grants: [{ lock: 'c', token: 1 }], request: 4 }),
  },
]

for (const { name, ask } of cases) {
  test(`${name} keeps its session alive for as long as it confers`, async () => {
    const world = await startServer()
    const { server, clock } = world
    const session = await server.session(TTL_MS)
    await server.ask(acquireOf(session, 'a', { request: 1 }))
    const token = tokenOf(await server.ask(acquireOf(session, 'c', { request: 3 })))
    await server.ask({ type: 'release', by: 'test', session, grants: [{ lock: 'c', token }], request: 4 })
    await clock.pass(TTL_MS - 100)
    const heard = await ask(world, session)
    assert.equal(conferred(heard.answer), TTL_MS)
    await clock.pass(TTL_MS - 100)
    assert.equal(await server.isAlive(session), true)
    await clock.pass(100 + SOON_MS)
    assert.equal(await server.isAlive(session), false)
  })
}

test('a grant that was waited for confers time from the grant', async () => {
  const { server, clock } = await startServer()
  const [holder, waiter] = [await server.session(60_000), await server.session(TTL_MS)]
  const token = await server.grant(holder, 'a')
  const heard = server.tell(server.acquire(waiter, 'a', { waitMs: null }))
  await clock.pass(TTL_MS - 200)
  await server.ask(server.release(holder, 'a', token))
  assert.equal(conferred(heard.answer)! > TTL_MS, true, 'the wait counts')
  await clock.pass(TTL_MS - 100)
  assert.equal(await server.isHeld('a'), true)
  await clock.pass(100 + SOON_MS)
  assert.equal(await server.isHeld('a'), false)
})

test('a renewal for a shorter time moves no deadline back', async () => {
  const { server, clock } = await startServer()
  const session = await server.session(TTL_MS)
  await clock.pass(TTL_MS - 200)
  const longer = await server.ask({ type: 'renew', by: 'test', session, ttlMs: 20_000 })
  const shorter = await server.ask({ type: 'renew', by: 'test', session, ttlMs: 500 })
  assert.deepEqual([conferred(longer), conferred(shorter)], [20_000, 500])
  await clock.pass(19_900)
  assert.equal(await server.isAlive(session), true)
  await clock.pass(100 + SOON_MS)
  assert.equal(await server.isAlive(session), false)
})

test('a new owner gives a session its full TTL from its own reading, whatever the log says of the time', async () => {
  const first = await startServer()
  const [session, other] = [await first.server.session(10_000), await first.server.session(60_000)]
  await first.clock.pass(9_000)
  assert.ok((await first.server.ask(first.server.renew(session))).ok)
  // The log has a batch of this time; of the renewal it knows nothing.
  await first.server.grant(other, 'a')
  const { server, clock } = await restart(first)
  await clock.pass(9_900)
  assert.equal(await server.isAlive(session), true)
  await clock.pass(100 + SOON_MS)
  assert.equal(await server.isAlive(session), false)
})

test('requests that come while a renewal waits for a beat are decided after it, and written in their place', async () => {
  const world = await startServer()
  const { server, clock, engine } = world
  const session = await server.session(60_000)
  clock.pause(1_700)
  engine.hold(request => !isAppend(request))
  const renewed = server.tell(server.renew(session))
  await clock.settle()
  const granted = server.tell(server.acquire(session, 'a'))
  await clock.settle()
  engine.letGo()
  await clock.settle()
  assert.ok(renewed.answer?.ok)
  const token = tokenOf(granted.answer)
  await server.ask(server.release(session, 'a', token))
  await server.grant(session, 'b')
  const next = await restart(world)
  assert.deepEqual([await next.server.isHeld('a'), await next.server.isHeld('b')], [false, true])
})

/** One step of random traffic. */
type Step = { what: number; who: number; ms: number }
const step = fc.record({ what: fc.nat(11), who: fc.nat(2), ms: fc.nat(900) })

/** A client's view: what it has been told it may count on, by session. */
class Promises {
  readonly #untilMs = new Map<string, number>()
  readonly #open: { session: string; sentAtMs: number; heard: Heard }[] = []

  sent(session: string, sentAtMs: number, heard: Heard): void {
    this.#open.push({ session, sentAtMs, heard })
  }

  /** Reads the answers that have come. */
  collect(): void {
    for (const { session, sentAtMs, heard } of this.#open) {
      const lastsMs = conferred(heard.answer)
      if (lastsMs === null) continue
      this.#untilMs.set(session, Math.max(this.#untilMs.get(session) ?? 0, sentAtMs + lastsMs))
    }
  }

  /** Sessions that must be alive at this time. */
  alive(nowMs: number): string[] {
    return [...this.#untilMs].filter(([, untilMs]) => nowMs < untilMs).map(([session]) => session)
  }
}

function commandOf(session: string, { what, ms }: Step, number: number): Command | null {
  const ttlMs = 500 + ms * 3
  if (what < 3) return { type: 'renew', by: 'test', session }
  if (what === 3) return { type: 'renew', by: 'test', session, ttlMs }
  // Some ids come again: repeats confer time too.
  const request = what === 4 ? number : number % 7
  if (what < 7) return acquireOf(session, `lock/${ms % 3}`, { request, waitMs: what === 6 ? null : 0 })
  if (what === 7) return { type: 'cancel', by: 'test', session, cancels: number % 7, request: null }
  return null
}

test('under random traffic, pauses, a slow store and new owners no session ends before what it was promised', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async steps => {
      let world = await startServer()
      const promises = new Promises()
      const sessions = [
        await world.server.session(1_000),
        await world.server.session(2_500),
        await world.server.session(700),
      ]
      for (const [index, one] of steps.entries()) {
        const { server, clock, engine } = world
        const session = sessions[one.who]!
        const command = commandOf(session, one, index)
        if (command) promises.sent(session, clock.hrtimeMs(), server.tell(command))
        else if (one.what === 8) clock.pause(one.ms * 2)
        else if (one.what === 9) engine.hold(() => true)
        else if (one.what === 10) engine.letGo()
        await clock.pass(one.what === 11 ? 10 : one.ms / 2)
        promises.collect()
        if (one.what === 11) {
          engine.letGo()
          await clock.settle()
          world = await restart(world)
        }
        await judge(world, promises)
      }
    }),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  )
})

async function judge({ server, clock, engine }: World, promises: Promises): Promise<void> {
  engine.letGo()
  await clock.settle()
  promises.collect()
  for (const session of promises.alive(clock.hrtimeMs())) {
    assert.equal(await server.isAlive(session), true, `${session} ended before what it was promised`)
  }
}
