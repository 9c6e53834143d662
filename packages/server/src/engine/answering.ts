/** The store, for those whose answers leave the service: what it does not answer is said in the words of the wire, without its addresses. */
import { HoldfastError } from '@holdfast/protocol/errors'
import { type EngineReads, EngineUnavailable } from './engine.ts'

/** Reads throw `HoldfastError` `unavailable` where they would throw `EngineUnavailable`, which becomes its cause. */
export function answering(engine: EngineReads): EngineReads {
  return {
    read: (...asked) => engine.read(...asked).catch(said),
    list: (...asked) => engine.list(...asked).catch(said),
  }
}

function said(error: unknown): never {
  if (!(error instanceof EngineUnavailable)) throw error
  throw new HoldfastError('unavailable', 'The store has not answered; ask again.', { cause: error })
}
