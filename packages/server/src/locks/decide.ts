/**
 * The lock service, as a function: what is asked, on this state, at this moment → what is answered, and the entries that make it so.
 *
 * Deterministic: no clock, no I/O, no chance, so that any history can be replayed, explored and judged. The entries have been applied
 * to the state, in order, when it returns (decision 0001); nothing may leave the shard before they are durable.
 */
import { IDEMPOTENCY_KEY_MS } from '@holdfast/protocol/limits'
import { acquire } from './acquire.ts'
import { Draft, type Moment } from './draft.ts'
import { endDelay, pump } from './grants.ts'
import { transfer, validate, writeValue } from './holding.ts'
import type { Command, Decision, Reply } from './model.ts'
import { configure, deleteLock, evict, forceRelease, freeze, list, show, showQueue, thaw } from './operating.ts'
import { endHold, preempt, warnHold } from './preemption.ts'
import { cancel, closeSession, endWait, expireSession, release, releaseSingle } from './release.ts'
import { openSession, renew, renewSingle, showSession } from './sessions.ts'
import { liveSession, placeOf, type State } from './state.ts'

export type { Moment } from './draft.ts'

export function decide(state: State, command: Command, moment: Moment): Decision {
  const draft = new Draft(state, command, moment)
  const reply = answer(draft, command)
  const { entries, touches, followUps, pushes, reports } = draft
  return { reply, entries, touches, followUps, pushes, reports }
}

/** What a session of `/v2` does, by its id. */
type OfSession = Extract<
  Command['type'],
  'acquire' | 'release' | 'renew' | 'close_session' | 'cancel' | 'transfer' | 'write_value'
>
const ofSessions: Record<OfSession, true> = {
  acquire: true,
  release: true,
  renew: true,
  close_session: true,
  cancel: true,
  transfer: true,
  write_value: true,
}

/** The session that `/v1` makes for a grant is that grant's alone, and ends with it: whatever else was done in its name would stand without a session. */
function isOfSingle({ state }: Draft, command: Command): boolean {
  if (!(command.type in ofSessions) || !('session' in command) || typeof command.session !== 'string') return false
  return liveSession(state, command.session)?.record.isSingle === true
}

function answer(draft: Draft, command: Command): Reply {
  if (isOfSingle(draft, command)) return { ok: false, code: 'not_found', what: 'session' }
  switch (command.type) {
    case 'acquire':
      return acquire(draft, command)
    case 'release':
      return release(draft, command)
    case 'renew':
      return renew(draft, command)
    case 'open_session':
      return openSession(draft, command)
    case 'close_session':
      return closeSession(draft, command)
    case 'release_single':
      return releaseSingle(draft, command)
    case 'renew_single':
      return renewSingle(draft, command)
    case 'cancel':
      return cancel(draft, command)
    case 'abandon':
    case 'end_wait':
      return endWait(draft, command)
    case 'transfer':
      return transfer(draft, command)
    case 'write_value':
      return writeValue(draft, command)
    case 'configure':
      return configure(draft, command)
    case 'delete_lock':
      return deleteLock(draft, command)
    case 'force_release':
      return forceRelease(draft, command)
    case 'preempt':
      return preempt(draft, command)
    case 'evict':
      return evict(draft, command)
    case 'freeze':
      return freeze(draft, command)
    case 'thaw':
      return thaw(draft, command)
    case 'expire_session':
      return expireSession(draft, command)
    case 'warn_hold':
      return warnHold(draft, command)
    case 'end_hold':
      return endHold(draft, command)
    case 'end_delay':
      return endOneDelay(draft, command)
    case 'forget_key':
      return forgetKey(draft, command)
    case 'pump':
      pump(draft, command.lock)
      return { ok: true, type: 'done' }
    case 'show':
      return show(draft, command)
    case 'list':
      return list(draft, command)
    case 'queue':
      return showQueue(draft, command)
    case 'validate':
      return validate(draft, command)
    case 'read_value': {
      const value = draft.state.locks.get(command.lock)?.value
      return value ? { ok: true, type: 'value', value } : { ok: false, code: 'not_found', what: 'value' }
    }
    case 'show_session':
      return showSession(draft, command)
    case 'list_freezes':
      return { ok: true, type: 'freezes', freezes: [...draft.state.freezes.values()] }
  }
}

function endOneDelay(draft: Draft, command: Extract<Command, { type: 'end_delay' }>): Reply {
  const delays = draft.state.locks.get(command.lock)?.delays ?? []
  const delay = delays[placeOf(delays, command.token)]
  if (delay && endDelay(draft, delay, { now: command.now === true })) pump(draft, command.lock)
  return { ok: true, type: 'done' }
}

function forgetKey(draft: Draft, command: Extract<Command, { type: 'forget_key' }>): Reply {
  const key = draft.state.keys.get(command.key)
  // Kept for as long as the session that it names, too.
  const isDue = key && key.sinceMs + IDEMPOTENCY_KEY_MS <= draft.now && !draft.state.sessions.has(key.session)
  if (isDue) draft.put({ type: 'forgotten', record: 'key', key: command.key, value: null })
  return { ok: true, type: 'done' }
}
