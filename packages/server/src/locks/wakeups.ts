/** What the passing of time makes due. Wake-ups only: the core looks again when they come, so stale ones do no harm. */
import { IDEMPOTENCY_KEY_MS } from '@holdfast/protocol/limits'
import type { Command, Delay, Entry, Grant, IdempotencyKey, Waiter } from './model.ts'
import { endOfHold, warningOf } from './preemption.ts'
import type { State } from './state.ts'

export type Wakeup = {
  /** On the shard's clock. */
  dueMs: number
  command: Command
}

const by = 'service'

const nothing: readonly Wakeup[] = []

/** What the entry makes due. */
export function wakeupsOf(entry: Entry): readonly Wakeup[] {
  if (entry.value === null) return nothing
  switch (entry.record) {
    case 'grant':
      return ofGrant(entry.value)
    case 'wait':
      return entry.value.waitMs === null ? nothing : [ofWaiter(entry.value, entry.value.waitMs)]
    case 'delay':
      return ofDelay(entry.value)
    case 'key':
      return [ofKey(entry.value)]
    default:
      return nothing
  }
}

function ofGrant(grant: Grant): readonly Wakeup[] {
  const { lock, token } = grant
  const endMs = endOfHold(grant)
  if (endMs === null) return nothing
  const end: Wakeup = { dueMs: endMs, command: { type: 'end_hold', lock, token, by } }
  const warnMs = grant.notice ? null : warningOf(grant)
  return warnMs === null ? [end] : [{ dueMs: warnMs, command: { type: 'warn_hold', lock, token, by } }, end]
}

function ofWaiter(waiter: Waiter, waitMs: number): Wakeup {
  return { dueMs: waiter.sinceMs + waitMs, command: { type: 'end_wait', ticket: waiter.ticket, by } }
}

/** The end of the lock-delay too, when the promise is the longer: it may be over before, as soon as its holder has said that it knows. */
function ofDelay({ lock, token, delayUntilMs, promiseUntilMs }: Delay): readonly Wakeup[] {
  const at = (dueMs: number): Wakeup => ({ dueMs, command: { type: 'end_delay', lock, token, by } })
  if (promiseUntilMs <= delayUntilMs) return [at(delayUntilMs)]
  return delayUntilMs > 0 ? [at(delayUntilMs), at(promiseUntilMs)] : [at(promiseUntilMs)]
}

function ofKey(key: IdempotencyKey): Wakeup {
  return { dueMs: key.sinceMs + IDEMPOTENCY_KEY_MS, command: { type: 'forget_key', key: key.key, by } }
}

/** All that is due some day, for an owner that has just read the log. */
export function* wakeups(state: State): Generator<Wakeup> {
  for (const lock of state.locks.values()) {
    for (const grant of lock.grants) yield* ofGrant(grant)
    for (const delay of lock.delays) yield* ofDelay(delay)
  }
  for (const waiter of state.tickets.values()) if (waiter.waitMs !== null) yield ofWaiter(waiter, waiter.waitMs)
  for (const key of state.keys.values()) yield ofKey(key)
}
