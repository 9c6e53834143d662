/**
 * Acquiring over REST, with a wait that outlives the service's restart.
 *
 * The obvious answer, to end when the connection does, leaves somebody in line of whom nobody knows: the service keeps the wait through its restart
 * and grants it, and the lock is then held for a TTL under a `lock_id` that was told to nobody. So a wait has an `Idempotency-Key`, and is asked for
 * again under it: the answer is the same place in line, or the same grant. Keys are remembered for a day, and an instance has only so many of them; what
 * is free is therefore asked for without one.
 *
 * Not promised: when the service or its store is away until the wait is over and beyond (`PATIENCE_MS`), what has been asked for may still be granted, and
 * ends with its TTL.
 */
import { randomUUID } from 'node:crypto'
import { type HoldfastError, hasCode, LockHeldError, LockLostError } from '@holdfast/client'
import type { AccessOptions } from './access.ts'
import { monotonicMs, sleep } from './clock.ts'
import { lockPath, restOf } from './rest.ts'

/** Beyond the wait, for the answer. */
const PATIENCE_MS = 15_000
/** Between two attempts while the service is away. */
const PAUSE_MS = 250

/** What is asked under a key is the same body each time. */
export type Asked = { waitSeconds: number; key: string | null; patienceMs: number }
export type Ports<Grant> = {
  ask(asked: Asked): Promise<Grant>
  newKey(): string
  nowMs(): number
  pause(delayMs: number): Promise<void>
}

export async function acquireOverRest<Grant>(
  options: AccessOptions,
  asked: { name: string; body: object; waitSeconds: number },
): Promise<Grant> {
  const { name, body, waitSeconds } = asked
  const rest = restOf(options)
  const ports: Ports<Grant> = {
    ask: ({ waitSeconds, key, patienceMs }) =>
      rest.call('POST', lockPath(name, 'acquire'), {
        body: { ...body, waitSeconds },
        lock: name,
        patience: patienceMs,
        ...(key !== null && { headers: { 'idempotency-key': key } }),
      }),
    newKey: randomUUID,
    nowMs: monotonicMs,
    pause: sleep,
  }
  return acquireWithin(waitSeconds, ports)
}

/** Exported for its tests, which have another clock. */
export async function acquireWithin<Grant>(waitSeconds: number, ports: Ports<Grant>): Promise<Grant> {
  const endMs = ports.nowMs() + waitSeconds * 1_000
  try {
    return await ports.ask({ waitSeconds: 0, key: null, patienceMs: PATIENCE_MS })
  } catch (error) {
    if (ports.nowMs() >= endMs || !isWorthAWait(error)) throw error
    return await waitInLine(endMs, ports)
  }
}

/** That nobody can be reached at all is told at once: the address may be wrong. A service that answers that it cannot serve now is there. */
function isWorthAWait(error: unknown): boolean {
  return error instanceof LockHeldError || (hasCode(error, 'unavailable') && error.cause === undefined)
}

async function waitInLine<Grant>(endMs: number, { ask, newKey, nowMs, pause }: Ports<Grant>): Promise<Grant> {
  const leftSeconds = () => Math.max(0, Math.ceil((endMs - nowMs()) / 1_000))
  let place: Pick<Asked, 'waitSeconds' | 'key'> = { waitSeconds: leftSeconds(), key: newKey() }
  for (;;) {
    try {
      return await ask({ ...place, patienceMs: Math.max(1, Math.ceil(endMs + PATIENCE_MS - nowMs())) })
    } catch (error) {
      if (isOver(error)) place = { waitSeconds: leftSeconds(), key: newKey() }
      // Without one it waits all the same, but through no restart.
      else if (isOutOfKeys(error) && place.key !== null) place = { waitSeconds: leftSeconds(), key: null }
      else if (hasCode(error, 'unavailable') && place.key !== null && nowMs() + PAUSE_MS < endMs + PATIENCE_MS)
        await pause(PAUSE_MS)
      else throw error
    }
  }
}

/** What was asked for under the key has ended while nobody could hear of it: its wait, or its grant. The line is joined anew. */
function isOver(error: unknown): boolean {
  if (error instanceof LockLostError) return true
  return error instanceof LockHeldError && error.details.reason === 'cancelled'
}

function isOutOfKeys(error: unknown): error is HoldfastError {
  return hasCode(error, 'quota_exceeded') && error.details.limit === 'idempotency_keys'
}
