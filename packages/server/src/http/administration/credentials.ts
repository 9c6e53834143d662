/** `/v2/credentials`. */
import { v2 } from '@holdfast/protocol/v2'
import { knownIn, misfit, recordsIn } from '../../administration/administration.ts'
import * as credentials from '../../administration/credentials.ts'
import { rolesMisfit } from '../../policies/fitness.ts'
import { roleIdOf } from '../../policies/roles.ts'
import { answer, type Call, nowAt, route } from '../call.ts'
import { foundAt } from '../forwarded.ts'
import { administrationOf, byOf, isOwnRole, pageOfRecords, refuseGiving, refuseMisfit } from './asking.ts'
import { wireCredential } from './views.ts'

const listCredentials = route(v2.listCredentials, async call => {
  const { rows, ...page } = pageOfRecords(call, recordsIn(administrationOf(call), 'credential', call.caller.instance))
  const shown = await Promise.all(
    rows.map(async record =>
      wireCredential(record, { nowMs: nowAt(call), lastUsedAtMs: await lastUse(call, record.id) }),
    ),
  )
  return answer(200, { credentials: shown, ...page })
})

const createCredential = route(v2.createCredential, async call => {
  const { name, roles = [], groups = [], expires_at } = call.body
  refuseMisfit(rolesMisfit(roles, isOwnRole(call)))
  await refuseGiving(call, { roles, groups })
  const expiresAtMs = expires_at === undefined ? null : Date.parse(expires_at)
  if (Number.isNaN(expiresAtMs)) throw misfit('expires_at', 'There is no such day or hour.')
  const fields = { name, roles: roles.map(roleIdOf), groups, expiresAtMs }
  const minted = await credentials.createCredential(administrationOf(call), byOf(call), {
    instance: call.caller.instance,
    fields,
  })
  return answer(201, newCredential(call, minted))
})

const getCredential = route(v2.getCredential, async call => {
  const record = knownIn(administrationOf(call), 'credential', named(call))
  return answer(200, wireCredential(record, { nowMs: nowAt(call), lastUsedAtMs: await lastUse(call, record.id) }))
})

const rotateCredential = route(v2.rotateCredential, async call => {
  const { overlap_ms } = call.body
  await refuseGiving(call, knownIn(administrationOf(call), 'credential', named(call)))
  const minted = await credentials.rotateCredential(administrationOf(call), byOf(call), {
    ...named(call),
    ...(overlap_ms === undefined ? {} : { overlapMs: overlap_ms }),
  })
  return answer(201, newCredential(call, minted))
})

const revokeCredential = route(v2.revokeCredential, async call => {
  const { end_sessions = false, reason = '' } = call.body
  const record = await credentials.revokeCredential(administrationOf(call), byOf(call), {
    ...named(call),
    endsSessions: end_sessions,
    reason,
  })
  return answer(200, wireCredential(record, { nowMs: nowAt(call) }))
})

const deleteCredential = route(v2.deleteCredential, async call => {
  await credentials.deleteCredential(administrationOf(call), byOf(call), named(call))
  return answer(204, null)
})

function named(call: { params: { id: string }; caller: { instance: string } }): { instance: string; id: string } {
  return { instance: call.caller.instance, id: call.params.id }
}

function newCredential(call: Pick<Call, 'doors' | 'request'>, { record, key }: credentials.Minted) {
  return {
    credential: wireCredential(record, { nowMs: call.doors.clock.wallMs() }),
    api_key: key,
    url: foundAt(call.request, call.doors),
  }
}

function lastUse({ doors }: Pick<Call, 'doors'>, id: string): Promise<number | null> {
  return doors.administration.lastUsedAtMs(id)
}

export const credentialRoutes = [
  listCredentials,
  createCredential,
  getCredential,
  rotateCredential,
  revokeCredential,
  deleteCredential,
]
