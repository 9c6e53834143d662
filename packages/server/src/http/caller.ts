/** Who calls, from where, and in which instance: found out once for a request or a connection. What they may do is asked for each deed. */
import type { IncomingMessage } from 'node:http'
import { TLSSocket } from 'node:tls'
import { SERVICE_INSTANCE } from '@holdfast/protocol/operation'
import type { FastifyRequest } from 'fastify'
import { certificateOf } from '../auth/certificate.ts'
import type { Identity, Presented } from '../auth/identity.ts'
import type { Doors } from './doors.ts'
import { endedRefusal, isStale } from './ended.ts'
import { addressOf } from './forwarded.ts'
import { foreignOrigin } from './origins.ts'
import { invalid, Refused, refuse } from './reply.ts'
import { noteIntruder, noteStranger } from './strangers.ts'
import { whenKnown } from './when-known.ts'

export type Caller = {
  /** Replaced when the credential's record changes while a stream is open. */
  identity: Identity
  /** What the log and the trail name. */
  readonly subject: string
  readonly instance: string
  readonly address: string
}

const INSTANCE_PATTERN = /^[a-z0-9][a-z0-9-]{0,63}$/

export const noSuchInstance = 'There is no such instance.'

export function presentedBy(
  { headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>,
  { trustedProxies }: Pick<Doors, 'trustedProxies'>,
): Presented {
  const forwarded = headers['x-forwarded-for']
  return {
    authorization: headers.authorization,
    address: addressOf({ peer: socket.remoteAddress ?? '', forwarded: String(forwarded ?? '') }, trustedProxies),
    certificate: socket instanceof TLSSocket ? certificateOf(socket) : null,
  }
}

/** The key that a session is opened with, where its subject does not say it: to be noted, so that it ends with that key and not with another. */
export function sharingKeyOf({ identity: { subject, credential } }: Caller): string | undefined {
  return credential === null || subject === `key:${credential}` ? undefined : credential
}

type Asked = {
  /** What `Holdfast-Instance` says. */
  named: string | string[] | undefined
  trace: string
  /** Whether the root key may name an instance that is gone. */
  reachesGone?: boolean
}

/**
 * null: nobody is proved, which is noted if something was presented. Throws or rejects when the instance that is named may not be entered, which answers like one that is not there.
 */
export function callerOf(
  doors: Doors,
  presented: Presented,
  { named, trace, reachesGone = false }: Asked,
): Caller | null | Promise<Caller | null> {
  return whenKnown(doors.authenticate(presented), identity => {
    if (identity) return entered(doors, identity, { named, trace, address: presented.address, reachesGone })
    noteStranger(doors, presented, trace)
    return null
  })
}

/** The same for a request over REST. Throws or rejects also when nobody is proved, or a page of elsewhere asks. */
export function identified(
  doors: Doors,
  { raw, ids, headers }: Pick<FastifyRequest, 'raw' | 'ids' | 'headers'>,
  asked: Omit<Asked, 'trace'>,
): Caller | Promise<Caller> {
  return whenKnown(callerOf(doors, presentedBy(raw, doors), { ...asked, trace: ids.trace }), caller => {
    if (!caller) throw refuse('unauthenticated')
    if (!doors.origins.permits(headers)) throw refuse('forbidden', foreignOrigin)
    return caller
  })
}

/** The same for who has proved it already, and names the instance later. */
export function entered(
  doors: Doors,
  identity: Identity,
  { named, trace, address, reachesGone = false }: Asked & { address: string },
): Caller | Promise<Caller> {
  if (named !== undefined && (typeof named !== 'string' || !INSTANCE_PATTERN.test(named)))
    throw invalid('header', {
      name: 'Holdfast-Instance',
      message: '`Holdfast-Instance` must be the id of an instance: 1 to 64 lower-case letters, digits and `-`.',
    })
  const instance = named ?? identity.instance ?? SERVICE_INSTANCE
  if (isStale(identity, doors.registry)) throw endedRefusal('view_stale')
  const caller: Caller = { identity, subject: identity.subject, instance, address }
  if (named === undefined || named === identity.instance) return caller
  if (reachesGone && identity.kind === 'root') return caller
  const question = { identity, instance, address, atMs: doors.clock.wallMs() }
  return whenKnown(isThere(doors, instance) && doors.permissions.mayEnter(question), mayEnter => {
    if (mayEnter) return caller
    noteIntruder(doors, caller, trace)
    // Whether somebody's instance has this name is nobody else's business.
    throw refuse('not_found', `${noSuchInstance} \`Holdfast-Instance\` takes its id, not its name or CRN.`)
  })
}

function isThere({ registry }: Doors, instance: string): boolean {
  return instance === SERVICE_INSTANCE || registry.get('instance', instance) !== null
}

/** Why nothing can be done in the instance now, whoever asks; null: it is active. */
export function instanceRefusal({ registry }: Doors, instance: string): Refused | null {
  const record = registry.get('instance', instance)
  if (!record) return instance === SERVICE_INSTANCE ? null : refuse('not_found', noSuchInstance)
  switch (record.state) {
    case 'active':
      return null
    case 'disabled':
      return new Refused({ code: 'forbidden', message: 'The instance is disabled.', reason: 'instance_disabled' })
    case 'pending_reclamation':
      return new Refused({ code: 'forbidden', message: 'The instance has been deleted.', reason: 'instance_deleted' })
  }
}
