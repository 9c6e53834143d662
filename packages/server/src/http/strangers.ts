/** Who presents what proves nobody is refused, and noted: the trail names the key, if it was one. */
import { errors } from '@holdfast/protocol/errors'
import type { Presented } from '../auth/identity.ts'
import { strangerOf } from '../auth/stranger.ts'
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
