/** Whether a REST call is permitted: as far as its URL says, and then as far as its body does. */
import { V1_TTL_SECONDS_DEFAULT } from '@holdfast/protocol/limits'
import type { OperationFields } from '@holdfast/protocol/operation'
import type { FastifyRequest } from 'fastify'
import type { Reply } from '../locks/model.ts'
import type { Decision } from '../policies/port.ts'
import { ANSWER_MS_MAX, type Call, sessionOrNoneOf } from './call.ts'
import { instanceRefusal } from './caller.ts'
import type { Doors } from './doors.ts'
import { type Deed, decide, denial, note, readsNothing, sees } from './permission.ts'
import { earlyDeeds } from './questions.ts'
import { refuse } from './reply.ts'
import { whenKnown } from './when-known.ts'

type Asked = { operation: OperationFields; url: { name?: string; prefix?: string; instance?: string } }

/** Whether what is asked for must seem not to be there. @throws {Refused} (or rejects with it) what is not permitted */
export function permitEarly(
  doors: Doors,
  request: FastifyRequest,
  { operation, url }: Asked,
): boolean | Promise<boolean> {
  const deeds = earlyDeeds(operation, url)
  const caller = request.caller!
  if (deeds === null) return false
  const [first, second] = deeds
  if (!first) return false
  const refused = (decision: Decision) => refuseEarly(doors, request, { deed: first, decision, operation })
  return whenKnown(decide(doors, caller, first), decision => {
    if (decision.permitted) return false
    if (!second) return refused(decision)
    return whenKnown(decide(doors, caller, second), other =>
      other.permitted ? false : refused(other.isUnknown ? other : decision),
    )
  })
}

type Denied = { deed: Deed; decision: Decision; operation: OperationFields }

function refuseEarly(doors: Doors, request: FastifyRequest, { deed, decision, operation }: Denied): boolean {
  const caller = request.caller!
  const { trace } = request.ids
  // Whatever there is and whatever there is not is answered so, so it tells nothing.
  if (decision.isUnknown) throw denial(doors, caller, { deed, decision, trace })
  const hidden = { deed, trace, reason: decision.why, status: 404 }
  if (operation.scope === 'named_instance' && !sees(doors, caller, { ...deed, action: 'instance.read' })) {
    note(doors, caller, hidden)
    throw refuse('not_found', `There is no instance \`${deed.instance}\`.`)
  }
  // In an instance that is closed nothing is hidden: it is said that it is closed. Nor is anything to those who could read nothing.
  if (operation.action !== 'lock.read' || instanceRefusal(doors, caller.instance) || readsNothing(doors, caller))
    throw denial(doors, caller, { deed, decision, trace })
  note(doors, caller, hidden)
  return true
}

/** null: permitted, at once. @throws {Refused} (or rejects with it) */
export function permitLate(call: Call): Promise<void> | null {
  const { doors, caller, deeds } = call
  for (const deed of deeds) {
    const decision = decide(doors, caller, deed)
    // What has to be fetched, or thought about twice.
    if (decision instanceof Promise || !decision.permitted) return permitSlowly(call)
  }
  return null
}

async function permitSlowly(call: Call): Promise<void> {
  const { doors, caller, trace } = call
  let ttlMs: number | null = null
  const permitted: Deed[] = []
  for (let deed of call.deeds) {
    let decision = await decide(doors, caller, deed)
    if (decision.needsTtl) {
      ttlMs ??= await ttlOf(call)
      deed = { ...deed, ttlMs }
      decision = await decide(doors, caller, deed)
    }
    if (!decision.permitted) throw denial(doors, caller, { deed, decision, trace })
    permitted.push(deed)
  }
  call.deeds = permitted
}

/** For which the grant would be: of the session that asks, or as the lock is configured. */
async function ttlOf(call: Call): Promise<number> {
  // `/v1` knows no sessions, whatever a header says.
  const isV1 = call.request.routeOptions.url?.startsWith('/v1/')
  const session = isV1 ? null : sessionOrNoneOf(call)
  const { name } = call.params as { name?: string } // of the operations that acquire
  if (session !== null) {
    const shown = await read(call, { type: 'show_session', session })
    // Without a session nothing is granted: the operation itself says so.
    return shown.ok && shown.type === 'session_view' ? shown.session.ttlMs : 0
  }
  const shown = name === undefined ? null : await read(call, { type: 'show', lock: name })
  const configured = shown?.ok && shown.type === 'lock' ? shown.lock.config?.defaultTtlMs : null
  return configured ?? V1_TTL_SECONDS_DEFAULT * 1_000
}

function read(
  { doors, caller }: Call,
  command: { type: 'show_session'; session: string } | { type: 'show'; lock: string },
): Promise<Exclude<Reply, { ok: 'queued' }>> {
  return new Promise((resolve, reject) => {
    const cancelTimer = doors.clock.after(ANSWER_MS_MAX, () => {
      submitted.detach()
      reject(refuse('unavailable'))
    })
    const submitted = doors.shards.submit(
      caller.instance,
      { ...command, by: caller.subject },
      {
        answer(reply) {
          cancelTimer()
          resolve(reply)
        },
        fail(error) {
          cancelTimer()
          reject(error)
        },
      },
    )
  })
}
