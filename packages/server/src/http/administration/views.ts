/** Records as the wire shows them, and the other way round. */
import { toSnake } from '@holdfast/protocol/casing'
import type {
  CredentialView,
  InstanceView,
  PlanView,
  PolicyView,
  RoleView,
} from '@holdfast/protocol/v2-administration-schemas'
import { closerOf } from '../../administration/lifecycle.ts'
import { said } from '../../administration/overrides.ts'
import { limitsOf } from '../../instances/plans.ts'
import { builtInRoles } from '../../policies/roles.ts'
import { wireConditions } from '../../registry/conditions.ts'
import type {
  CredentialRecord,
  InstanceRecord,
  Limits,
  PlanRecord,
  PolicyRecord,
  ReclaimedRecord,
  RoleRecord,
} from '../../registry/records.ts'

/** The wire has the same fields as the record, in its own spelling: `Shown` is what the operation declares. */
const spelled = <Shown>(record: object) => toSnake(record) as Shown

/** Of a plan that nobody knows any more. */
const nothing: Limits = {
  operationsPerSecond: 0,
  burstOperations: 0,
  heldLocks: 0,
  sessions: 0,
  waiters: 0,
  watches: 0,
  storedBytes: 0,
}

export function wireInstance(record: InstanceRecord | ReclaimedRecord, plan: PlanRecord | null): InstanceView {
  const closed_by = record.state === 'reclaimed' ? null : closerOf(record)
  return {
    id: record.id,
    name: record.name,
    crn: record.crn,
    account: record.account,
    plan: record.plan,
    capacity_units: record.capacityUnits,
    region: record.region,
    state: record.state,
    ...(closed_by === null ? {} : { closed_by }),
    overrides: spelled(said(record.overrides)),
    limits: spelled(plan ? limitsOf(record, plan) : nothing),
    created_at: timeOf(record.createdAtMs),
    created_by: record.createdBy,
    changed_at: timeOf(record.changedAtMs),
    ...(record.reclaimAtMs === null ? {} : { reclaim_at: timeOf(record.reclaimAtMs) }),
  }
}

export const wirePlan = (record: PlanRecord) => spelled<PlanView>(record)

export function wireCredential(
  record: CredentialRecord,
  { nowMs, lastUsedAtMs = null }: { nowMs: number; lastUsedAtMs?: number | null },
): CredentialView {
  const { id, name, instance, subject, groups, roles, expiresAtMs, replacedBy } = record
  const isOver = expiresAtMs !== null && expiresAtMs <= nowMs
  return {
    id,
    name,
    instance,
    subject,
    groups,
    roles,
    state: record.state === 'active' && isOver ? 'expired' : record.state,
    created_at: timeOf(record.createdAtMs),
    created_by: record.createdBy,
    ...(expiresAtMs === null ? {} : { expires_at: timeOf(expiresAtMs) }),
    ...(replacedBy === null ? {} : { replaced_by: replacedBy }),
    ...(lastUsedAtMs === null ? {} : { last_used_at: timeOf(lastUsedAtMs) }),
  }
}

export function wireRole({ id, title, actions }: RoleRecord): RoleView {
  return { id, title, actions: [...actions], is_built_in: false }
}

export const wireBuiltInRoles: RoleView[] = Object.entries(builtInRoles).map(([id, { title, actions }]) => ({
  id,
  title,
  actions: [...actions],
  is_built_in: true,
}))

export function wirePolicy({
  id,
  instance,
  description,
  subjects,
  roles,
  locks,
  conditions,
}: PolicyRecord): PolicyView {
  return { id, instance, description, subjects, roles, locks, conditions: wireConditions(conditions) }
}

export function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
