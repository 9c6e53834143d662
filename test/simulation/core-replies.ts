/** What the core has answered, as a test expects it: an answer of another kind fails the test. And how what was granted is given back. */
import { strict as assert } from 'node:assert'
import { waitAnswer } from '../../packages/server/src/locks/answers.ts'
import type { Command, GrantView, Reply, RequestId } from '../../packages/server/src/locks/model.ts'
import type { World } from './core-world.ts'

/** All that was granted, in the order in which it was asked for. */
export function grantsOf(reply: Reply | null): GrantView[] {
  assert(reply?.ok === true && reply.type === 'granted', `expected a grant, not ${JSON.stringify(reply)}`)
  return reply.grants
}

/** The first of what was granted, for who asked for one lock. */
export function granted(reply: Reply | null): GrantView {
  return grantsOf(reply)[0]!
}

export function tokenOf(reply: Reply | null): number {
  return granted(reply).token
}

/** The ticket of a place in line. */
export function queued(reply: Reply): number {
  assert(reply.ok === 'queued', `expected a place in line, not ${JSON.stringify(reply)}`)
  return reply.ticket
}

/** The code of a refusal, with its reason if it has one that tells several apart. */
export function refused(reply: Reply | null): string {
  assert(reply?.ok === false, `expected a refusal, not ${JSON.stringify(reply)}`)
  return reply.code === 'lock_lost' || reply.code === 'lock_held' ? `${reply.code} ${reply.reason}` : reply.code
}

/** Refused at once, for this limit and nothing else. */
export function refusedBy(reply: Reply | null, limit: string, max: number): void {
  assert.deepEqual(reply, { ok: false, code: 'quota_exceeded', limit, max })
}

/** What the waiter with the ticket was answered; null while it waits. */
export function told(world: World, ticket: number): Reply | null {
  const entry = world.ends.get(ticket)
  return entry ? waitAnswer(world.state, entry, { now: world.now, at: 0 }) : null
}

/** Whether the wait with the ticket has ended with a grant, which may have ended since. */
export function isGranted(world: World, ticket: number): boolean {
  return Boolean(world.ends.get(ticket)?.gone?.grants)
}

/** Types of the entries of the last batch. */
export function lastTypes(world: World): string[] {
  return world.log.at(-1)?.entries.map(({ type }) => type) ?? []
}

/** Gives back what was granted, by whom it was granted to. */
export function release(grant: GrantView, request: RequestId | null = null): Command {
  return releaseOf(grant.session, [grant], request)
}

/** Gives back several in one request, by whoever is named. */
export function releaseOf(
  session: string,
  grants: readonly { lock: string; token: number }[],
  request: RequestId | null = null,
): Command {
  const named = grants.map(({ lock, token }) => ({ lock, token }))
  return { type: 'release', by: 'test', session, grants: named, request }
}
