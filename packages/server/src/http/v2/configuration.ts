/** PUT and PATCH of a lock: the same fields, and what is left out means two things. */
import type { lockConfiguration, lockPatch } from '@holdfast/protocol/v2-schemas'
import type { Static } from 'typebox'
import type { Command, ConfigFields } from '../../locks/model.ts'
import { ask, askerOf, type Call, nowAt } from '../call.ts'
import { etagHeaders, ifMatch } from '../etag.ts'
import { withoutUnreadOne } from '../values.ts'
import { wireLock } from '../views.ts'

type Patch = Static<typeof lockPatch>
type Put = Static<typeof lockConfiguration>
type Configure = Extract<Command, { type: 'configure' }>

/** What the body leaves out goes back to its default. */
export function put(call: Call, { labels, ...rest }: Put) {
  const fields = fieldsOf(rest)
  if (labels) fields.labels = labels
  return configure(call, { fields, replaces: true })
}

/** A merge patch. */
export function patch(call: Call, { labels, ...rest }: Patch) {
  const fields = fieldsOf(rest)
  if (labels === null) fields.labels = null
  return configure(call, { fields, replaces: false, ...(labels && { labelsPatch: labels }) })
}

async function configure(call: Call, change: Pick<Configure, 'fields' | 'labelsPatch' | 'replaces'>) {
  const { name } = call.params as { name: string } // of both operations
  const ifVersion = ifMatch(call.request.headers['if-match'])
  const command = { ...askerOf(call), type: 'configure', lock: name, ...change, ifVersion } as const
  const { isNew, lock } = await ask(call, command, 'configured')
  const body = wireLock(lock, nowAt(call))
  await withoutUnreadOne(call, name, body)
  return {
    status: isNew ? (201 as const) : (200 as const),
    body,
    headers: etagHeaders(lock),
  }
}

function fieldsOf(patch: Omit<Patch, 'labels'>): ConfigFields {
  const fields: ConfigFields = {}
  if (patch.description !== undefined) fields.description = patch.description
  if (patch.default_ttl_ms !== undefined) fields.defaultTtlMs = patch.default_ttl_ms
  if (patch.max_hold_ms !== undefined) fields.maxHoldMs = patch.max_hold_ms
  if (patch.lock_delay_ms !== undefined) fields.lockDelayMs = patch.lock_delay_ms
  if (patch.preemption !== undefined) fields.preemption = patch.preemption
  if (patch.grace_ms !== undefined) fields.graceMs = patch.grace_ms
  if (patch.min_hold_ms !== undefined) fields.minHoldMs = patch.min_hold_ms
  if (patch.limit !== undefined) fields.limit = patch.limit
  if (patch.queue_max !== undefined) fields.queueMax = patch.queue_max
  return fields
}
