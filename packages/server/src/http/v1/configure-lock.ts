import { v1 } from '@holdfast/protocol/v1'
import { answer, ask, askerOf, nowAt, route } from '../call.ts'
import { v1LockOf } from './views.ts'

const ms = (seconds: number | undefined) => (seconds === undefined ? null : seconds * 1_000)

export const configureLock = route(v1.configureLock, async call => {
  const { body } = call
  const fields = {
    description: body.description ?? null,
    defaultTtlMs: ms(body.default_ttl_seconds),
    maxHoldMs: ms(body.max_hold_seconds),
    lockDelayMs: ms(body.lock_delay_seconds),
    preemption: body.preemption ?? null,
    labels: body.labels ?? null,
  }
  // What only `/v2` knows (limits of semaphores and queues) stays as it is.
  const command = {
    ...askerOf(call),
    type: 'configure',
    lock: call.params.name,
    fields,
    replaces: false,
    ifVersion: null,
  } as const
  const { isNew, lock } = await ask(call, command, 'configured')
  return answer(isNew ? 201 : 200, v1LockOf(lock, nowAt(call)))
})
