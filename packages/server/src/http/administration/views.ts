/** Records as the wire shows them, and the other way round. */
import type {
  CredentialView,
  InstanceView,
  PlanView,
  PolicyView,
  RoleView,
  WireConditions,
} from '@holdfast/protocol/v2-administration-schemas'
import { limitsOf } from '../../instances/plans.ts'
import { builtInRoles } from '../../policies/roles.ts'
import type {
  Conditions,
  CredentialRecord,
  InstanceRecord,
  Limits,
  PlanRecord,
  PolicyRecord,
  RoleRecord,
} from '../../registry/records.ts'

type WireLimits = InstanceView['limits']

export function wireLimits(limits: Limits): WireLimits {
  return {
    operations_per_second: limits.operationsPerSecond,
    burst_operations: limits.burstOperations,
    held_locks: limits.heldLocks,
    sessions: limits.sessions,
    waiters: limits.waiters,
    watches: limits.watches,
    stored_bytes: limits.storedBytes,
  }
}

export function limitsFrom(wire: WireLimits): Limits {
  return {
    operationsPerSecond: wire.operations_per_second,
    burstOperations: wire.burst_operations,
    heldLocks: wire.held_locks,
    sessions: wire.sessions,
    waiters: wire.waiters,
    watches: wire.watches,
    storedBytes: wire.stored_bytes,
  }
}

const names = {
  operations_per_second: 'operationsPerSecond',
  burst_operations: 'burstOperations',
  held_locks: 'heldLocks',
  sessions: 'sessions',
  waiters: 'waiters',
  watches: 'watches',
  stored_bytes: 'storedBytes',
} as const satisfies Record<keyof WireLimits, keyof Limits>

export function overridesFrom(wire: Partial<WireLimits>): Partial<Limits> {
  const limits: Partial<Limits> = {}
  for (const [name, own] of Object.entries(names)) {
    // The names of the table above.
    const value = wire[name as keyof WireLimits]
    if (value !== undefined) limits[own] = value
  }
  return limits
}

function wireOverrides(limits: Partial<Limits>): Partial<WireLimits> {
  const wire: Partial<WireLimits> = {}
  for (const [name, own] of Object.entries(names)) {
    const value = limits[own]
    // As above.
    if (value !== undefined) wire[name as keyof WireLimits] = value
  }
  return wire
}

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

export function wireInstance(record: InstanceRecord, plan: PlanRecord | null): InstanceView {
  return {
    id: record.id,
    name: record.name,
    crn: record.crn,
    account: record.account,
    plan: record.plan,
    capacity_units: record.capacityUnits,
    region: record.region,
    state: record.state,
    overrides: wireOverrides(record.overrides),
    limits: wireLimits(plan ? limitsOf(record, plan) : nothing),
    created_at: timeOf(record.createdAtMs),
    created_by: record.createdBy,
    changed_at: timeOf(record.changedAtMs),
    ...(record.reclaimAtMs === null ? {} : { reclaim_at: timeOf(record.reclaimAtMs) }),
  }
}

export function wirePlan(record: PlanRecord): PlanView {
  const { id, title, description, priceUsd, perUnits, minUnits, stepUnits, allowsOverrides, unit, state } = record
  return {
    id,
    title,
    description,
    price_usd: priceUsd,
    per_units: perUnits,
    min_units: minUnits,
    step_units: stepUnits,
    allows_overrides: allowsOverrides,
    unit: wireLimits(unit),
    state,
  }
}

export function planFrom(id: string, wire: Omit<PlanView, 'id'>): PlanRecord {
  return {
    id,
    title: wire.title,
    description: wire.description,
    priceUsd: wire.price_usd,
    perUnits: wire.per_units,
    minUnits: wire.min_units,
    stepUnits: wire.step_units,
    allowsOverrides: wire.allows_overrides,
    unit: limitsFrom(wire.unit),
    state: wire.state,
  }
}

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

const MINUTES_PER_HOUR = 60

function wireConditions({ maxTtlMs, maxPriority, preempt, hours, sources, labels }: Conditions): WireConditions {
  return {
    ...(maxTtlMs === undefined ? {} : { max_ttl_ms: maxTtlMs }),
    ...(maxPriority === undefined ? {} : { max_priority: maxPriority }),
    ...(preempt === undefined ? {} : { preempt }),
    ...(hours === undefined
      ? {}
      : {
          hours: {
            ...(hours.days === undefined ? {} : { days: hours.days }),
            from: clockTimeOf(hours.fromMinute),
            to: clockTimeOf(hours.toMinute),
          },
        }),
    ...(sources === undefined ? {} : { sources }),
    ...(labels === undefined ? {} : { labels }),
  }
}

export function conditionsFrom(wire: WireConditions): Conditions {
  const { max_ttl_ms, max_priority, preempt, hours, sources, labels } = wire
  return {
    ...(max_ttl_ms === undefined ? {} : { maxTtlMs: max_ttl_ms }),
    ...(max_priority === undefined ? {} : { maxPriority: max_priority }),
    ...(preempt === undefined ? {} : { preempt }),
    ...(hours === undefined
      ? {}
      : {
          hours: {
            ...(hours.days === undefined ? {} : { days: hours.days }),
            fromMinute: minuteOf(hours.from),
            toMinute: minuteOf(hours.to),
          },
        }),
    ...(sources === undefined ? {} : { sources }),
    ...(labels === undefined ? {} : { labels }),
  }
}

function clockTimeOf(minute: number): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${two(Math.floor(minute / MINUTES_PER_HOUR))}:${two(minute % MINUTES_PER_HOUR)}`
}

/** The schema has seen to its form. */
function minuteOf(text: string): number {
  const [hour = 0, minute = 0] = text.split(':').map(Number)
  return hour * MINUTES_PER_HOUR + minute
}

export function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}
