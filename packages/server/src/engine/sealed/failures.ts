/** What goes wrong with a sealed store. Each of them ends the server, or keeps it from starting. */
import { EngineFatal } from '../engine.ts'

/** A value of the store cannot be trusted: it is not what this record was given. The process must end. */
export class SealBroken extends EngineFatal {}

/** The key-encryption key cannot be had, or is not the one that is needed. The message says what to do. */
export class KeyUnavailable extends Error {
  override readonly name = 'KeyUnavailable'
}

/** The store is sealed and no key was given, or it is in the clear and one was. */
export class SealMismatch extends Error {
  override readonly name = 'SealMismatch'
}
