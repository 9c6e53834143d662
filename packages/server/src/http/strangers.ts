/** Who presents what proves nobody is refused, and noted: the trail names the key, if it was one; so is who is known, and reaches for what is another's. */
import { errors } from '@holdfast/protocol/errors'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Presented } from '../auth/identity.ts'
import { strangerOf } from '../auth/stranger.ts'
import type { Caller } from './caller.ts'
import type { Doors } from './doors.ts'

export function noteStranger(
  { registry, clock }: Pick<Doors, 'registry' | 'clock'>,
  presented: Presented,
  trace: string,
): void {
  if (presented.authorization === undefined) return
  const { subject, instance, target, reason } = strangerOf(presented, { registry, clock })
  registry.note({
    by: subject,
    from: presented.address,
    action: 'authenticate',
    instance,
    target,
    outcome: 'denied',
    status: errors.unauthenticated.status,
    reason,
    trace,
  })
}

/** A session is proved by its secret. Whose it is or whether it is there is not said: anybody can name one. */
export function noteWrongSecret({ registry }: Pick<Doors, 'registry'>, caller: Caller, trace: string): void {
  registry.note({
    by: caller.subject,
    from: caller.address,
    action: 'authenticate',
    instance: caller.instance,
    target: 'session',
    outcome: 'denied',
    status: errors.unauthenticated.status,
    reason: 'The session secret is not valid.',
    trace,
  })
}

/** In the trail of where they come from: that of the instance is not for strangers to write into, and it may be nobody's. */
export function noteIntruder({ registry }: Pick<Doors, 'registry'>, caller: Caller, trace: string): void {
  registry.note({
    by: caller.subject,
    from: caller.address,
    action: 'instance.enter',
    instance: caller.identity.instance ?? SERVICE_INSTANCE,
    target: `instance/${caller.instance}`,
    outcome: 'denied',
    status: errors.not_found.status,
    reason: 'There is no such instance for this credential.',
    trace,
  })
}
