import { TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import { v2 } from '@holdfast/protocol/v2'
import type { Command } from '../../locks/model.ts'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { sharingKeyOf } from '../caller.ts'
import { timestamp } from '../views.ts'

export const openSession = route(v2.openSession, async call => {
  const ttlMs = call.body.ttl_ms ?? TTL_MS_DEFAULT
  const command: Command = { ...askerOf(call), type: 'open_session', ttlMs, labels: call.body.labels ?? null }
  const credential = sharingKeyOf(call.caller)
  if (credential !== undefined) command.credential = credential
  const { session } = await ask(call, command, 'session')
  return answer(201, {
    session_id: session.id,
    session_secret: call.doors.secrets.secretOf(call.caller.instance, session.id),
    ttl_ms: session.ttlMs,
    changes: session.changes,
    expires_at: timestamp(nowAt(call) + session.ttlMs),
  })
})
