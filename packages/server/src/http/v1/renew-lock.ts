import { v1 } from '@holdfast/protocol/v1'
import type { Command } from '../../locks/model.ts'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { singleOf } from './lock-id.ts'
import { seconds, v1Promise } from './views.ts'

export const renewLock = route(v1.renewLock, async call => {
  const { lock_id, ttl_seconds } = call.body
  const command: Command = {
    ...askerOf(call),
    type: 'renew_single',
    session: singleOf(call, lock_id),
    lock: call.params.name,
  }
  if (ttl_seconds !== undefined) command.ttlMs = ttl_seconds * 1_000
  const { confers, grants } = await ask(call, command, 'renewed')
  const grant = grants?.[0]
  if (!grant) throw new Error('renewed without a grant')
  const notice = grant.notice && { ...grant.notice, ends_in_seconds: seconds(grant.endsInMs ?? 0) }
  return answer(200, {
    token: grant.token,
    ...v1Promise(grant, { ttlMs: confers.ttlMs, nowAt: nowAt(call) }),
    changes: confers.changes,
    ...(notice && { preempting: notice }),
  })
})
