/** Who leads, and who stands. A lock that nobody uses is an election without a leader. */
import type { Election } from '@holdfast/protocol/v2-schemas'
import { ask, askerOf, type Call } from '../call.ts'
import { Refused } from '../reply.ts'
import { wireElection } from '../views.ts'

export async function electionOf(call: Call, name: string): Promise<Election> {
  try {
    const { lock } = await ask(call, { ...askerOf(call), type: 'show', lock: name }, 'lock')
    return wireElection(name, lock)
  } catch (error) {
    if (error instanceof Refused && error.wire.code === 'not_found') return wireElection(name, null)
    throw error
  }
}
