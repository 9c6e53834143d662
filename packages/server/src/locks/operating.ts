/** What operators do: configure, end by force, freeze, and look. Every change carries its reason into the log. */
import { FREEZES_MAX, LABELS_MAX } from '@holdfast/protocol/limits'
import { mergePatch } from '@holdfast/protocol/merge-patch'
import { compilePattern, matches as matchesName } from '@holdfast/protocol/patterns'
import type { Draft } from './draft.ts'
import { endDelay, endGrant, pump } from './grants.ts'
import type { Lock } from './lock.ts'
import type { Command, Config, IfVersion, Labels, Reply, Session } from './model.ts'
import { beyondLimit } from './queue.ts'
import { configOverQuota } from './quota.ts'
import { grantOf, liveSession } from './state.ts'
import { firstOf, heldView, lockView, waiterView } from './views.ts'
import { TOLD_BYTES_MAX } from './weight.ts'

type Of<Type extends Command['type']> = Extract<Command, { type: Type }>

const empty: Omit<Config, 'lock' | 'version' | 'createdAt' | 'changedAt'> = {
  description: null,
  defaultTtlMs: null,
  maxHoldMs: null,
  lockDelayMs: null,
  preemption: null,
  graceMs: null,
  minHoldMs: null,
  limit: null,
  queueMax: null,
  labels: null,
}

export function configure(draft: Draft, command: Of<'configure'>): Reply {
  const lock = draft.state.locks.get(command.lock)
  const before = lock?.config ?? null
  if (!matches(before, command.ifVersion)) return { ok: false, code: 'precondition_failed' }
  if (draft.isStorageFull) return { ok: false, code: 'storage_full' }
  const misfit = limitMisfit(lock, command)
  if (misfit) return misfit
  const fields = { ...(command.replaces || !before ? empty : before), ...command.fields }
  if (command.labelsPatch) fields.labels = mergePatch(fields.labels ?? {}, command.labelsPatch)
  const labelled = labelsMisfit(fields.labels)
  if (labelled) return labelled
  const config: Config = {
    ...fields,
    lock: command.lock,
    version: draft.number(),
    createdAt: before?.createdAt ?? draft.at,
    changedAt: draft.at,
  }
  const over = configOverQuota(draft, before, config)
  if (over) return over
  draft.put({ type: 'configured', record: 'config', lock: command.lock, value: config, why: { by: draft.by } })
  endWaitsBeyond(draft, command.lock)
  pump(draft, command.lock)
  const view = lockView(draft.state, command.lock, draft.now)
  if (!view) throw new Error('a lock that was configured is not there')
  return { ok: true, type: 'configured', isNew: before === null, lock: view }
}

/** Who waits for more permits than there are now is told so soon; if not, for an owner may end before that, when its turn comes. */
function endWaitsBeyond(draft: Draft, name: string): void {
  const lock = draft.state.locks.get(name)
  if (!lock?.config?.limit) return
  for (const waiter of lock.queue) {
    const refusal = beyondLimit(draft.state, waiter)
    if (refusal) draft.follow({ type: 'abandon', ticket: waiter.ticket, refusal, by: 'service' })
  }
}

function matches(config: Config | null, ifVersion: IfVersion): boolean {
  if (ifVersion === null) return true
  if (config === null || ifVersion === '*') return config !== null
  return typeof ifVersion === 'number' ? config.version === ifVersion : ifVersion.includes(config.version)
}

function limitMisfit(lock: Lock | undefined, command: Of<'configure'>): (Reply & { ok: false }) | null {
  const present = lock?.grants[0]?.mode ?? lock?.queue[0]?.claims.find(claim => claim.lock === command.lock)?.mode
  if (!command.fields.limit || !present || present === 'permits') return null
  return {
    ok: false,
    code: 'invalid_request',
    field: 'limit',
    message: 'The lock is in use as an ordinary lock; it cannot become a semaphore now.',
  }
}

/** What is merged can be too much though neither part was. */
function labelsMisfit(labels: Labels | null): (Reply & { ok: false }) | null {
  if (Object.keys(labels ?? {}).length <= LABELS_MAX) return null
  const message = `A lock has at most ${LABELS_MAX} labels; take some away with null.`
  return { ok: false, code: 'invalid_request', field: 'labels', message }
}

