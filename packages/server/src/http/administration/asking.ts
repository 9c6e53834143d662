/** What the operations of administration share: who asks, pages of records, and what may be given away. */
import { errors } from '@holdfast/protocol/errors'
import { type Action, SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { type AdministrationOptions, type By, misfit, recordsIn } from '../../administration/administration.ts'
import { groupSubject } from '../../policies/compiled.ts'
import type { Misfit } from '../../policies/fitness.ts'
import { builtInRole, roleIdOf } from '../../policies/roles.ts'
import { keyWithin, type Side } from '../../registry/records.ts'
import type { Call } from '../call.ts'
import { pageOf, pageOptions } from '../pages.ts'
import { type Deed, decide, denial, note } from '../permission.ts'
import { refuse } from '../reply.ts'

export function byOf({ caller, trace }: Pick<Call, 'caller' | 'trace'>): By {
  return { subject: caller.subject, from: caller.address, trace }
}

export function administrationOf({ doors }: Pick<Call, 'doors'>): AdministrationOptions {
  return doors.administration
}

/** Whether the caller may do it in the instance, or everywhere because they run the service. */
export async function mayIn(call: Asking, instance: string, action: Action): Promise<boolean> {
  return (
    (await isIn(call, { action, lock: null, instance })) ||
    (await isIn(call, { action, lock: null, instance: SERVICE_INSTANCE }))
  )
}

type Asking = Pick<Call, 'doors' | 'caller' | 'trace'>

/** @throws {Refused} when it is not known */
async function isIn({ caller, doors, trace }: Asking, deed: Deed): Promise<boolean> {
  const decision = await decide(doors, caller, deed)
  if (decision.isUnknown) throw denial(doors, caller, { deed, decision, trace })
  return decision.permitted
}

/** As who the caller does it: whoever may do it in `default` runs the service, in whichever instance it is done. */
export async function sideOf(call: Asking, action: Action): Promise<Side> {
  return (await isIn(call, { action, lock: null, instance: SERVICE_INSTANCE })) ? 'service' : 'instance'
}

type Paged = Pick<Call, 'request' | 'doors'> & { query: { limit?: number; start?: string } }

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

/** What somebody would have: roles and groups of a key, and what policies give to its subject; or the actions of a role. */
export type Given = {
  roles?: readonly string[]
  groups?: readonly string[]
  /** Of a key whose secret is shown anew. */
  subject?: string
  actions?: readonly Action[]
}

/**
 * Nobody gives what they do not have, unless they may grant anything: a role may be changed by those who may do all of it, and whoever sees the secret of
 * a key has all that it has, from policies too. Rights that somebody has from policies are on some names or conditions; they are not given on. @throws {Refused}
 */
export async function refuseGiving(call: Asking, given: Given): Promise<void> {
  if (hasAll(call, given)) return
  const deed: Deed = { action: 'policy.write', lock: null }
  if (await mayIn(call, call.caller.instance, deed.action)) return
  const refused = refuse(
    'forbidden',
    'You can give the roles and groups that your own credential has, and no key that policies give more; to give others needs `policy.write`.',
  )
  const reason = 'To give more than one has oneself.'
  note(call.doors, call.caller, { deed, trace: call.trace, reason, status: errors.forbidden.status })
  throw refused
}

function hasAll({ caller, doors }: Pick<Call, 'doors' | 'caller'>, given: Given): boolean {
  const { identity, instance } = caller
  const { roles = [], groups = [], subject = identity.subject, actions = [] } = given
  // A role of one's own instance is another one than that of the same name elsewhere.
  const isHome = identity.instance === instance
  const own = new Set(identity.roles.map(roleIdOf).filter(role => isHome || builtInRole(role)))
  if (!roles.every(role => own.has(roleIdOf(role)))) return false
  const member = new Set(identity.groups.map(groupSubject))
  if (!groups.every(group => member.has(groupSubject(group)))) return false
  const { registry } = doors.administration
  const mayDo = new Set<Action>()
  for (const role of own)
    for (const action of builtInRole(role)?.actions ?? registry.get('role', keyWithin(instance, role))?.actions ?? [])
      mayDo.add(action)
  if (!actions.every(action => mayDo.has(action))) return false
  return (
    subject === identity.subject ||
    !recordsIn(doors.administration, 'policy', instance).some(policy => policy.subjects.includes(subject))
  )
}
