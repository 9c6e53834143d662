/**
 * What people do to instances, credentials, roles and policies. Each deed is one change of the registry, decided on the newest records, and a line of
 * its trail. Who may do it has been asked before; what would make no sense is refused here, with what was expected.
 */
import { HoldfastError, type WireError } from '@holdfast/protocol/errors'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Clock } from '../clock.ts'
import type { Explanation } from '../policies/explain.ts'
import type { Question } from '../policies/port.ts'
import { type Random, randomHex } from '../random.ts'
import type { Deed, Put, Registry } from '../registry/port.ts'
import { type Kind, keyWithin, type Records } from '../registry/records.ts'

/** Records that go in one change, where any number may have to go. With a credential goes when it was last used: two writes of the commit. */
export const BELONGINGS_AT_ONCE = 50

/** Who does it, for the trail. `why`: the reason of whatever has no other. */
export type By = { subject: string; from: string; trace: string; why?: string }

export type AdministrationOptions = {
  registry: Registry
  clock: Pick<Clock, 'wallMs'>
  random: Random
  /** As the catalogue calls the service: a part of CRNs. */
  serviceName: string
  /** Of instances that do not say where they are. */
  region: string
}

/** What the doors need besides. */
export type Administration = AdministrationOptions & {
  /** Ends all that the instance has in the shards. May be asked again. */
  forget(instance: string, by: By): Promise<void>
  /** Wall time; null: never, as far as is known. */
  lastUsedAtMs(credential: string): Promise<number | null>
  /** By our own roles and policies, also where a remote decision point decides. */
  explain(question: Question): Explanation
}

export type Expecting<Kept> = {
  /** Called with the newest record, or null where there is none, when the change is decided. Throws if it is not what the caller has seen. */
  expects?: (before: Kept | null) => void
}

export type Doing = {
  by: By
  action: string
  instance: string | null
  target: string
  /** 200 if nothing is said. */
  status?: number
  reason?: string
}

/** One change of the registry, told in the trail. @throws what `decide` throws */
export function change(
  { registry }: Pick<AdministrationOptions, 'registry'>,
  doing: Doing,
  decide: () => readonly Put[],
): Promise<void> {
  return registry.change(deedOf(doing), decide)
}

export function deedOf({ by, action, instance, target, status = 200, reason: said }: Doing): Deed {
  const { subject, from, trace, why = '' } = by
  const reason = said || why
  return { by: subject, from, action, instance, target, outcome: 'success', status, reason, trace }
}

/** The record, or the refusal that there is none. */
export function known<K extends Kind>({ registry }: AdministrationOptions, kind: K, id: string): Records[K] {
  const record = registry.get(kind, id)
  if (!record) throw notFound(`There is no ${kind} \`${id}\`.`)
  return record
}

/** The same within one instance: what is another's is not there. */
export function knownIn<K extends 'credential' | 'policy' | 'role'>(
  options: AdministrationOptions,
  kind: K,
  { instance, id }: { instance: string; id: string },
): Records[K] {
  const record = options.registry.get(kind, kind === 'credential' ? id : keyWithin(instance, id))
  if (record?.instance !== instance) throw notFound(`There is no ${kind} \`${id}\` in this instance.`)
  return record
}

export function recordsIn<K extends 'credential' | 'policy' | 'role'>(
  { registry }: AdministrationOptions,
  kind: K,
  instance: string,
): Records[K][] {
  const found: Records[K][] = []
  for (const record of registry.all(kind)) if (record.instance === instance) found.push(record)
  return found
}

/**
 * Whoever asked was permitted in an instance that was there; when the change is decided it may have been deleted, or be gone for good. What is given to it
 * then would outlive it: nothing takes it back. The service's own is always there, with or without its record.
 * @throws {HoldfastError} `not_found`, or `invalid_request` while it can still be restored
 */
export function refuseGone({ registry }: AdministrationOptions, instance: string): void {
  if (instance === SERVICE_INSTANCE) return
  const record = registry.get('instance', instance)
  if (!record) throw notFound(`There is no instance \`${instance}\`.`)
  if (record.state === 'pending_reclamation') throw misfit('instance', 'It has been deleted: restore it first.')
}

/** A short id that nobody else has: 64 random bits. */
export function newId({ random }: AdministrationOptions, prefix: string): string {
  return `${prefix}-${randomHex(random, 8)}`
}

export function notFound(message: string): HoldfastError {
  return new HoldfastError('not_found', message)
}

export function misfit(field: string, message: string): HoldfastError {
  const target: WireError['target'] = { type: 'field', name: field }
  return new HoldfastError('invalid_request', message, { details: { target } })
}

export function refuseBeyond(count: number, { limit, max }: { limit: string; max: number }): void {
  if (count < max) return
  throw new HoldfastError('quota_exceeded', `There are ${max} already, which is as many as there may be.`, {
    details: { limit, max },
  })
}
