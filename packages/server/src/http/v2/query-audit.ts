import { PAGE_LIMIT_DEFAULT } from '@holdfast/protocol/limits'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import { v2 } from '@holdfast/protocol/v2'
import { answer, route } from '../call.ts'
import { invalidStart, pageOf } from '../pages.ts'
import { wireRecord } from './audit-views.ts'

export const queryAudit = route(v2.queryAudit, async call => {
  const { lock, lock_prefix, subject, action, outcome, since, until, start } = call.query
  const limit = call.query.limit ?? PAGE_LIMIT_DEFAULT
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
  return answer(200, { records: page.records.map(wireRecord), ...pageOf(call, { limit, last, asIs: true }) })
})
