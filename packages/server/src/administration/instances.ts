/** Instances: given to teams, renamed, resized. How they are closed and opened is in lifecycle.ts. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { CAPACITY_UNITS_MAX, INSTANCES_MAX } from '@holdfast/protocol/limits'
import type { MergePatch } from '@holdfast/protocol/merge-patch'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { randomGuid } from '../registry/guid.ts'
import { type InstanceRecord, type PlanRecord, UNMETERED_PLAN } from '../registry/records.ts'
import {
  type AdministrationOptions,
  type By,
  change,
  type Expecting,
  known,
  misfit,
  refuseBeyond,
} from './administration.ts'
import { givenOverrides, patchedOverrides, type Said } from './overrides.ts'

export type NewInstance = {
  name: string
  plan: string
  capacityUnits?: number
  region?: string
  account?: string
  uniqueName?: boolean
  overrides?: { [Name in keyof Said]: Said[Name] | null }
}

/** Instances that are gone for good and may still have to be billed: every server knows them all, at some 600 bytes each. That is 800 that go in a day. */
export const RECLAIMED_MAX = 50_000

/** An account that nobody has said: the service's own. */
const OWN_ACCOUNT = 'holdfast'

/** How a platform calls what it orders, and what that is here. `crn`: the platform's own; null: it has none. */
export type Order = { id: string; orderedAs: string; crn: string | null }

export async function createInstance(
  options: AdministrationOptions,
  by: By,
  fields: NewInstance,
  order: Order | null = null,
): Promise<InstanceRecord> {
  const { registry, clock } = options
  const id = order?.id ?? randomGuid(options.random)
  const atMs = clock.wallMs()
  const region = fields.region ?? options.region
  const account = fields.account ?? OWN_ACCOUNT
  await change(options, { by, action: 'instance.create', instance: id, target: `instance/${id}`, status: 201 }, () => {
    // Before the limits: who asks again for what there is adds nothing.
    if (fields.uniqueName) refuseSameName(options, { name: fields.name, account })
    if (order && (registry.get('instance', id) ?? registry.get('reclaimed', id)))
      throw new HoldfastError('already_exists', `There is or was an instance \`${id}\`.`, { details: { instance: id } })
    refuseBeyond([...registry.all('instance')].length, { limit: 'instances', max: INSTANCES_MAX })
    // Each of them leaves something for two months when it goes.
    refuseBeyond([...registry.all('reclaimed')].length, { limit: 'reclaimed_instances', max: RECLAIMED_MAX })
    const plan = offeredPlan(options, fields.plan)
    const capacityUnits = unitsOf(plan, fields.capacityUnits ?? Math.max(plan.minUnits, plan.stepUnits))
    const record: InstanceRecord = {
      id,
      name: fields.name,
      crn: order?.crn ?? crnOf(options, { id, region, account }),
      account,
      plan: plan.id,
      capacityUnits,
      region,
      state: 'active',
      overrides: givenOverrides(plan, fields.overrides ?? {}),
      createdAtMs: atMs,
      createdBy: by.subject,
      changedAtMs: atMs,
      reclaimAtMs: null,
      ...(order && { orderedAs: order.orderedAs }),
      history: [{ plan: plan.id, capacityUnits, fromMs: atMs }],
    }
    return [{ kind: 'instance', id, value: record }]
  })
  return known(options, 'instance', id)
}

/** Changes of plan, size or state that are kept, so that the record keeps fitting. */
export const HISTORY_MAX = 500
/** What is forgotten must have been submitted long ago: hours are, two minutes after their end, unless nobody serves. One change in twenty minutes goes on for ever. */
export const HISTORY_KEPT_MS = 7 * 24 * 60 * 60 * 1000

/** Makes the record of the instance that is always there, if it is not. */
export async function ensureServiceInstance(
  options: Pick<AdministrationOptions, 'registry' | 'clock' | 'serviceName' | 'region'>,
): Promise<void> {
  const { registry, clock, region } = options
  if (registry.get('instance', SERVICE_INSTANCE)) return
  const fromMs = clock.wallMs()
  const record: InstanceRecord = {
    id: SERVICE_INSTANCE,
    name: SERVICE_INSTANCE,
    crn: crnOf(options, { id: SERVICE_INSTANCE, region, account: OWN_ACCOUNT }),
    account: OWN_ACCOUNT,
    plan: UNMETERED_PLAN,
    capacityUnits: 1,
    region,
    state: 'active',
    overrides: {},
    createdAtMs: fromMs,
    createdBy: 'service',
    changedAtMs: fromMs,
    reclaimAtMs: null,
    history: [{ plan: UNMETERED_PLAN, capacityUnits: 1, fromMs }],
  }
  const by: By = { subject: 'service', from: '', trace: '' }
  await change(options, { by, action: 'instance.create', instance: record.id, target: `instance/${record.id}` }, () =>
    // Another server may have been quicker.
    registry.get('instance', record.id) ? [] : [{ kind: 'instance', id: record.id, value: record }],
  )
}

export type InstanceChanges = {
  name?: string
  plan?: string
  capacityUnits?: number
  overrides?: MergePatch<Said> | null
} & Expecting<InstanceRecord>

