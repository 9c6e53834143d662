/**
 * Keys that a platform orders through the broker. A binding is a subject with the rights of its roles. Whoever asks for the same binding again has not got
 * the first answer: the secret of that is kept nowhere, so they get one more key of the same subject, and none of them ends before the binding does.
 */
import { HoldfastError } from '@holdfast/protocol/errors'
import type { CredentialRecord } from '../registry/records.ts'
import {
  type AdministrationOptions,
  BELONGINGS_AT_ONCE,
  type By,
  deedOf,
  misfit,
  notFound,
  recordsIn,
} from './administration.ts'
import { createCredential, type Minted } from './credentials.ts'

/** Keys that rotations have made do not count. An answer that has been lost so often is no accident. */
export const BINDING_KEYS_MAX = 10

export type Bound = { name: string; roles: string[]; expiresAtMs: number | null }
type Named = { instance: string; binding: string }

/** The newest key of the binding; null: there is no such binding. */
export function bindingKey(options: AdministrationOptions, named: Named): CredentialRecord | null {
  return keysOf(options, named).at(-1) ?? null
}

type Heir = Named & {
  /** Another binding whose subject it takes over, so that policies go on to fit. */
  successorOf: string | null
}

/** The key whose subject the binding's next key has; null: it has one of its own. @throws {HoldfastError} when there is no such binding to succeed */
export function heirOf(
  options: AdministrationOptions,
  { instance, binding, successorOf }: Heir,
): CredentialRecord | null {
  return bindingKey(options, { instance, binding }) ?? predecessorOf(options, { instance, successorOf })
}

/** Nothing has been done: the subject that the key would have is not the one that whoever asks has been permitted to give. */
export class BindingChanged extends HoldfastError {
  constructor() {
    super('unavailable', 'The binding has changed while it was asked for; ask again.')
  }
}

/**
 * `inherits`: the subject of `heirOf`, which whoever asks has been permitted to give.
 * @throws {BindingChanged} when that is another by now
 */
export async function bind(
  options: AdministrationOptions,
  by: By,
  { instance, binding, bound, successorOf, inherits }: Heir & { bound: Bound; inherits: string | null },
): Promise<Minted & { isNew: boolean }> {
  let isNew = true
  const belongs = () => {
    const keys = keysOf(options, { instance, binding })
    const newest = keys.at(-1)
    isNew = newest === undefined
    if (newest) refuseOther(newest, { bound, count: askedFor(keys) })
    const before = heirOf(options, { instance, binding, successorOf })
    if ((before?.subject ?? null) !== inherits) throw new BindingChanged()
    return { binding, ...(before && { subject: before.subject }) }
  }
  const minted = await createCredential(options, by, { instance, fields: { ...bound, groups: [] }, belongs })
  return { ...minted, isNew }
}

/**
 * Ends all its keys, of which rotations may have left more than fit into one change: those that are good first. Not all or nothing: when it throws, some
 * may have ended, and it is asked again. The trail has a line for each. @throws {HoldfastError} `not_found` when there is no such binding
 */
export async function unbind(options: AdministrationOptions, by: By, named: Named): Promise<void> {
  const { instance, binding } = named
  const deedFor = (id: string) =>
    deedOf({ by, action: 'credential.delete', instance, target: `credential/${id}`, status: 200 })
  let left = 0
  do {
    await options.registry.change(
      puts => puts.map(({ id }) => deedFor(id)),
      () => {
        const keys = goodFirst(options, keysOf(options, named))
        if (keys.length === 0) throw noBinding(binding)
        left = keys.length - BELONGINGS_AT_ONCE
        return keys.slice(0, BELONGINGS_AT_ONCE).map(({ id }) => ({ kind: 'credential', id, value: null }))
      },
    )
  } while (left > 0)
}

function goodFirst({ clock }: AdministrationOptions, keys: readonly CredentialRecord[]): CredentialRecord[] {
  const nowMs = clock.wallMs()
  const isGood = ({ state, expiresAtMs }: CredentialRecord) =>
    state === 'active' && (expiresAtMs === null || expiresAtMs > nowMs)
  return [...keys].sort((one, other) => Number(isGood(other)) - Number(isGood(one)))
}

/** How often the binding has been asked for. A key that replaces another was made by whoever rotated that one. */
function askedFor(keys: readonly CredentialRecord[]): number {
  const successors = new Set(keys.map(({ replacedBy }) => replacedBy))
  return keys.filter(({ id }) => !successors.has(id)).length
}

/** Oldest first, and those that were replaced before those that were not: the clocks of two servers differ a little. */
function keysOf(options: AdministrationOptions, { instance, binding }: Named): CredentialRecord[] {
  return recordsIn(options, 'credential', instance)
    .filter(record => record.binding === binding)
    .sort((one, other) => newness(one) - newness(other) || one.createdAtMs - other.createdAtMs)
}

function newness({ replacedBy }: CredentialRecord): number {
  return replacedBy === null ? 1 : 0
}

function predecessorOf(
  options: AdministrationOptions,
  { instance, successorOf }: { instance: string; successorOf: string | null },
): CredentialRecord | null {
  if (successorOf === null) return null
  const found = bindingKey(options, { instance, binding: successorOf })
  if (!found) throw misfit('predecessor_binding_id', `There is no binding \`${successorOf}\` of this instance.`)
  return found
}

function refuseOther(newest: CredentialRecord, { bound, count }: { bound: Bound; count: number }): void {
  const taken = (message: string) => new HoldfastError('already_exists', message)
  if (newest.expiresAtMs !== bound.expiresAtMs || newest.roles.join() !== bound.roles.join())
    throw taken('There is a binding of this id with another role or end: unbind it, or choose another id.')
  if (newest.state === 'revoked')
    throw taken('The key of this binding has been revoked: unbind it, or choose another id.')
  if (count < BINDING_KEYS_MAX) return
  const often = `This binding has been asked for ${count} times, and each answer had a key of its own: unbind it, and bind anew.`
  throw new HoldfastError('quota_exceeded', often, { details: { limit: 'binding_keys', max: BINDING_KEYS_MAX } })
}

export function noBinding(binding: string): HoldfastError {
  return notFound(`There is no binding \`${binding}\` of this instance.`)
}
