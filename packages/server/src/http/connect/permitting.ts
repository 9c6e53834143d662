/** Whether a message of a connection is permitted. */
import type { WireError } from '@holdfast/protocol/errors'
import type { ClientHello, ClientRequest } from '@holdfast/protocol/frame'
import { TTL_MS_DEFAULT } from '@holdfast/protocol/limits'
import type { Action } from '@holdfast/protocol/operation'
import { type Decision, type Verdict, verdictOf } from '../../policies/port.ts'
import { type Caller, instanceRefusal } from '../caller.ts'
import type { Doors } from '../doors.ts'
import { type Deed, decide, denial, note, readsNothing } from '../permission.ts'
import { refused } from '../reply.ts'
import { whenKnown } from '../when-known.ts'
import { actionOf } from './commands.ts'
import { deedOf as watchDeed } from './watches.ts'

type Asked = {
  request: ClientRequest | ClientHello
  trace: string
  /** Of the session; a hello says its own. */
  ttlMs: number
}

/** null: permitted. */
export function messageRefusal(
  doors: Doors,
  caller: Caller,
  asked: Asked,
): WireError | null | Promise<WireError | null> {
  const { request } = asked
  if (request.type === 'acquire_all') return refusalOfAll(doors, caller, { asked, names: request.locks })
  if (request.type === 'release_all') return refusalOfAll(doors, caller, { asked, names: request.grants })
  return refusalOf(doors, caller, { asked, deed: deedOf(asked, 'name' in request ? (request.name ?? null) : null) })
}

/** What let a connection in: `session.open`, or `session.renew` where it went on with a session. */
export type Entrance = Extract<Action, 'session.open' | 'session.renew'>

/** Whether the connection may stay: it may as long as what let it in would let it in now. */
export function mayStay(doors: Doors, caller: Caller, action: Entrance): Verdict | Promise<Verdict> {
  const deed: Deed = { action, lock: null, isEarly: true }
  return whenKnown(decide(doors, caller, deed), verdictOf)
}

function deedOf({ request, ttlMs }: Asked, lock: string | null): Deed {
  switch (request.type) {
    case 'hello': {
      if (request.session === undefined)
        return { action: 'session.open', lock, ttlMs: request.ttl_ms ?? TTL_MS_DEFAULT }
      // To resume is to go on with what was opened: as a renewal, which asks for no other TTL if it names none.
      const deed: Deed = { action: 'session.renew', lock }
      if (request.ttl_ms !== undefined) deed.ttlMs = request.ttl_ms
      return deed
    }
    case 'watch':
      return watchDeed(request)
    case 'acquire':
    case 'acquire_all': {
      const deed: Deed = { action: 'lock.acquire', lock, ttlMs }
      if (request.priority !== undefined) deed.priority = request.priority
      if (request.preempt !== undefined) deed.preempt = request.preempt
      if (request.labels !== undefined) deed.labels = request.labels
      return deed
    }
    case 'renew': {
      const deed: Deed = { action: 'session.renew', lock }
      if (request.ttl_ms !== undefined) deed.ttlMs = request.ttl_ms
      return deed
    }
    default:
      return { action: actionOf[request.type], lock }
  }
}

type One = { asked: Asked; deed: Deed }

function refusalOf(doors: Doors, caller: Caller, { asked, deed }: One): WireError | null | Promise<WireError | null> {
  const known = decide(doors, caller, deed)
  const more = moreOf(asked.request, deed)
  // As nearly always: nothing is made for it.
  if (!(known instanceof Promise) && known.permitted && more === none) return null
  return whenKnown(known, decision => {
    if (!decision.permitted) return refusal(doors, caller, { asked, deed, decision })
    const later: Promise<WireError | null>[] = []
    for (const action of more) {
      const other: Deed = { ...deed, action }
      const error = whenKnown(decide(doors, caller, other), decision =>
        decision.permitted ? null : refusal(doors, caller, { asked, deed: other, decision }),
      )
      if (error instanceof Promise) later.push(error)
      else if (error) return error
    }
    return firstOf(later)
  })
}

const none: readonly Action[] = []

/** To take a lock from others is a permission of its own, and so is to say what others read there. */
function moreOf(request: Asked['request'], { action, preempt = 'never' }: Deed): readonly Action[] {
  if (action !== 'lock.acquire') return none
  const takes = preempt !== 'never'
  const writes = 'value' in request && request.value !== undefined
  if (!takes && !writes) return none
  return [...(takes ? (['lock.preempt'] as const) : []), ...(writes ? (['lock.write-value'] as const) : [])]
}

function firstOf(errors: Promise<WireError | null>[]): null | Promise<WireError | null> {
  return errors.length === 0 ? null : Promise.all(errors).then(all => all.find(error => error !== null) ?? null)
}

type All = { asked: Asked; names: readonly { name: string }[] }

function refusalOfAll(
  doors: Doors,
  caller: Caller,
  { asked, names }: All,
): WireError | null | Promise<WireError | null> {
  const later: Promise<WireError | null>[] = []
  for (const { name } of names) {
    const error = refusalOf(doors, caller, { asked, deed: deedOf(asked, name) })
    if (error instanceof Promise) later.push(error)
    else if (error) return error
  }
  return firstOf(later)
}

type Denied = One & { decision: Decision }

/** What may not be read answers like what is not there; who may read nothing at all is told that. */
function refusal(doors: Doors, caller: Caller, { asked, deed, decision }: Denied): WireError {
  const { request, trace } = asked
  const isSaid = decision.isUnknown || instanceRefusal(doors, caller.instance) !== null
  if (deed.action !== 'lock.read' || isSaid || readsNothing(doors, caller))
    return denial(doors, caller, { deed, decision, trace }).wire
  const absent = refused({ ok: false, code: 'not_found', what: request.type === 'value' ? 'value' : 'lock' })
  note(doors, caller, { deed, trace, reason: decision.why, status: 404 })
  return absent
}
