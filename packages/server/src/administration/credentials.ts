/** Credentials of an instance: made, rotated with overlap, revoked, deleted. The secret is returned once and kept nowhere. */
import { CREDENTIALS_MAX, OVERLAP_MS_MAX } from '@holdfast/protocol/limits'
import { mintKey } from '../auth/api-keys.ts'
import type { CredentialRecord } from '../registry/records.ts'
import {
  type AdministrationOptions,
  type By,
  change,
  knownIn,
  misfit,
  newId,
  recordsIn,
  refuseBeyond,
  refuseGone,
} from './administration.ts'

export type NewCredential = { name: string; roles: string[]; groups: string[]; expiresAtMs: number | null }
export type Minted = { record: CredentialRecord; key: string }
/** `subject`: not one of its own. `binding`: what it was ordered for. */
export type Belonging = { subject?: string; binding?: string }

/** How long the old key goes on after a rotation when nobody says: a day to put the new one everywhere. */
const OVERLAP_MS = 24 * 60 * 60 * 1000

/** `belongs` is decided on the newest records, and may refuse. */
export async function createCredential(
  options: AdministrationOptions,
  by: By,
  { instance, fields, belongs }: { instance: string; fields: NewCredential; belongs?: () => Belonging },
): Promise<Minted> {
  const id = newId(options, 'k')
  const { key, secretHash } = mintKey(options.random, id)
  const nowMs = options.clock.wallMs()
  if (fields.expiresAtMs !== null && fields.expiresAtMs <= nowMs) throw misfit('expires_at', 'This is in the past.')
  await change(options, { by, action: 'credential.create', instance, target: `credential/${id}`, status: 201 }, () => {
    refuseGone(options, instance)
    refuseMore(options, instance)
    const record: CredentialRecord = {
      id,
      instance,
      subject: `key:${id}`,
      secretHash,
      ...fields,
      state: 'active',
      createdAtMs: nowMs,
      createdBy: by.subject,
      replacedBy: null,
      ...belongs?.(),
    }
    return [{ kind: 'credential', id, value: record }]
  })
  return { record: knownIn(options, 'credential', { instance, id }), key }
}

/** A new key for the same subject: policies and sessions know the difference no more than the people do. */
export async function rotateCredential(
  options: AdministrationOptions,
  by: By,
  { instance, id, overlapMs = OVERLAP_MS }: { instance: string; id: string; overlapMs?: number },
): Promise<Minted> {
  if (overlapMs > OVERLAP_MS_MAX) throw misfit('overlap_ms', `The old key may go on for at most ${OVERLAP_MS_MAX} ms.`)
  const nextId = newId(options, 'k')
  const { key, secretHash } = mintKey(options.random, nextId)
  const nowMs = options.clock.wallMs()
  // The one line of the trail that says where the new key comes from.
  const told = { target: `credential/${id}`, status: 201, reason: `Replaced by \`${nextId}\`.` }
  await change(options, { by, action: 'credential.rotate', instance, ...told }, () => {
    const before = knownIn(options, 'credential', { instance, id })
    refuseGone(options, instance)
    if (before.state !== 'active') throw misfit('id', 'This credential has been revoked: make a new one.')
    if (before.replacedBy !== null)
      throw misfit('id', `This credential has been replaced by \`${before.replacedBy}\`: rotate that one.`)
    if (before.expiresAtMs !== null && before.expiresAtMs <= nowMs)
      throw misfit('id', 'This credential has expired: make a new one.')
    refuseMore(options, instance)
    const endsMs = Math.min(nowMs + overlapMs, before.expiresAtMs ?? Number.POSITIVE_INFINITY)
    const next: CredentialRecord = { ...before, id: nextId, secretHash, createdAtMs: nowMs, createdBy: by.subject }
    return [
      { kind: 'credential', id, value: { ...before, expiresAtMs: endsMs, replacedBy: nextId } },
      { kind: 'credential', id: nextId, value: next },
    ]
  })
  return { record: knownIn(options, 'credential', { instance, id: nextId }), key }
}

export async function revokeCredential(
  options: AdministrationOptions,
  by: By,
  { instance, id, endsSessions, reason }: { instance: string; id: string; endsSessions: boolean; reason: string },
): Promise<CredentialRecord> {
  await change(options, { by, action: 'credential.revoke', instance, target: `credential/${id}`, reason }, () => {
    const before = knownIn(options, 'credential', { instance, id })
    return [
      {
        kind: 'credential',
        id,
        value: { ...before, state: 'revoked', ...(endsSessions ? { endsSessions: true } : {}) },
      },
    ]
  })
  return knownIn(options, 'credential', { instance, id })
}

export async function deleteCredential(
  options: AdministrationOptions,
  by: By,
  { instance, id }: { instance: string; id: string },
): Promise<void> {
  await change(options, { by, action: 'credential.delete', instance, target: `credential/${id}`, status: 204 }, () => {
    knownIn(options, 'credential', { instance, id })
    return [{ kind: 'credential', id, value: null }]
  })
}

/** @throws {HoldfastError} `quota_exceeded` */
function refuseMore(options: AdministrationOptions, instance: string): void {
  refuseBeyond(recordsIn(options, 'credential', instance).length, { limit: 'credentials', max: CREDENTIALS_MAX })
}
