/**
 * What a record of the trail says was written: rights, keys, plans, instances, and of the log what locks were configured to and until when names were
 * frozen. Who wrote a policy for himself, used it and deleted it has left what it permitted in the trail.
 *
 * Of each kind the fields are named that are told, and no other is: what is added to a record one day does not come out here by itself, and nothing from
 * which a key could be had is among them. In the wire's spelling from the start, as everybody gets it.
 */
import { toSnake } from '@holdfast/protocol/casing'
import { AUDIT_CHANGED_BYTES_MAX } from '@holdfast/protocol/limits'
import type { Config, Entry } from '../locks/model.ts'
import { wireConditions } from '../registry/conditions.ts'
import type { Deed, Put, Trail } from '../registry/port.ts'
import type { Conditions, Kind, Limits, Records } from '../registry/records.ts'

type ChangedKind = Kind | 'lock' | 'freeze'

/** One thing that was written: as it has been since, that it was removed, or that it is too large to be told here. */
export type Changed = { kind: ChangedKind; id: string } & (
  | { value: Record<string, unknown> }
  | { is_removed: true }
  | { is_left_out: true }
)

const ofInstance = [
  'name',
  'crn',
  'account',
  'plan',
  'capacityUnits',
  'region',
  'state',
  'disabledBy',
  'deletedBy',
  'overrides',
  'createdAtMs',
  'createdBy',
  'changedAtMs',
  'reclaimAtMs',
  'reclaimingAtMs',
] as const

const told = {
  instance: ofInstance,
  reclaimed: [...ofInstance, 'reclaimedAtMs'],
  plan: ['title', 'description', 'priceUsd', 'perUnits', 'minUnits', 'stepUnits', 'allowsOverrides', 'unit', 'state'],
  credential: [
    'name',
    'subject',
    'groups',
    'roles',
    'state',
    'endsSessions',
    'createdAtMs',
    'createdBy',
    'expiresAtMs',
    'replacedBy',
  ],
  role: ['title', 'actions'],
  policy: ['description', 'subjects', 'roles', 'locks', 'conditions'],
  signer: ['createdAtMs', 'endsAtMs'],
} as const satisfies { [K in Kind]: readonly (keyof Records[K])[] }

const toldOfLimits = [
  'operationsPerSecond',
  'burstOperations',
  'heldLocks',
  'sessions',
  'waiters',
  'watches',
  'storedBytes',
] as const satisfies readonly (keyof Limits)[]

const toldOfConditions = [
  'maxTtlMs',
  'maxPriority',
  'preempt',
  'hours',
  'sources',
  'labels',
] as const satisfies readonly (keyof Conditions)[]

const toldOfLock = [
  'description',
  'defaultTtlMs',
  'maxHoldMs',
  'lockDelayMs',
  'preemption',
  'graceMs',
  'minHoldMs',
  'limit',
  'queueMax',
  'labels',
] as const satisfies readonly (keyof Config)[]

/**
 * What of the link's writes a deed's record tells. Whoever reads the trail of the deed's instance reads it, so nothing of another instance is in it; a
 * deed that concerns no one instance is read only by those who run the service.
 */
export function changedBy(deed: Deed, { deeds, writes }: Pick<Trail, 'deeds' | 'writes'>): Changed[] {
  if (deed.outcome !== 'success') return []
  const own = writes.filter(put => isAboutTarget(deed, put) || (deeds.length === 1 && isWithin(deed, put)))
  return bounded(own.map(changedOf))
}

/** What an entry of the log says was configured or frozen. The value of a lock is none of it: to read that needs another permission. */
export function changedByEntry(entry: Entry): Changed[] {
  if (entry.record === 'config')
    return bounded([written('lock', entry.lock, entry.value && picked(entry.value, toldOfLock))])
  if (entry.record === 'freeze') {
    const value = entry.value && { until: new Date(entry.value.untilAt).toISOString() }
    return bounded([written('freeze', entry.prefix, value)])
  }
  return []
}

/** For whoever cannot be told so much. */
export function leftOut(one: Changed): Changed {
  return 'value' in one ? { kind: one.kind, id: one.id, is_left_out: true } : one
}

function isAboutTarget({ target, instance }: Deed, put: Put): boolean {
  const within = instanceOf(put)
  return target === `${put.kind}/${ownId(put)}` && (within === undefined || within === instance)
}

function isWithin({ instance, action }: Deed, put: Put): boolean {
  if (instance === null) return true
  // Those who run the service read what becomes of instances, whosever they are, but not what keys and policies those had: these go with it, and are not told.
  if (action.startsWith('instance.') && put.kind !== 'instance' && put.kind !== 'reclaimed') return false
  return instanceOf(put) === instance
}

/** null: of every instance; undefined: that is not known any more. */
function instanceOf({ kind, id, value }: Put): string | null | undefined {
  switch (kind) {
    case 'instance':
    case 'reclaimed':
      return id
    case 'credential':
      return value?.instance
    case 'role':
    case 'policy':
      return id.slice(0, id.indexOf('.')) || null
    case 'plan':
    case 'signer':
      return null
  }
}

/** As its instance knows it: roles and policies lie in the registry under two names. */
function ownId({ kind, id }: Put): string {
  return kind === 'role' || kind === 'policy' ? id.slice(id.indexOf('.') + 1) : id
}

function changedOf(put: Put): Changed {
  return written(put.kind, ownId(put), put.value && picked(put.value, told[put.kind]))
}

function written(kind: ChangedKind, id: string, value: Record<string, unknown> | null): Changed {
  return value === null ? { kind, id, is_removed: true } : { kind, id, value }
}

/** These fields, as the wire has them: times as text, and what is null or not there left out. */
function picked(record: object, fields: readonly string[]): Record<string, unknown> {
  const value: Record<string, unknown> = {}
  for (const field of fields) {
    // A record of the registry or the log, of which the fields are named above.
    const found = (record as Record<string, unknown>)[field]
    if (found === null || found === undefined) continue
    if (field.endsWith('AtMs')) value[field.slice(0, -'Ms'.length)] = new Date(Number(found)).toISOString()
    else value[field] = inner(field, found)
  }
  return toSnake(value) as Record<string, unknown> // of an object it makes one
}

function inner(field: string, found: unknown): unknown {
  if (field === 'conditions') return wireConditions(onlyThese<Conditions>(found, toldOfConditions))
  // No limit is said as it is where limits are shown and given: null of a plan, a word of an instance's own.
  if (field === 'unit') return onlyThese<Limits>(found, toldOfLimits)
  if (field === 'overrides') {
    const limits = Object.entries(onlyThese<Limits>(found, toldOfLimits))
    return Object.fromEntries(limits.map(([name, limit]) => [name, limit ?? 'unlimited']))
  }
  return found
}

/** `Value` has no fields but these, or not all of them. */
function onlyThese<Value extends object>(found: unknown, fields: readonly (keyof Value & string)[]): Value {
  const all = Object.entries(found as object) // of a record: an object
  return Object.fromEntries(all.filter(([name]) => (fields as readonly string[]).includes(name))) as Value
}

/** As much as one record of the trail may hold; whatever does not fit beside what comes before it is named. */
function bounded(all: Changed[]): Changed[] {
  let bytes = 0
  return all.map(one => {
    if (!('value' in one)) return one
    const own = Buffer.byteLength(JSON.stringify(one.value))
    if (bytes + own > AUDIT_CHANGED_BYTES_MAX) return leftOut(one)
    bytes += own
    return one
  })
}
