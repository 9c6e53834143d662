/** `/v2`: who may do what. Instances and plans, credentials, roles, policies. */
import { type TSchema, Type } from 'typebox'
import { actions, type OperationFields, operation } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-administration-schemas.ts'

const page = s.closed({ limit: s.optional(s.pageLimitQuery), start: s.optional(s.pageStart) })
const idParams = s.closed({ id: v.recordId })
const instanceParams = s.closed({ instance: v.recordId })

function pageReply<const Name extends string, const Row extends TSchema>(name: Name, row: Row) {
  // A computed key widens to `string`; it is `Name`.
  const rows = { [name]: Type.Array(row) } as Record<Name, ReturnType<typeof Type.Array<Row>>>
  return {
    200: {
      description: 'A page, ordered by id.',
      body: s.closed({ ...rows, limit: s.pageLimit, first: s.pageLink, next: s.optional(s.nextLink) }),
    },
  }
}

const shared = { version: 'v2', params: s.noFields, query: s.noFields, body: null } as const

const listPlans = operation({
  ...shared,
  id: 'listPlans',
  tag: 'Instances',
  method: 'GET',
  path: '/v2/plans',
  action: null,
  summary: 'List the plans, with their prices and what a capacity unit buys',
  errors: [],
  query: page,
  replies: pageReply('plans', v.planView),
})

const putPlan = operation({
  ...shared,
  id: 'putPlan',
  tag: 'Instances',
  method: 'PUT',
  path: '/v2/plans/{id}',
  action: 'plan.write',
  scope: 'service',
  summary: 'Offer, change or retire a plan',
  errors: ['quota_exceeded'],
  params: idParams,
  body: Type.Omit(v.planView, ['id'], { additionalProperties: false }),
  replies: { 200: { description: 'The plan.', body: v.planView } },
})

const listInstances = operation({
  ...shared,
  id: 'listInstances',
  tag: 'Instances',
  method: 'GET',
  path: '/v2/instances',
  action: null,
  summary: 'List the instances that you may see',
  errors: [],
  query: page,
  replies: pageReply('instances', v.instanceView),
})

const instanceReply = (description: string) => ({ description, body: v.instanceView })

const createInstance = operation({
  ...shared,
  id: 'createInstance',
  tag: 'Instances',
  method: 'POST',
  path: '/v2/instances',
  action: 'instance.create',
  scope: 'service',
  summary: 'Give a team an instance of its own',
  description: 'Its locks, credentials, policies, limits and trail are nobody else’s.',
  errors: ['quota_exceeded'],
  body: s.closed({
    name: v.recordName,
    plan: v.recordId,
    capacity_units: s.optional(v.capacityUnits),
    region: s.optional(v.region),
    account: s.optional(v.account),
    overrides: s.optional(v.overrides),
  }),
  bodyExample: { name: 'payments', plan: 'standard', capacity_units: 20 },
  replies: { 201: instanceReply('Created.') },
})

const namedInstance = {
  ...shared,
  tag: 'Instances',
  scope: 'named_instance',
  params: instanceParams,
} as const satisfies Partial<OperationFields>

const getInstance = operation({
  ...namedInstance,
  id: 'getInstance',
  method: 'GET',
  path: '/v2/instances/{instance}',
  action: 'instance.read',
  summary: 'Look at an instance',
  errors: ['not_found'],
  replies: { 200: instanceReply('The instance.') },
})

const patchInstance = operation({
  ...namedInstance,
  id: 'patchInstance',
  method: 'PATCH',
  path: '/v2/instances/{instance}',
  action: 'instance.update',
  summary: 'Rename or resize an instance, or change its plan',
  errors: ['not_found'],
  body: s.closed({
    name: s.optional(v.recordName),
    plan: s.optional(v.recordId),
    capacity_units: s.optional(v.capacityUnits),
    overrides: s.optional(v.overrides),
  }),
  bodyExample: { capacity_units: 50 },
  replies: { 200: instanceReply('The instance, as it is now.') },
})

const enableInstance = operation({
  ...namedInstance,
  id: 'enableInstance',
  method: 'POST',
  path: '/v2/instances/{instance}/enable',
  action: 'instance.enable',
  summary: 'Let an instance be used again',
  errors: ['not_found'],
  replies: { 200: instanceReply('It is active.') },
})

const disableInstance = operation({
  ...namedInstance,
  id: 'disableInstance',
  method: 'POST',
  path: '/v2/instances/{instance}/disable',
  action: 'instance.enable',
  summary: 'Cut off all access to an instance; nothing of it is lost',
  errors: ['not_found'],
  replies: { 200: instanceReply('It is disabled.') },
})

