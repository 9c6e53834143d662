/**
 * The one way in which a door asks whether something is permitted, and what becomes of a no: it is refused in one form and written down. What may
 * not be read answers like what is not there; that is the routes' business (`absent` in call.ts).
 */
import { errors } from '@holdfast/protocol/errors'
import type { LockEvent } from '@holdfast/protocol/events'
import type { Action } from '@holdfast/protocol/operation'
import { type Decision, type Question, type Verdict, verdictOf } from '../policies/port.ts'
import { type Caller, instanceRefusal } from './caller.ts'
import type { Doors } from './doors.ts'
import { endedRefusal } from './ended.ts'
import { Refused } from './reply.ts'
import { whenKnown } from './when-known.ts'

/** What is to be done, without who does it. */
export type Deed = Pick<Question, 'action' | 'lock'> &
  Partial<Pick<Question, 'isPrefix' | 'isEarly' | 'ttlMs' | 'priority' | 'preempt' | 'labels'>> & {
    /** Something under this prefix: each name is asked about later. */
    under?: string
    /** Other than the caller's own. */
    instance?: string
  }

export function decide(doors: Doors, caller: Caller, deed: Deed): Decision | Promise<Decision> {
  const question = questionOf(doors, caller, deed)
  const { under } = deed
  if (under === undefined) return doors.permissions.decide(question)
  return whenKnown(doors.permissions.mayAny({ ...question, prefix: under }), isAny =>
    isAny === null ? anywhere : isAny ? somewhere : nowhere,
  )
}

/** Field by field: this is asked for each message of a connection. */
export function questionOf({ clock }: Doors, caller: Caller, deed: Deed): Question {
  const question: Question = {
    identity: caller.identity,
    instance: deed.instance ?? caller.instance,
    action: deed.action,
    lock: deed.lock,
    address: caller.address,
    atMs: clock.wallMs(),
  }
  if (deed.isPrefix !== undefined) question.isPrefix = deed.isPrefix
  if (deed.isEarly !== undefined) question.isEarly = deed.isEarly
  if (deed.ttlMs !== undefined) question.ttlMs = deed.ttlMs
  if (deed.priority !== undefined) question.priority = deed.priority
  if (deed.preempt !== undefined) question.preempt = deed.preempt
  if (deed.labels !== undefined) question.labels = deed.labels
  return question
}

/** Whether all are permitted now. */
export function areAllPermitted(doors: Doors, caller: Caller, deeds: readonly Deed[]): Verdict | Promise<Verdict> {
  const later: Promise<Decision>[] = []
  for (const deed of deeds) {
    const decision = decide(doors, caller, deed)
    if (decision instanceof Promise) later.push(decision)
    else if (!decision.permitted) return verdictOf(decision)
  }
  if (later.length === 0) return true
  return Promise.all(later).then(all => {
    const verdicts = all.map(verdictOf)
    return verdicts.includes(false) ? false : verdicts.includes(null) ? null : true
  })
}

const somewhere: Decision = { permitted: true, why: 'Some names under the prefix are permitted.', policy: null }
const nowhere: Decision = { permitted: false, why: 'No name under the prefix is permitted.', policy: null }
const anywhere: Decision = {
  permitted: false,
  why: 'The decision point does not answer.',
  policy: null,
  isUnknown: true,
}

/** Whether it is certain that there is nothing in the instance that they could read: to be told so tells nothing of any name. */
export function readsNothing(doors: Doors, caller: Caller): boolean {
  return doors.permissions.patterns(questionOf(doors, caller, { action: 'lock.read', lock: null }))?.length === 0
}

/** Whether something is permitted that is only shown or left out. What would have to be fetched is left out. */
export function sees(doors: Doors, caller: Caller, deed: Deed): boolean {
  const decision = decide(doors, caller, deed)
  return !(decision instanceof Promise) && decision.permitted
}

/** The same for an event: a freeze is about all names under a prefix, and shown to whoever watches one of them. */
export function seesEvent(doors: Doors, caller: Caller, event: LockEvent): Verdict | Promise<Verdict> {
  const deed: Deed = { action: 'lock.watch', lock: event.lock }
  if (isOfFreeze(event)) deed.under = event.lock
  return whenKnown(decide(doors, caller, deed), verdictOf)
}

function isOfFreeze({ type, reason }: LockEvent): boolean {
  return type === 'frozen' || (type === 'freed' && reason === 'thawed')
}

/** The refusal of what is not permitted, which is noted in the trail. */
export function denial(
  doors: Doors,
  caller: Caller,
  { deed, decision, trace }: { deed: Deed; decision: Decision; trace: string },
): Refused {
  const refused = decision.isUnknown
    ? endedRefusal('permission_unknown')
    : (instanceRefusal(doors, deed.instance ?? caller.instance) ?? forbidden(deed.action, decision))
  note(doors, caller, { deed, trace, reason: decision.why, status: errors[refused.wire.code].status })
  return refused
}

export function note(
  doors: Doors,
  caller: Caller,
  { deed, trace, reason, status }: { deed: Deed; trace: string; reason: string; status: number },
): void {
  doors.registry.note({
    by: caller.subject,
    from: caller.address,
    action: deed.action,
    instance: deed.instance ?? caller.instance,
    target: targetOf(deed, caller),
    // What nobody could decide has not been denied.
    outcome: status >= 500 ? 'failure' : 'denied',
    status,
    reason,
    trace,
  })
}

function targetOf({ lock, under, isPrefix, instance }: Deed, caller: Caller): string {
  if (under !== undefined || (isPrefix && lock !== null)) return `locks/${under ?? lock}*`
  return lock === null ? `instance/${instance ?? caller.instance}` : `lock/${lock}`
}

function forbidden(action: Action, { condition }: Decision): Refused {
  const message = `The credential does not permit \`${action}\` here${condition ? `: ${condition}` : '.'}`
  return new Refused({ code: 'forbidden', message })
}
