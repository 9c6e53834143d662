/** `/v2/roles` and `/v2/policies`. */
import { v2 } from '@holdfast/protocol/v2'
import type { PolicyView } from '@holdfast/protocol/v2-administration-schemas'
import { type Expecting, knownIn, misfit, recordsIn } from '../../administration/administration.ts'
import * as permissions from '../../administration/permissions.ts'
import { rootIdentity } from '../../auth/authenticator.ts'
import type { Identity } from '../../auth/identity.ts'
import { customRoleMisfit, policyMisfit } from '../../policies/fitness.ts'
import type { Question } from '../../policies/port.ts'
import { roleIdOf } from '../../policies/roles.ts'
import { conditionsFrom } from '../../registry/conditions.ts'
import type { PolicyRecord } from '../../registry/records.ts'
import { answer, type Call, nowAt, route } from '../call.ts'
import { expecting, shown } from '../etag.ts'
import { administrationOf, byOf, isOwnRole, pageOfRecords, refuseGiving, refuseMisfit } from './asking.ts'
import { wireBuiltInRoles, wirePolicy, wireRole } from './views.ts'

const listRoles = route(v2.listRoles, async call => {
  const own = recordsIn(administrationOf(call), 'role', call.caller.instance).map(wireRole)
  const all = [...wireBuiltInRoles, ...own].sort((one, other) => (one.id < other.id ? -1 : 1))
  const { rows, ...page } = pageOfRecords(call, all)
  return answer(200, { roles: rows, ...page })
})

const putRole = route(v2.putRole, async call => {
  const { id } = call.params
  refuseMisfit(customRoleMisfit({ id }))
  const { title = id, actions } = call.body
  await refuseGiving(call, { actions })
  const fields = { instance: call.caller.instance, id, title, actions: [...actions] }
  return answer(200, wireRole(await permissions.putRole(administrationOf(call), byOf(call), fields)))
})

const deleteRole = route(v2.deleteRole, async call => {
  await permissions.deleteRole(administrationOf(call), byOf(call), named(call))
  return answer(204, null)
})

const listPolicies = route(v2.listPolicies, async call => {
  const { rows, ...page } = pageOfRecords(call, recordsIn(administrationOf(call), 'policy', call.caller.instance))
  return answer(200, { policies: rows.map(wirePolicy), ...page })
})

const createPolicy = route(v2.createPolicy, async call => shown(201, await put(call, call.body)))

const getPolicy = route(v2.getPolicy, async call =>
  shown(200, wirePolicy(knownIn(administrationOf(call), 'policy', named(call)))),
)

const putPolicy = route(v2.putPolicy, async call => {
  const expected = expecting(call.request.headers['if-match'], wirePolicy)
  return shown(200, await put(call, call.body, { id: call.params.id, ...expected }))
})

const deletePolicy = route(v2.deletePolicy, async call => {
  const expected = expecting(call.request.headers['if-match'], wirePolicy)
  await permissions.deletePolicy(administrationOf(call), byOf(call), { ...named(call), ...expected })
  return answer(204, null)
})

type Body = Pick<PolicyView, 'subjects' | 'roles'> & Partial<Pick<PolicyView, 'description' | 'locks' | 'conditions'>>
type To = { id?: string } & Expecting<PolicyRecord>

async function put(asked: Pick<Call, 'doors' | 'caller' | 'trace'>, body: Body, to: To = {}): Promise<PolicyView> {
  const { subjects, roles, description = '', locks = ['*'], conditions = {} } = body
  const fields = { subjects, roles: roles.map(roleIdOf), description, locks, conditions: conditionsFrom(conditions) }
  refuseMisfit(policyMisfit(fields, isOwnRole(asked)))
  const record = await permissions.putPolicy(administrationOf(asked), byOf(asked), {
    instance: asked.caller.instance,
    fields,
    ...to,
  })
  return wirePolicy(record)
}

const testPolicy = route(v2.testPolicy, async call => {
  const {
    subject,
    groups,
    action,
    lock = null,
    address = call.caller.address,
    at,
    ttl_ms,
    priority,
    preempt,
    labels,
  } = call.body
  const atMs = at === undefined ? nowAt(call) : Date.parse(at)
  if (Number.isNaN(atMs)) throw misfit('at', 'There is no such day or hour.')
  const identity = identityOf(call, { subject, groups, atMs })
  if (identity === null)
    return answer(200, { permitted: false, why: 'Its key has been revoked, or has expired by then.', looked_at: [] })
  const question: Question = {
    identity,
    instance: call.caller.instance,
    action,
    lock,
    address,
    atMs,
    // Only prefixes are frozen.
    ...(action === 'lock.freeze' && lock !== null && { isPrefix: true }),
    ...(ttl_ms === undefined ? {} : { ttlMs: ttl_ms }),
    ...(priority === undefined ? {} : { priority }),
    ...(preempt === undefined ? {} : { preempt }),
    ...(labels === undefined ? {} : { labels }),
  }
  const { explain } = call.doors.administration
  const asked = explain(question)
  // To take a lock from others is a permission of its own.
  const takes = asked.permitted && action === 'lock.acquire' && (preempt ?? 'never') !== 'never'
  const { permitted, why, policies, roles } = takes ? explain({ ...question, action: 'lock.preempt' }) : asked
  const looked_at = [
    ...roles.map(({ role, permits, why: because }) => ({ policy: `role ${role}`, matches: permits, why: because })),
    ...policies.map(({ policy, permits, why: because }) => ({ policy, matches: permits, why: because })),
  ]
  return answer(200, { permitted, why, looked_at })
})

type Somebody = { subject: string; groups: string[] | undefined; atMs: number }

/** Somebody as they would be known: with the groups and roles of their key, if it is one. null: they would not be, for no key of theirs is good then. */
function identityOf(call: Pick<Call, 'caller' | 'doors'>, { subject, groups, atMs }: Somebody): Identity | null {
  if (subject === rootIdentity.subject) return rootIdentity
  const { instance } = call.caller
  const keys = recordsIn(call.doors.administration, 'credential', instance).filter(key => key.subject === subject)
  const key = keys.find(({ state, expiresAtMs }) => state === 'active' && (expiresAtMs === null || expiresAtMs > atMs))
  if (!key && keys.length > 0) return null
  return {
    subject,
    groups: groups ?? key?.groups ?? [],
    kind: key ? 'key' : 'token',
    credential: key?.id ?? null,
    account: null,
    instance: key ? instance : null,
    roles: key?.roles ?? [],
    expiresAtMs: null,
    scope: null,
  }
}

function named(call: { params: { id: string }; caller: { instance: string } }): { instance: string; id: string } {
  return { instance: call.caller.instance, id: call.params.id }
}

export const permissionRoutes = [
  listRoles,
  putRole,
  deleteRole,
  listPolicies,
  createPolicy,
  getPolicy,
  putPolicy,
  deletePolicy,
  testPolicy,
]
