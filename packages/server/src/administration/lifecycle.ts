/**
 * The life of an instance: disabled and enabled, deleted, restored within a week, and gone for good.
 *
 * Two sides may close one: whoever runs the service, and its own people. **Whoever closed it opens it** (decision 0132): what the service has closed its
 * people cannot open, delete further or take back; what its people have closed the service opens too.
 */
import { errors, HoldfastError } from '@holdfast/protocol/errors'
import { RECLAIM_MS } from '@holdfast/protocol/limits'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { Put } from '../registry/port.ts'
import { type InstanceRecord, keyWithin, type Side } from '../registry/records.ts'
import {
  type AdministrationOptions,
  BELONGINGS_AT_ONCE,
  type By,
  change,
  deedOf,
  known,
  misfit,
} from './administration.ts'
import { edit, since } from './instances.ts'

/** Which instance, and as who the deed is done. */
export type Closing = { id: string; side: Side }

export function enableInstance(options: AdministrationOptions, by: By, { id, side }: Closing): Promise<InstanceRecord> {
  const action = 'instance.enable'
  return edit(options, { by, action, id }, before => {
    if (before.state === 'pending_reclamation') throw misfit('instance', 'It has been deleted: restore it instead.')
    refuseOthers(options, { by, action, side }, before)
    return { ...before, state: 'active', disabledBy: null }
  })
}

/**
 * The service disables also what has been deleted: its own people may restore it, and would be back. It stays deleted, and is disabled when it is restored.
 */
export async function disableInstance(
  options: AdministrationOptions,
  by: By,
  { id, side }: Closing,
): Promise<InstanceRecord> {
  refuseService(id)
  return edit(options, { by, action: 'instance.disable', id }, before => {
    if (before.state === 'pending_reclamation') {
      if (side === 'service') return { ...before, disabledBy: side }
      throw misfit('instance', 'It has been deleted.')
    }
    return { ...before, state: 'disabled', disabledBy: closerOf(before) === 'service' ? 'service' : side }
  })
}

export async function deleteInstance(
  options: AdministrationOptions,
  by: By,
  { id, side }: Closing,
): Promise<InstanceRecord> {
  refuseService(id)
  const action = 'instance.delete'
  return edit(options, { by, action, id }, before => {
    // To delete what the service has deleted changes nothing; what it has disabled it may still want to look at.
    if (before.state === 'disabled') refuseOthers(options, { by, action, side }, before)
    if (before.state === 'pending_reclamation')
      return { ...before, deletedBy: closerOf(before) === 'service' ? 'service' : side }
    return {
      ...before,
      state: 'pending_reclamation',
      disabledBy: closerOf(before),
      deletedBy: side,
      reclaimAtMs: options.clock.wallMs() + RECLAIM_MS,
      reclaimingAtMs: null,
      // It costs nothing while it cannot be used, restored or not.
      history: since(options, before, 0),
    }
  })
}

/** As it was before: disabled, if it was disabled. */
export function restoreInstance(
  options: AdministrationOptions,
  by: By,
  { id, side }: Closing,
): Promise<InstanceRecord> {
  const action = 'instance.restore'
  return edit(options, { by, action, id }, before => {
    if (before.state !== 'pending_reclamation') throw misfit('instance', 'It has not been deleted.')
    refuseOthers(options, { by, action, side }, before)
    if (isGoing(before)) throw misfit('instance', 'It is being reclaimed: a part of it may be gone already.')
    return {
      ...before,
      state: before.disabledBy ? 'disabled' : 'active',
      deletedBy: null,
      reclaimAtMs: null,
      history: since(options, before, before.capacityUnits),
    }
  })
}

type Reclaiming = Closing & { forget(instance: string, by: By): Promise<void> }

/**
 * For good. First the record says that it is going, from where nothing leads back: whoever restored it while its locks go would hold locks that are
 * ended under them, in an instance of which half is gone. What its locks are in the shards goes by `forget`, before the record does: a crash between
 * leaves the record, which is due at once, and it is done again. By what it is metered stays, in the commit in which the record goes: hours that are
 * not submitted yet are submitted, and its usage can be asked for.
 */
