/**
 * The core under random commands, judged by a model that shares no code with it: exclusion, tokens, order, nobody forgotten, sets whole,
 * sessions and what they hold end together; and the log, cleaned at random, brings back the state.
 */
import { strict as assert } from 'node:assert'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Command, Grant, Mode, Preemption } from '../../packages/server/src/locks/model.ts'
import { type Quota, sessionsOf } from '../../packages/server/src/locks/quota.ts'
import { acquireOf, claimOf, picture, World } from './core-world.ts'

const RUNS = Number(process.env.TEST_RUNS ?? 1_500)
/** A failure prints its seed; with this it comes again. */
const SEED = process.env.TEST_SEED
const names = ['a', 'a/b', 'ab', 's']
const modes: Mode[] = ['exclusive', 'exclusive', 'shared']
const preempts: Preemption[] = ['never', 'never', 'graceful', 'immediate']

type Step = { what: number; who: number; lock: number; other: number; n: number }
const step = fc.record({ what: fc.nat(99), who: fc.nat(3), lock: fc.nat(3), other: fc.nat(3), n: fc.nat(7) })

function pick<Item>(items: readonly Item[], index: number): Item {
  return items[index % items.length]!
}

function claim(lock: string, n: number) {
  if (lock === 's')
    return claimOf(lock, { mode: 'permits', permits: 1 + (n % 3), limit: 3, lockDelayMs: n % 4 === 0 ? 500 : null })
  return claimOf(lock, {
    mode: pick(modes, n),
    maxHoldMs: n % 5 === 0 ? 4_000 : null,
    lockDelayMs: n % 4 === 0 ? 700 : null,
  })
}

function acquire(sessions: string[], { who, lock, other, n }: Step, request: number): Command {
  const claims = [claim(pick(names, lock), n)]
  if (n === 7 && lock !== other) claims.push(claim(pick(names, other), n + 1))
  const key = request % 2 ? { key: `k${request % 5}`, digest: `${lock}` } : null
  const session = n === 6 ? { ttlMs: 3_000, defaultTtlMs: 3_000, holder: null, key } : pick(sessions, who)
  return acquireOf(session, claims, {
    waitMs: pick([0, 2_000, null, null], other),
    priority: pick([0, 0, 1, 5, -1], n + who),
    preempt: pick(preempts, other + n),
    isReentrant: (n + other) % 4 === 0,
    task: pick(['', 't'], other),
    request: n === 6 ? null : request,
    value: claims.length === 1 && lock === 1 ? 'v'.repeat(n) : null,
    labels: n % 3 === 0 ? { team: 'é' } : null,
    metadata: n % 4 === 1 ? { who, lock } : null,
  })
}

function grantsOf(world: World): Grant[] {
  return [...world.state.locks.values()].flatMap(lock => lock.grants)
}

/** The command that the step stands for; null where there is nothing to do it to. */
function commandOf(world: World, sessions: string[], one: Step, request: number): Command | null {
  const { what, who, lock, n } = one
  const by = 'test'
  const session = pick(sessions, who)
  const grant = pick([...grantsOf(world), null], n + lock)
  if (what < 40) return acquire(sessions, one, request)
  if (what < 60) return grant && { type: 'release', by, session: grant.session, grants: [grant], request }
  if (what < 63)
    return { type: 'release', by, session, grants: [{ lock: pick(names, lock), token: 4_294_967_297 + n }], request }
  if (what < 70)
    return {
      type: 'renew',
      by,
      session,
      seenChanges: world.state.sessions.get(session)?.record?.changes ?? 0,
      settled: request - 3,
    }
  if (what < 74)
    return (
      grant && {
        type: 'transfer',
        by,
        session: grant.session,
        lock: grant.lock,
        token: grant.token,
        toSession: session,
        request,
      }
    )
  if (what < 77) return { type: 'cancel', by, session, cancels: Math.max(0, request - n), request: null }
  if (what < 79)
    return { type: 'force_release', by, lock: pick(names, lock), token: null, reason: 'test', now: n % 2 === 0 }
  if (what < 81) return { type: 'preempt', by, lock: pick(names, lock), token: null, reason: 'test', graceMs: n * 200 }
  if (what < 83)
    return { type: 'freeze', by, prefix: pick(['a', 'a/', 's'], lock), untilAt: 2_000_000_000_000, reason: 'test' }
  if (what < 86) return { type: 'thaw', by, prefix: pick(['a', 'a/', 's'], lock) }
  if (what < 88)
    return {
      type: 'configure',
      by,
      lock: pick(names, lock),
      fields: {
        minHoldMs: n * 100,
        graceMs: 300,
        preemption: pick(preempts, n),
        ...(lock === 3 ? { limit: 2 + (n % 3) } : {}),
      },
      replaces: true,
      ifVersion: null,
    }
  if (what < 89) return { type: 'delete_lock', by, lock: pick(names, lock), ifVersion: null }
  if (what < 91) return { type: 'close_session', by, session }
  if (what < 92)
    return (
      grant && {
        type: 'write_value',
        by,
        session: grant.session,
        lock: grant.lock,
        token: grant.token,
        value: `${n}`,
        request,
      }
    )
  return null
}

