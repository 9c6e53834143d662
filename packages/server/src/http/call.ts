/** One REST call, as its handler sees it; and how a handler asks the shards. */
import type { HoldfastError } from '@holdfast/protocol/errors'
import type { BodyOf, OperationFields, ParamsOf, QueryOf, ReplyOf } from '@holdfast/protocol/operation'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Asker, Command, Reply } from '../locks/model.ts'
import type { Asking, Submitted } from '../shards/port.ts'
import type { Caller } from './caller.ts'
import type { Doors } from './doors.ts'
import { endedRefusal } from './ended.ts'
import { withoutHidden } from './hiding.ts'
import { areAllPermitted, type Deed, sees } from './permission.ts'
import { failed, Refused, refuse, refused } from './reply.ts'

export type Call<Operation extends OperationFields = OperationFields> = {
  params: ParamsOf<Operation>
  query: QueryOf<Operation>
  body: BodyOf<Operation>
  caller: Caller
  /** What has been permitted: asked about again while it is waited for. */
  deeds: readonly Deed[]
  trace: string
  doors: Doors
  request: FastifyRequest
  reply: FastifyReply
}

/** A reply, or null when the handler has taken the connection over (a stream). */
export type Handler<Operation extends OperationFields> = (call: Call<Operation>) => Promise<ReplyOf<Operation> | null>
export type Route = {
  operation: OperationFields
  handle: Handler<OperationFields>
  /** What it answers where there is nothing, and so what it answers to those who may not read what there is. */
  absent: Handler<OperationFields> | null
}

/** An operation that reads a lock must say what it answers when there is none. */
export function route<const Operation extends OperationFields>(
  operation: Operation,
  handle: Handler<Operation>,
  ...[absent]: Operation['action'] extends 'lock.read' ? [absent: Handler<Operation>] : []
): Route {
  // The app calls them with what this very operation's schemas have accepted; only the types are forgotten here.
  const forgotten = (handler: Handler<Operation>) => handler as unknown as Handler<OperationFields>
  return { operation, handle: forgotten(handle), absent: absent ? forgotten(absent) : null }
}

/** As the core answers where there is none. */
export function absent(what: 'lock' | 'value'): () => Promise<never> {
  return async () => {
    throw new Refused(refused({ ok: false, code: 'not_found', what }))
  }
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

export function askerOf({ caller, trace }: { caller: Caller; trace: string }): Asker {
  return { by: caller.subject, trace, from: caller.address }
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
        if (!reply.ok) {
          const wire = refused(withoutHidden(reply, lock => mayRead(call, lock)))
          // For a set there may be too little where there is enough for a single lock.
          if (!('claims' in command && command.claims.length > 1))
            call.doors.exhausted.note(call.request.headers, wire, call.doors.clock.hrtimeMs())
          return reject(new Refused(wire))
        }
        if (reply.type !== expected) return reject(new Error(`the core answered ${command.type} with ${reply.type}`))
        // Its type has just been compared.
        resolve(reply as OkayOf<Type>)
      },
      fail: (error: HoldfastError) => reject(new Refused(failed(error))),
    }
    if (waits) asking.keepsSessionAlive = true
    const submitted = call.doors.shards.submit(call.caller.instance, command, asking)
    if (waits) giveUpWhenGone(call, submitted, reject)
  })
}

/** For names that come up in the answer to something else. */
export function mayRead({ doors, caller }: Call, lock: string): boolean {
  return sees(doors, caller, { action: 'lock.read', lock })
}

/** And when what it waits for is no longer permitted. */
function giveUpWhenGone(call: Call, submitted: Submitted, reject: (refused: Refused) => void): void {
  const { doors, caller, deeds, reply } = call
  const giveUp = (refused: Refused) => {
    submitted.detach()
    reject(refused)
  }
  const leave = doors.standing.add({
    caller,
    isPermitted: () => areAllPermitted(doors, caller, deeds),
    end: reason => giveUp(endedRefusal(reason)),
  })
  reply.raw.once('close', () => {
    leave()
    if (!reply.raw.writableFinished) giveUp(refuse('unavailable'))
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

export function nowAt(call: Call): number {
  return call.doors.clock.wallMs()
}
