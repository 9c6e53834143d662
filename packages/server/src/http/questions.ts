/**
 * What an operation asks permission for, read off the operation and the request: the same for every route, so that none can forget it. Before the
 * body is read, the action on the name or prefix in the URL; after it, on all that the body names and asks for.
 */
import { TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import { type OperationFields, SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Preemption } from '../locks/model.ts'
import { tenantActions } from '../policies/roles.ts'
import type { Deed } from './permission.ts'

type InUrl = { name?: string; prefix?: string; instance?: string }

/** null: the operation needs no permission. Several: one of them is enough. */
export function earlyDeeds({ action, scope, body }: OperationFields, url: InUrl): Deed[] | null {
  if (action === null) return null
  const deed: Deed = { action, lock: url.name ?? null }
  if (body !== null) deed.isEarly = true
  if (url.name === undefined && (action === 'lock.list' || action === 'lock.watch')) deed.under = url.prefix ?? ''
  else if (url.name === undefined && url.prefix !== undefined) {
    deed.lock = url.prefix
    deed.isPrefix = true
  }
  if (scope === undefined) return [deed]
  // Who administers `default` runs the service.
  const service: Deed = { ...deed, instance: SERVICE_INSTANCE }
  return scope === 'service' ? [service] : [{ ...deed, instance: url.instance ?? SERVICE_INSTANCE }, service]
}

/** The fields of all bodies that permission can depend on. */
type Body = {
  locks?: { name: string }[]
  grants?: { name: string }[]
  prefix?: string
  ttl_ms?: number
  ttl_seconds?: number
  priority?: number
  preempt?: Preemption | boolean
  grace_ms?: number
  labels?: Record<string, string>
  value?: unknown
}

/** Whether permission hangs on the URL alone: what concerns an instance as a whole, whose bodies may speak of locks, but do nothing to them. */
export function isDecidedByUrl({ action }: OperationFields): boolean {
  return action === null || !tenantActions.has(action)
}

/** All must be permitted. */
export function lateDeeds(operation: OperationFields, url: InUrl, body: Body): Deed[] {
  const { action } = operation
  if (action === null || isDecidedByUrl(operation)) return []
  const asked: Partial<Deed> = {}
  const ttlMs = ttlOf(action, body)
  if (ttlMs !== undefined) asked.ttlMs = ttlMs
  if (body.priority !== undefined) asked.priority = body.priority
  const preempt = preemptOf(action, body)
  if (preempt !== undefined) asked.preempt = preempt
  if (body.labels !== undefined) asked.labels = body.labels
  const deeds = namesOf(url, body).map((name): Deed => ({ ...asked, action, ...name }))
  // To say what others read there is a permission of its own; whoever campaigns has it.
  if (action === 'lock.acquire' && body.value !== undefined)
    deeds.push(...deeds.map((deed): Deed => ({ ...deed, action: 'lock.write-value' })))
  if (preempt === undefined || preempt === 'never' || action === 'lock.preempt') return deeds
  // To take a lock from others is a permission of its own.
  return deeds.flatMap(deed => [deed, { ...deed, action: 'lock.preempt' as const }])
}

function namesOf(url: InUrl, { locks, grants, prefix }: Body): { lock: string | null; isPrefix?: true }[] {
  const named = locks ?? grants
  if (named) return named.map(({ name }) => ({ lock: name }))
  if (prefix !== undefined) return [{ lock: prefix, isPrefix: true }]
  return [{ lock: url.name ?? null }]
}

function ttlOf(action: Deed['action'], { ttl_ms, ttl_seconds }: Body): number | undefined {
  const ttlMs = ttl_ms ?? (ttl_seconds === undefined ? undefined : ttl_seconds * 1_000)
  return ttlMs ?? (action === 'session.open' ? TTL_MS_DEFAULT : undefined)
}

function preemptOf(action: Deed['action'], { preempt, grace_ms }: Body): Preemption | undefined {
  if (action === 'lock.preempt') return grace_ms === 0 ? 'immediate' : 'graceful'
  if (typeof preempt !== 'boolean') return preempt
  // `/v1` knows one way.
  return preempt ? 'graceful' : 'never'
}
