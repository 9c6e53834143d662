/** The rule's own test: it hears of what an owner that writes does not end, and of nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Claim, Delay, Freeze, Grant, Session, Waiter } from '../../packages/server/src/locks/model.ts'
import { Judge, Violation } from './judge.ts'
import { Overdue } from './overdue.ts'

/** What cannot be granted. */
const nobodys: Claim = { lock: 'frozen', mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }

/** What the rule looks at of each. */
function judgeWith(there: { delay?: Partial<Delay>; wait?: Partial<Waiter>; grant?: Partial<Grant>; seen?: number }) {
  const judge = new Judge()
  judge.sessions.set('s', { seenChanges: there.seen ?? 0 } as Session)
  if (there.delay) judge.delays.set('x', new Map([[1, { token: 1, session: 's', change: 1, ...there.delay } as Delay]]))
  if (there.wait) judge.waiters.set(2, { ticket: 2, claims: [nobodys], ...there.wait } as Waiter)
  judge.freezes.set('frozen', { prefix: 'frozen' } as Freeze)
  if (there.grant)
    judge.grants.set('x', new Map([[3, { token: 3, maxHoldMs: 0, notice: null, ...there.grant } as Grant]]))
  return judge
}

function isFound(judge: Judge, batches: readonly { epoch: number; now: number }[]): boolean {
  const overdue = new Overdue()
  try {
    for (const batch of batches) overdue.wrote(judge, batch)
    return false
  } catch (error) {
    assert.ok(error instanceof Violation && error.message.startsWith('I8'))
    return true
  }
}

const at = (...moments: number[]) => moments.map(now => ({ epoch: 1, now }))

test('a lock-delay that is there long after it was over, though its holder knows or has gone', () => {
  const delay = { delayUntilMs: 300, promiseUntilMs: 60_000 }
  assert.equal(isFound(judgeWith({ delay, seen: 1 }), at(350, 2_350)), true)
  const gone = judgeWith({ delay })
  gone.sessions.clear()
  assert.equal(isFound(gone, at(350, 2_350)), true)
  assert.equal(isFound(judgeWith({ delay }), at(350, 2_350, 59_000)), false)
  assert.equal(isFound(judgeWith({ delay }), at(60_000, 62_000)), true)
})

test('a wait, a longest hold and a notice that are over', () => {
  assert.equal(isFound(judgeWith({ wait: { sinceMs: 100, waitMs: 50 } }), at(150, 2_150)), true)
  assert.equal(isFound(judgeWith({ wait: { sinceMs: 100, waitMs: null } }), at(150, 9_000)), false)
  assert.equal(isFound(judgeWith({ grant: { sinceMs: 100, maxHoldMs: 200 } }), at(300, 2_300)), true)
  assert.equal(isFound(judgeWith({ grant: { sinceMs: 100 } }), at(300, 9_000)), false)
  const notice = { by: '', reason: '', endsMs: 400, promiseUntilMs: 0, change: 1 }
  assert.equal(isFound(judgeWith({ grant: { sinceMs: 100, notice } }), at(400, 2_400)), true)
})

test('somebody who is first in line for what is free', () => {
  const claim = { lock: 'x', mode: 'exclusive', permits: 1, limit: 0 } as const
  const wait = { session: 's', rank: 1, sinceMs: 0, waitMs: null, claims: [claim] } as unknown as Partial<Waiter>
  assert.equal(isFound(judgeWith({ wait }), at(300, 2_300)), true)
  assert.equal(isFound(judgeWith({ wait }), at(300, 2_200)), false)
  assert.equal(isFound(judgeWith({ wait, grant: { sinceMs: 0 } }), at(300, 2_300, 9_000)), false)
  const behind = judgeWith({ wait, grant: { sinceMs: 0 } })
  const permits = (limit: number) => ({ lock: 'y', mode: 'permits', permits: 1, limit }) as const
  behind.waiters.set(4, {
    ...(wait as Waiter),
    ticket: 4,
    rank: 2,
    claims: [permits(2)] as unknown as Waiter['claims'],
  })
  assert.equal(isFound(behind, at(300, 2_300)), true)
  behind.grants.set('y', new Map([[9, { token: 9, permits: 2, limit: 2, maxHoldMs: 0, notice: null } as Grant]]))
  assert.equal(isFound(behind, at(300, 2_300)), false)
})

test('neither a long pause between two batches nor a new owner is taken for it', () => {
  const wait = { sinceMs: 0, waitMs: 1_000 }
  assert.equal(isFound(judgeWith({ wait }), at(900, 90_000)), false)
  assert.equal(isFound(judgeWith({ wait }), at(1_000, 2_999)), false)
  const taken = [
    { epoch: 1, now: 1_500 },
    { epoch: 2, now: 9_000 },
  ]
  assert.equal(isFound(judgeWith({ wait }), taken), false)
})
