/**
 * How much an instance may have at once, as the core sees it: exactly, for the state that is decided on is all there is of it. What is
 * there already is never taken away, and nothing that gives back is ever refused; only what would add to it past the limit.
 *
 * A wait that was let in is asked again when its turn comes, for others may have taken the last place meanwhile: it then ends with the
 * refusal that it would get if it asked now.
 */
import type { Draft } from './draft.ts'
import type { Acquire, Config, Labels, Refusal, Value, Waiter } from './model.ts'
import type { State } from './state.ts'
import { storedByConfig, storedByRequest, storedByValue } from './stored.ts'

/** null: no limit. */
export type Quota = {
  /** False: what is held may be kept and given back, and nothing new is to be had. */
  isEnabled: boolean
  heldLocks: number | null
  sessions: number | null
  waiters: number | null
  storedBytes: number | null
}

export const instanceDisabled: Refusal = { ok: false, code: 'forbidden', reason: 'instance_disabled' }

/** Sessions that count as such. */
export function sessionsOf(state: State): number {
  return state.sessionCount - state.singleCount
}

export function sessionOverQuota({ state, quota }: Draft): Refusal | null {
  return quota && over('sessions', sessionsOf(state) + 1, quota.sessions)
}

/** Of an acquire that can be granted now. */
export function grantOverQuota({ state, quota }: Draft, command: Acquire): Refusal | null {
  if (!quota) return null
  const { claims, value } = command
  const full = over('held_locks', state.grantCount + claims.length, quota.heldLocks)
  if (full || quota.storedBytes === null) return full
  let replaced = 0
  if (value !== null) for (const { lock } of claims) replaced += storedByValue(state.locks.get(lock)?.value ?? null)
  return storedOverQuota({ state, quota }, storedByRequest(command, claims.length) - replaced)
}

/** Of an acquire that has to wait. */
export function waitOverQuota({ state, quota }: Draft, command: Acquire): Refusal | null {
  if (!quota) return null
  const full = over('waiters', state.tickets.size + 1, quota.waiters)
  if (full || quota.storedBytes === null) return full
  return storedOverQuota({ state, quota }, storedByRequest(command, command.claims.length))
}

/** Of a waiter whose turn has come. */
export function turnOverQuota({ state, quota }: Draft, waiter: Waiter): Refusal | null {
  if (!quota) return null
  if (!quota.isEnabled) return instanceDisabled
  return over('held_locks', state.grantCount + waiter.claims.length, quota.heldLocks)
}

export function labelsOverQuota({ state, quota }: Draft, labels: Labels | null): Refusal | null {
  return quota && storedOverQuota({ state, quota }, storedByRequest({ labels, metadata: null, value: null }, 1))
}

export function configOverQuota({ state, quota }: Draft, before: Config | null, after: Config): Refusal | null {
  return quota && storedOverQuota({ state, quota }, storedByConfig(after) - storedByConfig(before))
}

export function valueOverQuota({ state, quota }: Draft, before: Value | null, after: string): Refusal | null {
  return quota && storedOverQuota({ state, quota }, Buffer.byteLength(after) - storedByValue(before))
}

/** What makes it less is welcome, however much there is. */
export function storedOverQuota({ state, quota }: { state: State; quota: Quota }, added: number): Refusal | null {
  return added > 0 ? over('stored_bytes', state.storedBytes + added, quota.storedBytes) : null
}

function over(limit: string, count: number, max: number | null): Refusal | null {
  return max !== null && count > max ? { ok: false, code: 'quota_exceeded', limit, max } : null
}
