/** What the operations of administration share: who asks, pages of records, and what may be given away. */
import { type Action, SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { type AdministrationOptions, type By, misfit } from '../../administration/administration.ts'
import type { Misfit } from '../../policies/fitness.ts'
import { roleIdOf } from '../../policies/roles.ts'
import { keyWithin } from '../../registry/records.ts'
import type { Call } from '../call.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { decide } from '../permission.ts'
import { refuse } from '../reply.ts'

export function byOf({ caller, trace }: Pick<Call, 'caller' | 'trace'>): By {
  return { subject: caller.subject, from: caller.address, trace }
}

export function administrationOf({ doors }: Pick<Call, 'doors'>): AdministrationOptions {
  return doors.administration
}

/** Whether the caller may do it in the instance, or everywhere because they run the service. */
export async function mayIn(call: Pick<Call, 'doors' | 'caller'>, instance: string, action: Action): Promise<boolean> {
  const { caller, doors } = call
  if ((await decide(doors, caller, { action, lock: null, instance })).permitted) return true
  return (await decide(doors, caller, { action, lock: null, instance: SERVICE_INSTANCE })).permitted
}

type Paged = Pick<Call, 'request'> & { query: { limit?: number; start?: string } }

/** A page of `records`, which are in the order of their ids. */
export function pageOfRecords<Row extends { id: string }>(
  call: Paged,
  records: Iterable<Row>,
): { rows: Row[] } & ReturnType<typeof pageOf> {
  const { limit, after } = pageOptions(call.query)
  const rows: Row[] = []
  let more = false
  for (const record of records) {
    if (after !== null && record.id <= after) continue
    if (rows.length === limit) {
      more = true
      break
    }
    rows.push(record)
  }
  return { rows, ...pageOf(call, { limit, last: more ? rows.at(-1)?.id : undefined }) }
}

/** @throws {HoldfastError} when it does not fit */
export function refuseMisfit(found: Misfit | null): void {
  if (found) throw misfit(found.field, found.message)
}

/** Whether the instance has a role of its own of that id. */
export function isOwnRole(call: Pick<Call, 'doors' | 'caller'>): (id: string) => boolean {
  const { registry } = call.doors.administration
  return id => registry.get('role', keyWithin(call.caller.instance, id)) !== null
}

/** Nobody gives what they do not have, unless they may grant anything. @throws {Refused} */
export async function refuseGiving(call: Pick<Call, 'doors' | 'caller'>, roles: readonly string[]): Promise<void> {
  const { identity } = call.caller
  const own = new Set(identity.roles.map(roleIdOf))
  if (roles.every(role => own.has(roleIdOf(role)))) return
  if (await mayIn(call, call.caller.instance, 'policy.write')) return
  throw refuse('forbidden', 'You can give the roles that your own credential has; to give others needs `policy.write`.')
}