/** Forgets the configuration and the value of a lock that nobody holds or waits for. */
export function deleteLock(draft: Draft, command: Of<'delete_lock'>): Reply {
  const lock = draft.state.locks.get(command.lock)
  if (!lock) return { ok: false, code: 'not_found', what: 'lock' }
  if (!matches(lock.config, command.ifVersion)) return { ok: false, code: 'precondition_failed' }
  if (lock.grants.length > 0 || lock.queue.length > 0 || lock.delays.length > 0) {
    const reason = lock.grants.length > 0 ? 'held' : lock.queue.length > 0 ? 'queued' : 'delayed'
    const held = heldView(draft.state, [{ lock: command.lock }], { now: draft.now, session: null })
    return { ok: false, code: 'lock_held', reason, held }
  }
  const { config, value } = lock
  if (value)
    draft.put({
      type: config ? 'forgotten' : 'deleted',
      record: 'value',
      lock: command.lock,
      value: null,
      why: { by: draft.by },
    })
  if (config) draft.put({ type: 'deleted', record: 'config', lock: command.lock, value: null, why: { by: draft.by } })
  return { ok: true, type: 'done' }
}

/** Grants of one lock that one decision ends; fewer, if their holders carry much: each says why, to its holder and to who reads the trail, and all must fit one batch. */
export const ENDED_AT_ONCE = 128

/** Ends grants over their holders' heads. The next grant still waits for the last promise made to them, unless `now` says otherwise. */
export function forceRelease(draft: Draft, command: Of<'force_release'>): Reply {
  const lock = draft.state.locks.get(command.lock)
  if (!lock) return { ok: false, code: 'not_found', what: 'lock' }
  const named = command.token === null ? null : grantOf(lock, command.token)
  if (command.token !== null && !named) return { ok: false, code: 'stale_token' }
  const grants = named ? [named] : [...lock.grants]
  const { by } = draft
  const ended: { lock: string; token: number; holder: string }[] = []
  for (const grant of grants) {
    const { lock: name, token, holder } = grant
    // The rest in turns of their own: all that is said of so many would not fit a batch.
    if (ended.length >= ENDED_AT_ONCE || !draft.fits(TOLD_BYTES_MAX)) {
      draft.follow({ ...command, lock: name, token, by })
      continue
    }
    const promiseUntilMs = command.now ? 0 : (liveSession(draft.state, grant.session)?.deadlineMs ?? draft.now)
    // The operator's `now` means now: no lock-delay either.
    endGrant(draft, grant, { type: 'forced', reason: command.reason, isUnclean: !command.now, promiseUntilMs })
    ended.push({ lock: name, token, holder })
  }
  for (const delay of command.now ? [...lock.delays] : []) {
    if (draft.fits(TOLD_BYTES_MAX)) endDelay(draft, delay, { now: true })
    else draft.follow({ type: 'end_delay', lock: delay.lock, token: delay.token, now: true, by })
  }
  pump(draft, command.lock)
  return { ok: true, type: 'ended', grants: ended, left: grants.length - ended.length }
}

export function freeze(draft: Draft, command: Of<'freeze'>): Reply {
  const { state } = draft
  if (!state.freezes.has(command.prefix) && state.freezes.size >= FREEZES_MAX) {
    return { ok: false, code: 'quota_exceeded', limit: 'freezes', max: FREEZES_MAX }
  }
  if (command.untilAt <= draft.at)
    return { ok: false, code: 'invalid_request', field: 'until', message: '`until` must lie in the future.' }
  const value = {
    prefix: command.prefix,
    number: draft.number(),
    untilAt: command.untilAt,
    reason: command.reason,
    by: draft.by,
    at: draft.at,
  }
  draft.put({
    type: 'frozen',
    record: 'freeze',
    prefix: command.prefix,
    value,
    why: { by: draft.by, reason: command.reason },
  })
  return { ok: true, type: 'frozen', freeze: value }
}