const deleteInstance = operation({
  ...namedInstance,
  id: 'deleteInstance',
  method: 'DELETE',
  path: '/v2/instances/{instance}',
  action: 'instance.delete',
  summary: 'Delete an instance; for a week it can be restored',
  errors: ['not_found'],
  replies: { 200: instanceReply('Disabled, and gone for good at `reclaim_at`.') },
})

const restoreInstance = operation({
  ...namedInstance,
  id: 'restoreInstance',
  method: 'POST',
  path: '/v2/instances/{instance}/restore',
  action: 'instance.delete',
  summary: 'Take a deleted instance back',
  errors: ['not_found'],
  replies: { 200: instanceReply('It is active.') },
})

const reclaimInstance = operation({
  ...namedInstance,
  id: 'reclaimInstance',
  method: 'POST',
  path: '/v2/instances/{instance}/reclaim',
  action: 'instance.delete',
  summary: 'Let a deleted instance go for good, now',
  errors: ['not_found'],
  replies: { 204: { description: 'Gone.', body: null } },
})

const credentialErrors = ['not_found', 'quota_exceeded'] as const

const listCredentials = operation({
  ...shared,
  id: 'listCredentials',
  tag: 'Credentials',
  method: 'GET',
  path: '/v2/credentials',
  action: 'credential.read',
  summary: 'List the credentials of the instance, without their secrets',
  errors: [],
  query: page,
  replies: pageReply('credentials', v.credentialView),
})

const createCredential = operation({
  ...shared,
  id: 'createCredential',
  tag: 'Credentials',
  method: 'POST',
  path: '/v2/credentials',
  action: 'credential.create',
  summary: 'Make an API key',
  description: 'The key is in this reply and nowhere else. Nobody can give roles that they do not have.',
  errors: ['quota_exceeded'],
  body: s.closed({
    name: v.recordName,
    roles: s.optional(v.roles),
    groups: s.optional(v.credentialView.properties.groups),
    expires_at: s.optional(s.timestamp),
  }),
  bodyExample: { name: 'deployer', roles: ['writer'] },
  replies: { 201: { description: 'The credential and its key.', body: v.newCredential } },
})

const getCredential = operation({
  ...shared,
  id: 'getCredential',
  tag: 'Credentials',
  method: 'GET',
  path: '/v2/credentials/{id}',
  action: 'credential.read',
  summary: 'Look at a credential, without its secret',
  errors: ['not_found'],
  params: idParams,
  replies: { 200: { description: 'The credential.', body: v.credentialView } },
})

const rotateCredential = operation({
  ...shared,
  id: 'rotateCredential',
  tag: 'Credentials',
  method: 'POST',
  path: '/v2/credentials/{id}/rotate',
  action: 'credential.update',
  summary: 'Make a new key with the same rights; the old one goes on for a while',
  errors: credentialErrors,
  params: idParams,
  body: s.closed({ overlap_ms: s.optional(s.durationMs) }),
  bodyExample: { overlap_ms: 86_400_000 },
  replies: { 201: { description: 'The new credential and its key.', body: v.newCredential } },
})

const revokeCredential = operation({
  ...shared,
  id: 'revokeCredential',
  tag: 'Credentials',
  method: 'POST',
  path: '/v2/credentials/{id}/revoke',
  action: 'credential.update',
  summary: 'End a key, its connections and streams, and if wished its sessions',
  errors: ['not_found'],
  params: idParams,
  body: s.closed({
    end_sessions: s.optional(Type.Boolean({ description: 'What its sessions hold is released too.' })),
    reason: s.optional(s.reason),
  }),
  replies: { 200: { description: 'Revoked.', body: v.credentialView } },
})

const deleteCredential = operation({
  ...shared,
  id: 'deleteCredential',
  tag: 'Credentials',
  method: 'DELETE',
  path: '/v2/credentials/{id}',
  action: 'credential.delete',
  summary: 'Delete a credential, and end it if it is active',
  errors: ['not_found'],
  params: idParams,
  replies: { 204: { description: 'Deleted.', body: null } },
})

const listRoles = operation({
  ...shared,
  id: 'listRoles',
  tag: 'Roles and policies',
  method: 'GET',
  path: '/v2/roles',
  action: 'role.read',
  summary: 'List the roles, built in and own',
  errors: [],
  query: page,
  replies: pageReply('roles', v.roleView),
})

