/** Bindings: keys with a role, as IBM's services hand them out. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { RECORD_NAME_CHARS_MAX } from '@holdfast/protocol/limits'
import { serviceKeyCredentials } from '@holdfast/protocol/service-key'
import type { Static } from 'typebox'
import {
  BindingChanged,
  bindingKey,
  bind as bindKey,
  heirOf,
  noBinding,
  unbind as unbindKeys,
} from '../../administration/bindings.ts'
import { orderedInstance } from '../../administration/orders.ts'
import { rolesMisfit } from '../../policies/fitness.ts'
import { roleIdOf } from '../../policies/roles.ts'
import type { CredentialRecord, InstanceRecord } from '../../registry/records.ts'
import { isOwnRole, refuseGiving, refuseMisfit } from '../administration/asking.ts'
import { timeOf } from '../administration/views.ts'
import { invalid } from '../reply.ts'
import { type Answered, type Asked, gone, instanceOf, nameOf, options } from './asked.ts'
import { planOf, refuseOtherService } from './catalog.ts'
import { BrokerRefusal } from './refusal.ts'
import type { bindBody, bindingParameters } from './schemas.ts'

/** What a binding may do if nobody says. */
const ROLE = 'writer'

export async function bind(asked: Asked): Promise<Answered> {
  const body = asked.body as Static<typeof bindBody> // accepted by this schema
  const instance = instanceOf(asked)
  refuseOtherService(asked, body.service_id)
  planOf(asked, body.plan_id)
  // Of two that ask for one binding at once the later is answered like any that asks again. Who is overtaken each time is told so.
  const made = (await boundAsFound(asked, instance)) ?? (await boundAsFound(asked, instance))
  if (!made) throw new BrokerRefusal(422, 'ConcurrencyError', 'Others change this binding at this moment: ask again.')
  return {
    status: made.isNew ? 201 : 200,
    body: { credentials: credentialsOf(asked, { instance, ...made }), ...metadataOf(made.record) },
  }
}

/** null: the binding was changed meanwhile, and nothing has been done. */
async function boundAsFound(
  asked: Asked,
  instance: InstanceRecord,
): Promise<Awaited<ReturnType<typeof bindKey>> | null> {
  const binding = nameOf(asked, 'binding_id')
  const body = asked.body as Static<typeof bindBody> // accepted by this schema
  const { parameters = {}, predecessor_binding_id: successorOf = null } = body
  const inherits = heirOf(options(asked), { instance: instance.id, binding, successorOf })?.subject ?? null
  const roles = await rolesOf(asked, instance, { parameters, inherits })
  const bound = { name: binding.slice(-RECORD_NAME_CHARS_MAX), roles, expiresAtMs: endOf(parameters) }
  try {
    return await bindKey(options(asked), asked.by, { instance: instance.id, binding, bound, successorOf, inherits })
  } catch (error) {
    if (error instanceof BindingChanged) return null
    throw error
  }
}

export async function unbind(asked: Asked): Promise<Answered> {
  const named = bindingOf(asked)
  if (!named) return gone
  refuseOtherService(asked, asked.query.service_id)
  try {
    await unbindKeys(options(asked), asked.by, named)
  } catch (error) {
    // It was there when we looked: another request has ended it since.
    if (error instanceof HoldfastError && error.code === 'not_found') return gone
    throw error
  }
  return { status: 200, body: {} }
}

/** Without the secret, which nobody can see again. */
export function showBinding(asked: Asked): Answered {
  const instance = instanceOf(asked)
  const binding = nameOf(asked, 'binding_id')
  const record = bindingKey(options(asked), { instance: instance.id, binding })
  if (!record) throw noBinding(binding)
  const credentials = credentialsOf(asked, { instance, record })
  return { status: 200, body: { credentials, parameters: { role: record.roles[0] }, ...metadataOf(record) } }
}

export function lastBindingOperation(asked: Asked): Answered {
  return bindingOf(asked) ? { status: 200, body: { state: 'succeeded' } } : gone
}

/** null: it is gone, or its instance is. */
function bindingOf(asked: Asked): { instance: string; binding: string } | null {
  const instance = orderedInstance(options(asked), nameOf(asked, 'instance_id'))
  const named = instance && { instance: instance.id, binding: nameOf(asked, 'binding_id') }
  return named && bindingKey(options(asked), named) ? named : null
}

type Parameters = Static<typeof bindingParameters>

/** @throws {Refused} or {HoldfastError} when there is no such role, or the platform may not give it */
async function rolesOf(
  asked: Asked,
  { id }: InstanceRecord,
  { parameters, inherits }: { parameters: Parameters; inherits: string | null },
): Promise<string[]> {
  const roles = [roleIdOf(roleNamed(parameters.role ?? parameters.role_crn ?? ROLE))]
  // In the instance that the key will be of.
  const within = { ...asked, caller: { ...asked.caller, instance: id } }
  refuseMisfit(rolesMisfit(roles, isOwnRole(within)))
  // A key of a subject that policies give more is worth more than its roles.
  await refuseGiving(within, { roles, ...(inherits !== null && { subject: inherits }) })
  return roles
}

/** IBM's users write `Writer`, ours `writer`. */
function roleNamed(text: string): string {
  return text.startsWith('crn:') ? text : text.toLowerCase()
}

function endOf({ expires_at }: Parameters): number | null {
  if (expires_at === undefined) return null
  const ms = Date.parse(expires_at)
  if (!Number.isNaN(ms)) return ms
  throw invalid('field', { name: 'parameters.expires_at', message: 'There is no such day or hour.' })
}

type Shown = { instance: InstanceRecord; record: CredentialRecord; key?: string }

function credentialsOf({ url }: Asked, { instance, record, key }: Shown): object {
  return serviceKeyCredentials({ credential: record, instance, url, apiKey: key })
}

/** It is renewed in the last tenth of its time, as OSB proposes no share. */
const RENEW_SHARE = 0.1

function metadataOf({ createdAtMs, expiresAtMs }: CredentialRecord): object {
  if (expiresAtMs === null) return {}
  const renewMs = Math.floor(expiresAtMs - (expiresAtMs - createdAtMs) * RENEW_SHARE)
  return { metadata: { expires_at: timeOf(expiresAtMs), renew_before: timeOf(renewMs) } }
}
