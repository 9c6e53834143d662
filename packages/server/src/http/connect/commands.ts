/** Messages → commands. By hand and field by field: no spread, no promise, nothing compiled while requests arrive. */
import type { AcquireFields, ClientRequest, WireClaim } from '@holdfast/protocol/frame'
import type { Action } from '@holdfast/protocol/operation'
import type { Acquire, Asker, Claim, Command, RequestId } from '../../locks/model.ts'

/** What the connection answers by itself. */
export type LocalRequest = Extract<ClientRequest, { type: 'watch' | 'unwatch' }>
export type ShardRequest = Exclude<ClientRequest, LocalRequest>

export const actionOf = {
  renew: 'session.renew',
  acquire: 'lock.acquire',
  acquire_all: 'lock.acquire',
  release: 'lock.release',
  release_all: 'lock.release',
  cancel: 'lock.acquire',
  transfer: 'lock.transfer',
  validate: 'lock.validate',
  value: 'lock.read',
  write_value: 'lock.write-value',
  show: 'lock.read',
  queue: 'lock.read',
  watch: 'lock.watch',
  unwatch: 'lock.watch',
  close: 'session.close',
} as const satisfies Record<ClientRequest['type'], Action>

export function commandOf(message: ShardRequest, session: string, { by }: Asker): Command {
  const request = message.id
  switch (message.type) {
    case 'acquire':
      return acquireOf(message, { by, session, claims: [claimOf(message)], request, value: message.value })
    case 'acquire_all':
      return acquireOf(message, { by, session, claims: message.locks.map(claimOf), request, value: undefined })
    case 'release':
      return { type: 'release', by, session, grants: [{ lock: message.name, token: message.token }], request }
    case 'release_all':
      return { type: 'release', by, session, grants: message.grants.map(grantOf), request }
    case 'renew':
      return renewOf(message, session, by)
    case 'cancel':
      return { type: 'cancel', by, session, cancels: message.request_id, request }
    case 'transfer':
      return {
        type: 'transfer',
        by,
        session,
        lock: message.name,
        token: message.token,
        toSession: message.to_session,
        request,
      }
    case 'validate':
      return { type: 'validate', by, lock: message.name, token: message.token }
    case 'value':
      return { type: 'read_value', by, lock: message.name }
    case 'write_value':
      return {
        type: 'write_value',
        by,
        session,
        lock: message.name,
        token: message.token,
        value: message.value,
        request,
      }
    case 'show':
      return { type: 'show', by, lock: message.name }
    case 'queue':
      return { type: 'queue', by, lock: message.name }
    case 'close':
      return { type: 'close_session', by, session }
  }
}

/** Whoever names permits or their limit means a semaphore. */
export function claimOf(claim: WireClaim): Claim {
  const mode = claim.mode ?? (claim.permits === undefined && claim.limit === undefined ? 'exclusive' : 'permits')
  return {
    lock: claim.name,
    mode,
    permits: claim.permits ?? 1,
    limit: claim.limit ?? 0,
    maxHoldMs: claim.max_hold_ms ?? null,
    lockDelayMs: claim.lock_delay_ms ?? null,
  }
}

type AcquireRest = {
  by: string
  session: string
  claims: Claim[]
  request: RequestId | null
  value: string | undefined
}

/** The same for the WebSocket and `/v2`; they differ in what an absent `wait_ms` means. */
export function acquireOf(fields: Omit<AcquireFields, 'value'>, rest: AcquireRest): Acquire & Asker {
  return {
    type: 'acquire',
    by: rest.by,
    session: rest.session,
    claims: rest.claims,
    waitMs: fields.wait_ms ?? null,
    priority: fields.priority ?? 0,
    preempt: fields.preempt ?? 'never',
    isReentrant: fields.reentrant ?? false,
    task: fields.task ?? '',
    request: rest.request,
    labels: fields.labels ?? null,
    metadata: fields.metadata ?? null,
    value: rest.value ?? null,
  }
}

export function grantOf(grant: { name: string; token: number }): { lock: string; token: number } {
  return { lock: grant.name, token: grant.token }
}

function renewOf(message: Extract<ClientRequest, { type: 'renew' }>, session: string, by: string): Command {
  const command: Extract<Command, { type: 'renew' }> = { type: 'renew', by, session }
  if (message.ttl_ms !== undefined) command.ttlMs = message.ttl_ms
  if (message.seen_changes !== undefined) command.seenChanges = message.seen_changes
  if (message.settled !== undefined) command.settled = message.settled
  if (message.wants_grants !== undefined) command.wantsGrants = message.wants_grants
  return command
}
