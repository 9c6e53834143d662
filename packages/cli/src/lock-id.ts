/** The secret of a grant: given as an argument, or on standard input, where nobody else on the machine reads it. */
import { readFileSync } from 'node:fs'
import { LockLostError, type Rest } from '@holdfast/client'
import { CommandFailure, exitCodes } from './exit.ts'
import { lockPath } from './rest.ts'

export function lockIdOf(argument: string): string {
  const lockId = argument === '-' ? readFileSync(0, 'utf8').trim() : argument
  if (lockId !== '') return lockId
  throw new CommandFailure(exitCodes.usage, 'The lock_id is empty: it is what `holdfast acquire` printed.')
}

/** Renews or releases. That the grant has ended is said with who holds the lock instead, if it may be seen. */
export async function callWithLockId<Answer>(
  rest: Rest,
  { name, verb, body }: { name: string; verb: 'renew' | 'release'; body: { lockId: string } },
): Promise<Answer> {
  try {
    return await rest.call<Answer>('POST', lockPath(name, verb), { body, lock: name })
  } catch (error) {
    if (!(error instanceof LockLostError) || error.reason !== 'expired') throw error
    throw new NotTheHoldersId({ name, lost: error, holder: await holderOf(rest, name) })
  }
}

/** Of a `lock_id` that is none of a present grant nobody knows whether it ever was one: the service keeps no list of them. */
class NotTheHoldersId extends LockLostError {
  override readonly message: string
  override readonly details: Readonly<Record<string, unknown>>
  constructor({ name, lost, holder }: { name: string; lost: LockLostError; holder: string | null }) {
    super({ lock: name, token: lost.token, reason: lost.reason })
    const now = holder === null ? 'nobody holds it now' : `${JSON.stringify(holder)} holds it now, with another one`
    this.message = `This lock_id is not that of the holder of ${JSON.stringify(name)}: its grant was not renewed in time, or there never was one. As far as can be seen ${now}.`
    this.details = { lock: name, reason: lost.reason, ...(holder === null ? {} : { holder }) }
  }
}

async function holderOf(rest: Rest, name: string): Promise<string | null> {
  try {
    return (await rest.show(name)).holders[0]?.holder ?? null
  } catch {
    // It may not be ours to see, or not exist: what was asked for has failed all the same.
    return null
  }
}