/** No command makes another session lose something but by the rules. */
function judgeLosses(world: World, command: Command, before: Grant[], from: number): void {
  const held = new Map(before.map(grant => [grant.token, grant]))
  for (const entry of world.log.filter(batch => batch.seq > from).flatMap(batch => batch.entries)) {
    if (entry.record !== 'grant') continue
    if (entry.value) held.set(entry.token, entry.value)
    const grant = held.get(entry.token)
    if (entry.value || !grant) continue
    const isOwn = 'session' in command && (command.session === grant.session || command.type === 'acquire')
    if (entry.type === 'released' || entry.type === 'session_closed' || entry.type === 'transferred')
      assert(isOwn, `${command.type} ended a grant of ${grant.session}`)
    if (entry.type === 'forced') assert.equal(command.type, 'force_release')
    if (entry.type === 'preempted')
      assert(command.type === 'preempt' || command.type === 'end_hold' || grant.priority < 6, 'preempted by nobody')
    assert.notEqual(entry.type, 'expired', `${command.type} expired a grant`)
  }
}

/** Of half of the runs; the sessions that they open fit just so. */
function quotaOf({ what, who, lock, other }: Step): Quota | null {
  if (what % 2 === 0) return null
  return {
    isEnabled: true,
    heldLocks: pick([null, 1, 2, 4], who),
    sessions: 4,
    waiters: pick([null, 0, 1, 3], lock),
    storedBytes: pick([null, 0, 40, 150], other),
  }
}

/** What the quota permits is all there is. */
function judgeQuota({ state, quota }: World): void {
  if (!quota) return
  const pairs = [
    [state.grantCount, quota.heldLocks],
    [sessionsOf(state), quota.sessions],
    [state.tickets.size, quota.waiters],
    [state.storedBytes, quota.storedBytes],
  ] as const
  for (const [count, max] of pairs) assert.ok(max === null || count <= max, JSON.stringify({ pairs, quota }))
}

function run(steps: Step[]): World {
  const world = new World()
  world.quota = quotaOf(steps[0]!)
  let sessions = [world.open(3_000), world.open(5_000), world.open(60_000), world.open(60_000)]
  steps.forEach((one, index) => {
    const command = commandOf(world, sessions, one, index + 10)
    if (command) {
      const before = grantsOf(world)
      const from = world.state.seq
      world.do(command)
      judgeLosses(world, command, before, from)
      judgeQuota(world)
    } else if (one.what < 98) world.pass(one.n * 250)
    else world.clean(one.n + one.who)
    sessions = sessions.map(session => (world.state.sessions.get(session)?.record ? session : world.open(4_000)))
  })
  return world
}

test('under random commands every decision keeps the rules, and the cleaned log brings back the state', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 80 }), steps => {
      const world = run(steps)
      world.checkLive()
      assert.deepEqual(picture(world.replay()), picture(world.state))
      world.clean(world.log.length)
      world.checkLive()
      world.clean(world.log.length)
      assert.deepEqual(picture(world.replay()), picture(world.state))
      // Everything comes to an end by itself once nobody renews and nothing is frozen.
      for (const prefix of ['a', 'a/', 's']) world.do({ type: 'thaw', by: 'test', prefix })
      world.pass(10 * 60_000)
      const { grantCount, sessionCount, tickets } = world.state
      assert.deepEqual(
        { grantCount, sessionCount, waiting: tickets.size },
        { grantCount: 0, sessionCount: 0, waiting: 0 },
      )
    }),
    { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
  )
})
