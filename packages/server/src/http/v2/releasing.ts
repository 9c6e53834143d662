/** Releasing, of one grant or of several. */
import type { released } from '@holdfast/protocol/v2-schemas'
import type { Static } from 'typebox'
import { ask, askerOf, type Call, sessionOf } from '../call.ts'
import { grantOf } from '../connect/commands.ts'

type Grants = { name: string; token: number }[]

export async function releaseGrants(
  call: Call,
  grants: Grants,
  requestId: string | undefined,
): Promise<Static<typeof released>> {
  const command = {
    ...askerOf(call),
    type: 'release',
    session: sessionOf(call),
    grants: grants.map(grantOf),
    request: requestId ?? null,
  } as const
  const { left, confers } = await ask(call, command, 'released')
  return { released: left === 0, count: left, ...(confers && { ttl_ms: confers.ttlMs, changes: confers.changes }) }
}
