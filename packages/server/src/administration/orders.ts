/**
 * Instances that a platform orders through the broker, under a name of its own: made once, however often they are asked for. What is not ordered there
 * (whatever its id) does not exist for a platform, nor does what has been deleted.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import { guidOfName } from '../registry/guid.ts'
import type { InstanceRecord } from '../registry/records.ts'
import type { AdministrationOptions, By } from './administration.ts'
import { misfit } from './administration.ts'
import { createInstance, type Order } from './instances.ts'

/** A CRN is no longer (ECOSYSTEM 1.1). */
export const ORDERED_AS_CHARS_MAX = 512

export type Ordered = { plan: string; name?: string; capacityUnits?: number; account?: string }

/** What the platform calls it → what it is here: a GUID, also that of a CRN, stays what it is; anything else is hashed into one. */
export function orderOf(options: AdministrationOptions, orderedAs: string): Order & { place: Place | null } {
  if (!orderedAs.startsWith('crn:')) return { id: idOf(orderedAs), orderedAs, crn: null, place: null }
  const place = placeOf(options, orderedAs)
  return { id: idOf(place.guid), orderedAs, crn: orderedAs, place }
}

type Place = { guid: string; region: string; account: string }

const SEGMENTS = 10

/** @throws {HoldfastError} `invalid_request` when it is none of an instance of this service */
function placeOf({ serviceName }: AdministrationOptions, crn: string): Place {
  const segments = crn.split(':')
  const [, , , , service, region = '', scope = '', guid = '', ...rest] = segments
  const account = /^a\/([A-Za-z0-9-]{1,64})$/.exec(scope)?.[1]
  const isOurs = segments.length === SEGMENTS && service === serviceName && rest.every(part => part === '')
  if (isOurs && account !== undefined && /^[a-z0-9-]{1,32}$/.test(region) && guid !== '')
    return { guid, region, account }
  const form = `crn:v1:bluemix:public:${serviceName}:REGION:a/ACCOUNT:GUID::`
  throw misfit('instance_id', `A CRN must be one of an instance of this service, like \`${form}\`.`)
}

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function idOf(text: string): string {
  return GUID.test(text) ? text : guidOfName(`instance ${text}`)
}

/** null: the platform has ordered nothing under this name, or it is deleted. */
export function orderedInstance(options: AdministrationOptions, orderedAs: string): InstanceRecord | null {
  const record = everOrdered(options, orderedAs)
  return record?.state === 'pending_reclamation' ? null : record
}

/** The same, also when it is deleted and can still be restored. */
export function everOrdered(options: AdministrationOptions, orderedAs: string): InstanceRecord | null {
  const record = options.registry.get('instance', orderOf(options, orderedAs).id)
  return record?.orderedAs === orderedAs ? record : null
}

/**
 * Makes it, or finds that it has been made just so: what the order leaves open does not matter then.
 * @throws {HoldfastError} `already_exists` when there is or was another of that name
 */
export async function orderInstance(
  options: AdministrationOptions,
  by: By,
  { orderedAs, ordered }: { orderedAs: string; ordered: Ordered },
): Promise<{ record: InstanceRecord; isNew: boolean }> {
  const { place, ...order } = orderOf(options, orderedAs)
  const account = place?.account ?? ordered.account
  const wanted = { ...ordered, ...(account !== undefined && { account }) }
  const fields = { ...wanted, name: ordered.name ?? order.id, ...(place && { region: place.region }) }
  try {
    return { record: await createInstance(options, by, fields, order), isNew: true }
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'already_exists') throw error
    const record = orderedInstance(options, orderedAs)
    if (record && isAs(record, wanted)) return { record, isNew: false }
    throw error
  }
}

function isAs(record: InstanceRecord, wanted: Ordered): boolean {
  const { plan, name = record.name, capacityUnits = record.capacityUnits, account = record.account } = wanted
  return (
    record.plan === plan && record.name === name && record.capacityUnits === capacityUnits && record.account === account
  )
}
