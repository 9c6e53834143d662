import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
import { answer, type Call, route } from '../call.ts'
import { noSuchInstance } from '../caller.ts'
import { invalidStart, pageOf } from '../pages.ts'
import { refuse } from '../reply.ts'
import { wireRecord } from './audit-views.ts'

export const queryAudit = route(v2.queryAudit, async call => {
  const { lock, lock_prefix, subject, action, outcome, since, until, start } = call.query
  const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
  const crns = new Map<string, string>()
  await learnCrns(call, [call.caller.instance], crns)
  if (!isKnown(call, crns)) throw refuse('not_found', noSuchInstance)
  const page = await call.doors.audit.page({
    instance: call.caller.instance,
    // Those who may read the trail of `default` look after the service.
    includesService: call.caller.instance === SERVICE_INSTANCE,
    order: call.query.order ?? 'newest',
    limit,
    ...(lock !== undefined && { lock }),
    ...(lock_prefix !== undefined && { prefix: lock_prefix }),
    ...(subject !== undefined && { subject }),
    ...(action !== undefined && { action }),
    ...(outcome !== undefined && { outcome }),
    ...(since !== undefined && { sinceMs: Date.parse(since) }),
    ...(until !== undefined && { untilMs: Date.parse(until) }),
    ...(start !== undefined && { cursor: start }),
  })
  if (!page) throw invalidStart()
  const last = page.next ?? undefined
  await learnCrns(
    call,
    page.records.map(({ instance }) => instance).filter(instance => instance !== undefined),
    crns,
  )
  const instances = [...crns].map(([id, crn]) => ({ id, crn }))
  return answer(200, { records: page.records.map(wireRecord), instances, ...pageOf(call, { limit, last, asIs: true }) })
})

type Asking = Pick<Call, 'doors' | 'caller'>

/** One that is gone is known as long as the trail tells of it. */
function isKnown({ caller }: Asking, crns: ReadonlyMap<string, string>): boolean {
  return caller.instance === SERVICE_INSTANCE || crns.has(caller.instance)
}

/** Adds what the instances are called that are not in it; of those that are gone, as they were. */
async function learnCrns({ doors }: Asking, instances: readonly string[], crns: Map<string, string>): Promise<void> {
  const gone: string[] = []
  for (const id of new Set(instances)) {
    const record = crns.has(id) ? null : doors.registry.get('instance', id)
    if (record) crns.set(id, record.crn)
    else if (!crns.has(id) && id !== SERVICE_INSTANCE) gone.push(id)
  }
  if (gone.length === 0) return
  for (const [id, { crn }] of await doors.audit.instancesThatWere(gone)) crns.set(id, crn)
}
