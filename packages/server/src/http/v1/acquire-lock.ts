import { createHash } from 'node:crypto'
import { REQUEST_ID_BYTES_MAX, V1_TTL_SECONDS_DEFAULT } from '@holdfast/protocol/limits'
import type { BodyOf } from '@holdfast/protocol/operation'
import { v1 } from '@holdfast/protocol/v1'
import { ownKey } from '../../locks/idempotency.ts'
import type { Acquire } from '../../locks/model.ts'
import { askCounted } from '../acquiring.ts'
import { answer, askerOf, type Call, nowAt, route } from '../call.ts'
import { sharingKeyOf } from '../caller.ts'
import { invalid } from '../reply.ts'
import { timestamp } from '../views.ts'
import { inSeconds } from './refusals.ts'
import { seconds, v1Promise } from './views.ts'

type Body = BodyOf<typeof v1.acquireLock>

export const acquireLock = route(v1.acquireLock, async call => {
  const { name } = call.params
  const { body } = call
  const preempt = body.preempt ? 'graceful' : 'never'
  const credential = sharingKeyOf(call.caller)
  const command = { ...askerOf(call), ...commandOf(name, body, { preempt, key: keyOf(call, name, body), credential }) }
  const reply = await inSeconds(askCounted(call, command))
  const [grant] = reply.grants
  if (!grant) throw new Error('granted without a grant')
  return answer(200, {
    name,
    lock_id: `${reply.session}.${call.doors.secrets.secretOf(call.caller.instance, reply.session)}`,
    token: grant.token,
    holder: grant.holder,
    ...v1Promise(grant, { ttlMs: reply.confers.ttlMs, nowAt: nowAt(call) }),
    acquired_at: timestamp(grant.at),
    changes: reply.confers.changes,
    waited_seconds: seconds(reply.waitedMs),
  })
})

type Rest = { preempt: Acquire['preempt']; key: { key: string; digest: string } | null; credential: string | undefined }

function commandOf(name: string, body: Body, { preempt, key, credential }: Rest): Acquire {
  const ttlMs = body.ttl_seconds === undefined ? null : body.ttl_seconds * 1_000
  const session = { ttlMs, defaultTtlMs: V1_TTL_SECONDS_DEFAULT * 1_000, holder: body.holder ?? null, key }
  return {
    type: 'acquire',
    session: credential === undefined ? session : { ...session, credential },
    claims: [{ lock: name, mode: 'exclusive', permits: 1, limit: 0, maxHoldMs: null, lockDelayMs: null }],
    waitMs: (body.wait_seconds ?? 0) * 1_000,
    priority: body.priority ?? 0,
    preempt,
    isReentrant: false,
    task: '',
    request: null,
    labels: null,
    metadata: body.metadata ?? null,
    value: null,
  }
}

/** The same key with another body, or for another lock, is another request; its digest tells. */
function keyOf(call: Call, name: string, body: Body): Rest['key'] {
  const key = call.request.headers['idempotency-key']
  if (key === undefined) return null
  if (typeof key !== 'string' || !/^[\x20-\x7e]+$/.test(key) || key.length > REQUEST_ID_BYTES_MAX) {
    throw invalid('header', {
      name: 'Idempotency-Key',
      message: `\`Idempotency-Key\` must be 1 to ${REQUEST_ID_BYTES_MAX} printable ASCII characters.`,
    })
  }
  const fields = Object.entries(body).sort(([one], [other]) => (one < other ? -1 : 1))
  return {
    key: ownKey(key, call.caller.subject),
    digest: createHash('sha256')
      .update(JSON.stringify([name, fields]))
      .digest('base64url'),
  }
}
