/**
 * Taking a lock from a holder that is still alive. Never silently: the holder gets a notice with who, why and how long; it may
 * clean up and release; then the grant ends, its token is refused, and the next holder still waits for the last promise made to this
 * one unless its client has acknowledged the notice (SAFETY P14). `immediate` is a notice without grace. A grant younger than the
 * lock's `min_hold_ms` lasts at least until that, so that preemption cannot starve anybody.
 */
import { GRACE_MS_DEFAULT } from '@holdfast/protocol/limits'
import type { Draft } from './draft.ts'
import { type Ended, endGrant, pump } from './grants.ts'
import { type Lock, none } from './lock.ts'
import type { Claim, Command, Grant, Notice, Preemption, Reply, Waiter, Why } from './model.ts'
import { isCompatible, limitOf, usedPermits } from './queue.ts'
import { grantOf, liveSession } from './state.ts'
import { TOLD_BYTES_MAX } from './weight.ts'
import { noteWhose } from './whose.ts'

/** Notices that one decision gives; fewer, if their holders carry much: all must fit one batch. Who has been told is not told again, so the next ones are the others. */
export const NOTICES_AT_ONCE = 128

const strength: Record<Preemption, number> = { never: 0, graceful: 1, immediate: 2 }

/**
 * Gives notice to those who hold what the first waiter wants, if it asked to preempt and ranks above them. Of a set either all can be had so, or nobody
 * loses anything for it; and what one lock alone cannot give would cost its holders and help nobody.
 */
export function giveNotices(draft: Draft, waiter: Waiter): void {
  if (waiter.preempt === 'never') return
  const { locks } = draft.state
  for (const claim of waiter.claims) if (!canPreempt(locks.get(claim.lock), { waiter, claim })) return
  const subject = liveSession(draft.state, waiter.session)?.record.by ?? draft.by
  const reason = `a request of priority ${waiter.priority}`
  let told = 0
  for (const claim of waiter.claims) {
    const lock = locks.get(claim.lock)
    if (!lock || isCompatible(lock, claim)) continue
    const how = preemptionOf(lock, waiter.preempt)
    // Then only what time alone ends is in the way.
    if (how === 'never') continue
    const graceMs = how === 'immediate' ? 0 : (lock.config?.graceMs ?? GRACE_MS_DEFAULT)
    for (const grant of toEnd(lock, { waiter, claim })) {
      if (!notify(draft, grant, { by: waiter.holder, subject, reason, graceMs })) continue
      if (++told < NOTICES_AT_ONCE && draft.fits(TOLD_BYTES_MAX)) continue
      draft.follow({ type: 'pump', lock: claim.lock, by: 'service' })
      return
    }
  }
}

type Wanted = { waiter: Waiter; claim: Claim }

/** Whether it is the waiter's turn, and the lock could be granted beside those whom it may not preempt. What time alone ends is no hindrance. */
function canPreempt(lock: Lock | undefined, { waiter, claim }: Wanted): boolean {
  if (lock?.queue[0] !== waiter) return false
  const isPossible = preemptionOf(lock, waiter.preempt) !== 'never'
  const grants = isPossible ? lock.grants.filter(grant => !ranksAbove(waiter, grant)) : lock.grants
  return isCompatible(lock, claim, { grants, delays: none })
}

function ranksAbove(waiter: Waiter, grant: Grant): boolean {
  return grant.priority < waiter.priority
}

/** The grants that have to end: of permits as few as make room, the lowest priority first, then the youngest; those who have been told already before all others. */
function toEnd(lock: Lock, { waiter, claim }: Wanted): Grant[] {
  const below = lock.grants.filter(grant => ranksAbove(waiter, grant))
  if (claim.mode !== 'permits') return below
  // What was taken before is kept free for the last promise to its holder, and comes by itself.
  const delays = lock.delays.filter(({ reason }) => reason !== 'preempted')
  let missing = usedPermits({ grants: lock.grants, delays }) + claim.permits - limitOf(lock, claim)
  const ending: Grant[] = []
  for (const grant of below.sort(endsBefore)) {
    if (missing <= 0) break
    ending.push(grant)
    missing -= grant.permits
  }
  // The last may have made so much room that some before it need not go: those who rank highest.
  return ending.reverse().filter(({ permits }) => {
    const isNeeded = missing + permits > 0
    if (!isNeeded) missing += permits
    return isNeeded
  })
}

function endsBefore(one: Grant, other: Grant): number {
  const byNotice = Number(other.notice !== null) - Number(one.notice !== null)
  return byNotice || one.priority - other.priority || other.token - one.token
}

/** What the lock's configuration permits at the most; without one, the request decides. */
function preemptionOf(lock: Lock, asked: Preemption): Preemption {
  const permitted = lock.config?.preemption ?? asked
  return strength[permitted] < strength[asked] ? permitted : asked
}

type Warning = Cause & { graceMs: number }

