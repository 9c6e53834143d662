/**
 * The server's end of a REST request: the product's own handlers, given what they use of a request and of its connection. One request to a connection,
 * which the caller may close at any moment.
 */
import { EventEmitter } from 'node:events'
import { rootIdentity } from '../../packages/server/src/auth/authenticator.ts'
import type { Call, Route } from '../../packages/server/src/http/call.ts'
import type { Doors } from '../../packages/server/src/http/doors.ts'
import { Refused } from '../../packages/server/src/http/reply.ts'
import { acquireLock as acquireSingle } from '../../packages/server/src/http/v1/acquire-lock.ts'
import { releaseLock as releaseSingle } from '../../packages/server/src/http/v1/release-lock.ts'
import { renewLock as renewSingle } from '../../packages/server/src/http/v1/renew-lock.ts'
import { acquireLock } from '../../packages/server/src/http/v2/acquire-lock.ts'
import type { End, Sending } from './network.ts'

const routes = {
  acquire: acquireSingle,
  renew: renewSingle,
  release: releaseSingle,
  /** Of `/v2`, in the name of whatever session the header says. */
  enter: acquireLock,
} satisfies Record<string, Route>

export type RestRequest = {
  does: keyof typeof routes
  name: string
  headers: Record<string, string>
  body: Record<string, unknown>
}
export type RestReply = { ok: true; body: Record<string, unknown> } | { ok: false; code: string; reason: unknown }

/** Of the response, what handlers look at. */
class Raw extends EventEmitter {
  destroyed = false
  writableFinished = false

  close(): void {
    this.destroyed = true
    this.emit('close')
  }
}

export function acceptRequest(doors: Doors, back: Sending, who: { subject: string; instance: string }): End {
  const raw = new Raw()
  const answered = (reply: RestReply) => {
    raw.writableFinished = true
    back.send(JSON.stringify(reply))
    back.close()
    raw.close()
  }
  return {
    received: text => void handle(doors, { request: JSON.parse(text) as RestRequest, who, raw }).then(answered),
    closed: () => raw.close(),
  }
}

type Asked = { request: RestRequest; who: { subject: string; instance: string }; raw: Raw }

async function handle(doors: Doors, { request, who, raw }: Asked): Promise<RestReply> {
  const { does, name, headers, body } = request
  const caller = { identity: rootIdentity, ...who, address: '192.0.2.8' }
  const call = {
    params: { name },
    query: {},
    body,
    caller,
    deeds: [],
    trace: 'trace',
    doors,
    request: { headers, method: 'POST' },
    reply: { raw },
  }
  try {
    const reply = await routes[does].handle(call as unknown as Call) // the rest is for other handlers
    return { ok: true, body: reply?.body as Record<string, unknown> } // those above all answer with one
  } catch (error) {
    if (error instanceof Refused) return { ok: false, code: error.wire.code, reason: error.wire.reason }
    throw error
  }
}
