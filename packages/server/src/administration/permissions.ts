/** Roles and policies of an instance, and the plans of the service. */

import { PLANS_MAX, POLICIES_MAX, ROLES_MAX } from '@holdfast/protocol/limits'
import type { Action } from '@holdfast/protocol/operation'
import { keyWithin, type PlanRecord, type PolicyRecord, type RoleRecord } from '../registry/records.ts'
import {
  type AdministrationOptions,
  type By,
  change,
  type Expecting,
  known,
  knownIn,
  newId,
  recordsIn,
  refuseBeyond,
  refuseGone,
} from './administration.ts'

/** Makes the role, or replaces it. */
export async function putRole(
  options: AdministrationOptions,
  by: By,
  { instance, id, title, actions }: { instance: string; id: string; title: string; actions: Action[] },
): Promise<RoleRecord> {
  const stored = keyWithin(instance, id)
  await change(options, { by, action: 'role.write', instance, target: `role/${id}` }, () => {
    refuseGone(options, instance)
    if (!options.registry.get('role', stored))
      refuseBeyond(recordsIn(options, 'role', instance).length, { limit: 'roles', max: ROLES_MAX })
    return [{ kind: 'role', id: stored, value: { id, instance, title, actions } }]
  })
  return known(options, 'role', stored)
}

export async function deleteRole(
  options: AdministrationOptions,
  by: By,
  { instance, id }: { instance: string; id: string },
): Promise<void> {
  const stored = keyWithin(instance, id)
  await change(options, { by, action: 'role.delete', instance, target: `role/${id}`, status: 204 }, () => {
    known(options, 'role', stored)
    return [{ kind: 'role', id: stored, value: null }]
  })
}

export type PolicyFields = Omit<PolicyRecord, 'id' | 'instance'>

/** Makes the policy, or replaces it when `id` is given. */
export async function putPolicy(
  options: AdministrationOptions,
  by: By,
  {
    instance,
    id = newId(options, 'p'),
    fields,
    expects,
  }: { instance: string; id?: string; fields: PolicyFields } & Expecting<PolicyRecord>,
): Promise<PolicyRecord> {
  const stored = keyWithin(instance, id)
  await change(options, { by, action: 'policy.write', instance, target: `policy/${id}` }, () => {
    refuseGone(options, instance)
    const before = options.registry.get('policy', stored)
    expects?.(before)
    if (!before) refuseBeyond(recordsIn(options, 'policy', instance).length, { limit: 'policies', max: POLICIES_MAX })
    return [{ kind: 'policy', id: stored, value: { id, instance, ...fields } }]
  })
  return knownIn(options, 'policy', { instance, id })
}

export async function deletePolicy(
  options: AdministrationOptions,
  by: By,
  { instance, id, expects }: { instance: string; id: string } & Expecting<PolicyRecord>,
): Promise<void> {
  await change(options, { by, action: 'policy.delete', instance, target: `policy/${id}`, status: 204 }, () => {
    const before = knownIn(options, 'policy', { instance, id })
    expects?.(before)
    return [{ kind: 'policy', id: keyWithin(instance, id), value: null }]
  })
}

export async function putPlan(options: AdministrationOptions, by: By, plan: PlanRecord): Promise<PlanRecord> {
  await change(options, { by, action: 'plan.write', instance: null, target: `plan/${plan.id}` }, () => {
    if (!options.registry.get('plan', plan.id))
      refuseBeyond([...options.registry.all('plan')].length, { limit: 'plans', max: PLANS_MAX })
    return [{ kind: 'plan', id: plan.id, value: plan }]
  })
  return known(options, 'plan', plan.id)
}