/** Puts the grant under notice, or shortens the notice it is under. Ends it if its time is over already. Returns whether there was anything to do. */
export function notify(draft: Draft, grant: Grant, { graceMs, ...notice }: Warning): boolean {
  const minHoldMs = draft.state.locks.get(grant.lock)?.config?.minHoldMs ?? 0
  const endsMs = Math.max(draft.now + graceMs, grant.sinceMs + minHoldMs)
  if (grant.notice && grant.notice.endsMs <= endsMs) return false
  const session = liveSession(draft.state, grant.session)
  // Its deadline as it stands now: whatever was promised before this notice does not reach beyond it.
  const promiseUntilMs = session?.deadlineMs ?? draft.now
  if (endsMs <= draft.now) {
    endGrant(draft, grant, { ...ending(notice), promiseUntilMs })
    return true
  }
  const change = draft.change(grant.session)
  const value: Grant = { ...grant, notice: { ...notice, endsMs, promiseUntilMs, change } }
  const told: Why = { by: causeOf(notice), reason: notice.reason, session: grant.session, holder: grant.holder, change }
  const why = noteWhose(told, draft.state, grant.session, draft.from)
  draft.put({ type: 'preempting', record: 'grant', lock: grant.lock, token: grant.token, value, why })
  return true
}

type Cause = Pick<Notice, 'by' | 'subject' | 'reason'>

/** Not who happens to be served in the turn in which it comes to pass, nor the name that somebody gave himself. */
function causeOf({ subject, by }: Cause): string {
  return subject ?? by
}

function ending(notice: Cause): Ended {
  return { type: 'preempted', by: causeOf(notice), reason: notice.reason, isUnclean: true }
}

/** When the grant ends by itself, on the shard's clock; null: only with its session. */
export function endOfHold(grant: Grant): number | null {
  const maxMs = grant.maxHoldMs > 0 ? grant.sinceMs + grant.maxHoldMs : null
  if (!grant.notice) return maxMs
  return maxMs === null ? grant.notice.endsMs : Math.min(maxMs, grant.notice.endsMs)
}

/** How long before its end the holder of a longest hold is warned: a tenth of it, at most this. */
const WARNING_MS_MAX = 10_000

/** When to warn; null: the grant has no longest hold. */
export function warningOf(grant: Grant): number | null {
  return grant.maxHoldMs > 0 ? grant.sinceMs + grant.maxHoldMs - Math.min(grant.maxHoldMs / 10, WARNING_MS_MAX) : null
}

/** Tells the holder that its longest hold is about to end. */
export function warnHold(draft: Draft, command: Extract<Command, { type: 'warn_hold' }>): Reply {
  const grant = grantOf(draft.state.locks.get(command.lock), command.token)
  const endMs = grant && endOfHold(grant)
  if (grant && endMs !== null) {
    const endsInMs = Math.max(0, Math.floor(endMs - draft.now))
    draft.tell({ session: grant.session, type: 'expiring', lock: grant.lock, token: grant.token, endsInMs })
  }
  return { ok: true, type: 'done' }
}

/** Time is up for a grant under notice or with a longest hold. */
export function endHold(draft: Draft, command: Extract<Command, { type: 'end_hold' }>): Reply {
  const lock = draft.state.locks.get(command.lock)
  const grant = grantOf(lock, command.token)
  const endMs = grant && endOfHold(grant)
  if (!grant || endMs === null || endMs > draft.now) return { ok: true, type: 'done' }
  const { notice } = grant
  if (notice && notice.endsMs <= draft.now) {
    const { promiseUntilMs, change } = notice
    endGrant(draft, grant, { ...ending(notice), promiseUntilMs, change })
  } else {
    // The holder was told when it was granted: every promise to it ends with the hold.
    endGrant(draft, grant, { type: 'max_hold', reason: 'max_hold', isUnclean: true })
  }
  pump(draft, command.lock)
  return { ok: true, type: 'done' }
}

/** An operator's preemption: of all grants of the lock, or of the one named. */
export function preempt(draft: Draft, command: Extract<Command, { type: 'preempt' }>): Reply {
  const lock = draft.state.locks.get(command.lock)
  if (!lock) return { ok: false, code: 'not_found', what: 'lock' }
  const named = command.token === null ? null : grantOf(lock, command.token)
  const grants = command.token === null ? [...lock.grants] : named ? [named] : []
  if (command.token !== null && !named) return { ok: false, code: 'stale_token' }
  const { by } = draft
  const told: { lock: string; token: number; holder: string }[] = []
  for (const grant of grants) {
    const { lock: name, token, holder } = grant
    if (told.length < NOTICES_AT_ONCE && draft.fits(TOLD_BYTES_MAX)) {
      notify(draft, grant, { by, reason: command.reason, graceMs: command.graceMs })
      told.push({ lock: name, token, holder })
    } else draft.follow({ ...command, lock: name, token, by })
  }
  pump(draft, command.lock)
  return { ok: true, type: 'ended', grants: told, left: grants.length - told.length }
}
