/** One REST call, as its handler sees it; and how a handler asks the shards. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { Action, BodyOf, OperationFields, ParamsOf, QueryOf, ReplyOf } from '@holdfast/protocol/operation'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../auth/caller.ts'
import type { Asker, Command, Preemption, Reply } from '../locks/model.ts'
import type { Asking, Submitted } from '../shards/port.ts'
import type { Doors } from './doors.ts'
import { failed, Refused, refuse, refused } from './reply.ts'

export type Call<Operation extends OperationFields = OperationFields> = {
  params: ParamsOf<Operation>
  query: QueryOf<Operation>
  body: BodyOf<Operation>
  caller: Caller
  trace: string
  doors: Doors
  request: FastifyRequest
  reply: FastifyReply
}

/** A reply, or null when the handler has taken the connection over (a stream). */
export type Handler<Operation extends OperationFields> = (call: Call<Operation>) => Promise<ReplyOf<Operation> | null>
export type Route = { operation: OperationFields; handle: Handler<OperationFields> }

export function route<const Operation extends OperationFields>(
  operation: Operation,
  handle: Handler<Operation>,
): Route {
  // The app calls it with what this very operation's schemas have accepted; only the types are forgotten here.
  return { operation, handle: handle as unknown as Handler<OperationFields> }
}

type Okay = Extract<Reply, { ok: true }>
type OkayOf<Type extends Okay['type']> = Extract<Okay, { type: Type }>

/** Keeps the status, and whatever is written out in the body, as exact as the operation declares them. */
export function answer<const Status extends number, const Body>(
  status: Status,
  body: Body,
  headers: Record<string, string> = {},
) {
  return { status, body, headers }
}

export function askerOf(call: { caller: Caller; trace: string; request: { ip: string } }): Asker {
  return { by: call.caller.subject, trace: call.trace, from: call.request.ip }
}

/**
 * Resolves when durable, to the reply of the expected type; rejects with `Refused`.
 * With `waits`, the open connection keeps the session alive, and a client that goes away gives the wait up.
 */
export function ask<Type extends Okay['type']>(
  call: Call,
  command: Command,
  expected: Type,
  { waits = false } = {},
): Promise<OkayOf<Type>> {
  return new Promise((resolve, reject) => {
    const asking: Asking = {
      answer(reply) {
        if (!reply.ok) return reject(new Refused(refused(reply)))
        if (reply.type !== expected) return reject(new Error(`the core answered ${command.type} with ${reply.type}`))
        // Its type has just been compared.
        resolve(reply as OkayOf<Type>)
      },
      fail: (error: HoldfastError) => reject(new Refused(failed(error))),
    }
    if (waits) asking.keepsSessionAlive = true
    const submitted = call.doors.shards.submit(call.caller.instance, command, asking)
    if (waits) giveUpWhenGone(call, submitted, () => reject(refuse('unavailable')))
  })
}

function giveUpWhenGone(call: Call, submitted: Submitted, gone: () => void): void {
  call.reply.raw.once('close', () => {
    if (call.reply.raw.writableFinished) return
    submitted.detach()
    gone()
  })
}

/** The session that the header names and proves. */
export function sessionOf(call: Call): string {
  const handle = call.request.headers['holdfast-session']
  if (typeof handle !== 'string' || handle === '') {
    throw new Refused({
      code: 'invalid_request',
      message:
        'This needs a session: open one with `POST /v2/sessions` and send `Holdfast-Session: <session_id>.<session_secret>`.',
      target: { type: 'header', name: 'Holdfast-Session' },
    })
  }
  const session = call.doors.secrets.open(call.caller.instance, handle)
  if (session === null) {
    throw new Refused({
      code: 'unauthenticated',
      message: 'The session secret is not valid.',
      target: { type: 'header', name: 'Holdfast-Session' },
    })
  }
  return session
}

/** For paths that name the session too. */
export function ownSessionOf(call: Call, named: string): string {
  const session = sessionOf(call)
  if (session === named) return session
  throw new Refused({
    code: 'invalid_request',
    message: 'The session in the path is not that of the header.',
    target: { type: 'header', name: 'Holdfast-Session' },
  })
}

/** For locks that the body names; those in the path have been checked on the way in. @throws {Refused} */
export function permit(call: Call, action: Action, locks: readonly string[]): void {
  if (locks.every(lock => call.caller.permits(action, lock))) return
  throw refuse('forbidden', `The credential does not permit \`${action}\` here.`)
}

/** To preempt is a permission of its own. @throws {Refused} */
export function permitPreemption(call: Call, preempt: Preemption | undefined, locks: readonly string[]): void {
  if (preempt !== undefined && preempt !== 'never') permit(call, 'lock.preempt', locks)
}

export function nowAt(call: Call): number {
  return call.doors.clock.wallMs()
}
