/** Acquiring, over REST: counted by how it ended. */
import { REST_WAIT_MS_MAX } from '@holdfast/protocol/limits'
import type { Acquire, Asker, Reply } from '../locks/model.ts'
import { ask, type Call } from './call.ts'
import { Refused } from './reply.ts'

type Granted = Extract<Reply, { ok: true; type: 'granted' }>

export async function askCounted(call: Call, command: Asker & Acquire): Promise<Granted> {
  const { telemetry } = call.doors
  const { instance } = call.caller
  try {
    const reply = await ask(call, command, 'granted', { waitMs: command.waitMs ?? REST_WAIT_MS_MAX })
    telemetry.acquireDone(instance, 'granted', reply.waitedMs)
    return reply
  } catch (error) {
    if (error instanceof Refused) telemetry.acquireDone(instance, error.wire.code, null)
    throw error
  }
}
