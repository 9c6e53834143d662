/** `/v2`: who may do what. Credentials, roles, policies; and instances beside them. */
import { Type } from 'typebox'
import { actions, ifMatchHeader, operation } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-administration-schemas.ts'
import { v2Instances } from './v2-instances.ts'

const shared = { version: 'v2', params: s.noFields, query: s.noFields, body: null } as const

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
  query: v.pageQuery,
  replies: v.pageReply('credentials', v.credentialView),
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
    expires_at: s.optional(s.givenTime),
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
  params: v.idParams,
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
  params: v.idParams,
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
  params: v.idParams,
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
  params: v.idParams,
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
  query: v.pageQuery,
  replies: v.pageReply('roles', v.roleView),
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
  params: v.idParams,
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
  params: v.idParams,
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
  query: v.pageQuery,
  replies: v.pageReply('policies', v.policyView),
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
  params: v.idParams,
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
  errors: ['precondition_failed', 'quota_exceeded'],
  headers: [ifMatchHeader],
  params: v.idParams,
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
  errors: ['not_found', 'precondition_failed'],
  headers: [ifMatchHeader],
  params: v.idParams,
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
    address: s.optional(
      Type.String({
        minLength: 2,
        maxLength: 64,
        pattern: '^[0-9A-Fa-f:.]+$',
        description: 'Where it would come from.',
      }),
    ),
    at: s.optional(s.givenTime),
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
  ...v2Instances,
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