/** Renames, resizes, moves to another plan: whatever is said. That `overrides` are whoever runs the service's to give has been seen to. */
export function updateInstance(
  options: AdministrationOptions,
  by: By,
  id: string,
  changes: InstanceChanges,
): Promise<InstanceRecord> {
  return edit(options, { by, action: 'instance.update', id }, before => {
    changes.expects?.(before)
    const plan =
      changes.plan === undefined || changes.plan === before.plan
        ? known(options, 'plan', before.plan)
        : offeredPlan(options, changes.plan)
    if (before.state === 'pending_reclamation') throw misfit('instance', 'It has been deleted: restore it first.')
    const isOther = plan.id !== before.plan || changes.capacityUnits !== undefined
    const capacityUnits = isOther ? unitsOf(plan, changes.capacityUnits ?? before.capacityUnits) : before.capacityUnits
    const last = before.history.at(-1)
    const isMetered = last?.plan !== plan.id || last.capacityUnits !== capacityUnits
    return {
      ...before,
      name: changes.name ?? before.name,
      plan: plan.id,
      capacityUnits,
      // On a plan without them they rest, and are in force again on one with them: who moves there and back has shed nothing that the operator said.
      overrides:
        changes.overrides === undefined
          ? before.overrides
          : patchedOverrides(plan, { before: before.overrides, patch: changes.overrides }),
      history: isMetered ? since(options, { ...before, plan: plan.id }, capacityUnits) : before.history,
    }
  })
}

/**
 * From now on it is metered by so many units of its plan. Nothing is forgotten that may still have to be submitted: whoever changes more often is
 * refused, else many changes would wipe out what was provided before them. A deletion (0 units) is never refused: one place is left for it.
 */
export function since(
  { clock }: AdministrationOptions,
  { history, plan }: InstanceRecord,
  capacityUnits: number,
): InstanceRecord['history'] {
  const nowMs = clock.wallMs()
  const next = [...history, { plan, capacityUnits, fromMs: nowMs }]
  const max = capacityUnits === 0 ? HISTORY_MAX : HISTORY_MAX - 1
  // Each ended when the one after it began.
  while (next.length > max && (next[1]?.fromMs ?? nowMs) <= nowMs - HISTORY_KEPT_MS) next.shift()
  if (next.length > max && capacityUnits > 0)
    throw new HoldfastError(
      'quota_exceeded',
      `Its plan, size or state has been changed ${max} times, and what is younger than a week is not forgotten: it can be deleted, but not changed or restored before that.`,
      { details: { limit: 'changes_of_size', max } },
    )
  return next
}

/** One change of its record, in the trail under the name of what was done. */
export async function edit(
  options: AdministrationOptions,
  { by, action, id }: { by: By; action: string; id: string },
  next: (before: InstanceRecord) => InstanceRecord,
): Promise<InstanceRecord> {
  await change(options, { by, action, instance: id, target: `instance/${id}` }, () => {
    const value = { ...next(known(options, 'instance', id)), changedAtMs: options.clock.wallMs() }
    return [{ kind: 'instance', id, value }]
  })
  return known(options, 'instance', id)
}

/** A create that is repeated because its answer was lost would otherwise be a second instance, billed like the first, and neither found by its name. */
function refuseSameName({ registry }: AdministrationOptions, asked: { name: string; account: string }): void {
  for (const { id, name, account, state } of registry.all('instance')) {
    if (name !== asked.name || account !== asked.account) continue
    const isDeleted = state === 'pending_reclamation' ? ', which is deleted and can be restored' : ''
    const message = `There is an instance \`${name}\` already: \`${id}\`${isDeleted}. Another of that name is made without \`unique_name\`, or with \`--allow-same-name\`.`
    throw new HoldfastError('already_exists', message, { details: { instance: id } })
  }
}

function offeredPlan(options: AdministrationOptions, id: string): PlanRecord {
  const plan = options.registry.get('plan', id)
  if (plan?.state === 'offered') return plan
  const offered = [...options.registry.all('plan')]
    .filter(({ state }) => state === 'offered')
    .map(other => `\`${other.id}\``)
  throw misfit('plan', `There is no plan \`${id}\` on offer; there are: ${offered.join(', ')}.`)
}

function unitsOf({ id, minUnits, stepUnits }: PlanRecord, units: number): number {
  if (units >= minUnits && units <= CAPACITY_UNITS_MAX && units % stepUnits === 0) return units
  const steps = stepUnits === 1 ? '' : `, in steps of ${stepUnits}`
  throw misfit(
    'capacity_units',
    `On the plan \`${id}\` an instance has ${minUnits} to ${CAPACITY_UNITS_MAX} capacity units${steps}; not ${units}.`,
  )
}

export function crnOf(
  { serviceName }: Pick<AdministrationOptions, 'serviceName'>,
  { id, region, account }: { id: string; region: string; account: string },
): string {
  return `crn:v1:bluemix:public:${serviceName}:${region}:a/${account}:${id}::`
}

export function refuseInactive({ state }: InstanceRecord): void {
  if (state !== 'active') throw new HoldfastError('forbidden', 'The instance is disabled or deleted.')
}
