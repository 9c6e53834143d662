/**
 * Exit codes. Those from 120 on are ours, so that a script can tell what became of the lock from what the command said; a command that
 * could not be started, or was ended by a signal, is reported as shells do.
 */
import { HoldfastError, LockHeldError, LockLostError } from '@holdfast/client'

export const exitCodes = {
  /** Somebody else holds the lock, or the wait was over, or an operator froze it. */
  notAcquired: 120,
  /** The lock was lost while the command ran; the command was stopped. */
  lost: 121,
  /** Somebody with a better claim took the lock; the command was stopped. */
  preempted: 122,
  /** The service cannot be reached. */
  unreachable: 123,
  /** Wrong usage, a credential that is wrong or does not permit it, or another request that the service refused as wrong. */
  usage: 124,
  /** A bug, here or in the service; or what was to be said could not be written. */
  internal: 125,
  notExecutable: 126,
  notFound: 127,
} as const

/** Added to the number of the signal that ended the command. */
export const SIGNAL_BASE = 128

/** An end with a message and a code of its own. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  readonly exitCode: number
  constructor(exitCode: number, message: string) {
    super(message)
    this.exitCode = exitCode
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandFailure) return error.exitCode
  if (error instanceof LockHeldError) return exitCodes.notAcquired
  if (error instanceof LockLostError) return error.reason === 'preempted' ? exitCodes.preempted : exitCodes.lost
  if (!(error instanceof HoldfastError)) return exitCodes.internal
  switch (error.code) {
    case 'frozen':
    case 'queue_full':
    case 'deadlock':
    case 'quota_exceeded':
      return exitCodes.notAcquired
    case 'unavailable':
    case 'rate_limited':
    case 'storage_full':
      return exitCodes.unreachable
    case 'internal':
      return exitCodes.internal
    default:
      return exitCodes.usage
  }
}
