/** `/v2`: instances and plans. */
import { Type } from 'typebox'
import { ifMatchHeader, type OperationFields, operation } from './operation.ts'
import * as s from './schemas.ts'
import * as v from './v2-administration-schemas.ts'

const shared = { version: 'v2', params: s.noFields, query: s.noFields, body: null } as const
const instanceParams = s.closed({ instance: v.recordId })

const listPlans = operation({
  ...shared,
  id: 'listPlans',
  tag: 'Instances',
  method: 'GET',
  path: '/v2/plans',
  action: null,
  summary: 'List the plans, with their prices and what a capacity unit buys',
  errors: [],
  query: v.pageQuery,
  replies: v.pageReply('plans', v.planView),
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
  params: v.idParams,
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
  description:
    '`state=reclaimed` lists those that are gone for good, for two months, to those who run the service: their usage can still be asked for.',
  errors: [],
  query: s.closed({ ...v.pageQuery.properties, state: s.optional(v.instanceView.properties.state) }),
  replies: v.pageReply('instances', v.instanceView),
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
  description:
    'Its locks, credentials, policies, limits and trail are nobody else’s. Names are for people: several instances may have one, unless `unique_name` is asked for; deleted ones that can be restored count.',
  errors: ['already_exists', 'quota_exceeded'],
  body: s.closed({
    name: v.recordName,
    plan: v.recordId,
    capacity_units: s.optional(v.capacityUnits),
    region: s.optional(v.region),
    account: s.optional(v.account),
    unique_name: s.optional(
      Type.Boolean({ description: 'Refuse it (`already_exists`) if the account has one of that name already.' }),
    ),
    overrides: s.optional(v.newOverrides),
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
  description:
    'A merge patch (RFC 7386). `overrides` are given by whoever runs the service: they need `instance.update` in `default`.',
  errors: ['not_found', 'precondition_failed', 'quota_exceeded'],
  headers: [ifMatchHeader],
  body: s.closed({
    name: s.optional(v.recordName),
    plan: s.optional(v.recordId),
    capacity_units: s.optional(v.capacityUnits),
    overrides: s.optional(v.overridesPatch),
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
  description: 'One that whoever runs the service has disabled is enabled by them only.',
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
  description:
    'As it was, and disabled if it was disabled. One that whoever runs the service has deleted is restored by them only; one that has begun to be reclaimed, by nobody.',
  errors: ['not_found', 'quota_exceeded'],
  replies: { 200: instanceReply('As it was before it was deleted.') },
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

export const v2Instances = {
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
} as const
