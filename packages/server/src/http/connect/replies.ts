/** Answers and pushes → messages, by hand for the same reason as in commands.ts. */
import type { ServerMessage } from '@holdfast/protocol/frame'
import type { Answer, SessionPush } from '../../shards/port.ts'
import { visibleWaiter, withoutHidden } from '../hiding.ts'
import { refused } from '../reply.ts'
import { timestamp, wireGrant, wireLock, wireValue, wireWaiter } from '../views.ts'

type Reply = Extract<ServerMessage, { type: 'reply' }>

/** `sees`: whether a name that comes up may be shown. */
export function replyTo(
  id: number,
  answer: Answer,
  { wallMs, sees }: { wallMs: number; sees: (lock: string) => boolean },
): Reply {
  if (!answer.ok) return { type: 'reply', id, error: refused(withoutHidden(answer, sees)) }
  switch (answer.type) {
    case 'renewed': {
      const { confers, epoch } = answer
      const reply: Reply = { type: 'reply', id, ttl_ms: confers.ttlMs, changes: confers.changes, epoch }
      if (answer.grants !== null) reply.grants = answer.grants.map(wireGrant)
      return reply
    }
    case 'released': {
      const reply: Reply = { type: 'reply', id, released: answer.left === 0, count: answer.left }
      if (answer.confers !== null) {
        reply.ttl_ms = answer.confers.ttlMs
        reply.changes = answer.confers.changes
      }
      return reply
    }
    case 'transferred':
      return { type: 'reply', id, token: answer.token }
    case 'written':
      return { type: 'reply', id, token: answer.value.token, written_at: timestamp(answer.value.at) }
    case 'valid':
      return { type: 'reply', id, valid: true, token: answer.grant.token, holder: answer.grant.holder }
    case 'value':
      return Object.assign({ type: 'reply', id } as const, wireValue(answer.value))
    case 'lock':
      return Object.assign({ type: 'reply', id } as const, wireLock(answer.lock, wallMs))
    case 'queue':
      return {
        type: 'reply',
        id,
        lock: wireLock(answer.lock, wallMs),
        waiters: answer.waiters.map(waiter => wireWaiter(visibleWaiter(waiter, sees))),
      }
    case 'done':
      return { type: 'reply', id }
    default:
      throw new Error(`no request of a connection is answered with ${answer.type}`)
  }
}

/** An acquire answers with one grant, a set with all of them. */
export function grantedReply(
  id: number,
  answer: Extract<Answer, { type: 'granted' }>,
  { isSet }: { isSet: boolean },
): Reply {
  const { ttlMs, changes } = answer.confers
  const first = answer.grants[0]
  if (isSet || !first) {
    return {
      type: 'reply',
      id,
      grants: answer.grants.map(wireGrant),
      waited_ms: answer.waitedMs,
      ttl_ms: ttlMs,
      changes,
    }
  }
  return { type: 'reply', id, grant: wireGrant(first), waited_ms: answer.waitedMs, ttl_ms: ttlMs, changes }
}

/** `ownerUrl`: of whoever decides now; null: this server. */
export function wirePush(push: SessionPush, ownerUrl: () => string | null): ServerMessage {
  if (push.type === 'moved') {
    const url = ownerUrl()
    return { type: 'moved', ...(url !== null && { owner_url: url }) }
  }
  const { lock: name, token } = push
  switch (push.type) {
    case 'preempting':
      return {
        type: 'preempting',
        name,
        token,
        by: push.by,
        reason: push.reason,
        grace_ms: push.graceMs,
        changes: push.changes,
      }
    case 'lost':
      return { type: 'lost', name, token, reason: push.reason, changes: push.changes }
    case 'received':
      return { type: 'received', name, token, changes: push.changes }
    case 'expiring':
      return { type: 'expiring', name, token, ends_in_ms: push.endsInMs }
  }
}