const putRole = operation({
  ...shared,
  id: 'putRole',
  tag: 'Roles and policies',
  method: 'PUT',
  path: '/v2/roles/{id}',
  action: 'role.write',
  summary: 'Make or change a role of the instance’s own',
  errors: ['quota_exceeded'],
  params: idParams,
  body: s.closed({
    title: s.optional(v.recordName),
    actions: Type.Array(Type.Enum([...actions]), { minItems: 1, maxItems: actions.length, uniqueItems: true }),
  }),
  bodyExample: { actions: ['lock.read', 'lock.force-release'] },
  replies: { 200: { description: 'The role.', body: v.roleView } },
})

const deleteRole = operation({
  ...shared,
  id: 'deleteRole',
  tag: 'Roles and policies',
  method: 'DELETE',
  path: '/v2/roles/{id}',
  action: 'role.write',
  summary: 'Delete a role; policies that name it grant nothing by it any more',
  errors: ['not_found'],
  params: idParams,
  replies: { 204: { description: 'Deleted.', body: null } },
})

const listPolicies = operation({
  ...shared,
  id: 'listPolicies',
  tag: 'Roles and policies',
  method: 'GET',
  path: '/v2/policies',
  action: 'policy.read',
  summary: 'List the policies of the instance',
  errors: [],
  query: page,
  replies: pageReply('policies', v.policyView),
})

const createPolicy = operation({
  ...shared,
  id: 'createPolicy',
  tag: 'Roles and policies',
  method: 'POST',
  path: '/v2/policies',
  action: 'policy.write',
  summary: 'Grant roles to subjects or groups on the locks that patterns name',
  errors: ['quota_exceeded'],
  body: v.policyBody,
  bodyExample: {
    subjects: ['group:payments'],
    roles: ['writer'],
    locks: ['payments/*'],
    conditions: { max_ttl_ms: 60_000 },
  },
  replies: { 201: { description: 'The policy.', body: v.policyView } },
})

const getPolicy = operation({
  ...shared,
  id: 'getPolicy',
  tag: 'Roles and policies',
  method: 'GET',
  path: '/v2/policies/{id}',
  action: 'policy.read',
  summary: 'Look at a policy',
  errors: ['not_found'],
  params: idParams,
  replies: { 200: { description: 'The policy.', body: v.policyView } },
})

const putPolicy = operation({
  ...shared,
  id: 'putPolicy',
  tag: 'Roles and policies',
  method: 'PUT',
  path: '/v2/policies/{id}',
  action: 'policy.write',
  summary: 'Make or replace a policy',
  errors: ['quota_exceeded'],
  params: idParams,
  body: v.policyBody,
  replies: { 200: { description: 'The policy.', body: v.policyView } },
})

const deletePolicy = operation({
  ...shared,
  id: 'deletePolicy',
  tag: 'Roles and policies',
  method: 'DELETE',
  path: '/v2/policies/{id}',
  action: 'policy.write',
  summary: 'Delete a policy',
  errors: ['not_found'],
  params: idParams,
  replies: { 204: { description: 'Deleted.', body: null } },
})

const testPolicy = operation({
  ...shared,
  id: 'testPolicy',
  tag: 'Roles and policies',
  method: 'POST',
  path: '/v2/policies/test',
  action: 'policy.test',
  summary: 'Whether somebody may do something, and why',
  errors: [],
  body: s.closed({
    subject: v.subject,
    groups: s.optional(v.credentialView.properties.groups),
    action: Type.Enum([...actions]),
    lock: s.optional(s.lockName),
    address: s.optional(Type.String({ maxLength: 64 })),
    at: s.optional(s.timestamp),
    ttl_ms: s.optional(s.ttlMs),
    priority: s.optional(s.priority),
    preempt: s.optional(s.preemption),
    labels: s.optional(s.labels),
  }),
  bodyExample: { subject: 'key:k-1', action: 'lock.acquire', lock: 'payments/42' },
  replies: {
    200: {
      description: 'The decision.',
      body: s.closed({
        permitted: Type.Boolean(),
        why: Type.String(),
        looked_at: Type.Array(s.closed({ policy: Type.String(), matches: Type.Boolean(), why: Type.String() })),
      }),
    },
  },
})

export const v2Administration = {
  listPlans,
  putPlan,
  listInstances,
  createInstance,
  getInstance,
  patchInstance,
  enableInstance,
  disableInstance,
  deleteInstance,
  restoreInstance,
  reclaimInstance,
  listCredentials,
  createCredential,
  getCredential,
  rotateCredential,
  revokeCredential,
  deleteCredential,
  listRoles,
  putRole,
  deleteRole,
  listPolicies,
  createPolicy,
  getPolicy,
  putPolicy,
  deletePolicy,
  testPolicy,
} as const
