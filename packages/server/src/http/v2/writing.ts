/** Writing a value as the holder: a lock's, or a leader's. */
import { ask, askerOf, type Call, sessionOf } from '../call.ts'
import { timestamp } from '../views.ts'

type Written = { token: number; value: string; request_id?: string }

export async function writeAsHolder(call: Call, lock: string, { token, value, request_id }: Written) {
  const command = {
    ...askerOf(call),
    type: 'write_value',
    session: sessionOf(call),
    lock,
    token,
    value,
    request: request_id ?? null,
  } as const
  const reply = await ask(call, command, 'written')
  return { token: reply.value.token, written_at: timestamp(reply.value.at) }
}
