/** What is known of the past, as the wire has it. */
import type { v2 } from '@holdfast/protocol/v2'
import type { Static } from 'typebox'
import type { Hold } from '../../audit/held.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { timestamp } from '../views.ts'

type Records = Static<(typeof v2.queryAudit)['replies'][200]['body']>['records']
type Holders = Static<(typeof v2.showHeld)['replies'][200]['body']>['holders']

export function wireRecord({ requestId, ...record }: AuditRecord): Records[number] {
  return requestId === undefined ? record : { ...record, request_id: requestId }
}

export function wireHold({ token, mode, holder, session, sinceMs, untilMs, ended, reason }: Hold): Holders[number] {
  return {
    token,
    mode,
    holder,
    session,
    since: timestamp(sinceMs),
    ...(untilMs !== null && { until: timestamp(untilMs), held_ms: Math.max(0, untilMs - sinceMs) }),
    ...(ended !== null && { ended }),
    ...(reason !== null && { reason }),
  }
}
