/** IBM's extension: whether an instance is enabled, and whether anybody uses it. */
import type { Static } from 'typebox'
import { recordsIn } from '../../administration/administration.ts'
import { closerOf, disableInstance, enableInstance } from '../../administration/lifecycle.ts'
import { everOrdered } from '../../administration/orders.ts'
import type { InstanceRecord } from '../../registry/records.ts'
import { type Answered, type Asked, instanceOf, nameOf, options } from './asked.ts'
import type { stateBody } from './schemas.ts'

/** A key is noted as used once a minute; who has come within an hour uses it. */
const ACTIVE_MS = 60 * 60 * 1000

export async function showState(asked: Asked): Promise<Answered> {
  return stateOf(asked, instanceOf(asked))
}

/**
 * While it is disabled nobody gets in, on any server, within seconds: that is the lifecycle's business. One that has been deleted is disabled too, by a
 * name that is gone otherwise: it may be restored.
 */
export async function putState(asked: Asked): Promise<Answered> {
  const { enabled, initiator_id, reason_code } = asked.body as Static<typeof stateBody> // accepted by this schema
  const record = (enabled ? null : everOrdered(options(asked), nameOf(asked, 'instance_id'))) ?? instanceOf(asked)
  const isDeleted = record.state === 'pending_reclamation'
  const said = [
    initiator_id === undefined ? asked.by.why : `on behalf of ${initiator_id}`,
    reason_code === undefined ? undefined : `reason code ${reason_code}`,
  ].filter(part => part !== undefined)
  const by = { ...asked.by, why: said.join(', ') }
  // Disabled by its own people it is not yet disabled by the platform: they would enable it again.
  const isSo = isDeleted ? record.disabledBy === 'service' : closerOf(record) === (enabled ? null : 'service')
  if (isSo) return stateOf(asked, record)
  const change = enabled ? enableInstance : disableInstance
  return stateOf(asked, await change(options(asked), by, { id: record.id, side: 'service' }))
}

async function stateOf(asked: Asked, { id, state }: InstanceRecord): Promise<Answered> {
  if (state !== 'active') return { status: 200, body: { enabled: false } }
  const { lastUsedAtMs } = asked.doors.administration
  const uses = await Promise.all(recordsIn(options(asked), 'credential', id).map(key => lastUsedAtMs(key.id)))
  const last = Math.max(...uses.map(atMs => atMs ?? 0), 0)
  const active = last > asked.doors.clock.wallMs() - ACTIVE_MS
  return { status: 200, body: { enabled: true, active, ...(!active && last > 0 && { last_active: last }) } }
}
