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
import { noteWrongSecret } from './strangers.ts'

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
 * An answer that is not there by then, beyond the wait that was asked for, is called unknown: the store may be away for long. What only looks for an
 * owner is told so before (`ROUTE_MS_MAX`), as its outcome is known.
 */
export const ANSWER_MS_MAX = 12_000

/**
 * Resolves when durable, to the reply of the expected type; rejects with `Refused`.
 * With `waitMs`, the open connection keeps the session alive, and a client that goes away gives up what it has asked for.
 */
export function ask<Type extends Okay['type']>(
  call: Call,
  command: Command,
  expected: Type,
  { waitMs }: { waitMs?: number } = {},
): Promise<OkayOf<Type>> {
  return new Promise((resolve, reject) => {
    const { shards, clock, exhausted } = call.doors
    let submitted: Submitted | null = null
    const giveUp = (refused: Refused) => {
      cancelTimer()
      submitted?.detach()
      reject(refused)
    }
    const cancelTimer = clock.after((waitMs ?? 0) + ANSWER_MS_MAX, () => giveUp(late(call)))
    const asking: Asking = {
      answer(reply) {
        cancelTimer()
        if (!reply.ok) {
          const wire = refused(withoutHidden(reply, lock => mayRead(call, lock)))
          // For a set there may be too little where there is enough for a single lock.
          if (!('claims' in command && command.claims.length > 1))
            exhausted.note(call.request.headers, wire, clock.hrtimeMs())
          return reject(new Refused(wire))
        }
        if (reply.type !== expected) return reject(new Error(`the core answered ${command.type} with ${reply.type}`))
        // Its type has just been compared.
        resolve(reply as OkayOf<Type>)
      },
      fail(error: HoldfastError) {
        cancelTimer()
        reject(new Refused(failed(error)))
      },
    }
    if (waitMs !== undefined) asking.keepsSessionAlive = true
    // It may have taken a while to come here.
    if (waitMs !== undefined && call.reply.raw.destroyed) return giveUp(refuse('unavailable'))
    submitted = shards.submit(call.caller.instance, command, asking)
    if (waitMs !== undefined) whenGone(call, giveUp)
  })
}

function late({ request }: Call): Refused {
  const message =
    request.method === 'GET'
      ? 'The store has not answered in time; ask again.'
      : 'The outcome is unknown: the store has not confirmed it in time. It may yet be done: ask again under the same request id or `Idempotency-Key`, or look.'
  return refuse('unavailable', message)
}

/** For names that come up in the answer to something else. */
export function mayRead({ doors, caller }: Call, lock: string): boolean {
  return sees(doors, caller, { action: 'lock.read', lock })
}

/** And when what it asks for is no longer permitted. */
function whenGone({ doors, caller, deeds, reply }: Call, giveUp: (refused: Refused) => void): void {
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
    noteWrongSecret(call.doors, call.caller, call.trace)
    throw new Refused({
      code: 'unauthenticated',
      message: 'The session secret is not valid.',
      target: { type: 'header', name: 'Holdfast-Session' },
    })
  }
  return session
}

/** The same where it may be missing: null without one, or with a wrong one. */
export function sessionOrNoneOf({ doors, caller, request }: Call): string | null {
  const handle = request.headers['holdfast-session']
  return typeof handle === 'string' ? doors.secrets.open(caller.instance, handle) : null
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
