/** The secret of a grant: given as an argument, or on standard input, where nobody else on the machine reads it. */
import { readFileSync } from 'node:fs'
import { CommandFailure, exitCodes } from './exit.ts'

export function lockIdOf(argument: string): string {
  const lockId = argument === '-' ? readFileSync(0, 'utf8').trim() : argument
  if (lockId !== '') return lockId
  throw new CommandFailure(exitCodes.usage, 'The lock_id is empty: it is what `holdfast acquire` printed.')
}