/** Lifts a freeze, by an operator or because its time has come; those who waited are served in the next turns. */
export function thaw(draft: Draft, command: Of<'thaw'>): Reply {
  if (!draft.state.freezes.has(command.prefix)) return { ok: false, code: 'not_found', what: 'freeze' }
  draft.put({ type: 'thawed', record: 'freeze', prefix: command.prefix, value: null, why: { by: draft.by } })
  const waiting = new Set<string>()
  for (const waiter of draft.state.tickets.values()) {
    for (const claim of waiter.claims) if (claim.lock.startsWith(command.prefix)) waiting.add(claim.lock)
  }
  for (const lock of waiting) draft.follow({ type: 'pump', lock, by: 'service' })
  return { ok: true, type: 'done' }
}

/** More than that would make one turn long. */
const EVICTED_AT_ONCE = 1_000

/**
 * Whoever opened these sessions may do nothing any more. Its grants end by force, so that the next ones wait for what its clients have been
 * promised (SAFETY P14); the sessions themselves nobody can renew, and closing them would end that promise. `left`: all that there was, as nothing of it has ended
 * yet; whoever asks until nothing is left knows that it has, whatever became of an owner.
 */
export function evict(draft: Draft, command: Of<'evict'>): Reply {
  const { by } = draft
  const { reason } = command
  let left = 0
  for (const { record, grants, waits } of draft.state.sessions.values()) {
    if (!record || !isOpenedBy(record, command)) continue
    for (const { ticket } of waits) if (left++ < EVICTED_AT_ONCE) draft.follow({ type: 'abandon', ticket, by })
    for (const { lock, token } of grants)
      if (left++ < EVICTED_AT_ONCE) draft.follow({ type: 'force_release', lock, token, reason, now: false, by })
  }
  return { ok: true, type: 'released', left, confers: null }
}

/** A session of before its key was noted may be any key's of its subject. */
function isOpenedBy({ by, credential }: Session, { subject, ...asked }: Of<'evict'>): boolean {
  if (by !== subject) return false
  if (asked.credential === undefined) return true
  return credential === undefined ? asked.isShared !== true : credential === asked.credential
}

export function show(draft: Draft, command: Of<'show'>): Reply {
  const lock = lockView(draft.state, command.lock, draft.now)
  return lock ? { ok: true, type: 'lock', lock } : { ok: false, code: 'not_found', what: 'lock' }
}

export function showQueue(draft: Draft, command: Of<'queue'>): Reply {
  const lock = lockView(draft.state, command.lock, draft.now)
  if (!lock) return { ok: false, code: 'not_found', what: 'lock' }
  const queue = draft.state.locks.get(command.lock)?.queue ?? []
  const waiters = firstOf(queue, (waiter, index) =>
    waiterView(waiter, { lock: command.lock, position: index + 1 }, draft.now),
  )
  return { ok: true, type: 'queue', lock, waiters }
}

/** The locks under the prefix, by name: `limit` of them, or as many as one reply holds. */
export function list(draft: Draft, command: Of<'list'>): Reply {
  const names = firstNames(draft.state.locks.keys(), command)
  const locks = firstOf(names.slice(0, command.limit), name => lockView(draft.state, name, draft.now))
  return { ok: true, type: 'locks', locks, more: names.length > locks.length }
}

/** The first `limit + 1` names beyond `after`, in order, in one pass over all: a page of a million locks must not sort them. */
function firstNames(names: Iterable<string>, page: Omit<Of<'list'>, 'type' | 'by'>): string[] {
  const only = page.only?.map(compilePattern)
  const keep = page.limit + 1
  let found: string[] = []
  let highest: string | null = null
  for (const name of names) {
    if (!name.startsWith(page.prefix) || (page.after !== null && name <= page.after)) continue
    if (highest !== null && name >= highest) continue
    if (only && !only.some(pattern => matchesName(pattern, name))) continue
    found.push(name)
    if (found.length < keep * 2) continue
    found = found.sort(byCode).slice(0, keep)
    highest = found[keep - 1] ?? null
  }
  return found.sort(byCode).slice(0, keep)
}

function byCode(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
