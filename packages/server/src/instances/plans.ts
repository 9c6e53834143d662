/**
 * What there is to buy. `capacityUnit` is the one table of what a unit buys; docs/access/plans.md shows it and a test compares the two. Decision 0098
 * says why these figures. Prices are data of the plan records and are read by nobody but usage reports and the catalogue.
 */
import type { Registry } from '../registry/port.ts'
import { type InstanceRecord, type Limits, noLimits, type PlanRecord, UNMETERED_PLAN } from '../registry/records.ts'

export const capacityUnit: Limits = {
  operationsPerSecond: 100,
  burstOperations: 300,
  heldLocks: 1_000,
  sessions: 200,
  waiters: 1_000,
  watches: 50,
  storedBytes: 1024 * 1024,
}

/** Those that a new service begins with; its operator may change them and add others. */
export const defaultPlans: readonly PlanRecord[] = [
  {
    id: 'standard',
    title: 'Standard',
    description: 'Whole blocks of ten capacity units, at least one.',
    priceUsd: 0.1,
    perUnits: 10,
    minUnits: 10,
    stepUnits: 10,
    allowsOverrides: false,
    unit: capacityUnit,
    state: 'offered',
  },
  {
    id: 'premium',
    title: 'Premium',
    description: 'Single capacity units, pro rata, and limits of your own.',
    priceUsd: 0.2,
    perUnits: 10,
    minUnits: 1,
    stepUnits: 1,
    allowsOverrides: true,
    unit: capacityUnit,
    state: 'offered',
  },
  {
    id: UNMETERED_PLAN,
    title: 'Unmetered',
    description: 'Of the instance that every server has: no limits and no price.',
    priceUsd: 0,
    perUnits: 1,
    minUnits: 1,
    stepUnits: 1,
    allowsOverrides: true,
    unit: noLimits,
    // Not for those who may make instances to choose.
    state: 'retired',
  },
]

/** What the units buy, and what the instance has instead where its plan allows that. */
export function limitsOf(
  { capacityUnits, overrides }: Pick<InstanceRecord, 'capacityUnits' | 'overrides'>,
  plan: PlanRecord,
): Limits {
  // Beyond that numbers are no longer exact, and the wire does not take them; nobody has as much.
  const times = (one: number | null) => (one === null ? null : Math.min(one * capacityUnits, Number.MAX_SAFE_INTEGER))
  const { unit } = plan
  const bought: Limits = {
    operationsPerSecond: times(unit.operationsPerSecond),
    burstOperations: times(unit.burstOperations),
    heldLocks: times(unit.heldLocks),
    sessions: times(unit.sessions),
    waiters: times(unit.waiters),
    watches: times(unit.watches),
    storedBytes: times(unit.storedBytes),
  }
  return plan.allowsOverrides ? { ...bought, ...overrides } : bought
}

/** The plan by its record, or as a new service has it. */
export function planOf(registry: Pick<Registry, 'get'>, id: string): PlanRecord | null {
  return registry.get('plan', id) ?? defaultPlans.find(plan => plan.id === id) ?? null
}
