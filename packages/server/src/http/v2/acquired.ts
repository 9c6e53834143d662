/** A grant, with all that its session may rely on. */
import type { acquired } from '@holdfast/protocol/v2-schemas'
import type { Static } from 'typebox'
import type { Reply } from '../../locks/model.ts'
import { addShape, timestamp } from '../views.ts'

export function acquiredBody(reply: Extract<Reply, { ok: true; type: 'granted' }>): Static<typeof acquired> {
  const [grant] = reply.grants
  if (!grant) throw new Error('granted without a grant')
  const body: Static<typeof acquired> = {
    name: grant.lock,
    token: grant.token,
    mode: grant.mode,
    session_id: reply.session,
    holder: grant.holder,
    acquired_at: timestamp(grant.at),
    ttl_ms: reply.confers.ttlMs,
    changes: reply.confers.changes,
    waited_ms: reply.waitedMs,
  }
  addShape(body, grant)
  if (grant.request !== null) body.request_id = grant.request
  return body
}