export async function reclaimInstance(
  options: AdministrationOptions,
  by: By,
  { id, side, forget }: Reclaiming,
): Promise<void> {
  const action = 'instance.reclaim'
  const deletedNow = () => {
    const record = known(options, 'instance', id)
    if (record.state !== 'pending_reclamation')
      throw misfit('instance', 'It has to be deleted first; then it can still be restored.')
    refuseOthers(options, { by, action, side }, record)
    return record
  }
  const doing = { by, action, instance: id, target: `instance/${id}` }
  if (!isGoing(deletedNow())) {
    const begun = { ...doing, status: 202, reason: 'It has begun: it cannot be restored any more.' }
    await change(options, begun, () => {
      const record = deletedNow()
      const value = { ...record, reclaimingAtMs: record.reclaimingAtMs ?? options.clock.wallMs() }
      return [{ kind: 'instance', id, value }]
    })
  }
  await forget(id, by)
  // A change holds so many; an instance may have more.
  for (;;) {
    const puts = belongings(options, id)
    const isLast = puts.length <= BELONGINGS_AT_ONCE
    await change(options, { ...doing, status: 204 }, () => {
      deletedNow()
      const some = belongings(options, id).slice(0, BELONGINGS_AT_ONCE)
      return isLast ? [...some, { kind: 'instance', id, value: null }, remainsOf(options, id)] : some
    })
    if (isLast) return
  }
}

/** A month is closed on the 2nd of the next (ECOSYSTEM 1.9): whenever in a month it goes, it is there until that is over. */
export const REMAINS_KEPT_MS = 62 * 24 * 60 * 60 * 1000

function remainsOf(options: AdministrationOptions, id: string): Put {
  const record = known(options, 'instance', id)
  const value = { ...record, overrides: {}, state: 'reclaimed', reclaimedAtMs: options.clock.wallMs() } as const
  return { kind: 'reclaimed', id, value }
}

/** What is left of instances for longer than is kept goes too. */
export async function forgetRemains(options: AdministrationOptions, by: By): Promise<void> {
  const due = () => {
    const sinceMs = options.clock.wallMs() - REMAINS_KEPT_MS
    return [...options.registry.all('reclaimed')].filter(({ reclaimedAtMs }) => reclaimedAtMs <= sinceMs)
  }
  while (due().length > 0)
    await change(options, { by, action: 'instance.forget', instance: null, target: 'instance/*' }, () =>
      due()
        .slice(0, BELONGINGS_AT_ONCE)
        .map(({ id }): Put => ({ kind: 'reclaimed', id, value: null })),
    )
}

function belongings({ registry }: AdministrationOptions, instance: string): Put[] {
  const puts: Put[] = []
  for (const kind of ['credential', 'policy', 'role'] as const)
    for (const record of registry.all(kind))
      if (record.instance === instance)
        puts.push({ kind, id: kind === 'credential' ? record.id : keyWithin(instance, record.id), value: null })
  return puts
}

/** Those whose week is over, and those that somebody began to reclaim: whoever did may have crashed. */
export function dueForReclamation({ registry, clock }: AdministrationOptions): InstanceRecord[] {
  const nowMs = clock.wallMs()
  return [...registry.all('instance')].filter(
    record => record.reclaimAtMs !== null && (record.reclaimAtMs <= nowMs || isGoing(record)),
  )
}

function isGoing({ reclaimingAtMs = null }: InstanceRecord): boolean {
  return reclaimingAtMs !== null
}

/** Who has closed it; null: it is open. Of before this was noted: the service, which may open everything. */
export function closerOf({ state, disabledBy, deletedBy }: InstanceRecord): Side | null {
  switch (state) {
    case 'active':
      return null
    case 'disabled':
      return disabledBy ?? 'service'
    case 'pending_reclamation':
      return deletedBy ?? 'service'
  }
}

/** @throws {HoldfastError} `forbidden` when the other side has closed it; in the trail too */
function refuseOthers(
  { registry }: AdministrationOptions,
  { by, action, side }: { by: By; action: string; side: Side },
  record: InstanceRecord,
): void {
  if (side === 'service' || closerOf(record) !== 'service') return
  const closed = record.state === 'disabled' ? 'disabled' : 'deleted'
  const reason = `Whoever runs the service has ${closed} this instance, and only they decide what becomes of it.`
  const { status } = errors.forbidden
  const deed = deedOf({ by, action, instance: record.id, target: `instance/${record.id}`, status, reason })
  registry.note({ ...deed, outcome: 'denied' })
  throw new HoldfastError('forbidden', reason, { details: { reason: `instance_${closed}` } })
}

function refuseService(id: string): void {
  if (id === SERVICE_INSTANCE)
    throw misfit('instance', `\`${SERVICE_INSTANCE}\` is always there: whoever administers it runs the service.`)
}
