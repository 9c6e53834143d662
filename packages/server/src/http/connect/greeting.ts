/** The beginning of a connection: who greets, and the session that it opens or resumes. */
import { HoldfastError, type WireError } from '@holdfast/protocol/errors'
import type { ClientHello } from '@holdfast/protocol/frame'
import { TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import type { Presented } from '../../auth/identity.ts'
import type { Command, NewSession } from '../../locks/model.ts'
import type { Answer } from '../../shards/port.ts'
import { type Caller, callerOf, entered, sharingKeyOf } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { failed, Refused } from '../reply.ts'
import { noteWrongSecret } from '../strangers.ts'
import { unheard } from './pending.ts'

/** Who has come, as far as the upgrade tells. */
export type Arrived = {
  /** null: a browser, which says it in its `hello`. */
  caller: Caller | null
  presented: Presented
  /** What `Holdfast-Instance` says. */
  named: string | string[] | undefined
  /** Of the upgrade: all that is refused on this connection is noted under it. */
  trace: string
}

/**
 * The upgrade's caller, unless the hello says who or where. What is presented in a hello is what counts, as in `Authorization`: if that proves nobody,
 * nobody is proved, whatever the upgrade has proved.
 */
export function greeterOf(
  doors: Doors,
  { authorization, instance }: ClientHello,
  { caller, presented, named, trace }: Arrived,
): Caller | null | Promise<Caller | null> {
  if (authorization !== undefined && authorization !== presented.authorization)
    return callerOf(doors, { ...presented, authorization }, { named: instance ?? named, trace })
  if (!caller || instance === undefined) return caller
  return entered(doors, caller.identity, { named: instance, trace, address: caller.address })
}

export const twoSessions = { name: 'resume', message: '`resume` and `session` say the same: send one of them.' }

/** `resume` is another word for `session`; nobody after this needs to know. null: they name two. */
export function inOneWord({ resume, ...hello }: ClientHello): ClientHello | null {
  if (resume === undefined) return hello
  return (hello.session ?? resume) === resume ? { ...hello, session: resume } : null
}

/** null: the secret of the session to resume is wrong, which is noted. */
export function helloCommand(
  doors: Doors,
  message: ClientHello,
  { caller, trace }: { caller: Caller; trace: string },
): Command | null {
  const by = caller.subject
  if (message.session === undefined) {
    const session: NewSession = { ttlMs: message.ttl_ms ?? TTL_MS_DEFAULT, labels: message.labels ?? null }
    const credential = sharingKeyOf(caller)
    if (credential !== undefined) session.credential = credential
    return { type: 'open_session', by, from: caller.address, ...session }
  }
  const session = doors.secrets.open(caller.instance, message.session)
  if (session === null) {
    noteWrongSecret(doors, caller, trace)
    return null
  }
  const command: Extract<Command, { type: 'renew' }> = { type: 'renew', by, session, wantsGrants: true }
  if (message.ttl_ms !== undefined) command.ttlMs = message.ttl_ms
  return command
}

export function welcomeOf(answer: Extract<Answer, { ok: true }>): { session: string; ttlMs: number; changes: number } {
  if (answer.type === 'session')
    return { session: answer.session.id, ttlMs: answer.session.ttlMs, changes: answer.session.changes }
  if (answer.type === 'renewed')
    return { session: answer.session, ttlMs: answer.confers.ttlMs, changes: answer.confers.changes }
  throw new Error(`hello is not answered with ${answer.type}`)
}

/** The connection has gone before it could be welcomed: the session that it asked for is known to nobody, and would live for its whole TTL. */
export function giveUp({ shards }: Doors, caller: Caller | null, answer: Answer): void {
  if (!caller || !answer.ok || answer.type !== 'session') return
  shards.submit(caller.instance, { type: 'close_session', by: 'service', session: answer.session.id }, unheard)
}

/** @throws what is a bug */
export function wireErrorOf(error: unknown): WireError {
  if (error instanceof Refused) return error.wire
  if (error instanceof HoldfastError) return failed(error)
  throw error
}
